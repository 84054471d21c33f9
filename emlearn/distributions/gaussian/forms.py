"""The ways to compute Gaussian log-densities and their sufficient statistics.

*Compiled form.* If the compiled kernels are available: rows are centered at the mean of a
component, as in the centered form below, in one pass over a chunk that stays in the cache.
It is the fastest and as accurate as any. The others are made of operations of numpy.

*Moment form.* With the features phi(x) = [1, x, second moments of x], the log-densities
of all components are one matrix product, Theta phi(X), and the sufficient statistics are
another, R phi(X)'. It is the fastest form for few features. Quadratic terms about the
centre of the data cancel, which costs about log10(kappa) digits, kappa being the second
moment of a component about that centre measured in its own precision.

*Whitened form.* For each component a triangular product whitens the rows and a symmetric
product makes its scatter about the center of the data. Both do half the work of general
products, which makes it the faster form for many features or few components. It cancels
as the moment form does.

*Centered form.* Rows are centered at the mean of the component before they are whitened,
and scatter is taken about that mean. It loses no digits to the position or the narrowness
of a component, and is the slowest.

Statistics are about the current means in all forms once `about_means` has seen them; the moment
and the whitened form take theirs about 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.blocks import RowBlock
from emlearn.distributions.gaussian.structures import CovarianceFactor, CovarianceStructure
from emlearn.kernels import compiled

Array = NDArray[Any]

# Responsibilities below this part of the largest change no sum in double precision.
_NEGLIGIBLE = 1e-20


class GaussianStatistics(NamedTuple):
    """Additive statistics of K components in d dimensions.

    Attributes
    ----------
    weight : ndarray of shape (n_components,)
        Sums of the responsibilities.
    first : ndarray of shape (n_components, n_features)
        Sums of r x about the origin of the form.
    second : ndarray
        Sums of r x x' about the same origin, in the layout of the form and structure.
    """

    weight: Array
    first: Array
    second: Array


class FormPrecomputed(Protocol):
    """A form that holds what it needs of the parameters in one E-step."""

    def log_density(self, block: RowBlock, out: Array, *, common: bool) -> None:
        """Log-densities (n_components, n_rows) of a block in scaled coordinates.

        The constants given to `precompute` are included. With ``common=False`` a term shared
        by all components of a row may be left out; `common_total` is then its sum.
        """
        ...

    def common_total(self, block: RowBlock) -> float:
        """Weighted sum over the rows of what ``common=False`` left out."""
        ...

    def statistics(self, block: RowBlock, responsibilities: Array) -> GaussianStatistics:
        """Statistics of a block under weighted responsibilities (n_components, n_rows)."""
        ...


def move_statistics(
    structure: CovarianceStructure, statistics: GaussianStatistics, means: Array
) -> GaussianStatistics:
    """Statistics about an origin, moved to means that are relative to it."""
    weight, first, second = statistics
    moved = first - weight[:, None] * means
    if structure.is_shared:
        # Of small matrices, `dot` is faster than `@`.
        change = means.T.dot(moved)
        change += first.T.dot(means)
        return GaussianStatistics(weight, moved, np.subtract(second, change, out=change))
    if structure.is_diagonal:
        change = means * (moved + first)
    else:
        change = means[:, :, None] * moved[:, None, :] + first[:, :, None] * means[:, None, :]
    return GaussianStatistics(weight, moved, second - structure.from_kernel(change))


class MomentForm(NamedTuple):
    """See the module's text."""

    structure: CovarianceStructure

    def precompute(
        self, means: Array, factor: CovarianceFactor, constants: Array, dtype: Any
    ) -> MomentPrecomputed:
        """Natural parameters; `constants` are added to the log-densities."""
        linear, quadratic = self.structure.natural(factor, means)
        n_features = means.shape[1]
        theta = np.empty((len(means), 1 + n_features + quadratic.shape[1]), dtype)
        theta[:, 1 : 1 + n_features] = linear
        theta[:, 1 + n_features :] = quadratic
        theta[:, 0] = constants - 0.5 * (linear * means).sum(axis=1)
        return MomentPrecomputed(self.structure, theta, factor)

    def about_means(self, statistics: GaussianStatistics, means: Array) -> GaussianStatistics:
        """Statistics about the means, in the layout of the structure."""
        weight, first, second = statistics
        second = self.structure.unpack(second, means.shape[1])
        return move_statistics(self.structure, GaussianStatistics(weight, first, second), means)


