"""Number of pseudo-rows for incomplete rows, by leave-one-out likelihood in closed form.

Let x be a row of weight w with the observed columns o, let n be the total weight of the rows
that have these columns, and let ``delta = min(w, 1)`` be the weight that is left out. The
conditional covariance of x in these columns is 0, so x is a rank-one part of the scatter.
Without it, and with the pseudo-rows counted in ``N = n + nu``,

    x - mean   becomes   c (x - mu),  c = n / (n - delta)
    covariance becomes   f (Sigma_oo - (delta c / N) (x - mu)(x - mu)'),  f = N / (N - delta)

and with q the squared distance of x, and ``h = 1 - delta c q / N``, its log-density is

    -(|o| log(2 pi f) + log|Sigma_oo| + log h + c^2 q / (f h)) / 2

Nothing is fitted again. What the missing entries of *other* rows owe to x is neglected; to make
up for it, n is not the number of rows but that of the rows which have the same pairs of columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.incomplete.conditioning import (
    Component,
    condition,
    squared_distances,
)
from emlearn.distributions.gaussian.incomplete.patterns import (
    SortedRows,
    find_patterns,
    row_blocks,
    sorted_rows,
)
from emlearn.distributions.gaussian.scaling import ColumnScaling

Array = NDArray[np.float64]

_WEAKEST = 0.1
_STEP = 3.0
# Patterns with at least this weight are described by mean and scatter, as if they were normal.
_MANY = 4096.0
# Smallest fraction of a covariance that remains without a row; pair counts are approximate.
_LEAST_LEFT = 0.01


def candidate_strengths(n_features: int) -> list[float]:
    """Strengths to choose from: a tenth of a row, times powers of 3, up to d + 1 rows.

    Smaller strengths hardly change any covariance, and no covariance is singular at the first.
    The last is enough for any covariance to be regular.
    """
    strengths, cap = [_WEAKEST], n_features + 1.0
    while strengths[-1] * _STEP < cap:
        strengths.append(strengths[-1] * _STEP)
    return [*strengths, cap]


def imputation_strength(strength: float, n_features: int, pairs: float) -> float:
    """Pseudo-rows for draws: fewer than are best for prediction if there are many rows.

    The best strength for prediction accepts some bias to reduce variance, but with this bias
    intervals would not cover the truth. If pairs of columns have more than d + 1 rows in common,
    the strength decreases with the cube of their number.

    Parameters
    ----------
    strength : float
        Pseudo-rows that predict best.
    n_features : int
        Number of columns.
    pairs : float
        Rows that pairs of columns have in common, from `common_rows`.
    """
    return max(_WEAKEST, strength * min(1.0, (n_features + 1.0) / pairs) ** 3)


def common_rows(pair_weight: Array) -> float:
    """Harmonic mean of the positive weights of pairs of columns."""
    known = pair_weight[np.triu_indices(len(pair_weight), 1)]
    known = known[known > 0.0]
    return float(known.size / (1.0 / known).sum()) if known.size else float(pair_weight.max())


class LeftOut(NamedTuple):
    """Quantities of some rows that are the same for all strengths.

    Attributes
    ----------
    size : ndarray of shape (n_rows,)
        Number of columns observed.
    common : ndarray of shape (n_rows,)
        Weight of the rows with the same pairs of columns, n in the module docstring.
    part : ndarray of shape (n_rows,)
        Weight that is left out, delta.
    """

    size: Array
    common: Array
    part: Array

    def log_density(
        self, strength: float, log_det: Array, distance: Array, variance: Array | float = 0.0
    ) -> Array:
        """Log-density of each row given the others, without the constant in 2 pi.

        Parameters
        ----------
        strength : float
            Pseudo-rows.
        log_det : ndarray of shape (n_rows,)
            Log-determinants of the covariances of the columns observed.
        distance : ndarray of shape (n_rows,)
            Squared distances; of a pattern, their mean.
        variance : ndarray of shape (n_rows,), default=0.0
            Of a pattern, the variance of the squared distances.
        """
        total = self.common + strength
        shift = self.common / (self.common - self.part)
        growth = total / (total - self.part)
        slope = self.part * shift / total
        left = np.maximum(1.0 - slope * distance, _LEAST_LEFT)
        squared_shift = shift**2 / growth
        value = (
            self.size * np.log(growth) + log_det + np.log(left) + squared_shift * distance / left
        )
        # Second-order term of the mean over a pattern.
        bend = slope / left**2 * (2.0 * squared_shift / left - slope)
        density: Array = -0.5 * (value + 0.5 * bend * variance)
        return density


def leave_one_out(
    X: NDArray[np.floating],
    sample_weight: Array | None,
    scaling: ColumnScaling,
    pair_weight: Array,
    candidates: Sequence[tuple[float, Component]],
) -> Array:
    """Log-likelihood of all rows, each given the others, for several strengths.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Rows, NaN where an entry is missing.
    sample_weight : ndarray of shape (n_samples,), default=None
        Their weights; None means 1 each.
    scaling : ColumnScaling
        Units of the components.
    pair_weight : ndarray of shape (n_features, n_features)
        Sum of the weights of the rows with both columns.
    candidates : sequence of (float, Component)
        Numbers of pseudo-rows, and the Gaussians estimated with them.

    Returns
    -------
    log_likelihood : ndarray of shape (n_candidates,)
        Without the constant in 2 pi and the units.
    """
    inverse = np.divide(1.0, pair_weight, out=np.zeros_like(pair_weight), where=pair_weight > 0.0)

    def left_out(mask: NDArray[np.bool_], weight: Array) -> LeftOut:
        seen = (~mask).astype(np.float64)
        size, part = seen.sum(axis=1), np.minimum(weight, 1.0)
        common = size**2 / np.einsum("ij,ij->i", seen @ inverse, seen)
        # If a row is the only one with a pair of columns, half of it remains.
        return LeftOut(size, np.maximum(common, 2.0 * part), part)

    value = np.zeros(len(candidates))
    patterns = find_patterns(np.isnan(X)).observed()
    for chunk in sorted_rows(X, scaling, patterns, sample_weight):
        square = chunk.sqrt_weight * chunk.sqrt_weight
        weight = np.add.reduceat(square, chunk.edges[:-1])
        heavy = weight > _MANY
        for index in map(int, np.flatnonzero(heavy)):
            here = slice(*chunk.edges[index : index + 2])
            part = np.minimum(square[here], 1.0) @ square[here] / weight[index]
            terms = left_out(chunk.mask[index][None], np.array([part]))
            pattern = _Pattern.of(chunk.rows[here], chunk.sqrt_weight[here], ~chunk.mask[index])
            value += [
                weight[index] * terms.log_density(strength, *pattern.distances(component))[0]
                for strength, component in candidates
            ]
        for block in row_blocks(_without(chunk, heavy), scaling):
            row_weight = block.sqrt_weight**2
            terms = left_out(block.missing, row_weight)
            for slot, (strength, component) in enumerate(candidates):
                rows = condition(block, component)
                distance = squared_distances(block, component, rows) / row_weight
                log_det = block.per_row(rows.log_det)
                value[slot] += row_weight @ terms.log_density(strength, log_det, distance)
    return value


class _Pattern(NamedTuple):
    """Columns observed, mean and covariance of the rows of one pattern."""

    seen: NDArray[np.intp]
    mean: Array
    covariance: Array

    @classmethod
    def of(cls, rows: Array, sqrt_weight: Array, observed: NDArray[np.bool_]) -> Self:
        seen = np.flatnonzero(observed)
        weight = sqrt_weight @ sqrt_weight
        mean = sqrt_weight @ rows[:, seen] / weight
        centered = rows[:, seen] - sqrt_weight[:, None] * mean
        return cls(seen, mean, centered.T @ centered / weight)

    def distances(self, component: Component) -> tuple[Array, Array, Array]:
        """Log-determinant, and mean and variance of the squared distances of normal rows."""
        cholesky = np.linalg.cholesky(component.covariance[np.ix_(self.seen, self.seen)])
        shift = np.linalg.solve(cholesky, self.mean - component.mean[self.seen])
        spread = np.linalg.solve(cholesky, np.linalg.solve(cholesky, self.covariance).T)
        log_det = 2.0 * np.log(np.diagonal(cholesky).copy()).sum()
        distance = np.trace(spread) + shift @ shift
        variance = 2.0 * (spread * spread).sum() + 4.0 * shift @ spread @ shift
        return np.atleast_1d(log_det), np.atleast_1d(distance), np.atleast_1d(variance)


def _without(chunk: SortedRows, patterns: NDArray[np.bool_]) -> SortedRows:
    """A chunk without some of its patterns."""
    if not patterns.any():
        return chunk
    sizes = np.diff(chunk.edges)
    kept = np.repeat(~patterns, sizes)
    edges = np.concatenate(([0], np.cumsum(sizes[~patterns])))
    return SortedRows(
        chunk.rows[kept], chunk.sqrt_weight[kept], chunk.order[kept], edges, chunk.mask[~patterns]
    )
