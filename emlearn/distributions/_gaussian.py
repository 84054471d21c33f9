"""Gaussian rows, with any of the covariance structures and any entries missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emlearn.distributions._contract import Array, Family
from emlearn.distributions._passes import RowPasses
from emlearn.distributions.gaussian.constrained import estimate_held, put_in_all, scaled_entries
from emlearn.distributions.gaussian.forms import GaussianStatistics, move_statistics
from emlearn.distributions.gaussian.prior import in_layout
from emlearn.distributions.gaussian.published import read_published
from emlearn.distributions.gaussian.rows import (
    GaussianRows,
    cut,
    encode,
    order_of_rows,
    slices_of_rows,
)
from emlearn.distributions.gaussian.scaling import ColumnScaling
from emlearn.distributions.gaussian.soundness import held_up
from emlearn.distributions.gaussian.spec import (
    GaussianParams,
    GaussianSpec,
    as_floats,
    spec_of_published,
    spec_of_rows,
)
from emlearn.distributions.gaussian.steps import GaussianPrecomputed
from emlearn.distributions.gaussian.structures import CovarianceStructure, find_structure
from emlearn.engine import DegenerateModelError, Penalty
from emlearn.engine.parameters import Entries, Part
from emlearn.engine.workspace import Workspace


@dataclass(frozen=True)
class Gaussian(Family):
    """Multivariate Gaussian rows: ``"mean"`` and ``"covariance"``.

    Parameters
    ----------
    covariance_type : {"full", "tied", "diag", "spherical", "EEV", "factor"}, default="full"
        Structure of the covariances: a matrix each, one matrix for all, a diagonal matrix
        each, one variance each, matrices of one volume and shape with orientations of
        their own, or `n_factors` factors and independent noise each. The one matrix of "tied" is
        published once for each component. Those of "factor" are published with
        ``"loadings"``, L, and ``"noise_variance"``, psi: ``L L' + diag(psi)``.
    alpha : float, default=0.0
        Strength of the prior of each covariance, as a number of pseudo-rows that have the
        variances of the columns and are uncorrelated (an inverse Wishart prior). 0 is no prior.
    reg_covar : float or "auto", default="auto"
        Ridge that is added to the diagonal of the covariances, a variance in squared units of
        the data. "auto" is 1e-6 times the variance of each column; gaps between groups of values
        do not count for it. So it is close to maximum likelihood, and keeps a covariance from
        becoming singular. 0, with ``alpha=0``, is maximum likelihood.
    n_factors : int, default=None
        Number of factors of each component with ``covariance_type="factor"``, less than the
        number of columns. None with the other types.

    Notes
    -----
    Missing entries (NaN) are integrated out, which is exact if they are missing at random.

    The ridge is the variance of noise on the observed entries. With added variances ``L`` and
    ``K = inv(Sigma)``, the log-density of a row is reduced by half the sum of ``L_j K_jj`` over
    its observed columns. For complete rows, the exact M-step is then ``S / N + L``. It is the same
    for all components, so a constant or duplicated column does not tell them apart. Pseudo-rows
    (`alpha`) do: there the variance of a component is inversely proportional to its rows, which
    rewards one large component.

    References
    ----------
    Z. Ghahramani and M. I. Jordan (1994). "Supervised learning from incomplete data via
    an EM approach". Advances in Neural Information Processing Systems 6, 120-127.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn import FiniteMixtureEM
    >>> from emlearn.distributions import Gaussian
    >>> rows = np.array([[0.0, 1.0], [2.0, np.nan], [1.0, -1.0], [0.0, 2.0], [2.0, 0.0]])
    >>> rows = np.concatenate([rows, rows + [9.0, 6.0]])
    >>> mixture = FiniteMixtureEM(2, family=Gaussian("diag"), random_state=0).fit(rows)
    >>> np.sort(mixture.component_params_["mean"], axis=0).round(1)
    array([[ 1. ,  0.5],
           [10. ,  6.5]])
    """

    covariance_type: str = "full"
    alpha: float = 0.0
    reg_covar: float | str = "auto"
    n_factors: int | None = None

    _simpler: ClassVar[str] = "a simpler covariance_type"

    def __post_init__(self) -> None:
        find_structure(self.covariance_type, self.n_factors)

    @property
    def public_names(self) -> tuple[str, ...]:
        """See `Family`."""
        return ("mean", "covariance", *self.structure.part_names)

    @property
    def structure(self) -> CovarianceStructure:
        """The structure of the covariances."""
        return find_structure(self.covariance_type, self.n_factors)

    @property
    def cluster_shape(self) -> str:
        """See `Family`."""
        return self.structure.cluster_shape

    def ranking_penalty(self, statistics: GaussianStatistics, column_spec: GaussianSpec) -> Penalty:
        """Components with too few rows, and the optimism of the others."""
        return self.constrained_penalty(statistics, {}, column_spec)

    def constrained_penalty(
        self,
        statistics: GaussianStatistics,
        fixed: Mapping[str, Array],
        column_spec: GaussianSpec,
    ) -> Penalty:
        """See `Family`: a component whose covariance is held does not count."""
        rows = self._rows(statistics, column_spec)
        covariance = fixed.get("covariance")
        if covariance is not None:
            if self.structure.is_shared or not np.isnan(covariance).any():
                return Penalty()
            held = ~np.isnan(covariance.reshape(len(rows), -1)).any(axis=1)
            rows = rows[~held]
        optimism = self.structure.optimism(rows, len(column_spec.variance))
        sufficient = np.isfinite(optimism)
        total = float(optimism[sufficient].sum()) / column_spec.rows_per_weight
        return Penalty(int((~sufficient).sum()), total)

    def _rows(self, statistics: GaussianStatistics, column_spec: GaussianSpec) -> Array:
        """Rows of each component; pseudo-rows count as rows."""
        weight: Array = statistics.weight + column_spec.prior.strength
        return weight * column_spec.rows_per_weight

    def unsound(
        self, statistics: GaussianStatistics, params: GaussianParams, column_spec: GaussianSpec
    ) -> dict[str, Array]:
        """Components with too few rows for their parameters, and those that the prior holds up."""
        held = held_up(self.structure, statistics.weight, params, column_spec.prior)
        return {**self._starved(statistics, column_spec), self._too_narrow: held}

    def _starved(
        self, statistics: GaussianStatistics, column_spec: GaussianSpec
    ) -> dict[str, Array]:
        rows, n_features = self._rows(statistics, column_spec), len(column_spec.variance)
        return {self._too_few: ~self.structure.sufficient(rows, n_features)}

    @property
    def _too_few(self) -> str:
        return (
            "too few rows for the parameters, which fit chance alignments of these rows. Use fewer "
            f"components, {self._simpler}, or fewer columns."
        )

    @property
    def _too_narrow(self) -> str:
        prior = "alpha" if self.alpha > 0.0 else "reg_covar"
        return (
            f"in some direction the width is not that of the rows but of {prior}: the rows share a "
            f"value, or lie almost on a plane. Use fewer components, {self._simpler}, or a larger "
            f"{prior}, or leave out columns with few different values. If the clusters "
            f"really are so narrow, use a smaller {prior}."
        )

    # ---- rows -------------------------------------------------------------------------

    def spec_of_passes(self, passes: RowPasses) -> GaussianSpec:
        """See `Family`.

        Raises
        ------
        ValueError
            If a column has no observed value, or a variance that cannot be represented.
        """
        return spec_of_rows(passes, self.structure, self.alpha, self.reg_covar)

    def as_read(self, X: Any) -> Array:
        """See `Family`: floats of the precision of X."""
        return as_floats(X)

    def encode(self, X: Array, column_spec: GaussianSpec) -> GaussianRows:
        """See `Family`."""
        scaling = column_spec.scaling
        return encode(_exact(X, scaling), scaling, self.structure, Workspace())

    def take(self, rows: GaussianRows, index: slice | Array) -> GaussianRows:
        """See `Family`."""
        return encode(rows.X[index], rows.scaling, self.structure, Workspace())

    def order(self, X: Array) -> NDArray[np.intp] | None:
        """See `Family`: complete rows first, then by what is missing."""
        return order_of_rows(as_floats(X))

    def slices(self, X: Array, n_components: int) -> list[slice]:
        """See `Family`."""
        return slices_of_rows(X, self.structure, n_components)

    def cut(
        self, rows: GaussianRows, weight: Array | None, slices: Sequence[slice], n_components: int
    ) -> list[GaussianRows]:
        """See `Family`."""
        return cut(rows.X, rows.scaling, weight, slices, self.structure, n_components)

    def encode_blocks(
        self,
        X: Array,
        weight: Array | None,
        slices: Sequence[slice],
        n_components: int,
        column_spec: GaussianSpec,
    ) -> list[GaussianRows]:
        """See `Family`: each block is encoded once."""
        scaling = column_spec.scaling
        X = _exact(X, scaling)
        return cut(X, scaling, weight, slices, self.structure, n_components)

    def points(self, X: Array, column_spec: GaussianSpec) -> Array:
        """Rows as points for clustering, with missing entries at the mean.

        Columns are divided by their standard deviations if the structure of the covariances
        lets each column have its own scale.
        """
        points = column_spec.scaling.to_scaled(X)
        points[np.isnan(points)] = 0.0
        if self.structure.scales_by_column:
            points /= column_spec.deviation
        return points

    # ---- the distribution -------------------------------------------------------------

    def _params(self, mean: Array, covariance: Array, column_spec: GaussianSpec) -> GaussianParams:
        factor = self.structure.factor(covariance, mean.shape[1], column_spec.floor)
        return GaussianParams(mean, covariance, factor)

    def pooled(self, n_components: int, column_spec: GaussianSpec) -> GaussianParams:
        """Mean and variances of the columns."""
        shape = (n_components, len(column_spec.variance))
        second = in_layout(self.structure, np.tile(column_spec.variance, (n_components, 1)))
        weight, zero = np.ones(n_components), np.zeros(shape)
        covariance = self.structure.estimate(weight, zero, second, zero[0])
        return self._params(zero, covariance, column_spec)

    def precompute(self, params: GaussianParams, column_spec: GaussianSpec) -> GaussianPrecomputed:
        """See `Family`."""
        return GaussianPrecomputed(
            self.structure, *params, column_spec.prior.ridge, column_spec.scaling
        )

    def log_density(self, rows: GaussianRows, precomputed: GaussianPrecomputed, out: Array) -> None:
        """See `Family`."""
        precomputed.log_density(rows, out)

    def sufficient_statistics(
        self, rows: GaussianRows, responsibilities: Array, precomputed: GaussianPrecomputed
    ) -> GaussianStatistics:
        """Weight, and first and second moments about the means."""
        return precomputed.statistics(rows, responsibilities)

    def expect(
        self,
        rows: GaussianRows,
        log_weights: Array,
        n_rows: int,
        weight: Array | None,
        precomputed: GaussianPrecomputed,
        workspace: Workspace,
    ) -> tuple[Array, GaussianStatistics, float]:
        """See `Family`; a single pass if there are compiled kernels."""
        return precomputed.expect(rows, log_weights, weight, workspace)

    def recentered(
        self, statistics: GaussianStatistics, params: GaussianParams, moved: GaussianParams
    ) -> GaussianStatistics:
        """See `Family`: moments about other means."""
        return move_statistics(self.structure, statistics, moved.mean - params.mean)

    def m_step(
        self, statistics: GaussianStatistics, params: GaussianParams, column_spec: GaussianSpec
    ) -> GaussianParams:
        """Mode: scatter, ridge and pseudo-rows divided by rows and pseudo-rows."""
        shift, covariance = column_spec.prior.estimate(
            self.structure, statistics, params.covariance
        )
        return self._params(params.mean + shift, covariance, column_spec)

    def constrained_m_step(
        self,
        statistics: GaussianStatistics,
        params: GaussianParams,
        fixed: Mapping[str, Array],
        column_spec: GaussianSpec,
    ) -> GaussianParams:
        """See `Family`, and `emlearn.distributions.gaussian.constrained`."""
        if not fixed:
            return self.m_step(statistics, params, column_spec)
        held = scaled_entries(self.structure, column_spec.scaling, fixed)
        prior = column_spec.prior
        mean, covariance = estimate_held(self.structure, prior, statistics, params, *held)
        return self._params(mean, covariance, column_spec)

    def impose(
        self, params: GaussianParams, fixed: Mapping[str, Array], column_spec: GaussianSpec
    ) -> GaussianParams:
        """See `Family`. Other covariances change too where there are none with these entries."""
        if not fixed:
            return params
        mean, covariance = scaled_entries(self.structure, column_spec.scaling, fixed)
        own = params.mean if mean is None else np.where(np.isnan(mean), params.mean, mean)
        if covariance is None:
            return params._replace(mean=own)
        found = put_in_all(self.structure, params.covariance, covariance, own.shape)
        return self._params(own, found, column_spec)

    def log_prior(self, params: GaussianParams, column_spec: GaussianSpec) -> float:
        """See `Family`."""
        return column_spec.prior.log_density(self.structure, params.factor, params.mean.shape)

    def pseudo_rows(self, column_spec: GaussianSpec) -> float:
        """See `Family`. The ridge grows with the weights of the rows, so it does not count."""
        return self.alpha

    def unpenalized(self, column_spec: GaussianSpec) -> GaussianSpec:
        """See `Family`: without the ridge."""
        if column_spec.prior.ridge is None:
            return column_spec
        return column_spec._replace(prior=column_spec.prior._replace(ridge=None))

    # ---- for the user -----------------------------------------------------------------

    def n_parameters(self, params: GaussianParams, column_spec: GaussianSpec) -> int:
        """See `Family`."""
        return params.mean.size + self.structure.n_parameters(*params.mean.shape)

    def to_public(self, params: GaussianParams, column_spec: GaussianSpec) -> dict[str, Array]:
        """See `Family`."""
        own = self.structure.rescale(params.covariance, column_spec.scaling.scale)
        covariance = self.structure.publish(own)
        if self.structure.is_shared:
            covariance = np.repeat(covariance[None], len(params.mean), axis=0)
        mean = column_spec.scaling.to_units(params.mean)
        return {"mean": mean, "covariance": covariance, **self.structure.parts(own)}

    def moments(
        self, params: GaussianParams, column_spec: GaussianSpec
    ) -> tuple[Array, Array] | None:
        """See `Family`."""
        covariance = self.to_public(params, column_spec)["covariance"]
        if covariance.ndim == 3:
            covariance = np.diagonal(covariance, axis1=1, axis2=2)
        mean = column_spec.scaling.to_units(params.mean)
        variance = covariance if covariance.ndim == 2 else covariance[:, None]
        return mean, np.broadcast_to(variance, mean.shape).copy()

    def parameters(self, params: GaussianParams, column_spec: GaussianSpec) -> dict[str, Array]:
        """See `Family`: covariances in the layout of the structure."""
        scaling = column_spec.scaling
        covariance = self.structure.rescale(params.covariance, scaling.scale)
        published = self.structure.publish(covariance)
        return {"mean": scaling.to_units(params.mean), "covariance": published}

    def space(self, params: GaussianParams, column_spec: GaussianSpec) -> dict[str, Part]:
        """See `Family`."""
        scale = column_spec.scaling.scale
        deviation = scale / np.sqrt(params.factor.precision_diagonal)
        return {
            "mean": Entries(("component", "feature"), deviation),
            "covariance": self.structure.part(params.mean.shape),
        }

    def score(
        self, statistics: GaussianStatistics, params: GaussianParams, column_spec: GaussianSpec
    ) -> dict[str, Array]:
        """See `Family`."""
        structure, scale = self.structure, column_spec.scaling.scale
        root = structure.kernel_cholesky(params.factor, params.mean.shape)
        if root.ndim == 2:
            mean = np.square(root) * statistics.first
        else:
            mean = np.einsum("kij,klj,kl->ki", root, root, statistics.first)
        covariance = column_spec.prior.score(structure, statistics, params.factor)
        covariance = structure.rescale_published(covariance, 1.0 / scale)
        return {"mean": mean / scale, "covariance": covariance}

    def precisions_cholesky(self, params: GaussianParams, column_spec: GaussianSpec) -> Array:
        """Factors P with inv(Sigma) = P P', in the units of the data."""
        precision_cholesky = params.factor.precision_cholesky
        return self.structure.rescale_cholesky(precision_cholesky, column_spec.scaling.scale)

    def from_public(
        self, public: Mapping[str, ArrayLike], column_spec: GaussianSpec, fitted: Any = None
    ) -> GaussianParams:
        """See `Family`. Covariances can be given in one of three forms.

        These are "covariance", "precision" (its inverse) and "precision_cholesky" (the upper
        triangular P with precision = P P'). If several are given, they must describe the same
        covariances, and densities are computed from "precision_cholesky".
        """
        mean, published, precision_cholesky, own = read_published(public, self.structure)
        structure, shape = self.structure, mean.shape
        inverse = 1.0 / column_spec.scaling.scale
        if precision_cholesky is not None:
            precision_cholesky = structure.rescale_cholesky(precision_cholesky, inverse)
            factor = structure.factor_from_cholesky(precision_cholesky, shape)
            if published is None:
                precision = structure.precision(factor.precision_cholesky)
                published = structure.covariance_from_precision(precision, shape[1])
            else:
                published = structure.rescale_published(published, inverse)
        else:
            assert published is not None
            published = structure.rescale_published(published, inverse)
            try:
                factor = structure.factor_published(published, shape[1])
            except DegenerateModelError as error:
                raise ValueError(f"{error} to working precision.") from None
        covariance = structure.adopt(published) if own is None else structure.rescale(own, inverse)
        return GaussianParams(column_spec.scaling.to_scaled(mean), covariance, factor)

    def spec_of(self, public: Mapping[str, ArrayLike], fitted: Any = None) -> GaussianSpec:
        """Coordinates in which the published parameters have moderate size, without a ridge."""
        return spec_of_published(public, self.structure)

    def sample(
        self,
        params: GaussianParams,
        column_spec: GaussianSpec,
        labels: Array,
        rng: np.random.Generator,
    ) -> Array:
        """See `Family`."""
        n_components, n_features = params.mean.shape
        rows = rng.standard_normal((len(labels), n_features))
        for k in range(n_components):
            own = labels == k
            cholesky = self.structure.covariance_cholesky(
                params.factor.precision_cholesky, k, n_features
            )
            rows[own] = params.mean[k] + rows[own] @ cholesky.T
        return column_spec.scaling.to_units(rows)

    # ---- for accelerators -------------------------------------------------------------

    def to_vector(self, params: GaussianParams, column_spec: GaussianSpec) -> Array:
        """Means and the coordinates of the structure, in standard deviations."""
        inverse = 1.0 / column_spec.deviation
        covariance = self.structure.rescale(params.covariance, inverse)
        return np.concatenate(
            [(params.mean * inverse).ravel(), self.structure.to_vector(covariance)]
        )

    def from_vector(
        self, vector: Array, like: GaussianParams, column_spec: GaussianSpec
    ) -> GaussianParams:
        """See `Family`."""
        if not np.isfinite(vector).all():
            raise DegenerateModelError("the parameters are not finite")
        mean, coordinates = np.split(vector, [like.mean.size])
        covariance = self.structure.from_vector(coordinates, like.covariance)
        return self._params(
            mean.reshape(like.mean.shape) * column_spec.deviation,
            self.structure.rescale(covariance, column_spec.deviation),
            column_spec,
        )


def _exact(X: Array, scaling: ColumnScaling) -> Array:
    """Rows in a precision that represents the center of the scaling."""
    X = as_floats(X)
    return X if scaling.is_exact(X.dtype) else X.astype(np.float64)