class MomentPrecomputed(NamedTuple):
    """Moment form with its natural parameters."""

    structure: CovarianceStructure
    theta: Array
    factor: CovarianceFactor

    def log_density(self, block: RowBlock, out: Array, *, common: bool) -> None:
        """See `FormPrecomputed`."""
        np.dot(self.theta, moment_features(block, self.structure), out=out)
        if common and not self.structure.n_moments(block.rows.shape[1]):
            z = block.workspace.array("centered", block.rows.shape[::-1], block.dtype)
            np.copyto(z, block.scaled())
            out -= 0.5 * self.structure.squared_distance(z, self.factor, 0)

    def common_total(self, block: RowBlock) -> float:
        """See `FormPrecomputed`."""
        if block.scatter is None:
            return 0.0
        precision_cholesky = self.factor.precision_cholesky
        return -0.5 * float(np.vdot(precision_cholesky, block.scatter.dot(precision_cholesky)))

    def statistics(self, block: RowBlock, responsibilities: Array) -> GaussianStatistics:
        """See `FormPrecomputed`."""
        features = moment_features(block, self.structure)
        sums = responsibilities.dot(features.T).astype(np.float64, copy=False)
        n_features = block.rows.shape[1]
        second = sums[:, 1 + n_features :] if block.scatter is None else block.scatter
        return GaussianStatistics(sums[:, 0], sums[:, 1 : 1 + n_features], second)


def moment_features(block: RowBlock, structure: CovarianceStructure) -> Array:
    """Features (1 + n_features + n_moments, n_rows) of a block."""
    if block.features is not None:
        return block.features
    x = block.augmented()
    n_moments = structure.n_moments(len(x) - 1)
    if n_moments == 0:
        return x
    features = block.workspace.array("features", (len(x) + n_moments, block.n_rows), block.dtype)
    features[: len(x)] = x
    structure.moments(x[1:], features[len(x) :])
    return features


class WhitenedForm(NamedTuple):
    """See the module's text. For a full covariance matrix of each component."""

    structure: CovarianceStructure

    def precompute(
        self, means: Array, factor: CovarianceFactor, constants: Array, dtype: Any
    ) -> WhitenedPrecomputed:
        """Whitening matrices of the rows with a one above them: P'(x - mean)."""
        precision_cholesky = factor.precision_cholesky
        whitening = np.empty(
            (len(precision_cholesky), precision_cholesky.shape[1] + 1, precision_cholesky.shape[2]),
            dtype,
        )
        whitening[:, 1:] = precision_cholesky
        whitening[:, 0] = -(means[:, None, :] @ precision_cholesky)[:, 0]
        return WhitenedPrecomputed(whitening, constants)

    def about_means(self, statistics: GaussianStatistics, means: Array) -> GaussianStatistics:
        """Statistics about the means, in the layout of the structure."""
        return move_statistics(self.structure, statistics, means)


# Columns of a triangular product that are taken together.
_PANEL = 16


