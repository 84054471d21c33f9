"""What a Gaussian learns from the columns, or from published parameters, before EM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emlearn.distributions._domain import ColumnError
from emlearn.distributions._passes import RowPasses
from emlearn.distributions.gaussian.prior import CovariancePrior
from emlearn.distributions.gaussian.published import read_published
from emlearn.distributions.gaussian.ridge import relative_ridge
from emlearn.distributions.gaussian.scaling import ColumnScaling, ColumnSummary, summarize_rows
from emlearn.distributions.gaussian.structures import CovarianceFactor, CovarianceStructure

Array = NDArray[Any]


class GaussianSpec(NamedTuple):
    """What is learned from the columns.

    Attributes
    ----------
    scaling : ColumnScaling
        Coordinates of the arithmetic.
    variance : ndarray of shape (n_features,)
        Variances of the scaled columns; 1 for a constant column.
    deviation : ndarray of shape (n_features,)
        Standard deviations, or one for all where the columns have a common scale: the units
        in which accelerators measure, so that those of the data do not matter.
    prior : CovariancePrior
        Prior of each covariance, in scaled coordinates.
    floor : float
        Smallest standard deviation, in scaled coordinates, that is not rounding.
    rows_per_weight : float, default=1.0
        Rows for a weight of one: more than 1 if weights sum to less than the number of rows.
    """

    scaling: ColumnScaling
    variance: Array
    deviation: Array
    prior: CovariancePrior
    floor: float
    rows_per_weight: float = 1.0


class GaussianParams(NamedTuple):
    """Parameters in scaled coordinates.

    Attributes
    ----------
    mean : ndarray of shape (n_components, n_features)
        Means.
    covariance : ndarray
        Covariances in the layout of the structure.
    factor : CovarianceFactor
        Their factorization.
    """

    mean: Array
    covariance: Array
    factor: CovarianceFactor


def spec_of_rows(
    passes: RowPasses,
    structure: CovarianceStructure,
    alpha: float,
    reg_covar: float | str,
) -> GaussianSpec:
    """See `Gaussian.spec_of_passes`; the rows are floats."""
    structure.check(passes.shape[1])
    by_column = structure.scales_by_column
    summary = summarize_rows(passes, by_column=by_column)
    total, _, variance, scaling = summary
    empty = np.flatnonzero(total == 0.0)
    if empty.size:
        raise ColumnError(
            empty[:1], "has no observed value, so the model cannot include it. Leave it out."
        )
    # Variances and their inverses are published in the precision of the data.
    within = np.abs(np.log2(scaling.scale)) < np.finfo(passes.dtype).maxexp / 2
    if not within.all():
        raise beyond_range(np.flatnonzero(~within), scaling.scale[~within], passes.dtype)
    known = np.where(variance > 0.0, variance, 1.0)
    deviation = np.sqrt(known)
    if not by_column:
        deviation = np.full_like(deviation, np.sqrt(known.mean()))
    prior = CovariancePrior(alpha, known, _ridge(passes, summary, reg_covar, by_column))
    floor = 64.0 * float(np.finfo(passes.dtype).eps)
    # Weights are numbers of copies, but if they sum to 1, say, the rows are no fewer.
    rows = 1.0
    if passes.has_weight:
        n_used, total = passes.total(_count_and_weight)
        rows = max(1.0, n_used / total)
    return GaussianSpec(scaling, known, deviation, prior, floor, rows)


def _count_and_weight(X: Array, weight: Array | None) -> tuple[int, float]:
    one = np.ones(len(X)) if weight is None else weight
    return int(np.count_nonzero(one)), float(one.sum())


def _ridge(
    passes: RowPasses, summary: ColumnSummary, reg_covar: float | str, by_column: bool
) -> Array | None:
    """The ridge in scaled coordinates; None for 0."""
    if reg_covar == 0.0:
        return None
    if reg_covar == "auto":
        return relative_ridge(passes.sample(), summary, by_column)
    scale = summary.scaling.scale
    with np.errstate(over="ignore"):
        ridge: Array = float(reg_covar) / scale / scale
    if not np.isfinite(ridge).all():
        raise ValueError(
            f"reg_covar={reg_covar} is too large for float64, relative to the "
            "variances of the columns. Use a smaller value, or 'auto'."
        )
    return ridge


def spec_of_published(
    public: Mapping[str, ArrayLike], structure: CovarianceStructure
) -> GaussianSpec:
    """Coordinates in which the published parameters have moderate size, without a ridge."""
    mean, covariance, precision_cholesky, _ = read_published(public, structure)
    if precision_cholesky is not None:
        # Squares of precisions may be beyond the range of float64 before they are scaled.
        width = structure.conditional_deviation(precision_cholesky, mean.shape)
    else:
        assert covariance is not None
        matrices = [
            np.diagonal(structure.published_matrix(covariance, k, mean.shape[1]))
            for k in range(len(mean))
        ]
        width = np.sqrt(np.maximum(np.stack(matrices), 0.0))
    center = (mean / len(mean)).sum(axis=0)  # a sum of means may be beyond float64
    spread = np.maximum(np.abs(mean - center), width).max(axis=0)
    if not structure.scales_by_column:
        spread = np.full_like(spread, spread.max())
    spread = np.where(spread > 0.0, spread, 1.0)
    # A center that float32 can represent serves rows of either precision.
    with np.errstate(over="ignore"):
        rounded = center.astype(np.float32).astype(np.float64)
    center = np.where(np.abs(rounded - center) <= spread, rounded, center)
    scaling = ColumnScaling(center, np.exp2(np.round(np.log2(spread))))
    one = np.ones_like(spread)
    return GaussianSpec(scaling, one, one, CovariancePrior(), 0.0)


def beyond_range(columns: Array, deviation: Array, dtype: Any) -> ColumnError:
    """The error for columns whose variances cannot be represented."""
    values = ", ".join(f"{value:.0e}" for value in deviation)
    return ColumnError(
        columns,
        f"must be in other units: standard deviations of about {values} make variances, or their "
        f"inverses, that are beyond the range of {np.dtype(dtype)}. Use StandardScaler, for "
        "example, or pass X as float64.",
    )


def as_floats(X: Any) -> Array:
    """The array in float32 if it has this dtype, and in float64 otherwise."""
    array = np.asarray(X)
    return array if array.dtype == np.float32 else array.astype(np.float64, copy=False)
