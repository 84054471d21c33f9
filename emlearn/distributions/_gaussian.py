"""Gaussian rows, with any of the covariance structures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from emlearn.distributions._contract import Array, Family
from emlearn.distributions.gaussian.blocks import RowBlock, Scaling, column_scaling
from emlearn.distributions.gaussian.forms import (
    CentredBound,
    CentredForm,
    CompiledBound,
    CompiledForm,
    GaussianStatistics,
)
from emlearn.distributions.gaussian.incomplete import Frame, find_patterns, summarize_columns
from emlearn.distributions.gaussian.incomplete.conditioning import (
    Component,
    Moments,
    accumulate,
    complete_moments,
    condition,
    log_densities,
    make_component,
)
from emlearn.distributions.gaussian.incomplete.patterns import RowBlock as PatternRows
from emlearn.distributions.gaussian.incomplete.patterns import row_blocks, sorted_rows
from emlearn.distributions.gaussian.structures import STRUCTURES, CovarianceStructure
from emlearn.engine import DegenerateModelError
from emlearn.engine.workspace import Workspace
from emlearn.kernels import compiled

# Smallest standard deviation, in scaled coordinates, that is not rounding.
_FLOOR = 64.0 * float(np.finfo(np.float64).eps)


class GaussianFrame(NamedTuple):
    """Coordinates of the arithmetic.

    Attributes
    ----------
    scaling : Scaling
        Center and scale of the columns.
    variance : ndarray of shape (n_features,)
        Variances of the scaled columns; 1 for a constant column.
    incomplete : bool
        Whether entries are missing.
    """

    scaling: Scaling
    variance: Array
    incomplete: bool


class GaussianBound(NamedTuple):
    """The kernel for complete rows, and Gaussians for conditioning incomplete ones."""

    complete: CentredBound | CompiledBound
    components: tuple[Component, ...]


class IncompleteRows(NamedTuple):
    """Encoded rows of which some have missing entries.

    Attributes
    ----------
    X : ndarray of shape (n_rows, n_features)
        The rows in the units of the data, NaN where missing.
    scaling : Scaling
        See `GaussianFrame`.
    blocks : tuple of emlearn.distributions.gaussian.incomplete.patterns.RowBlock
        Those with something observed, grouped by what is missing.
    """

    X: Array
    scaling: Scaling
    blocks: tuple[PatternRows, ...]


class GaussianParams(NamedTuple):
    """Parameters in scaled coordinates.

    Attributes
    ----------
    mean : ndarray of shape (n_components, n_features)
        Means.
    covariance : ndarray
        Covariances in the layout of the structure.
    """

    mean: Array
    covariance: Array


@dataclass(frozen=True)
class Gaussian(Family):
    """Multivariate Gaussian rows: ``"mean"`` and ``"covariance"``.

    Parameters
    ----------
    covariance_type : {"full", "tied", "diag", "spherical", "EEV"}, default="full"
        Structure of the covariances: a matrix each, one matrix for all, a diagonal matrix
        each, one variance each, or (EEV, as mclust names it) ellipsoids of one volume and
        shape, each with an orientation of its own. The one matrix of "tied" is published once
        for each component.
    alpha : float, default=0.01
        Strength of the prior of each covariance: so many pseudo-rows with the variances
        of the columns, uncorrelated (an inverse Wishart prior). The default is next to
        maximum likelihood, and keeps a covariance from becoming singular; 0 is maximum
        likelihood.

    References
    ----------
    Z. Ghahramani and M. I. Jordan (1994). "Supervised learning from incomplete data via
    an EM approach". Advances in Neural Information Processing Systems 6, 120-127.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn import FiniteMixtureEM
    >>> from emlearn.distributions import Gaussian
    >>> rows = np.array([[0.0, 1.0], [0.2, np.nan], [0.1, 0.8], [9.0, 5.0], [np.nan, 5.2]])
    >>> mixture = FiniteMixtureEM(2, family=Gaussian("diag"), random_state=0).fit(rows)
    >>> np.sort(mixture.component_params_["mean"], axis=0).round(1)
    array([[0.1, 0.9],
           [9. , 5.1]])
    """

    covariance_type: str = "full"
    alpha: float = 0.01

    def __post_init__(self) -> None:
        if self.covariance_type not in STRUCTURES:
            raise ValueError(
                f"covariance_type must be one of {sorted(STRUCTURES)}, got "
                f"{self.covariance_type!r}."
            )

    @property
    def structure(self) -> CovarianceStructure:
        """The structure of the covariances."""
        return STRUCTURES[self.covariance_type]

    def column_spec(self, X: Array, weight: Array | None = None) -> GaussianFrame:
        """See `Family`."""
        X = np.asarray(X, np.float64)
        by_column = self.structure.scales_by_column
        incomplete = bool(np.isnan(X).any())
        measure = _observed_scaling if incomplete else column_scaling
        scaling, variance = measure(X, weight, by_column=by_column)
        return GaussianFrame(scaling, np.where(variance > 0.0, variance, 1.0), incomplete)

    def encode(self, X: Array, column_spec: GaussianFrame) -> RowBlock | IncompleteRows:
        """See `Family`."""
        X = np.asarray(X, np.float64)
        if column_spec.incomplete or np.isnan(X).any():
            return _group(X, column_spec.scaling)
        block = RowBlock(X, column_spec.scaling, None, Workspace())
        if compiled is not None:
            return block
        return replace(block, resident=block.augment(np.empty((1 + X.shape[1], len(X)))))

    def take(
        self, rows: RowBlock | IncompleteRows, index: slice | Array
    ) -> RowBlock | IncompleteRows:
        """See `Family`."""
        if isinstance(rows, IncompleteRows):
            return _group(rows.X[index], rows.scaling)
        resident = None if rows.resident is None else rows.resident[:, index]
        return replace(rows, rows=rows.rows[index], resident=resident)

    def pooled(self, n_components: int, column_spec: GaussianFrame) -> GaussianParams:
        """Mean and variances of the columns."""
        shape = (n_components, len(column_spec.variance))
        second = self.structure.new_scatter(*shape)
        self._add_rows(second, column_spec.variance, n_components)
        weight, zero = np.ones(n_components), np.zeros(shape)
        return GaussianParams(zero, self.structure.estimate(weight, zero, second, zero[0]))

    def precompute(self, params: GaussianParams, column_spec: GaussianFrame) -> GaussianBound:
        """See `Family`."""
        n_components, n_features = params.mean.shape
        factor = self.structure.factor(params.covariance, n_features, _FLOOR)
        constant = column_spec.scaling.log_jacobian - 0.5 * n_features * np.log(2.0 * np.pi)
        constants = np.broadcast_to(constant - 0.5 * factor.log_det, n_components)
        form = CentredForm(self.structure) if compiled is None else CompiledForm(self.structure)
        complete = form.bind(params.mean, factor, constants, np.float64)
        components = (
            make_component(mean, self.structure.matrix(params.covariance, k, n_features))
            for k, mean in enumerate(params.mean)
        )
        return GaussianBound(complete, tuple(components))

    def log_density(
        self, rows: RowBlock | IncompleteRows, precomputed: GaussianBound, out: Array
    ) -> None:
        """See `Family`."""
        if isinstance(rows, RowBlock):
            density = rows.workspace.array("density", out.shape, np.float64)
            precomputed.complete.log_density(rows, density, common=True)
            out += density
            return
        for block in rows.blocks:
            for k, component in enumerate(precomputed.components):
                conditioned = condition(block, component)
                out[k, block.order] += log_densities(block, component, conditioned)

    def sufficient_statistics(
        self, rows: RowBlock | IncompleteRows, responsibilities: Array, precomputed: GaussianBound
    ) -> GaussianStatistics | Moments:
        """Weight, and first and second moments about the means precomputed."""
        if isinstance(rows, RowBlock):
            return precomputed.complete.statistics(rows, responsibilities)
        d = rows.X.shape[1]
        total = [_no_moments(d)] * len(precomputed.components)
        for block in rows.blocks:
            for k, component in enumerate(precomputed.components):
                share = responsibilities[k, block.order]
                part = accumulate(block, component, condition(block, component), share)
                total[k] = Moments(*(a + b for a, b in zip(total[k], part, strict=True)))
        return Moments(*(np.stack(part) for part in zip(*total, strict=True)))

    def _complete(self, moments: Moments, params: GaussianParams) -> GaussianStatistics:
        """Statistics of rows filled in expectation, in the layout of the structure."""
        n_components, n_features = params.mean.shape
        first = np.empty((n_components, n_features))
        second = self.structure.new_scatter(n_components, n_features)
        for k in range(n_components):
            matrix = self.structure.matrix(params.covariance, k, n_features)
            own = Moments(*(part[k] for part in moments))
            _, first[k], sums = complete_moments(own, matrix)
            # Rows with these sums of squares and products.
            values, vectors = np.linalg.eigh(0.5 * (sums + sums.T))
            rows = vectors * np.sqrt(np.maximum(values, 0.0))
            self.structure.scatter(rows, np.ones(n_features), k, second)
        return GaussianStatistics(moments.weight, first, second)

    def m_step(
        self,
        statistics: GaussianStatistics | Moments,
        params: GaussianParams,
        column_spec: GaussianFrame,
    ) -> GaussianParams:
        """See `Family`."""
        if isinstance(statistics, Moments):
            statistics = self._complete(statistics, params)
        structure, weight = self.structure, statistics.weight
        alive = weight > 10.0 * np.finfo(np.float64).eps * weight.sum()
        if self.alpha == 0.0 and not alive.any():
            return params
        shift = statistics.first / np.where(alive, weight, 1.0)[:, None] * alive[:, None]
        second = statistics.second.copy()
        self._add_rows(second, self.alpha * column_spec.variance, len(weight))
        total = weight + self.alpha
        # Scatter about the new means, the pseudo-rows being about them already.
        about = shift * np.sqrt(weight / np.where(total > 0.0, total, 1.0))[:, None]
        ridge = np.zeros(shift.shape[1])
        if self.alpha > 0.0 or alive.all():
            covariance = structure.estimate(total, about, second, ridge)
        else:
            covariance = structure.estimate_alive(
                alive, total, about, second, ridge, params.covariance
            )
        return GaussianParams(params.mean + shift, covariance)

    def _add_rows(self, second: Array, variance: Array, n_components: int) -> None:
        """Add to each component uncorrelated columns with these sums of squares."""
        for k in range(n_components):
            rows = np.diag(np.sqrt(variance))
            self.structure.scatter(rows, np.ones(len(variance)), k, second)

    def log_prior(self, params: GaussianParams, column_spec: GaussianFrame) -> float:
        """See `Family`."""
        if self.alpha == 0.0:
            return 0.0
        n_components, n_features = params.mean.shape
        factor = self.structure.factor(params.covariance, n_features, _FLOOR)
        excess = factor.log_det + factor.precision_diagonal @ column_spec.variance
        return -0.5 * self.alpha * float(np.broadcast_to(excess, n_components).sum())

    def n_parameters(self, params: GaussianParams, column_spec: GaussianFrame) -> int:
        """See `Family`."""
        return params.mean.size + self.structure.n_parameters(*params.mean.shape)

    def to_public(self, params: GaussianParams, column_spec: GaussianFrame) -> dict[str, Array]:
        """See `Family`."""
        covariance = self.structure.rescale(params.covariance, column_spec.scaling.scale)
        if self.structure.is_shared:
            covariance = np.repeat(covariance[None], len(params.mean), axis=0)
        return {"mean": column_spec.scaling.to_units(params.mean), "covariance": covariance}

    def sample(
        self,
        params: GaussianParams,
        column_spec: GaussianFrame,
        labels: Array,
        rng: np.random.Generator,
    ) -> Array:
        """See `Family`."""
        n_components, n_features = params.mean.shape
        rows = rng.standard_normal((len(labels), n_features))
        factor = self.structure.factor(params.covariance, n_features, _FLOOR)
        for k in range(n_components):
            own = labels == k
            root = self.structure.sample_root(factor.precision_cholesky, k, n_features)
            rows[own] = params.mean[k] + rows[own] @ root.T
        return column_spec.scaling.to_units(rows)

    def to_vector(self, params: GaussianParams, column_spec: GaussianFrame) -> Array:
        """Means, and the coordinates of the structure."""
        covariance = self.structure.to_vector(params.covariance)
        return np.concatenate([params.mean.ravel(), covariance])

    def from_vector(
        self, vector: Array, like: GaussianParams, column_spec: GaussianFrame
    ) -> GaussianParams:
        """See `Family`."""
        mean, covariance = np.split(vector, [like.mean.size])
        if not np.isfinite(vector).all():
            raise DegenerateModelError("the parameters are not finite")
        return GaussianParams(
            mean.reshape(like.mean.shape), self.structure.from_vector(covariance, like.covariance)
        )


def _group(X: Array, scaling: Scaling) -> IncompleteRows:
    """Rows grouped by what is missing; those with nothing observed are in no group."""
    table = find_patterns(np.isnan(X)).observed()
    column_spec = Frame(np.asarray(scaling.center, np.float64), scaling.scale)
    blocks = (
        block
        for portion in sorted_rows(X, column_spec, table)
        for block in row_blocks(portion, column_spec)
    )
    return IncompleteRows(X, scaling, tuple(blocks))


def _observed_scaling(X: Array, weight: Array | None, *, by_column: bool) -> tuple[Scaling, Array]:
    """As `column_scaling`, from what is observed."""
    center, scale = summarize_columns(X, weight).frame
    if not by_column:
        scale = np.full_like(scale, scale.max())
    square = np.square((X - center) / scale)
    share = np.ones(len(X)) if weight is None else weight
    total = (~np.isnan(X) * share[:, None]).sum(axis=0)
    variance = np.nansum(square * share[:, None], axis=0) / np.maximum(total, 1e-300)
    return Scaling(center, scale), variance


def _no_moments(n_features: int) -> Moments:
    zero, first = np.array(0.0), np.zeros(n_features)
    second = np.zeros((n_features, n_features))
    return Moments(zero, first, second, zero, first, second)
