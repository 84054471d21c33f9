"""Exact linear relations between incomplete columns, such as a total and its parts.

If a table has a total and its parts, a missing part is determined, unless the prior contradicts
it, as pseudo-rows with uncorrelated columns do. So relations that hold in all rows are found, and
the pseudo-rows obey them. Eigenvectors with small eigenvalues suggest relations; a relation is
accepted if it holds, up to rounding, in more rows than it has terms.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.scaling import ColumnScaling

Array = NDArray[np.float64]

# Largest residual of a relation, in standard deviations, apart from the rounding of the entries.
_LARGEST_RESIDUAL = 1e-7
# Coefficients, in standard deviations, that count as zero; and the least independence of terms.
_NO_COEFFICIENT = 1e-6
_SMALLEST_SINGULAR = 1e-6
# Coefficients of an eigenvector, relative to the largest, that count as terms.
_LEVELS = (0.2, 0.1, 0.05, 0.02, 0.01, 0.003, 0.001)
# Eigenvalues of a correlation matrix, times the rows that a pair of columns shares. One pseudo-row
# adds about 1 where there is a relation; larger ones allow for fits of low accuracy.
_SMALL_EIGENVALUE = 8.0
_MOST_RELATIONS = 12
# Rows that coefficients are estimated from; the relation is verified in all.
_ENOUGH_ROWS = 4096


class LinearRelations(NamedTuple):
    """Relations ``A x = c`` that all rows obey.

    Attributes
    ----------
    coefficients : ndarray of shape (n_relations, n_features)
        A, of full rank.
    constants : ndarray of shape (n_relations,)
        c.
    """

    coefficients: Array
    constants: Array

    def project(self, covariance: Array) -> Array:
        """Covariance of a Gaussian given that the relations hold: singular, of rank d - r."""
        across = covariance @ self.coefficients.T
        weights = np.linalg.solve(self.coefficients @ across, across.T)
        projected: Array = covariance - across @ weights
        return 0.5 * (projected + projected.T)

    def move(self, mean: Array, covariance: Array) -> Array:
        """Mean of a Gaussian given that the relations hold."""
        across = covariance @ self.coefficients.T
        gap = self.coefficients @ mean - self.constants
        moved: Array = mean - across @ np.linalg.solve(self.coefficients @ across, gap)
        return moved


def surely_independent(X: NDArray[np.floating], scaling: ColumnScaling) -> bool:
    """Whether the complete rows show that the columns obey no linear relation."""
    d = X.shape[1]
    complete = np.flatnonzero(~np.isnan(X).any(axis=1))
    # Some of the rows can show independence, but not dependence.
    for rows in (complete[: 2 * d + 20], complete):
        if rows.size <= d:
            return False
        Z = scaling.to_scaled(X[rows])
        Z -= Z.mean(axis=0)
        if np.linalg.svd(Z, compute_uv=False)[-1] > _SMALLEST_SINGULAR * np.sqrt(rows.size):
            return True
    return False


def find_relations(
    X: NDArray[np.floating], scaling: ColumnScaling, covariance: Array, pairs: float
) -> LinearRelations | None:
    """Relations that a covariance suggests and that all rows obey; None without any.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Rows, NaN where an entry is missing.
    scaling : ColumnScaling
        Units of the covariance, and of the relations.
    covariance : ndarray of shape (n_features, n_features)
        Covariance estimated with a weak prior.
    pairs : float
        Rows that pairs of columns have in common.
    """
    deviation = np.sqrt(np.diagonal(covariance))
    values, vectors = np.linalg.eigh(covariance / np.outer(deviation, deviation))
    n_small = int((values[:_MOST_RELATIONS] < _SMALL_EIGENVALUE / pairs).sum())
    found: list[Array] = []
    for rank in range(n_small, 0, -1):
        for row in _echelon(vectors[:, :rank].T):
            relation = _verified(X, scaling, row, deviation)
            if relation is not None and _is_new(relation[:-1] * deviation, found, deviation):
                found.append(relation)
        if len(found) >= rank:
            break
    if not found:
        return None
    table = np.array(found)
    return LinearRelations(table[:, :-1], table[:, -1])


def _echelon(rows: Array) -> Array:
    """Reduced row echelon form, with complete pivoting."""
    rows = rows.copy()
    free = np.ones(rows.shape, dtype=bool)
    for _ in range(len(rows)):
        i, j = np.unravel_index(np.argmax(np.where(free, np.abs(rows), -1.0)), rows.shape)
        rows[i] /= rows[i, j]
        others = np.arange(len(rows)) != i
        rows[others] -= np.outer(rows[others, j], rows[i])
        free[i], free[:, j] = False, False
    return rows


def _verified(
    X: NDArray[np.floating], scaling: ColumnScaling, suggestion: Array, deviation: Array
) -> Array | None:
    """Coefficients and constant of a relation between some of the columns suggested."""
    size = np.abs(suggestion)
    before = 0
    for level in _LEVELS:
        support = np.flatnonzero(size > level * size.max())
        if support.size in (before, 1):
            continue
        before = support.size
        pivot = support[np.argmax(size[support])]
        relation = _fit_relation(X, scaling, support, int(pivot), deviation)
        if relation is not None:
            return relation
    return None


def _fit_relation(
    X: NDArray[np.floating],
    scaling: ColumnScaling,
    support: NDArray[np.intp],
    pivot: int,
    deviation: Array,
) -> Array | None:
    """Regression of a column on others, if it is exact in more distinct rows than terms."""
    table = X[:, support]
    table = table[~np.isnan(table).any(axis=1)]
    distinct = np.unique(table[:_ENOUGH_ROWS], axis=0)
    continuous = all(np.unique(column).size == len(distinct) for column in distinct.T)
    if len(distinct) < support.size + (1 if continuous else 2):
        return None
    units = ColumnScaling(scaling.center[support], scaling.scale[support] * deviation[support])
    Z = units.to_scaled(distinct)
    center = Z.mean(axis=0)
    others = support != pivot
    left, singular, right = np.linalg.svd((Z - center)[:, others], full_matrices=False)
    spread = np.ptp(Z, axis=0)
    if singular[-1] <= _SMALLEST_SINGULAR * singular[0] or not (spread > _NO_COEFFICIENT).all():
        return None
    response = Z[:, ~others][:, 0]
    slopes = right.T @ (left.T @ (response - center[~others]) / singular)
    kept = np.abs(slopes) > _NO_COEFFICIENT
    if not kept.all():
        terms = np.append(support[others][kept], pivot)
        return _fit_relation(X, scaling, np.sort(terms), pivot, deviation) if kept.any() else None
    coefficients = np.zeros(support.size)
    coefficients[others], coefficients[~others] = -slopes, 1.0
    constant = float(coefficients @ center)
    residual = units.to_scaled(table) @ coefficients - constant
    rounding = np.abs(table).max(axis=0) / units.scale @ np.abs(coefficients)
    tolerance = _LARGEST_RESIDUAL + 2.0 * float(np.finfo(X.dtype).eps) * float(rounding)
    if np.abs(residual).max() > tolerance:
        return None
    relation = np.zeros(X.shape[1] + 1)
    relation[support], relation[-1] = coefficients / deviation[support], constant
    return relation


def _is_new(coefficients: Array, found: list[Array], deviation: Array) -> bool:
    """Whether a relation does not follow from those found before."""
    known = [relation[:-1] * deviation for relation in found]
    rows = np.array([*known, coefficients])
    rows /= np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return bool(np.linalg.svd(rows, compute_uv=False)[-1] > _SMALLEST_SINGULAR)
