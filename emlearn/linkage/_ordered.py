"""Levels whose match weights increase: m[l] / u[l] does not fall from one level to the next.

The M-step maximizes ``sum_l N_l log m[l] + sum_l M_l log u[l]`` for each comparison, with N and M
the expected counts of matches and non-matches (with pseudo-counts), subject to the order. With
n = N + M and phi the isotonic regression of N / n with weights n, the maximum is

    m[l] = n[l] phi[l] / sum N,    u[l] = n[l] (1 - phi[l]) / sum M

(Dykstra, Kochar and Robertson 1995). With u held, it is m[l] = u[l] rho[l] / sum N, where rho is
the isotonic regression of N / u with weights u; likewise with m held.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import isotonic_regression

from emlearn.distributions import Categorical
from emlearn.distributions._categorical import CategoricalParams
from emlearn.distributions._levels import CategoricalSpec
from emlearn.engine import DegenerateModelError

Array = NDArray[np.float64]

# How far ratios may fall by rounding.
_ROUNDING = 1e-9


def ordered_pair(counts: Array, held: Array) -> Array:
    """Probabilities of the levels of one comparison that maximize the objective in this order.

    Parameters
    ----------
    counts : ndarray of shape (2, n_levels)
        Expected counts among non-matches and matches.
    held : ndarray of shape (2, n_levels)
        Probabilities that are held, all of a class or none; NaN where free.

    Returns
    -------
    probability : ndarray of shape (2, n_levels)
        The probabilities.
    """
    fixed = ~np.isnan(held).any(axis=1)
    if fixed.all():
        return held
    found = np.where(np.isnan(held), 0.0, held)
    if fixed.any():
        free = int(np.flatnonzero(~fixed)[0])
        known = held[1 - free]
        some = known > 0.0
        ratio = isotonic_regression(
            counts[free, some] / known[some], sample_weight=known[some], increasing=free == 1
        )
        found[free, some] = known[some] * ratio
        found[free] /= found[free].sum()
        return found
    total = counts.sum(axis=0)
    some = total > 0.0
    part = isotonic_regression(counts[1, some] / total[some], sample_weight=total[some])
    found[1, some] = total[some] * part
    found[0, some] = total[some] * (1.0 - part)
    return np.asarray(found / found.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class OrderedLevels(Categorical):
    """Independent comparisons whose match weights do not fall from level to level.

    The two components are non-matches and matches. Parameters are those of `Categorical`.
    """

    def m_step(
        self, statistics: Array, params: CategoricalParams, column_spec: CategoricalSpec
    ) -> CategoricalParams:
        """See `Family`."""
        return self.constrained_m_step(statistics, params, {}, column_spec)

    def constrained_m_step(
        self,
        statistics: Array,
        params: CategoricalParams,
        fixed: Mapping[str, Array],
        column_spec: CategoricalSpec,
    ) -> CategoricalParams:
        """See `Family`."""
        counts = self._counts(statistics, params, column_spec)
        held = fixed.get("probability", np.full(counts.shape, np.nan))
        probability = np.array(params.probability)
        for j, n in enumerate(column_spec.n_levels):
            if (counts[:, j].sum(axis=1) > 0.0).all():
                probability[:, j, :n] = ordered_pair(counts[:, j, :n], held[:, j, :n])
        return CategoricalParams(probability)

    def from_vector(
        self, vector: Array, like: CategoricalParams, column_spec: CategoricalSpec
    ) -> CategoricalParams:
        """See `Family`."""
        found = super().from_vector(vector, like, column_spec)
        if (tied_levels(found.probability, column_spec.n_levels, fallen=True)).any():
            raise DegenerateModelError("the match weights are not in order")
        return found


def tied_levels(
    probability: Array, n_levels: NDArray[np.intp], *, fallen: bool = False
) -> NDArray[np.bool_]:
    """Which comparisons have neighboring levels with the same weight (or a lower one, `fallen`)."""
    found = np.zeros(len(n_levels), bool)
    for j, n in enumerate(n_levels):
        u, m = probability[:, j, :n]
        gain = m[1:] * u[:-1] - m[:-1] * u[1:]
        size = np.maximum(m[1:] * u[:-1], m[:-1] * u[1:])
        limit = -_ROUNDING * size if fallen else _ROUNDING * size
        found[j] = (gain < limit).any()
    return found
