"""The contract of a covariance structure with the kernels and the M-step.

Blocks of data are features-major: `x` has shape (n_features, n_rows), so that a row of
the array is one feature and every operation runs along contiguous memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from emlearn.engine.model import DegenerateModelError
from emlearn.engine.parameters import Curved, Part
from emlearn.kernels import compiled

Array = NDArray[Any]
_EPS = float(np.finfo(np.float64).eps)


class CovarianceFactor(NamedTuple):
    """Factorized covariances of all components.

    Attributes
    ----------
    precision_cholesky : ndarray
        Upper triangular P with inv(Sigma) = P P', in the layout of scikit-learn's
        `precisions_cholesky_`.
    log_det : ndarray of shape (n_components,)
        Logarithms of the determinants of the covariances.
    precision_diagonal : ndarray of shape (n_components, n_features)
        Diagonals of inv(Sigma_k).
    """

    precision_cholesky: Array
    log_det: Array
    precision_diagonal: Array


class CovarianceStructure(ABC):
    """One way to constrain the covariances of K Gaussian components in d dimensions."""

    name: str
    #: How clusters are joined for the starts: "full", "tied", "diag" or "spherical".
    cluster_shape: str = "full"
    #: Whether the model keeps its form if each column is rescaled separately.
    scales_by_column: bool = True
    #: Whether features are independent within a component.
    is_diagonal: bool = False
    #: Whether all components have the same covariance, which the array holds only once.
    is_shared: bool = False
    #: Whether `update` only improves on the covariances before, because the maximum is not in
    #: closed form.
    only_improves: bool = False
    #: Names of what covariances are made of, where this is published besides them.
    part_names: tuple[str, ...] = ()

    def check(self, n_features: int) -> None:
        """Raise ValueError if the structure does not exist for so many features."""
        return None

    @abstractmethod
    def shape(self, n_components: int, n_features: int) -> tuple[int, ...]:
        """Shape of the array of covariances, and of precisions, that is published."""

    @abstractmethod
    def n_parameters(self, n_components: int, n_features: int) -> int:
        """Number of free parameters of the covariances."""

    def optimism(self, weight: Array, n_features: int) -> Array:
        """By how many nats rows flatter the component fitted to them, in expectation.

        That is what the rows gain, over new ones, by fitting their own mean and covariance:
        the correction of Akaike's criterion for few rows. Infinite where there are too few.
        The default, 0, is for covariances that are held up in common.

        Parameters
        ----------
        weight : ndarray of shape (n_components,)
            Rows of each component.
        n_features : int
            Number of columns.

        Returns
        -------
        optimism : ndarray of shape (n_components,)
            Nats of each component.

        References
        ----------
        C. M. Hurvich and C.-L. Tsai (1989). "Regression and time series model selection in
        small samples". Biometrika 76(2), 297-307.
        """
        return np.zeros(len(weight))

    def sufficient(self, weight: Array, n_features: int) -> NDArray[np.bool_]:
        """Which components have enough rows for their parameters.

        Parameters
        ----------
        weight : ndarray of shape (n_components,)
            Rows of each component.
        n_features : int
            Number of columns.

        Returns
        -------
        sufficient : ndarray of shape (n_components,), dtype bool
            By default, where `optimism` is finite.
        """
        return np.isfinite(self.optimism(weight, n_features))

    def prefers_whitening(self, n_components: int, n_features: int) -> bool:
        """Whether the whitened form is faster than the moment form."""
        return False

    @abstractmethod
    def estimate(self, weight: Array, shift: Array, second: Array, ridge: Array) -> Array:
        """Covariances that maximize the expected complete-data objective.

        Parameters
        ----------
        weight : ndarray of shape (n_components,)
            Sums of the responsibilities, all positive.
        shift : ndarray of shape (n_components, n_features)
            Means of the components, from the origin of `second`.
        second : ndarray
            Sums of r x x' about that origin, as `scatter` makes them.
        ridge : ndarray of shape (n_features,)
            Variance added to each feature.
        """

    def update(
        self, weight: Array, shift: Array, second: Array, ridge: Array, before: Array
    ) -> Array:
        """The M-step within EM: as `estimate`, but the covariances `before` are known.

        A structure whose maximum is not in closed form can start from them. Then the expected
        objective need only be as high as theirs (a generalized EM algorithm), and
        `only_improves` is true.
        """
        return self.estimate(weight, shift, second, ridge)

    def estimate_nonempty(
        self,
        nonempty: Array,
        weight: Array,
        shift: Array,
        second: Array,
        ridge: Array,
        before: Array,
    ) -> Array:
        """As `update`, but components that are not `nonempty` keep the covariance `before`."""
        covariances = before.copy()
        covariances[nonempty] = self.estimate(
            weight[nonempty], shift[nonempty], second[nonempty], ridge
        )
        return covariances

    def with_average(self, covariances: Array, k: int, weights: Array) -> Array:
        """Covariances with that of component k replaced by the weighted mean of all."""
        changed = covariances.copy()
        changed[k] = np.tensordot(weights, covariances, axes=1)
        return changed

    @abstractmethod
    def factor(self, covariances: Array, n_features: int, floor: float) -> CovarianceFactor:
        """Factorize covariances.

        Parameters
        ----------
        covariances : ndarray
            Covariances of all components.
        n_features : int
            Number of features.
        floor : float
            Smallest standard deviation that can be distinguished from rounding errors.

        Raises
        ------
        DegenerateModelError
            If a covariance is singular to working precision.
        """

    @abstractmethod
    def n_moments(self, n_features: int) -> int:
        """Number of second moments per row in the moment form."""

    @abstractmethod
    def moments(self, x: Array, out: Array) -> None:
        """Second moments of each row of a block, written to (n_moments, n_rows) `out`."""

    @abstractmethod
    def natural(self, factor: CovarianceFactor, means: Array) -> tuple[Array, Array]:
        """Natural parameters: coefficients of x (K, d) and of the moments (K, m)."""

    @abstractmethod
    def unpack(self, moments: Array, n_features: int) -> Array:
        """Sums of moments (K, m) in the layout of `second`."""

    @abstractmethod
    def squared_distance(self, z: Array, factor: CovarianceFactor, k: int) -> Array:
        """Squared Mahalanobis norm of each column of z for component k; z is destroyed."""

    @abstractmethod
    def new_scatter(self, n_components: int, n_features: int) -> Array:
        """Zeros in the layout of `second`."""

    @abstractmethod
    def scatter(self, z: Array, sqrt_responsibility: Array, k: int, out: Array) -> Array:
        """Add the scatter of component k to `out`, and return its first moment.

        With r the responsibilities, these are ``z diag(r) z'`` and ``z @ r``.

        Parameters
        ----------
        z : ndarray of shape (n_features, n_rows)
            Rows; overwritten.
        sqrt_responsibility : ndarray of shape (n_rows,)
            Square roots of the responsibilities of the component.
        k : int
            The component.
        out : ndarray
            Array from `new_scatter`.
        """

    @abstractmethod
    def kernel_cholesky(self, factor: CovarianceFactor, shape: tuple[int, int]) -> Array:
        """Factors P for the compiled kernels: (K, d, d), or (K, d) if diagonal."""

    @abstractmethod
    def from_kernel(self, second: Array) -> Array:
        """Sums of r z z' (K, d, d), or of r z^2 (K, d), in the layout of `second`."""

    @abstractmethod
    def to_vector(self, covariances: Array) -> Array:
        """Coordinates in which accelerators take steps.

        For any vector, `from_vector` returns covariances that this structure allows, or raises
        an error. In good coordinates the path of EM is nearly straight. There can be more
        coordinates than free parameters.
        """

    @abstractmethod
    def from_vector(self, vector: Array, like: Array) -> Array:
        """Covariances from `to_vector`'s form.

        Parameters
        ----------
        vector : ndarray of shape (n_coordinates,)
            Coordinates from `to_vector`, or from an extrapolation of these.
        like : ndarray
            Covariances of the same number of components and features, for their shape.

        Raises
        ------
        DegenerateModelError
            If the vector is not finite, or a matrix is not positive definite.
        """

    def part(self, shape: tuple[int, int]) -> Part:
        """What the array of covariances is, for K components in d dimensions.

        By default, a curved set of symmetric matrices with the coordinates of `to_vector`.
        """
        like = np.zeros(self.shape(*shape))
        return Curved(
            lambda published: self.to_vector(self.adopt(published)),
            lambda vector: self.publish(self.from_vector(vector, like)),
            self.n_parameters(*shape),
            ("component", "feature", "feature"),
            symmetric=True,
        )

    def score(self, weight: Array, second: Array, factor: CovarianceFactor) -> Array:
        """Gradient of ``-sum_k (N_k log|Sigma_k| + tr(inv(Sigma_k) S_k)) / 2``.

        By default, for matrices (n_components, n_features, n_features).

        Parameters
        ----------
        weight : ndarray of shape (n_components,)
            N.
        second : ndarray
            S, in the layout of `scatter`.
        factor : CovarianceFactor
            The covariances, factorized.

        Returns
        -------
        gradient : ndarray
            In the layout of the covariances, as if all entries varied separately.
        """
        root = factor.precision_cholesky
        inner = np.swapaxes(root, -1, -2) @ second @ root
        inner[:, range(root.shape[-1]), range(root.shape[-1])] -= weight[:, None]
        gradient: Array = 0.5 * root @ inner @ np.swapaxes(root, -1, -2)
        return gradient

    @abstractmethod
    def rescale(self, covariances: Array, scale: Array) -> Array:
        """Covariances of data multiplied by `scale` (n_features,)."""

    def rescale_published(self, published: Array, scale: Array) -> Array:
        """As `rescale`, in the published form."""
        return self.rescale(published, scale)

    @abstractmethod
    def precision(self, precision_cholesky: Array) -> Array:
        """Precisions from their Cholesky factors, in the layout of the covariances."""

    @abstractmethod
    def rescale_cholesky(self, precision_cholesky: Array, scale: Array) -> Array:
        """Precision factors of data multiplied by `scale` (n_features,)."""

    @abstractmethod
    def factor_from_cholesky(
        self, precision_cholesky: Array, shape: tuple[int, int]
    ) -> CovarianceFactor:
        """The factorization of K covariances in d dimensions from their `precision_cholesky`."""

    @abstractmethod
    def conditional_deviation(self, precision_cholesky: Array, shape: tuple[int, int]) -> Array:
        """Approximate standard deviations (K, d) of each feature given the others."""

    @abstractmethod
    def covariance_from_precision(self, precision: Array, n_features: int) -> Array:
        """Covariances from precisions.

        Raises
        ------
        ValueError
            If a precision is not symmetric and positive definite.
        """

    def publish(self, covariances: Array) -> Array:
        """Covariances as they are published; a structure can hold them in another form."""
        return covariances

    def adopt(self, published: Array) -> Array:
        """Covariances from their published form.

        Raises
        ------
        ValueError
            If this structure does not allow them.
        """
        return published

    def factor_published(self, published: Array, n_features: int) -> CovarianceFactor:
        """As `factor`, from covariances in the published form, to the last digit."""
        return self.factor(published, n_features, 0.0)

    def published_matrix(self, published: Array, k: int, n_features: int) -> Array:
        """As `matrix`, from covariances or precisions in the published form."""
        return self.matrix(published, k, n_features)

    def parts(self, covariances: Array) -> dict[str, Array]:
        """What is published besides the covariances; see `part_names`."""
        return {}

    def from_parts(self, parts: Mapping[str, Any], shape: tuple[int, int]) -> Array:
        """Covariances of `shape` (n_components, n_features) from their parts.

        Raises
        ------
        ValueError
            If a part is missing or invalid, or if there is a "covariance" that is not theirs.
        """
        raise ValueError(f"covariance_type={self.name!r} has no parts.")

    @abstractmethod
    def matrix(self, covariances: Array, k: int, n_features: int) -> Array:
        """Covariance of component k as a full matrix (n_features, n_features)."""

    @abstractmethod
    def covariance_cholesky(self, precision_cholesky: Array, k: int, n_features: int) -> Array:
        """A matrix R with R R' = Sigma_k: mean + R z is a draw if z is standard normal.

        It is the transposed inverse of the Cholesky factor of the precision, which always exists;
        after rounding, a covariance may have no Cholesky factor.
        """


