"""Log-densities and expected statistics of rows under K Gaussians: complete rows and others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.blocks import RowBlock
from emlearn.distributions.gaussian.forms import (
    CentredForm,
    CompiledBound,
    Form,
    GaussianStatistics,
    choose_form,
)
from emlearn.distributions.gaussian.incomplete.conditioning import (
    Component,
    Moments,
    accumulate,
    complete_moments,
    condition,
    log_densities,
    make_component,
)
from emlearn.distributions.gaussian.incomplete.patterns import RowBlock as PatternBlock
from emlearn.distributions.gaussian.rows import GaussianRows, MissingRows
from emlearn.distributions.gaussian.scaling import ColumnScaling
from emlearn.distributions.gaussian.structures import CovarianceFactor, CovarianceStructure
from emlearn.engine import DegenerateModelError
from emlearn.engine.workspace import Workspace
from emlearn.kernels import compiled
from emlearn.kernels.softmax import to_responsibilities

Array = NDArray[Any]

_LOG_2PI = float(np.log(2.0 * np.pi))
# In units of the spread of the components; its square is exact to a hundredth of a nat.
_FAR = 1e7


@dataclass(frozen=True)
class GaussianPrecomputed:
    """K Gaussians, ready for rows.

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
    kappa : dict of dtype to float
        Largest terms that may cancel in the moment form, by precision of the rows.
    """

    structure: CovarianceStructure
    means: Array
    covariances: Array
    factor: CovarianceFactor
    ridge: Array | None
    scaling: ColumnScaling
    kappa: dict[Any, float]

    @cached_property
    def constants(self) -> Array:
        """What is added to each component's log-density of a complete row."""
        d = self.means.shape[1]
        halves = self.factor.log_det + d * _LOG_2PI
        if self.ridge is not None:
            halves = halves + self.factor.precision_diagonal @ self.ridge
        found: Array = self.scaling.log_jacobian - 0.5 * np.broadcast_to(halves, len(self.means))
        return found

    @cached_property
    def precision(self) -> Array | None:
        """Inverses of the covariances; None where these are diagonal."""
        if self.structure.is_diagonal:
            return None
        root = self.structure.kernel_root(self.factor, self.means.shape)
        return np.ascontiguousarray(root @ root.transpose(0, 2, 1))

    @cached_property
    def components(self) -> tuple[Component, ...]:
        """The Gaussians for conditioning in numpy."""
        d = self.means.shape[1]
        return tuple(
            make_component(mean, self.structure.matrix(self.covariances, k, d))
            for k, mean in enumerate(self.means)
        )

    @cached_property
    def _forms(self) -> dict[Any, tuple[Form, Any]]:
        return {}

    def form(self, block: RowBlock) -> tuple[Form, Any]:
        """The form for complete rows, and what it makes of the parameters."""
        d = self.means.shape[1]
        # Without second moments their scatter has to be at hand.
        exact = self.structure.n_moments(d) == 0 and block.scatter is None
        key = (np.dtype(block.dtype), exact)
        if key not in self._forms:
            kappa = 0.0 if exact else self.kappa[key[0]]
            form = choose_form(self.structure, self.means, self.factor, kappa)
            bound = form.bind(self.means, self.factor, self.constants, block.dtype)
            self._forms[key] = (form, bound)
        return self._forms[key]

    # ---- log-densities ----------------------------------------------------------------

    def log_density(self, rows: GaussianRows, out: Array) -> None:
        """Add the log-densities of rows to `out`, of shape (n_components, n_rows)."""
        if rows.complete is not None:
            density = self._complete_density(rows.complete)
            if rows.complete_at is None:
                out += density
            else:
                out[:, rows.complete_at] += density
        if rows.missing is not None:
            out[:, rows.missing.at] += self._finite(
                self._missing_density(rows.missing), rows.missing.rows
            )
        for block in rows.patterns:
            out[:, block.order] += self._finite(self._pattern_density(block), rows.X[block.order])

    def _complete_density(self, block: RowBlock) -> Array:
        shape = (len(self.means), block.n_rows)
        density = block.workspace.array("density", shape, block.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            self.form(block)[1].log_density(block, density, common=True)
        return self._finite(density, block.rows)

    def _missing_density(self, rows: MissingRows) -> Array:
        out = np.empty((len(self.means), len(rows.rows)))
        if (
            compiled.gaussian_missing_log_density(
                *self._kernel_arguments(rows, self.constants), out, *self._conditioning(rows)
            )
            is None
        ):
            raise _singular()
        out += rows.level
        return out

    def _kernel_arguments(self, rows: MissingRows, constants: Array) -> tuple[Any, ...]:
        root = self.structure.kernel_root(self.factor, self.means.shape)
        return (
            rows.rows.T,
            self.scaling.center,
            1.0 / self.scaling.scale,
            np.ascontiguousarray(self.means),
            np.ascontiguousarray(root),
            np.ascontiguousarray(constants),
        )

    def _conditioning(self, rows: MissingRows) -> tuple[Any, ...]:
        return (self.precision, *rows.patterns, self.ridge)

    def _pattern_density(self, block: PatternBlock) -> Array:
        out = np.empty((len(self.means), len(block.rows)))
        diagonal = np.broadcast_to(self.factor.precision_diagonal, self.means.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            for k, component in enumerate(self.components):
                out[k] = log_densities(block, component, condition(block, component))
                if self.ridge is not None:
                    level = self.ridge * diagonal[k]
                    out[k] -= 0.5 * (~block.missing @ level)
        return out

    def _finite(self, density: Array, rows: Array) -> Array:
        """Densities of rows too far away to tell how far: by their direction.

        Their densities are in the proportions of rows that lie in the same
        direction, far enough that the distances of the components matter little.
        """
        info = np.finfo(density.dtype)
        # So low that no sum over rows overflows.
        lowest = float(info.min) * float(info.eps)
        # Components with one covariance differ by less than squares of large distances keep.
        limit = -1.0 / float(info.eps) if self.structure.is_shared else lowest
        if density.min() > limit:
            return density
        far = np.flatnonzero(~(density.min(axis=0) > limit))
        nearest = density[:, far].max(axis=0)
        nearest = np.where(nearest > lowest, nearest, lowest)
        direction = rows[far].astype(np.float64)
        direction[np.isnan(direction)] = 0.0
        largest = np.abs(direction).max(axis=1, keepdims=True)
        direction /= np.where(largest > 0.0, largest, 1.0)
        direction /= self.scaling.scale
        largest = np.abs(direction).max(axis=1, keepdims=True)
        direction *= _FAR / np.where(largest > 0.0, largest, 1.0)
        unit = ColumnScaling(np.zeros_like(self.scaling.center), np.ones_like(self.scaling.scale))
        bound = CentredForm(self.structure).bind(
            self.means, self.factor, self.constants, np.float64
        )
        joint = np.empty((len(self.means), len(far)))
        bound.log_density(RowBlock(direction, unit, None, Workspace()), joint, common=True)
        density[:, far] = joint / joint.max(axis=0) * nearest
        return density

    # ---- statistics -------------------------------------------------------------------

    def statistics(self, rows: GaussianRows, responsibilities: Array) -> GaussianStatistics:
        """Weight, and first and second moments about the means, of rows filled in expectation.

        Where there is a ridge, its part for the missing entries is taken off: the M-step
        adds it for all rows.
        """
        total = None
        if rows.complete is not None:
            own = responsibilities
            if rows.complete_at is not None:
                own = np.ascontiguousarray(responsibilities[:, rows.complete_at])
            total = self._complete_statistics(rows.complete, own)
        if rows.missing is not None:
            total = _add(total, self._missing_statistics(rows.missing, responsibilities))
        for block in rows.patterns:
            total = _add(total, self._pattern_statistics(block, responsibilities))
        return self._no_statistics() if total is None else total

    def _complete_statistics(self, block: RowBlock, responsibilities: Array) -> GaussianStatistics:
        form, bound = self.form(block)
        found = bound.statistics(block, responsibilities)
        return form.about_means(found, self.means)

    def _sums(self) -> tuple[Array, Array, Array]:
        K, d = self.means.shape
        second = (K, d) if self.structure.is_diagonal else (K, d, d)
        return np.empty(K), np.empty((K, d)), np.empty(second)

    def _missing_statistics(self, rows: MissingRows, responsibilities: Array) -> GaussianStatistics:
        own = np.ascontiguousarray(responsibilities[:, rows.at], np.float64)
        weight, first, second = self._sums()
        arguments = self._kernel_arguments(rows, self.constants)
        if (
            compiled.gaussian_missing_moments(
                *arguments, own, weight, first, second, *self._conditioning(rows)
            )
            is None
        ):
            raise _singular()
        return GaussianStatistics(weight, first, self.structure.from_kernel(second))

    def _pattern_statistics(
        self, block: PatternBlock, responsibilities: Array
    ) -> GaussianStatistics:
        weight, first, second = self._sums()
        d = self.means.shape[1]
        for k, component in enumerate(self.components):
            own = responsibilities[k, block.order].astype(np.float64, copy=False)
            part: Moments = accumulate(block, component, condition(block, component), own)
            weight[k], first[k], matrix = complete_moments(part, component.covariance)
            if self.ridge is not None:
                matrix[np.diag_indices(d)] -= self.ridge * (own @ block.missing)
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
        total, value = None, 0.0
        empty = rows.n_rows
        if rows.complete is not None:
            own = weight
            if rows.complete_at is not None and weight is not None:
                own = np.ascontiguousarray(weight[rows.complete_at])
            total, value = self._expect_complete(rows.complete, log_weights, own, workspace)
            empty -= rows.complete.n_rows
        if rows.missing is not None:
            found, part = self._expect_missing(rows.missing, log_weights, weight)
            total, value = _add(total, found), value + part
            empty -= len(rows.missing.at)
        for block in rows.patterns:
            found, part = self._expect_patterns(block, log_weights, weight)
            total, value = _add(total, found), value + part
            empty -= len(block.order)
        if total is None:
            total = self._no_statistics()
        totals = total.weight
        if empty:
            absent = np.isnan(rows.X).all(axis=1)
            amount = float(absent.sum()) if weight is None else float(weight[absent].sum())
            totals = totals + amount * np.exp(log_weights)
        return totals, total, value

    def _no_statistics(self) -> GaussianStatistics:
        shape = self.means.shape
        return GaussianStatistics(
            np.zeros(shape[0]), np.zeros(shape), self.structure.new_scatter(*shape)
        )

    def _expect_complete(
        self, block: RowBlock, log_weights: Array, weight: Array | None, workspace: Workspace
    ) -> tuple[GaussianStatistics, float]:
        form, bound = self.form(block)
        if isinstance(bound, CompiledBound):
            finite = np.maximum(log_weights, float(np.finfo(block.dtype).min) / 4.0)
            return bound.expect(block, weight, finite)
        joint = workspace.array("log_joint", (len(self.means), block.n_rows), block.dtype)
        bound.log_density(block, joint, common=False)
        joint += log_weights[:, None].astype(joint.dtype)
        value = to_responsibilities(joint, weight) + bound.common_total(block)
        return form.about_means(bound.statistics(block, joint), self.means), value

    def _expect_missing(
        self, rows: MissingRows, log_weights: Array, weight: Array | None
    ) -> tuple[GaussianStatistics, float]:
        own = None if weight is None else np.ascontiguousarray(weight[rows.at])
        totals, first, second = self._sums()
        constants = self.constants + np.maximum(log_weights, float(np.finfo(np.float64).min) / 4)
        value = compiled.gaussian_missing_step(
            *self._kernel_arguments(rows, constants),
            own,
            totals,
            first,
            second,
            *self._conditioning(rows),
        )
        if value is None:
            raise _singular()
        value += rows.level.sum() if own is None else own @ rows.level
        return GaussianStatistics(totals, first, self.structure.from_kernel(second)), float(value)

    def _expect_patterns(
        self, block: PatternBlock, log_weights: Array, weight: Array | None
    ) -> tuple[GaussianStatistics, float]:
        joint = self._pattern_density(block)
        joint += log_weights[:, None]
        own = None if weight is None else np.ascontiguousarray(weight[block.order])
        value = to_responsibilities(joint, own)
        responsibilities = np.empty((len(joint), block.order.max() + 1))
        responsibilities[:, block.order] = joint
        return self._pattern_statistics(block, responsibilities), value


def _add(left: GaussianStatistics | None, right: GaussianStatistics) -> GaussianStatistics:
    if left is None:
        return right
    return GaussianStatistics(*(a + b for a, b in zip(left, right, strict=True)))


def _singular() -> DegenerateModelError:
    return DegenerateModelError("a covariance is singular")