class WhitenedPrecomputed(NamedTuple):
    """Whitened form with its whitening matrices (n_components, 1 + n_features, n_features)."""

    whitening: Array
    constants: Array

    def log_density(self, block: RowBlock, out: Array, *, common: bool) -> None:
        """See `FormPrecomputed`; nothing is left out.

        Panels of columns skip the zeros below the triangle. (BLAS has a triangular
        product, but its wrapper in scipy holds the interpreter's lock.)
        """
        x = block.augmented()
        n_features = len(x) - 1
        white = block.workspace.array("white", (_PANEL, x.shape[1]), x.dtype)
        norm = block.workspace.array("norm", (1, x.shape[1]), x.dtype)[0]
        for k, matrix in enumerate(self.whitening):
            out[k] = 0.0
            for start in range(0, n_features, _PANEL):
                stop = min(start + _PANEL, n_features)
                panel = white[: stop - start]
                np.matmul(matrix[: 1 + stop, start:stop].T, x[: 1 + stop], out=panel)
                out[k] += np.einsum("ij,ij->j", panel, panel, out=norm)
        out *= -0.5
        out += self.constants[:, None].astype(out.dtype, copy=False)

    def common_total(self, block: RowBlock) -> float:
        """See `FormPrecomputed`."""
        return 0.0

    def statistics(self, block: RowBlock, responsibilities: Array) -> GaussianStatistics:
        """See `FormPrecomputed`. Rows that a component is not responsible for are left out."""
        x = block.augmented()
        n_components, size = len(self.whitening), len(x)
        sums = np.empty((n_components, size, size))
        for k, keep in enumerate(_responsible(responsibilities)):
            if keep is None:
                z = block.workspace.array("weighted", x.shape, x.dtype)
                np.multiply(x, np.sqrt(responsibilities[k]), out=z)
            else:
                z = np.take(x, keep, axis=1)
                z *= np.sqrt(responsibilities[k][keep])
            sums[k] = z @ z.T
        return GaussianStatistics(sums[:, 0, 0], sums[:, 0, 1:], sums[:, 1:, 1:])


def _responsible(responsibilities: Array) -> Iterator[Array | None]:
    """For each component the rows that matter to it, or None where most of them do."""
    for row in responsibilities:
        keep = np.flatnonzero(row > _NEGLIGIBLE * row.max(initial=0.0))
        yield keep if 2 * len(keep) < len(row) else None


class CenteredForm(NamedTuple):
    """See the module's text."""

    structure: CovarianceStructure

    def precompute(
        self, means: Array, factor: CovarianceFactor, constants: Array, dtype: Any
    ) -> CenteredPrecomputed:
        """Means and factors in the precision of the blocks."""
        return CenteredPrecomputed(
            self.structure,
            means.astype(dtype, copy=False),
            factor._replace(precision_cholesky=factor.precision_cholesky.astype(dtype, copy=False)),
            constants,
        )

    def about_means(self, statistics: GaussianStatistics, means: Array) -> GaussianStatistics:
        """Statistics about the means: as they are."""
        return statistics


class CenteredPrecomputed(NamedTuple):
    """Centered form with means and factors."""

    structure: CovarianceStructure
    means: Array
    factor: CovarianceFactor
    constants: Array

    def log_density(self, block: RowBlock, out: Array, *, common: bool) -> None:
        """See `FormPrecomputed`; nothing is left out."""
        x = block.scaled()
        z = block.workspace.array("centered", x.shape, x.dtype)
        for k, mean in enumerate(self.means):
            np.subtract(x, mean[:, None], out=z)
            np.multiply(self.structure.squared_distance(z, self.factor, k), -0.5, out=out[k])
        out += self.constants[:, None].astype(out.dtype, copy=False)

    def common_total(self, block: RowBlock) -> float:
        """See `FormPrecomputed`."""
        return 0.0

    def statistics(self, block: RowBlock, responsibilities: Array) -> GaussianStatistics:
        """See `FormPrecomputed`. Rows that a component is not responsible for are left out."""
        x = block.scaled()
        n_components, n_features = self.means.shape
        first = np.empty((n_components, n_features))
        second = self.structure.new_scatter(n_components, n_features)
        for k, keep in enumerate(_responsible(responsibilities)):
            sqrt_responsibility = np.sqrt(responsibilities[k])
            if keep is None:
                z = block.workspace.array("centered", x.shape, x.dtype)
                np.subtract(x, self.means[k][:, None], out=z)
            else:
                z = np.take(x, keep, axis=1)
                z -= self.means[k][:, None]
                sqrt_responsibility = sqrt_responsibility[keep]
            first[k] = self.structure.scatter(z, sqrt_responsibility, k, second)
        weight = responsibilities.sum(axis=1, dtype=np.float64)
        return GaussianStatistics(weight, first, second)


