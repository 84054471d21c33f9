"""Comparisons that depend on each other: a log-linear model within each class.

Comparisons joined by interactions have one table of probabilities for each class, with the cells
x = (x_1, ..., x_J) and

    log P(x) = constant + sum_j a_j[x_j] + sum_{(j, k)} b_jk[x_j, x_k],

all two-way interactions that are asked for and no higher ones. With expected counts N(x) of the
cells, pseudo-counts included, the M-step maximizes ``sum_x N(x) log P(x)``: P has the same two-way
margins as N / sum(N). Iterative proportional fitting finds it (Deming and Stephan 1940; Bishop,
Fienberg and Holland 1975): P is multiplied by the ratio of the margins, one pair after another,
from the current P. Each of these steps raises the objective, so a round that ends early is a
generalized EM step.

The counts of a pattern with missing comparisons are divided over its cells in proportion to P.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from emlearn.distributions import Family
from emlearn.distributions._exponential import log_of
from emlearn.distributions._published import read_parameter, shape_of_parameter
from emlearn.engine import DegenerateModelError
from emlearn.engine.parameters import Entries, Part

Array = NDArray[Any]

# Largest number of cells of a table.
MOST_CELLS = 2**16
# Iterative proportional fitting ends when margins differ by less than this part of them.
_FITTED = 1e-12
_MOST_ROUNDS = 200


class LogLinearParams(NamedTuple):
    """Parameters.

    Attributes
    ----------
    table : ndarray of shape (n_components, *n_levels)
        Probability of each cell.
    """

    table: Array


@dataclass(frozen=True)
class LogLinear(Family):
    """Items with two-way interactions within each component.

    Published: ``"coefficient"``, of shape (n_components, n_coefficients): the coefficients of the
    levels of each item, then those of each interaction, all relative to level 0.

    Parameters
    ----------
    n_levels : tuple of int
        Number of levels of each item.
    interactions : tuple of (int, int)
        Pairs of items; each item is in one of them at least.
    alpha : float, default=0.01
        Pseudo-count of each cell; positive, so that all coefficients are finite.
    """

    n_levels: tuple[int, ...]
    interactions: tuple[tuple[int, int], ...]
    alpha: float = 0.01

    is_discrete: ClassVar[bool] = True
    public_names: ClassVar[tuple[str, ...]] = ("coefficient",)

    def column_spec(self, X: Array, weight: Array | None = None) -> Array:
        """See `Family`: the columns of the design, (n_cells, n_coefficients)."""
        effects = [_indicators(self.n_levels, (j,)) for j in range(len(self.n_levels))]
        effects += [_indicators(self.n_levels, pair) for pair in self.interactions]
        return np.concatenate(effects, axis=1)

    def encode(self, X: Array, column_spec: Array) -> Array:
        """See `Family`: the positions of the patterns in the table extended by missing levels."""
        sizes = np.array(self.n_levels)
        levels = np.where(np.isnan(X), sizes, X).astype(np.intp)
        return np.ravel_multi_index(tuple(levels.T), tuple(sizes + 1))

    def take(self, rows: Array, index: slice | Array) -> Array:
        """See `Family`."""
        return rows[index]

    def pooled(self, n_components: int, column_spec: Array) -> LogLinearParams:
        """See `Family`: equal probabilities of all cells."""
        n_cells = len(column_spec)
        return LogLinearParams(np.full((n_components, *self.n_levels), 1.0 / n_cells))

    def precompute(self, params: LogLinearParams, column_spec: Array) -> Array:
        """Log-probabilities of all patterns, (n_components, n_patterns)."""
        return log_of(with_margins(params.table).reshape(len(params.table), -1))

    def log_density(self, rows: Array, precomputed: Array, out: Array) -> None:
        """See `Family`."""
        out += precomputed[:, rows]

    def sufficient_statistics(
        self, rows: Array, responsibilities: Array, precomputed: Array
    ) -> Array:
        """Sums of the responsibilities by pattern, (n_components, n_patterns)."""
        n = precomputed.shape[1]
        return np.stack([np.bincount(rows, own, n) for own in responsibilities])

    def _completed(self, statistics: Array, params: LogLinearParams) -> Array:
        """Expected counts of the cells, with pseudo-counts."""
        extended = with_margins(params.table)
        counts = statistics.reshape(extended.shape)
        for axis, n in enumerate(self.n_levels, 1):
            observed, missing = np.split(counts, [n], axis=axis)
            cells, margin = np.split(extended, [n], axis=axis)
            share = np.divide(cells, margin, out=np.zeros_like(cells), where=margin > 0.0)
            counts = observed + missing * share
            extended = cells
        completed: Array = counts + self.alpha
        return completed

    def m_step(
        self, statistics: Array, params: LogLinearParams, column_spec: Array
    ) -> LogLinearParams:
        """See `Family`."""
        counts = self._completed(statistics, params)
        tables = [
            fit_margins(own, table, self.interactions)
            for own, table in zip(counts, params.table, strict=True)
        ]
        return LogLinearParams(np.stack(tables))

    def constrained_m_step(
        self,
        statistics: Array,
        params: LogLinearParams,
        fixed: Mapping[str, Array],
        column_spec: Array,
    ) -> LogLinearParams:
        """See `Family`: Newton steps in the coefficients that are free."""
        if not fixed:
            return self.m_step(statistics, params, column_spec)
        counts = self._completed(statistics, params).reshape(len(params.table), -1)
        start = self.to_public(params, column_spec)["coefficient"]
        held = fixed["coefficient"]
        start = np.where(np.isnan(held), start, held)
        found = [
            fit_coefficients(column_spec, own, first, np.isnan(known))
            for own, first, known in zip(counts, start, held, strict=True)
        ]
        return self.from_public({"coefficient": np.stack(found)}, column_spec)

    def log_prior(self, params: LogLinearParams, column_spec: Array) -> float:
        """See `Family`."""
        return self.alpha * float(log_of(params.table).sum())

    def pseudo_rows(self, column_spec: Array) -> float:
        """See `Family`."""
        return self.alpha * len(column_spec)

    def n_parameters(self, params: LogLinearParams, column_spec: Array) -> int:
        """See `Family`."""
        return len(params.table) * column_spec.shape[1]

    def to_public(self, params: LogLinearParams, column_spec: Array) -> dict[str, Array]:
        """See `Family`."""
        design = np.column_stack([np.ones(len(column_spec)), column_spec])
        logarithm = log_of(params.table.reshape(len(params.table), -1))
        found = np.linalg.lstsq(design, logarithm.T, rcond=None)[0]
        return {"coefficient": np.ascontiguousarray(found[1:].T)}

    def from_public(
        self, public: Mapping[str, ArrayLike], column_spec: Array, fitted: Any = None
    ) -> LogLinearParams:
        """See `Family`."""
        shape = ("n_components", column_spec.shape[1])
        coefficient = read_parameter(public, "coefficient", shape)
        with np.errstate(over="ignore", invalid="ignore"):
            logarithm = coefficient @ column_spec.T
            table = np.exp(logarithm - logarithm.max(axis=1, keepdims=True))
            table /= table.sum(axis=1, keepdims=True)
        if not (np.isfinite(table) & (table > 0.0)).all():
            raise DegenerateModelError("a table of an interaction has cells without probability")
        return LogLinearParams(table.reshape(-1, *self.n_levels))

    def spec_of(self, public: Mapping[str, ArrayLike], fitted: Any = None) -> Array:
        """See `Family`: it does not depend on the rows."""
        return self.column_spec(np.zeros((0, len(self.n_levels))))

    def shape_of(self, public: Mapping[str, Any]) -> tuple[int, int]:
        """See `Family`."""
        return shape_of_parameter(public, "coefficient")[0], len(self.n_levels)

    def space(self, params: LogLinearParams, column_spec: Array) -> dict[str, Part]:
        """See `Family`."""
        shape = (len(params.table), column_spec.shape[1])
        return {"coefficient": Entries(("component", "coefficient"), scale=np.ones(shape))}

    def score(
        self, statistics: Array, params: LogLinearParams, column_spec: Array
    ) -> dict[str, Array]:
        """See `Family`: observed minus expected counts of each effect."""
        counts = self._completed(statistics, params).reshape(len(params.table), -1)
        expected = counts.sum(axis=1, keepdims=True) * params.table.reshape(counts.shape)
        return {"coefficient": (counts - expected) @ column_spec}

    def sample(
        self, params: LogLinearParams, column_spec: Array, labels: Array, rng: np.random.Generator
    ) -> Array:
        """See `Family`."""
        below = params.table.reshape(len(params.table), -1).cumsum(axis=1)
        uniform = rng.random(len(labels))
        cells = np.empty(len(labels), np.intp)
        for k, own in enumerate(below):
            cells[labels == k] = np.searchsorted(own, uniform[labels == k] * own[-1], "right")
        cells = np.minimum(cells, below.shape[1] - 1)
        return np.stack(np.unravel_index(cells, self.n_levels), axis=1).astype(np.float64)

    def to_vector(self, params: LogLinearParams, column_spec: Array) -> NDArray[np.float64]:
        """See `Family`: the coefficients."""
        return self.to_public(params, column_spec)["coefficient"].ravel()

    def from_vector(
        self, vector: NDArray[np.float64], like: LogLinearParams, column_spec: Array
    ) -> LogLinearParams:
        """See `Family`."""
        coefficient = vector.reshape(len(like.table), -1)
        return self.from_public({"coefficient": coefficient}, column_spec)


def with_margins(table: Array) -> Array:
    """Tables of components with one more level on each axis: the sum, for a missing comparison."""
    for axis in range(1, table.ndim):
        table = np.concatenate([table, table.sum(axis=axis, keepdims=True)], axis=axis)
    return table


def fit_margins(counts: Array, start: Array, pairs: tuple[tuple[int, int], ...]) -> Array:
    """The table with the two-way margins of `counts`, and the other interactions of `start`.

    Parameters
    ----------
    counts : ndarray of shape (*n_levels)
        Counts, all positive.
    start : ndarray of shape (*n_levels)
        Probabilities, all positive.
    pairs : tuple of (int, int)
        Axes of the margins.

    Returns
    -------
    table : ndarray of shape (*n_levels)
        Probabilities.
    """
    table = start
    target = counts / counts.sum()
    others = [tuple(set(range(counts.ndim)) - set(pair)) for pair in pairs]
    goals = [target.sum(axis=own, keepdims=True) for own in others]
    for _ in range(_MOST_ROUNDS):
        largest = 0.0
        for own, goal in zip(others, goals, strict=True):
            ratio = goal / table.sum(axis=own, keepdims=True)
            largest = max(largest, float(np.abs(ratio - 1.0).max()))
            table = table * ratio
        if largest < _FITTED:
            break
    return np.asarray(table / table.sum())


def fit_coefficients(design: Array, counts: Array, start: Array, free: Array) -> Array:
    """Coefficients that maximize ``sum(counts * log P)``, some of them held at `start`.

    Parameters
    ----------
    design : ndarray of shape (n_cells, n_coefficients)
        Effects of the coefficients on the cells.
    counts : ndarray of shape (n_cells,)
        Counts.
    start : ndarray of shape (n_coefficients,)
        Coefficients to start from.
    free : ndarray of shape (n_coefficients,), dtype bool
        Which may change.

    Returns
    -------
    coefficient : ndarray of shape (n_coefficients,)
        The coefficients. The objective is concave, and no step lowers it.
    """
    own, total = design[:, free], counts.sum()

    def at(coefficient: Array) -> tuple[float, Array]:
        logarithm = design @ coefficient
        logarithm = logarithm - logsumexp(logarithm)
        return float(counts @ logarithm), np.exp(logarithm)

    coefficient = start
    value, chance = at(coefficient)
    for _ in range(_MOST_ROUNDS):
        gradient = own.T @ (counts - total * chance)
        mean = chance @ own
        curvature = total * ((own * chance[:, None]).T @ own - np.outer(mean, mean))
        step = np.zeros(len(start))
        step[free] = np.linalg.lstsq(curvature, gradient, rcond=None)[0]
        gain = float(gradient @ step[free])
        size = 1.0
        while size > _FITTED:
            higher, there = at(coefficient + size * step)
            if higher >= value + 0.25 * size * gain:
                break
            size /= 2.0
        if not gain > _FITTED * total or size <= _FITTED:
            break
        coefficient, value, chance = coefficient + size * step, higher, there
    return coefficient


def _indicators(n_levels: tuple[int, ...], items: tuple[int, ...]) -> Array:
    """Products of the indicators of the levels of some items, without level 0, by cell."""
    cells = np.indices(n_levels).reshape(len(n_levels), -1)
    each = [(cells[j][:, None] == np.arange(1, n_levels[j])).astype(np.float64) for j in items]
    return reduce(lambda a, b: (a[:, :, None] * b[:, None, :]).reshape(len(a), -1), each)