def finite(vector: Array) -> Array:
    """The vector, if it is finite; DegenerateModelError otherwise."""
    if not np.isfinite(vector).all():
        raise DegenerateModelError("the covariances are not finite")
    return vector


def singular(component: int | None) -> DegenerateModelError:
    """The error for a covariance that is singular to working precision."""
    which = (
        "the tied covariance" if component is None else f"the covariance of component {component}"
    )
    return DegenerateModelError(f"{which} is singular")


# Up to this number of features a plain loop is faster than a call of LAPACK.
_SMALL = 32


def cholesky_factor(covariances: Array, floor: float, tied: bool = False) -> CovarianceFactor:
    """Factorize a stack of matrices; see `CovarianceStructure.factor`."""
    n, d = covariances.shape[:2]
    if compiled is not None and d <= _SMALL:
        factor = CovarianceFactor(np.empty((n, d, d)), np.empty(n), np.empty((n, d)))
        bad = compiled.precision_cholesky(np.ascontiguousarray(covariances), floor, *factor)
        if bad >= 0:
            raise singular(None if tied else bad)
        return factor
    try:
        lower = np.linalg.cholesky(covariances)
    except np.linalg.LinAlgError:
        raise _first_singular(covariances, tied) from None
    # A pivot is the standard deviation of a feature given the ones before it.
    # Before numpy 2, the last bit of logarithms of a strided view depends on addresses.
    pivots = np.diagonal(lower, axis1=1, axis2=2).copy()
    margin = np.square(pivots)
    margin -= 8.0 * d * _EPS * np.diagonal(covariances, axis1=1, axis2=2)
    if not margin.min() > floor * floor:
        component = int(np.argmin(np.nan_to_num(margin, nan=-np.inf).min(axis=1)))
        raise singular(None if tied else component)
    precision_cholesky = np.empty_like(lower)
    for k in range(n):
        # The inverse is exactly triangular, and takes a third of the time of a general one.
        precision_cholesky[k] = lapack.dtrtri(lower[k].T)[0]
    return CovarianceFactor(
        precision_cholesky,
        2.0 * np.log(pivots).sum(axis=1),
        np.square(precision_cholesky).sum(axis=2),
    )


