"""Links of both directions joined, and links compared with those that people made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Link = tuple[int, int]
Links = set[Link]

# Neighbors of a link in the order of Koehn et al.: those at the sides before the diagonal ones.
_SIDES = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


def symmetrize(
    forward: Any, backward: Any, method: str = "grow-diag-final-and"
) -> list[NDArray[np.int64]]:
    """Join the links of a model and of one for the other direction.

    A model gives each target word one link at most, so a source word can have several. With
    the sentences exchanged it is the other way round. What both find is mostly right; what one
    of them finds is mostly found.

    Parameters
    ----------
    forward : list of array-like of shape (n_links, 2)
        For each pair, links (source, target): what `WordAlignmentEM.predict` returns.
    backward : list of array-like of shape (n_links, 2)
        What the model for the other direction returns of the pairs (target, source): its links
        are (target, source).
    method : str, default="grow-diag-final-and"
        "intersection": links that both have. "union": links that one of them has. "grow-diag":
        begins with the intersection, and adds links of the union that are next to one that is in,
        at a side or diagonally, as long as one of the words has no link. "grow-diag-final": then
        adds links of `forward`, then of `backward`, of which one word has no link.
        "grow-diag-final-and": those of which both words have none.

    Returns
    -------
    links : list of ndarray of shape (n_links, 2)
        For each pair, links (source, target), sorted.

    Raises
    ------
    ValueError
        If `method` is unknown, there are different numbers of pairs, or links are no pairs of
        positions. The message names the pair.

    References
    ----------
    P. Koehn, F. J. Och and D. Marcu (2003). "Statistical phrase-based translation". Proceedings of
    HLT-NAACL 2003, 48-54.

    Examples
    --------
    >>> from emlearn.text import symmetrize
    >>> forward = [[(0, 0), (1, 1), (1, 2)]]
    >>> backward = [[(0, 0), (1, 1), (3, 2)]]
    >>> symmetrize(forward, backward, "intersection")
    [array([[0, 0],
           [1, 1]])]
    >>> symmetrize(forward, backward)
    [array([[0, 0],
           [1, 1],
           [1, 2],
           [2, 3]])]
    """
    if method not in _METHODS:
        raise ValueError(f"method must be one of {', '.join(_METHODS)}; got {method!r}.")
    ahead, back = _read(forward, "forward"), _read(backward, "backward")
    if len(ahead) != len(back):
        raise ValueError(
            f"forward has links of {len(ahead)} pairs, but backward of {len(back)}. Both must "
            "be of the same sentences."
        )
    join = _METHODS[method]
    return [
        _as_array(join(one, {(source, target) for target, source in other}))
        for one, other in zip(ahead, back, strict=True)
    ]


def alignment_error_rate(predicted: Any, sure: Any, possible: Any = None) -> float:
    """Alignment error rate of links, beside those that people made.

    Parameters
    ----------
    predicted : list of array-like of shape (n_links, 2)
        For each pair, links (source, target).
    sure : list of array-like of shape (n_links, 2)
        Links that must be found.
    possible : list of array-like of shape (n_links, 2), default=None
        Links that may be found, besides those that must. None means no others.

    Returns
    -------
    rate : float
        ``1 - (|A & S| + |A & P|) / (|A| + |S|)``, with the links A of all pairs; 0 is best. Without
        any links it is 0.

    Raises
    ------
    ValueError
        If there are different numbers of pairs, or links are no pairs of positions.

    References
    ----------
    F. J. Och and H. Ney (2003). "A systematic comparison of various statistical alignment models".
    Computational Linguistics 29(1), 19-51.

    Examples
    --------
    >>> from emlearn.text import alignment_error_rate
    >>> alignment_error_rate([[(0, 0), (1, 1)]], [[(0, 0), (1, 2)]])
    0.5
    """
    found, must = _read(predicted, "predicted"), _read(sure, "sure")
    may = must if possible is None else _read(possible, "possible")
    if not len(found) == len(must) == len(may):
        raise ValueError(
            f"predicted has links of {len(found)} pairs, sure of {len(must)}"
            + ("" if possible is None else f", possible of {len(may)}")
            + ". All must be of the same sentences."
        )
    hits = total = 0
    for own, s, p in zip(found, must, may, strict=True):
        hits += len(own & s) + len(own & (p | s))
        total += len(own) + len(s)
    return 1.0 - hits / total if total else 0.0


def _read(links: Any, name: str) -> list[Links]:
    if isinstance(links, (str, bytes)) or not isinstance(links, Iterable):
        raise ValueError(f"{name} must be a list with the links of each pair, got {links!r:.60}.")
    found: list[Links] = []
    for number, own in enumerate(links):
        array = np.asarray(own)
        if not array.size:
            found.append(set())
            continue
        if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu":
            raise ValueError(
                f"{name}[{number}] must be a list of pairs of positions, one for each link; got an "
                f"array of shape {array.shape} and type {array.dtype}."
            )
        if array.min() < 0:
            raise ValueError(f"{name}[{number}] has negative positions; they count from 0.")
        found.append(set(map(tuple, array.tolist())))
    return found


def _as_array(links: Links) -> NDArray[np.int64]:
    return np.array(sorted(links), np.int64).reshape(-1, 2)


def _grow(forward: Links, backward: Links) -> Links:
    """Intersection, and neighbors of what is in, as long as there are any."""
    union = forward | backward
    places = sorted(union)
    grown = forward & backward
    sources, targets = {i for i, _ in grown}, {j for _, j in grown}
    added = True
    while added:
        added = False
        for i, j in places:
            if (i, j) not in grown:
                continue
            for link in ((i + di, j + dj) for di, dj in _SIDES):
                if link not in union or link in grown:
                    continue
                if link[0] not in sources or link[1] not in targets:
                    grown.add(link)
                    sources.add(link[0])
                    targets.add(link[1])
                    added = True
    return grown


def _finish(grown: Links, directions: Iterable[Links], both: bool) -> Links:
    """Links of both directions of which one word, or both, have none yet."""
    sources, targets = {i for i, _ in grown}, {j for _, j in grown}
    for links in directions:
        for i, j in sorted(links):
            free = (i not in sources, j not in targets)
            if all(free) if both else any(free):
                grown.add((i, j))
                sources.add(i)
                targets.add(j)
    return grown


_METHODS: dict[str, Callable[[Links, Links], Links]] = {
    "intersection": lambda forward, backward: forward & backward,
    "union": lambda forward, backward: forward | backward,
    "grow-diag": _grow,
    "grow-diag-final": lambda forward, backward: _finish(
        _grow(forward, backward), (forward, backward), both=False
    ),
    "grow-diag-final-and": lambda forward, backward: _finish(
        _grow(forward, backward), (forward, backward), both=True
    ),
}
