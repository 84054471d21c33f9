"""Which comparisons depend on each other, and the family of distributions that follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions import Categorical, Family, Product
from emlearn.distributions._categorical import CategoricalParams
from emlearn.latent import MixtureParams
from emlearn.latent.model import LabelParams
from emlearn.linkage._log_linear import MOST_CELLS, LogLinear, LogLinearParams
from emlearn.linkage._ordered import OrderedLevels
from emlearn.linkage._pair_table import PairTable

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Structure:
    """The levels of the comparisons, and their interactions.

    Parameters
    ----------
    n_levels : tuple of int
        Number of levels of each comparison.
    interactions : tuple of (int, int)
        Pairs of comparisons, by position.
    """

    n_levels: tuple[int, ...]
    interactions: tuple[tuple[int, int], ...] = ()

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Comparisons joined by interactions, each group in the order of its comparisons."""
        found: list[set[int]] = []
        for pair in self.interactions:
            joined = set(pair).union(*(own for own in found if own & set(pair)))
            found = [own for own in found if not own & joined] + [joined]
        return tuple(sorted(tuple(sorted(own)) for own in found))

    @property
    def free(self) -> tuple[int, ...]:
        """Comparisons without interactions."""
        joined = {j for pair in self.interactions for j in pair}
        return tuple(j for j in range(len(self.n_levels)) if j not in joined)

    def family(self, alpha: float, ordered: bool) -> Family:
        """The distribution of comparison vectors within a class."""
        levels = tuple(self.n_levels[j] for j in self.free)
        independent: Family = (OrderedLevels if ordered else Categorical)(alpha, levels or None)
        if not self.interactions:
            return independent
        parts: list[tuple[Family, Any]] = [(independent, self.free)] if self.free else []
        for group in self.groups:
            place = {j: k for k, j in enumerate(group)}
            pairs = tuple((place[a], place[b]) for a, b in self.interactions if a in place)
            own = tuple(self.n_levels[j] for j in group)
            kind = PairTable if len(group) == 2 else LogLinear
            parts.append((kind(own, pairs, alpha), group))
        return Product(tuple(parts), (), len(self.n_levels))

    # ---- parameters ---------------------------------------------------------------------

    def split(self, components: Any) -> tuple[CategoricalParams | None, tuple[Any, ...]]:
        """Parameters of the free comparisons, and those of the groups."""
        if not self.interactions:
            return components, ()
        return (components[0], components[1:]) if self.free else (None, components)

    def tables(self, components: Any) -> dict[tuple[int, ...], Array]:
        """Probabilities of levels by comparison or group: non-matches, then matches."""
        independent, joint = self.split(components)
        found: dict[tuple[int, ...], Array] = {}
        if independent is not None:
            for k, j in enumerate(self.free):
                found[(j,)] = independent.probability[:, k, : self.n_levels[j]]
        found |= {g: own.table for g, own in zip(self.groups, joint, strict=True)}
        return found

    def params(
        self, prevalence: float, tables: dict[tuple[int, ...], Array], column_spec: Any
    ) -> LabelParams:
        """Parameters of the model from `tables`."""
        parts: list[Any] = [LogLinearParams(tables[group]) for group in self.groups]
        if self.free:
            most = max(self.n_levels[j] for j in self.free)
            probability = np.zeros((2, len(self.free), most))
            for k, j in enumerate(self.free):
                probability[:, k, : self.n_levels[j]] = tables[(j,)]
            parts.insert(0, CategoricalParams(probability))
        law = MixtureParams(np.array([1.0 - prevalence, prevalence]))
        return LabelParams(law, tuple(parts) if self.interactions else parts[0], column_spec)


def read_interactions(
    interactions: Any, names: Sequence[str], n_levels: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
    """Pairs of comparisons by position.

    Raises
    ------
    ValueError
        If a pair is invalid, or the table of a group has too many cells.
    """
    found: list[tuple[int, int]] = []
    for pair in interactions or ():
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
            raise ValueError(
                f"interactions must be pairs of comparisons, such as [('first', 'last')]; got "
                f"{pair!r}."
            )
        a, b = sorted(_position(own, names) for own in pair)
        if a == b:
            raise ValueError(f"interactions has {pair!r}, but a comparison has none with itself.")
        if (a, b) not in found:
            found.append((a, b))
    structure = Structure(n_levels, tuple(found))
    for group in structure.groups:
        cells = int(np.prod([n_levels[j] for j in group]))
        if cells > MOST_CELLS:
            raise ValueError(
                f"interactions join the comparisons {', '.join(names[j] for j in group)}, whose "
                f"table has {cells} cells; at most {MOST_CELLS} are possible. Use fewer."
            )
    return structure.interactions


def _position(own: Any, names: Sequence[str]) -> int:
    if isinstance(own, str):
        if own not in names:
            raise ValueError(
                f"interactions names the comparison {own!r}; there are {', '.join(names)}."
            )
        return list(names).index(own)
    if not isinstance(own, Integral) or not -len(names) <= int(own) < len(names):
        raise ValueError(
            f"interactions must have names of comparisons, or positions below {len(names)}; got "
            f"{own!r}."
        )
    return int(own) % len(names)