def _first_singular(covariances: Array, tied: bool) -> DegenerateModelError:
    for k, covariance in enumerate(covariances):
        try:
            np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            return singular(None if tied else k)
    return singular(None)


def inverse_of_precisions(precisions: Array) -> Array:
    """Invert a stack of precision matrices, each checked."""
    size = np.sqrt(np.abs(np.diagonal(precisions, axis1=1, axis2=2)))
    allowed = 1e-6 * size[:, :, None] * size[:, None, :]
    if not (np.abs(precisions - precisions.transpose(0, 2, 1)) <= allowed).all():
        raise ValueError("precisions_init must be symmetric.")
    try:
        lower = np.linalg.inv(np.linalg.cholesky(precisions))
    except np.linalg.LinAlgError:
        raise ValueError("precisions_init must be positive definite.") from None
    return lower.transpose(0, 2, 1) @ lower


def sufficient_in_common(weight: Array, n_features: int) -> NDArray[np.bool_]:
    """Components with more than one row, if all rows together are enough for one covariance."""
    # n - K residuals have an inverse covariance with an expectation.
    enough = weight.sum() > len(weight) + n_features + 1
    return (weight > 1.5) & enough


def expected_optimism(numerator: Array, denominator: Array) -> Array:
    """Their ratio; infinite where there are too few rows."""
    found = np.full(len(numerator), np.inf)
    return np.divide(numerator, denominator, out=found, where=denominator > 0.0)
