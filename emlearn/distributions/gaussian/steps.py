"""Log-densities and expected statistics of rows under K Gaussians: complete rows and others."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.blocks import RowBlock
from emlearn.distributions.gaussian.forms import (
    CompiledPrecomputed,
    Form,
    GaussianStatistics,
    choose_form,
)
from emlearn.distributions.gaussian.incomplete.conditioning import (
    Component,
    Conditioned,
    Moments,
    accumulate,
    complete_moments,
    condition,
    log_densities,
    make_component,
)
from emlearn.distributions.gaussian.incomplete.patterns import RowBlock as PatternBlock
from emlearn.distributions.gaussian.rows import GaussianRows, MissingRows, encode
from emlearn.distributions.gaussian.scaling import ColumnScaling
from emlearn.distributions.gaussian.structures import CovarianceFactor, CovarianceStructure
from emlearn.engine import DegenerateModelError
from emlearn.engine.workspace import Workspace
from emlearn.kernels import compiled
from emlearn.kernels.softmax import to_responsibilities

Array = NDArray[Any]

_LOG_2PI = float(np.log(2.0 * np.pi))
# Nats of a row's log-density that may be lost to cancellation for speed, as the largest terms
# that may cancel, by precision of the rows.
_KAPPA = {
    np.dtype(kind): loss / float(np.finfo(kind).eps)
    for kind, loss in ((np.float64, 1e-10), (np.float32, 1e-4))
}
# Stands for the logarithm of 0; finite, so that an empty component times 0 is 0.
_LOWEST = {np.dtype(kind): float(np.finfo(kind).min) / 4.0 for kind in (np.float64, np.float32)}
# In units of the scale; the square is exact to a hundredth of a nat.
_FAR = 1e7
# Log-densities below which a row is looked at again, by precision of the rows.
_FAR_DENSITY = {np.dtype(np.float64): -0.5 * _FAR**2, np.dtype(np.float32): -1e5}


@dataclass(eq=False)
class GaussianPrecomputed:
    """K Gaussians, ready for rows. Not frozen, which takes time in every E-step.

    Attributes
    ----------
    structure : CovarianceStructure
        Structure of the covariances.
    means : ndarray of shape (n_components, n_features)
        Means in scaled coordinates.
    covariances : ndarray
        Covariances in scaled coordinates, in the layout of the structure.
    factor : CovarianceFactor
        Their factorization.
    ridge : ndarray of shape (n_features,) or None
        Variance of the noise that is added to what is observed, in scaled coordinates.
    scaling : ColumnScaling
        The coordinates.
    """

    structure: CovarianceStructure
    means: Array
    covariances: Array
    factor: CovarianceFactor
    ridge: Array | None
    scaling: ColumnScaling
    _forms: dict[Any, tuple[Array | None, Form, Any]] = field(
        default_factory=dict, init=False, repr=False
    )

    @cached_property
    def constants(self) -> Array:
        """What is added to each component's log-density of a complete row."""
        n_components, d = self.means.shape
        halves = self.factor.log_det
        if self.ridge is not None:
            halves = halves + self.factor.precision_diagonal.dot(self.ridge)
        constants: Array = -0.5 * halves
        constants += self.scaling.log_jacobian - 0.5 * d * _LOG_2PI
        # Of shared covariances there is one, for all components.
        return constants if len(constants) == n_components else constants.repeat(n_components)

    @cached_property
    def precision(self) -> Array | None:
        """Inverses of the covariances; None where these are diagonal."""
        if self.structure.is_diagonal:
            return None
        precision_cholesky = self.structure.kernel_cholesky(self.factor, self.means.shape)
        return np.ascontiguousarray(precision_cholesky @ precision_cholesky.transpose(0, 2, 1))

    @cached_property
    def components(self) -> tuple[Component, ...]:
        """The Gaussians for conditioning in numpy."""
        d = self.means.shape[1]
        return tuple(
            make_component(mean, self.structure.matrix(self.covariances, k, d))
            for k, mean in enumerate(self.means)
        )

    @cached_property
    def _ridge_levels(self) -> Array:
        """Twice what the ridge takes off the log-density for each column observed."""
        return np.broadcast_to(self.ridge * self.factor.precision_diagonal, self.means.shape)

    def form(self, block: RowBlock, log_weights: Array | None = None) -> tuple[Form, Any]:
        """The form for complete rows, and what it makes of the parameters.

        The last is kept: `log_weights`, which the log-densities then include, are the same
        array for all blocks of an E-step.
        """
        dtype = block.rows.dtype
        # Without second moments, the scatter must be known.
        exact = block.scatter is None and self.structure.n_moments(self.means.shape[1]) == 0
        found = self._forms.get((dtype, exact))
        if found is None or found[0] is not log_weights:
            kappa = 0.0 if exact else _KAPPA[dtype]
            form = choose_form(self.structure, self.means, self.factor, kappa)
            constants = self.constants
            if log_weights is not None:
                constants = constants + _finite(log_weights, dtype)
            precomputed = form.precompute(self.means, self.factor, constants, dtype)
            found = self._forms[dtype, exact] = (log_weights, form, precomputed)
        return found[1:]

    # ---- log-densities ----------------------------------------------------------------

    def log_density(self, rows: GaussianRows, out: Array) -> None:
        """Add the log-densities of rows to `out`, of shape (n_components, n_rows)."""
        with np.errstate(over="ignore", invalid="ignore"):
            density = self._density(rows)
            if density.min() > _FAR_DENSITY[rows.X.dtype]:
                out += density
                return
            far, replaced = self._far_rows(rows, density)
            replaced += out[:, far]
            out += density
            out[:, far] = replaced

    def _density(self, rows: GaussianRows) -> Array:
        """Log-densities; not finite where the distance of a row is beyond the range of floats."""
        if rows.complete is not None and rows.complete_at is None:
            return self._complete_density(rows.complete)
        density = np.zeros((len(self.means), rows.n_rows))
        if rows.complete is not None:
            density[:, rows.complete_at] = self._complete_density(rows.complete)
        if rows.missing is not None:
            density[:, rows.missing.at] = self._missing_density(rows.missing)
        for block in rows.patterns:
            density[:, block.order] = self._pattern_density(block, self._condition(block))
        return density

    def _complete_density(self, block: RowBlock) -> Array:
        shape = (len(self.means), block.n_rows)
        density = block.workspace.array("density", shape, block.dtype)
        self.form(block)[1].log_density(block, density, common=True)
        return density

    def _missing_density(self, rows: MissingRows) -> Array:
        out = np.empty((len(self.means), len(rows.rows)))
        arguments = self._kernel_arguments(rows, self.constants)
        log_density = compiled.gaussian_missing_log_density
        if log_density(*arguments, out, *self._conditioning(rows)) is None:
            raise _singular()
        out += rows.level
        return out

    def _kernel_arguments(self, rows: MissingRows, constants: Array) -> tuple[Any, ...]:
        precision_cholesky = self.structure.kernel_cholesky(self.factor, self.means.shape)
        return (
            rows.rows.T,
            *self.scaling.kernel_units,
            np.ascontiguousarray(self.means),
            np.ascontiguousarray(precision_cholesky),
            np.ascontiguousarray(constants),
        )

    def _conditioning(self, rows: MissingRows) -> tuple[Any, ...]:
        return (self.precision, *rows.patterns, self.ridge)

    def _condition(self, block: PatternBlock) -> list[Conditioned]:
        """Rows filled under each component; valid until asked again in this thread."""
        return [condition(block, part, k) for k, part in enumerate(self.components)]

    def _pattern_density(self, block: PatternBlock, conditioned: list[Conditioned]) -> Array:
        out = np.empty((len(self.means), len(block.rows)))
        for k, (component, rows) in enumerate(zip(self.components, conditioned, strict=True)):
            out[k] = log_densities(block, component, rows)
            if self.ridge is not None:
                out[k] -= 0.5 * (~block.missing @ self._ridge_levels[k])
        return out

    def _far_rows(self, rows: GaussianRows, density: Array) -> tuple[Array, Array]:
        """Rows far from all components, and their log-densities again, with care.

        Beyond a distance, where squares have lost the differences between the components or
        overflow, these differences are those of a row nearer by in the same direction. The
        densities stay finite, such that no sum over rows overflows.
        """
        far = np.flatnonzero(~(density.max(axis=0) > _FAR_DENSITY[rows.X.dtype]))
        X = rows.X[far].astype(np.float64)
        found = density[:, far].astype(np.float64)
        if rows.X.dtype != np.float64:
            found = self._density(encode(X, self.scaling, self.structure, Workspace()))
        distance = np.fmax.reduce(np.abs(self.scaling.to_scaled(X)), axis=1)
        beyond = np.flatnonzero(~((distance <= _FAR) & np.isfinite(found).all(axis=0)))
        if beyond.size:
            info = np.finfo(rows.X.dtype)
            lowest = float(info.min) * float(info.eps)
            level = np.fmax(np.fmax.reduce(found[:, beyond], axis=0), lowest)
            nearer = self._density(self._nearer(X[beyond]))
            nearer = np.maximum(nearer, np.finfo(np.float64).min)
            found[:, beyond] = nearer / nearer.max(axis=0) * level
        return far, found

    def _nearer(self, X: Array) -> GaussianRows:
        """Rows in the directions of others, at the distance where precision ends."""
        center, scale = self.scaling
        largest = np.maximum(_largest(X), np.abs(center).max())
        direction = (X / largest - center / largest) / scale
        direction *= _FAR / _largest(direction)
        points = self.scaling.to_units(direction)
        return encode(points, self.scaling, self.structure, Workspace())

    # ---- statistics -------------------------------------------------------------------

    def statistics(self, rows: GaussianRows, responsibilities: Array) -> GaussianStatistics:
        """Weight, and first and second moments about the means, of rows filled in expectation.

        Where there is a ridge, its part for the missing entries is taken off: the M-step
        adds it for all rows.
        """
        parts = []
        if rows.complete is not None:
            own = rows.complete_part(responsibilities)
            parts.append(self._complete_statistics(rows.complete, own))
        if rows.missing is not None:
            own = np.ascontiguousarray(responsibilities[:, rows.missing.at], np.float64)
            parts.append(self._missing_statistics(rows.missing, own))
        moments = []
        for block in rows.patterns:
            own = responsibilities[:, block.order].astype(np.float64, copy=False)
            moments.append(self._pattern_moments(block, own, self._condition(block)))
        if moments:
            parts.append(self._complete_moments(moments))
        return self._sum(parts)

    def _sum(self, parts: list[GaussianStatistics]) -> GaussianStatistics:
        if len(parts) == 1:
            return parts[0]
        K, d = self.means.shape
        second = self.structure.new_scatter(K, d)
        none = GaussianStatistics(np.zeros(K), np.zeros((K, d)), second)
        return GaussianStatistics(
            *(sum(part[1:], part[0]) for part in zip(none, *parts, strict=True))
        )

    def _complete_statistics(self, block: RowBlock, responsibilities: Array) -> GaussianStatistics:
        form, precomputed = self.form(block)
        found = precomputed.statistics(block, responsibilities)
        return form.about_means(found, self.means)

    def _sums(self) -> tuple[Array, Array, Array]:
        K, d = self.means.shape
        second = (K, d) if self.structure.is_diagonal else (K, d, d)
        return np.empty(K), np.empty((K, d)), np.empty(second)

    def _missing_statistics(self, rows: MissingRows, responsibilities: Array) -> GaussianStatistics:
        weight, first, second = self._sums()
        arguments = self._kernel_arguments(rows, self.constants)
        moments = compiled.gaussian_missing_moments
        conditioning = self._conditioning(rows)
        if moments(*arguments, responsibilities, weight, first, second, *conditioning) is None:
            raise _singular()
        return GaussianStatistics(weight, first, self.structure.from_kernel(second))

    def _pattern_moments(
        self, block: PatternBlock, responsibilities: Array, conditioned: list[Conditioned]
    ) -> list[Moments]:
        """Moments of a block for each component."""
        found = []
        for k, component in enumerate(self.components):
            own = responsibilities[k]
            part = accumulate(block, component, conditioned[k], own)
            if self.ridge is not None:
                part.second[np.diag_indices(len(self.ridge))] -= self.ridge * (own @ block.missing)
            found.append(part)
        return found

    def _complete_moments(self, parts: list[list[Moments]]) -> GaussianStatistics:
        """Statistics from the moments of blocks; products of matrices, once for all of them."""
        weight, first, second = self._sums()
        for k, component in enumerate(self.components):
            total = Moments(*(sum(x[1:], x[0]) for x in zip(*(p[k] for p in parts), strict=True)))
            weight[k], first[k], matrix = complete_moments(total, component.covariance)
            second[k] = np.diagonal(matrix) if self.structure.is_diagonal else matrix
        return GaussianStatistics(weight, first, self.structure.from_kernel(second))

    # ---- both -------------------------------------------------------------------------

    def expect(
        self,
        rows: GaussianRows,
        log_weights: Array,
        weight: Array | None,
        workspace: Workspace,
    ) -> tuple[Array, GaussianStatistics, float]:
        """E-step of a mixture: totals of the components, statistics, and log-likelihood.

        Rows with nothing observed have the mixing proportions, and no other statistics.
        """
        if rows.complete is not None and rows.complete_at is None:
            total, value = self._expect_complete(rows.complete, log_weights, weight, workspace)
            return total.weight, total, value
        found = []
        if rows.complete is not None:
            own = None if weight is None else rows.complete_part(weight)
            found.append(self._expect_complete(rows.complete, log_weights, own, workspace))
        log_weights = _finite(log_weights, rows.X.dtype)
        if rows.missing is not None:
            own = _chosen(weight, rows.missing.at)
            found.append(self._expect_missing(rows.missing, log_weights, own))
        if rows.patterns:
            found.append(self._expect_patterns(rows.patterns, log_weights, weight))
        total = self._sum([statistics for statistics, _ in found])
        totals = total.weight
        if rows.empty_at is not None:
            amount = len(rows.empty_at) if weight is None else weight[rows.empty_at].sum()
            totals = totals + amount * np.exp(log_weights)
        return totals, total, sum(value for _, value in found)

    def _expect_complete(
        self, block: RowBlock, log_weights: Array, weight: Array | None, workspace: Workspace
    ) -> tuple[GaussianStatistics, float]:
        form, precomputed = self.form(block, log_weights)
        if isinstance(precomputed, CompiledPrecomputed):
            return precomputed.expect(block, weight)
        joint = workspace.array("log_joint", (len(self.means), block.n_rows), block.dtype)
        precomputed.log_density(block, joint, common=False)
        value = to_responsibilities(joint, weight) + precomputed.common_total(block)
        return form.about_means(precomputed.statistics(block, joint), self.means), value

    def _expect_missing(
        self, rows: MissingRows, log_weights: Array, weight: Array | None
    ) -> tuple[GaussianStatistics, float]:
        totals, first, second = self._sums()
        arguments = self._kernel_arguments(rows, self.constants + log_weights)
        value = compiled.gaussian_missing_step(
            *arguments, weight, totals, first, second, *self._conditioning(rows)
        )
        if value is None:
            raise _singular()
        value += rows.level.sum() if weight is None else weight @ rows.level
        return GaussianStatistics(totals, first, self.structure.from_kernel(second)), float(value)

    def _expect_patterns(
        self, blocks: tuple[PatternBlock, ...], log_weights: Array, weight: Array | None
    ) -> tuple[GaussianStatistics, float]:
        moments, value = [], 0.0
        for block in blocks:
            conditioned = self._condition(block)
            joint = self._pattern_density(block, conditioned)
            joint += log_weights[:, None]
            value += to_responsibilities(joint, _chosen(weight, block.order))
            moments.append(self._pattern_moments(block, joint, conditioned))
        return self._complete_moments(moments), value


def _finite(log_weights: Array, dtype: Any) -> Array:
    finite: Array = np.maximum(log_weights, _LOWEST[dtype])
    return finite


def _chosen(weight: Array | None, at: Array) -> Array | None:
    return None if weight is None else np.ascontiguousarray(weight[at])


def _largest(rows: Array) -> Array:
    """Largest magnitude of what is observed of each row, as a column; 1 for 0."""
    largest = np.nanmax(np.abs(rows), axis=1, keepdims=True)
    return np.where(largest > 0.0, largest, 1.0)


def _singular() -> DegenerateModelError:
    return DegenerateModelError("a covariance is singular")