class CompiledForm(NamedTuple):
    """See the module's text. For any structure."""

    structure: CovarianceStructure

    def precompute(
        self, means: Array, factor: CovarianceFactor, constants: Array, dtype: Any
    ) -> CompiledPrecomputed:
        """Means and factors as the kernels read them."""
        precision_cholesky = self.structure.kernel_cholesky(factor, (len(means), means.shape[1]))
        arrays = [
            np.ascontiguousarray(part, np.float64)
            for part in (means, precision_cholesky, constants)
        ]
        return CompiledPrecomputed(self.structure, *arrays)

    def about_means(self, statistics: GaussianStatistics, means: Array) -> GaussianStatistics:
        """Statistics about the means: as they are."""
        return statistics


class CompiledPrecomputed(NamedTuple):
    """Compiled form with means and factors in float64; blocks of either precision."""

    structure: CovarianceStructure
    means: Array
    precision_cholesky: Array
    constants: Array

    def _arguments(self, block: RowBlock) -> tuple[Any, ...]:
        return (
            block.rows.T,
            *block.scaling.kernel_units,
            self.means,
            self.precision_cholesky,
            self.constants,
        )

    def _sums(self) -> tuple[Array, Array, Array]:
        return (
            np.empty(len(self.means)),
            np.empty(self.means.shape),
            np.empty(self.precision_cholesky.shape),
        )

    def log_density(self, block: RowBlock, out: Array, *, common: bool) -> None:
        """See `FormPrecomputed`; nothing is left out."""
        compiled.gaussian_log_density(*self._arguments(block), out)

    def common_total(self, block: RowBlock) -> float:
        """See `FormPrecomputed`."""
        return 0.0

    def statistics(self, block: RowBlock, responsibilities: Array) -> GaussianStatistics:
        """See `FormPrecomputed`. Rows that a component is not responsible for are left out."""
        weight, first, second = self._sums()
        weighted = np.ascontiguousarray(responsibilities, block.dtype)
        compiled.gaussian_moments(*self._arguments(block), weighted, weight, first, second)
        return GaussianStatistics(weight, first, self.structure.from_kernel(second))

    def expect(self, block: RowBlock, row_weight: Array | None) -> tuple[GaussianStatistics, float]:
        """Statistics under the responsibilities of the mixture, and its log-likelihood.

        The logarithms of the mixing proportions are in the constants.
        """
        weight, first, second = self._sums()
        value = compiled.gaussian_step(*self._arguments(block), row_weight, weight, first, second)
        return GaussianStatistics(weight, first, self.structure.from_kernel(second)), value


Form = MomentForm | WhitenedForm | CenteredForm | CompiledForm

# Above it, matrices no longer stay in the cache, and the products of BLAS are faster.
_LARGEST_COMPILED = 256


def compiled_pays(structure: CovarianceStructure, n_features: int) -> bool:
    """Whether there are compiled kernels, and they are the fastest where rows are centered."""
    return compiled is not None and (structure.is_diagonal or n_features <= _LARGEST_COMPILED)


def choose_form(
    structure: CovarianceStructure, means: Array, factor: CovarianceFactor, largest_kappa: float
) -> Form:
    """The fastest form that is accurate enough.

    Parameters
    ----------
    structure : CovarianceStructure
        Structure of the covariances.
    means : ndarray of shape (n_components, n_features)
        Means in scaled coordinates.
    factor : CovarianceFactor
        Factorized covariances.
    largest_kappa : float
        Bound on the terms that may cancel in the moment and the whitened form.
    """
    n_components, n_features = means.shape
    compiled = compiled_pays(structure, n_features)
    if compiled and structure.n_moments(n_features) > 0:
        return CompiledForm(structure)
    # Magnitude of the terms that cancel in the moment form; columns have variance 1.
    kappa = n_features * float((factor.precision_diagonal * (1.0 + np.square(means))).max())
    if not kappa < largest_kappa:
        return CompiledForm(structure) if compiled else CenteredForm(structure)
    if structure.prefers_whitening(n_components, n_features):
        return WhitenedForm(structure)
    return MomentForm(structure)
