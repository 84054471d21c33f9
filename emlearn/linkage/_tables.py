"""Match weights of comparison vectors, looked up in tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from emlearn.distributions._exponential import log_of
from emlearn.linkage._log_linear import with_margins
from emlearn.linkage._model import MATCH, NON_MATCH
from emlearn.linkage._pairs import MISSING

Array = NDArray[np.float64]
Levels = NDArray[np.int8]

LOG_2 = float(np.log(2.0))


@dataclass(frozen=True)
class WeightTables:
    """Log-probabilities of the levels in both classes, by comparison or by group of comparisons.

    Attributes
    ----------
    prevalence : float
        Prevalence of matches.
    groups : tuple of tuple of int
        The comparisons of each table.
    logarithms : tuple of ndarray of shape (2, *n_levels + 1)
        Log-probabilities, non-matches first; the last entry of each axis is for a comparison that
        cannot be made.
    """

    prevalence: float
    groups: tuple[tuple[int, ...], ...]
    logarithms: tuple[Array, ...]

    @classmethod
    def of(
        cls,
        prevalence: float,
        tables: Mapping[tuple[int, ...], Array],
        seen: Sequence[NDArray[np.bool_]] | None = None,
    ) -> WeightTables:
        """From probabilities; levels that are not `seen` count for and against nothing."""
        logarithms = []
        for group, table in tables.items():
            own = log_of(with_margins(table))
            if seen is not None:
                for axis, j in enumerate(group, 1):
                    # A level that no pair had is as likely in both classes.
                    view = np.moveaxis(own, axis, 1)[:, : len(seen[j])]
                    view[:, ~seen[j]] = view[:, ~seen[j]].mean(axis=0)
            logarithms.append(own)
        return cls(float(prevalence), tuple(tables), tuple(logarithms))

    @property
    def prior(self) -> float:
        """Match weight of the prevalence: log2 of its odds."""
        inside = min(max(self.prevalence, 1e-300), 1.0 - 1e-16)
        return float(np.log2(inside / (1.0 - inside)))

    def weights(self) -> list[Array]:
        """Match weights log2(m / u) of each table."""
        return [(own[MATCH] - own[NON_MATCH]) / LOG_2 for own in self.logarithms]

    def _looked_up(self, tables: Sequence[Array], levels: Levels) -> list[Array]:
        """The entry of each table for each pair."""
        found = []
        for group, table in zip(self.groups, tables, strict=True):
            # Level -1 is the last entry of its axis.
            index = tuple(levels[:, j].astype(np.intp) for j in group)
            whole: tuple[Any, ...] = (..., *index)
            found.append(table[whole])
        return found

    def terms(self, levels: Levels) -> Array:
        """Match weight of each table for each pair, (n_pairs, n_tables)."""
        assert MISSING == -1
        return np.stack(self._looked_up(self.weights(), levels), axis=1)

    def score(self, levels: Levels, adjustment: Array | float = 0.0) -> Array:
        """Match weight of each pair, with that of the prevalence: log2 of the odds of a match."""
        total = np.full(len(levels), self.prior)
        for own in self._looked_up(self.weights(), levels):
            total += own
        return total + adjustment

    def log_likelihood(self, levels: Levels) -> Array:
        """Log-likelihood of each pair."""
        joint = np.zeros((2, len(levels)))
        joint += log_of(np.array([1.0 - self.prevalence, self.prevalence]))[:, None]
        for own in self._looked_up(self.logarithms, levels):
            joint += own
        found: Array = np.logaddexp(joint[0], joint[1])
        return found


def probability_of(score: Array) -> Array:
    """Probability of a match from log2 of its odds."""
    found: Array = expit(LOG_2 * score)
    return found
