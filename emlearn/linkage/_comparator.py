"""Comparison vectors of the records of one or two tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from emlearn.linkage._blocking import PART, made_by, pairs_of, random_pairs, read_rules
from emlearn.linkage._comparisons import Compare, Comparison, Exact, JaroWinkler, find_comparison
from emlearn.linkage._pairs import MISSING, RecordPairs, joined
from emlearn.linkage._records import ABSENT, Factor, n_records
from emlearn.linkage._vectors import Patterns, merge

Array = NDArray[Any]
Index = NDArray[np.intp]

_MOST_OF_KEY = 1_000_000
_MOST = 100_000_000


@dataclass(frozen=True)
class RecordComparator:
    """Compares the records of one table, or of two, that share a key.

    `pairs` makes the comparison vectors of the pairs that share a key, `stream` makes them in
    parts. `patterns` makes what `RecordLinkageEM.fit` needs: counts of the comparison vectors of
    all pairs of records.

    Parameters
    ----------
    comparisons : dict of str to str or Comparison
        For each comparison its kind: "exact", "jaro_winkler", "numeric", "date", or an object
        with options such as ``JaroWinkler(thresholds=(0.85,))``. The key is the name of the
        comparison, and of the column unless the object says otherwise.
    block : list of str, callable or tuple of these, default=None
        Keys: two records are compared if they agree on one of them at least. A string is a
        column. A function gets a table and returns one key for each record. A tuple is a
        combination. A missing key agrees with none. None compares all pairs.
    term_frequencies : list of str, default=()
        Comparisons for which the frequency of the value is kept where records agree exactly:
        agreement on a rare value says more.
    max_pairs_of_key : int, default=1000000
        Largest number of pairs that one value of a key may make.
    max_pairs : int, default=100000000
        Largest number of pairs of all keys together; pairs that several keys make count several
        times.

    Raises
    ------
    ValueError
        If a comparison, a key or a column does not exist, or a key makes too many pairs.
    ImportError
        If "jaro_winkler" is asked for and rapidfuzz is not installed.

    See Also
    --------
    compare_records : The same in one call.

    Examples
    --------
    >>> from emlearn.linkage import RecordComparator
    >>> people = {"name": ["Ann", "Anne", "Bob"], "year": [1970, 1970, 1981]}
    >>> comparator = RecordComparator({"name": "exact"}, block=["year"])
    >>> pairs = comparator.pairs(people)
    >>> pairs.left, pairs.right, pairs.levels
    (array([0]), array([1]), array([[0]], dtype=int8))
    """

    comparisons: Mapping[str, str | Comparison]
    block: Sequence[Any] | None = None
    term_frequencies: Sequence[str] = ()
    max_pairs_of_key: int = _MOST_OF_KEY
    max_pairs: int = _MOST

    def _kinds(self) -> dict[str, Comparison]:
        if not isinstance(self.comparisons, Mapping) or not self.comparisons:
            raise ValueError(
                "comparisons must be a dict of kinds by name, such as {'last': 'jaro_winkler'}; "
                f"got {self.comparisons!r}."
            )
        kinds = {str(name): find_comparison(own, name) for name, own in self.comparisons.items()}
        for name in self.term_frequencies:
            if name not in kinds:
                raise ValueError(
                    f"term_frequencies names the comparison {name!r}; there are {', '.join(kinds)}."
                )
            if not isinstance(kinds[name], Exact | JaroWinkler):
                raise ValueError(
                    f"term_frequencies needs a comparison of text or categories, but {name!r} is "
                    f"{type(kinds[name]).__name__}."
                )
        return kinds

    def stream(self, left: Any, right: Any | None = None) -> Iterator[RecordPairs]:
        """The pairs in parts of about 260000, in the order of the keys.

        Parameters
        ----------
        left : DataFrame, dict of columns or structured array
            Records.
        right : DataFrame, dict of columns or structured array, default=None
            Records of a second table. None compares the records of one table, each pair once.

        Yields
        ------
        pairs : RecordPairs
            Some of the pairs.

        Raises
        ------
        ValueError
            If a column does not exist, a value cannot be compared, a key makes too many pairs, or
            there are none at all.
        """
        compare = _Compared(self, left, right)
        rules = read_rules(left, right, self.block, self.max_pairs_of_key, self.max_pairs)
        empty = True
        for i, j in pairs_of(rules, PART):
            empty = False
            yield compare(i, j)
        if empty:
            keys = ", ".join(rule.name for rule in rules)
            n_left = n_records(left, "left")
            n_right = n_left if right is None else n_records(right, "right")
            which = f"{n_left} records" if right is None else f"{n_left} and {n_right} records"
            raise ValueError(
                f"There are no pairs: no two of the {which} agree on a key ({keys}). Check the "
                "spelling of the keys in both tables, or use coarser ones."
            )

    def pairs(self, left: Any, right: Any | None = None) -> RecordPairs:
        """All pairs at once.

        Parameters
        ----------
        left, right : DataFrame, dict of columns or structured array
            See `stream`.

        Returns
        -------
        pairs : RecordPairs
            The pairs.

        Raises
        ------
        ValueError
            See `stream`.
        """
        return joined(list(self.stream(left, right)))

    def patterns(
        self,
        left: Any,
        right: Any | None = None,
        *,
        n_random: int = 1_000_000,
        random_state: Any = None,
    ) -> RecordPairs:
        """The distinct comparison vectors with their counts, for `RecordLinkageEM.fit`.

        The pairs themselves are not kept, so the memory does not depend on their number. Random
        pairs that no key makes are added, with weights such that they stand for all of these.
        The patterns are then those of all pairs of records, for which m, u and the prevalence are
        meant, instead of those that agree on some key (see Notes).

        Parameters
        ----------
        left, right : DataFrame, dict of columns or structured array
            See `stream`.
        n_random : int, default=1000000
            Number of random pairs. 0 adds none.
        random_state : int, RandomState instance or None, default=None
            Source of randomness.

        Returns
        -------
        patterns : RecordPairs
            The patterns, with `counts`.

        Raises
        ------
        ValueError
            See `stream`.

        Notes
        -----
        Pairs that were chosen because they agree on the postcode or on the birth year consist of
        two kinds of non-matches, one that always agrees on the first and one that always agrees
        on the second. Two classes fit these better than matches and non-matches, so EM on the
        chosen pairs alone finds the wrong classes. Which pairs were chosen says nothing more about
        a pair once its comparison vector is known, so the probabilities hold for chosen pairs too.
        """
        _check_number(n_random, "n_random", 0)
        total, first, n_chosen = None, None, 0
        for part in self.stream(left, right):
            n_chosen += len(part)
            total, first = _together(total, merge(part.levels, None)), first or part
        assert total is not None
        assert first is not None
        if self.block is not None and n_random:
            others = self._others(left, right, n_random, n_chosen, random_state)
            if others is not None:
                total = _together(total, others)
        return RecordPairs(total.levels, first.names, first.level_names, counts=total.weight)

    def _others(
        self, left: Any, right: Any | None, n_random: int, n_chosen: int, random_state: Any
    ) -> Patterns | None:
        """Patterns of random pairs that no key makes, as many as there are such pairs."""
        n_left = n_records(left, "left")
        n_right = None if right is None else n_records(right, "right")
        n_pairs = n_left * (n_left - 1) // 2 if n_right is None else n_left * n_right
        rules = read_rules(left, right, self.block, self.max_pairs_of_key, self.max_pairs)
        compare = _Compared(self, left, right, frequencies=False)
        i, j = random_pairs(n_left, n_right, int(n_random), _generator(random_state))
        new = ~made_by(rules, i, j)
        i, j = i[new], j[new]
        total: Patterns | None = None
        for start in range(0, len(i), PART):
            levels = compare(i[start : start + PART], j[start : start + PART]).levels
            total = _together(total, merge(levels, None))
        if total is None:
            return None
        return total._replace(weight=total.weight * ((n_pairs - n_chosen) / len(i)))

    def estimate_u(
        self,
        left: Any,
        right: Any | None = None,
        *,
        n_pairs: int = 1_000_000,
        pseudo_count: float = 0.5,
        random_state: Any = None,
    ) -> dict[str, NDArray[np.float64]]:
        """How often each level occurs among random pairs; see `emlearn.linkage.estimate_u`.

        Parameters
        ----------
        left, right : DataFrame, dict of columns or structured array
            See `stream`.
        n_pairs : int, default=1000000
            Number of random pairs.
        pseudo_count : float, default=0.5
            Pairs that are added to each level.
        random_state : int, RandomState instance or None, default=None
            Source of randomness.

        Returns
        -------
        u : dict of str to ndarray of shape (n_levels,)
            Probability of each level, by comparison.

        Raises
        ------
        ValueError
            If there are not two records, or a number is invalid.
        """
        _check_number(n_pairs, "n_pairs", 1)
        if not pseudo_count >= 0.0:
            raise ValueError(f"pseudo_count must be >= 0, got {pseudo_count!r}.")
        n_left = n_records(left, "left")
        n_right = None if right is None else n_records(right, "right")
        if n_left < (2 if n_right is None else 1) or n_right == 0:
            raise ValueError("There are no two records to compare.")
        i, j = random_pairs(n_left, n_right, int(n_pairs), _generator(random_state))
        compare = _Compared(self, left, right, frequencies=False)
        counts = [np.full(n, float(pseudo_count)) for n in compare.n_levels]
        for start in range(0, len(i), PART):
            levels = compare(i[start : start + PART], j[start : start + PART]).levels
            for own, column in zip(counts, levels.T, strict=True):
                own += np.bincount(column[column != MISSING], minlength=len(own))
        found = {}
        for name, own in zip(compare.names, counts, strict=True):
            if not own.sum() > 0.0:
                raise ValueError(f"No random pair can be compared in {name!r}.")
            found[name] = own / own.sum()
        return found


class _Compared:
    """Compares pairs of records of given tables."""

    def __init__(
        self,
        comparator: RecordComparator,
        left: Any,
        right: Any | None,
        *,
        frequencies: bool = True,
    ):
        kinds = comparator._kinds()
        tables = [left] if right is None else [left, right]
        for table, side in zip(tables, ("left", "right"), strict=False):
            n_records(table, side)
        self.names = tuple(kinds)
        self.level_names = tuple(own.level_names for own in kinds.values())
        self.n_levels = tuple(map(len, self.level_names))
        self._compare: list[Compare] = []
        self._frequency: dict[int, tuple[Array, Array]] = {}
        for k, (name, kind) in enumerate(kinds.items()):
            columns = kind.columns_of(tables, name)
            self._compare.append(kind.prepare(columns, f"The comparison {name!r}"))
            if frequencies and name in comparator.term_frequencies:
                codes = Factor(columns).codes
                known = np.concatenate(codes)
                known = known[known != ABSENT]
                share = np.bincount(known) / max(len(known), 1)
                self._frequency[k] = (codes[0], share)

    def __call__(self, i: Index, j: Index) -> RecordPairs:
        """Levels of the pairs at these positions."""
        levels = np.empty((len(i), len(self.names)), np.int8)
        for k, compare in enumerate(self._compare):
            levels[:, k] = compare(i, j)
        frequency = None
        if self._frequency:
            frequency = np.full(levels.shape, np.nan)
            for k, (codes, share) in self._frequency.items():
                exact = levels[:, k] == self.n_levels[k] - 1
                frequency[exact, k] = share[codes[i[exact]]]
        return RecordPairs(levels, self.names, self.level_names, i, j, frequency)


def _generator(random_state: Any) -> np.random.Generator:
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    return np.random.default_rng(seed)


def _check_number(value: Any, name: str, least: int) -> None:
    if not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be an integer >= {least}, got {value!r}.")


def _together(total: Patterns | None, own: Patterns) -> Patterns:
    """Patterns of two sets of pairs."""
    if total is None:
        return own
    levels = np.concatenate([total.levels, own.levels])
    return merge(levels, np.concatenate([total.weight, own.weight]))


def compare_records(
    left: Any,
    right: Any | None = None,
    *,
    comparisons: Mapping[str, str | Comparison],
    block: Sequence[Any] | None = None,
    term_frequencies: Sequence[str] = (),
    max_pairs_of_key: int = _MOST_OF_KEY,
    max_pairs: int = _MOST,
) -> RecordPairs:
    """Comparison vectors of the records of one table, or of two, that share a key.

    Parameters
    ----------
    left : DataFrame, dict of columns or structured array
        Records. None, NaN, pandas.NA, NaT and empty text are missing.
    right : DataFrame, dict of columns or structured array, default=None
        Records of a second table. None compares the records of one table, each pair once.
    comparisons : dict of str to str or Comparison
        See `RecordComparator`.
    block : list of str, callable or tuple of these, default=None
        See `RecordComparator`.
    term_frequencies : list of str, default=()
        See `RecordComparator`.
    max_pairs_of_key : int, default=1000000
        See `RecordComparator`.
    max_pairs : int, default=100000000
        See `RecordComparator`.

    Returns
    -------
    pairs : RecordPairs
        Positions of the records of each pair, and levels of their comparisons. Positions count
        rows from 0, whatever the index of a DataFrame, which may have duplicates.

    Raises
    ------
    ValueError
        If a comparison, a key or a column does not exist, a value cannot be compared, a key makes
        too many pairs (the message has the numbers), or there are no pairs.
    ImportError
        If "jaro_winkler" is asked for and rapidfuzz is not installed.

    Examples
    --------
    >>> from emlearn.linkage import compare_records
    >>> people = {"name": ["Ann", "Anne", "Bob"], "year": [1970, 1971, 1981]}
    >>> pairs = compare_records(people, comparisons={"name": "exact", "year": "numeric"})
    >>> pairs.levels.tolist()
    [[0, 1], [0, 0], [0, 0]]
    """
    comparator = RecordComparator(comparisons, block, term_frequencies, max_pairs_of_key, max_pairs)
    return comparator.pairs(left, right)


def estimate_u(
    left: Any,
    right: Any | None = None,
    *,
    comparisons: Mapping[str, str | Comparison],
    n_pairs: int = 1_000_000,
    pseudo_count: float = 0.5,
    random_state: Any = None,
) -> dict[str, NDArray[np.float64]]:
    """How often each level occurs among non-matches, estimated from random pairs of records.

    Nearly all random pairs are non-matches. Blocking does not touch them, so this is u of a key
    that says nothing about the comparison. Matches among them raise u of exact agreement by about
    their part of the pairs, at most 1 / n_records for one table with at most one duplicate each.

    Parameters
    ----------
    left : DataFrame, dict of columns or structured array
        Records.
    right : DataFrame, dict of columns or structured array, default=None
        Records of a second table. None takes pairs of one table.
    comparisons : dict of str to str or Comparison
        See `RecordComparator`.
    n_pairs : int, default=1000000
        Number of random pairs, drawn with replacement. If there are no more pairs at all, each is
        compared once.
    pseudo_count : float, default=0.5
        Pairs that are added to each level, so that none is impossible.
    random_state : int, RandomState instance or None, default=None
        Source of randomness.

    Returns
    -------
    u : dict of str to ndarray of shape (n_levels,)
        Probability of each level, by comparison: ``RecordLinkageEM(fixed={"u": u})``.

    Raises
    ------
    ValueError
        If there are not two records, or a number is invalid.

    Examples
    --------
    >>> from emlearn.linkage import estimate_u
    >>> people = {"name": ["Ann", "Ann", "Bob"]}
    >>> estimate_u(people, comparisons={"name": "exact"}, pseudo_count=0)["name"].round(2)
    array([0.67, 0.33])
    """
    return RecordComparator(comparisons).estimate_u(
        left, right, n_pairs=n_pairs, pseudo_count=pseudo_count, random_state=random_state
    )
