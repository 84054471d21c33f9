"""The distribution of the latent trait: normal, in groups or given covariates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from emlearn.irt._quadrature import Grid

Array = NDArray[np.float64]

# The largest correlation of two dimensions that a grid can still resolve.
_LARGEST_CORRELATION = 0.98


class LatentParams(NamedTuple):
    """Parameters of the latent trait.

    Attributes
    ----------
    means : ndarray of shape (n_groups, n_dims)
        Mean of each group.
    covariances : ndarray of shape (n_groups, n_dims, n_dims)
        Covariance of each group, or of the residuals of the latent regression.
    coefficients : ndarray of shape (n_covariates, n_dims)
        Coefficients of the covariates.
    """

    means: Array
    covariances: Array
    coefficients: Array


class LatentMoments(NamedTuple):
    """Expected sufficient statistics of the latent trait; they can be added.

    Attributes
    ----------
    weight : ndarray of shape (n_groups,)
        Weight of the persons.
    first : ndarray of shape (n_groups, n_dims)
        Sum of the trait.
    second : ndarray of shape (n_groups, n_dims, n_dims)
        Sum of its squares and products.
    gram : ndarray of shape (n_covariates, n_covariates)
        Squares and products of the covariates.
    cross : ndarray of shape (n_covariates, n_dims)
        Products of the covariates with the trait.
    """

    weight: Array
    first: Array
    second: Array
    gram: Array
    cross: Array


@dataclass(frozen=True)
class LatentLaw:
    """Normal distribution of the latent trait of the persons of each group.

    Parameters
    ----------
    n_dims : int, default=1
        Number of dimensions.
    n_groups : int, default=1
        Number of groups. The mean and variances of the first are 0 and 1, unless `free_first`.
    n_covariates : int, default=0
        Number of covariates of a latent regression, in which the residuals have variances of 1.
    correlated : bool, default=False
        Whether the dimensions may be correlated.
    free_first : bool, default=False
        Whether the first group's mean and variances are estimated, too.
    """

    n_dims: int = 1
    n_groups: int = 1
    n_covariates: int = 0
    correlated: bool = False
    free_first: bool = False

    @property
    def is_fixed(self) -> bool:
        """Whether nothing is estimated."""
        return not (
            self.n_covariates or self.n_groups > 1 or self.free_first or self._has_correlations
        )

    @property
    def _has_correlations(self) -> bool:
        return self.correlated and self.n_dims > 1

    @property
    def moves(self) -> bool:
        """Whether persons differ in their means, so that the nodes have to reach further."""
        return bool(self.n_covariates) or self.n_groups > 1 or self.free_first

    def start(self) -> LatentParams:
        """Means of 0 and variances of 1."""
        eye = np.broadcast_to(np.eye(self.n_dims), (self.n_groups, self.n_dims, self.n_dims))
        return LatentParams(
            np.zeros((self.n_groups, self.n_dims)),
            eye.copy(),
            np.zeros((self.n_covariates, self.n_dims)),
        )

    def log_weights(self, params: LatentParams, grid: Grid) -> Array:
        """Log-weights of the nodes, of shape (n_groups, n_nodes), for covariates of 0."""
        centered: Array = np.subtract(grid.nodes, params.means[:, None, :])
        precision = np.linalg.inv(params.covariances)
        squares = np.einsum("gqi,gij,gqj->gq", centered, precision, centered)
        constant = np.linalg.slogdet(params.covariances)[1] + self.n_dims * np.log(2.0 * np.pi)
        return np.asarray(grid.log_volume - 0.5 * (squares + constant[:, None]), np.float64)

    def m_step(self, moments: LatentMoments, params: LatentParams, grid: Grid) -> LatentParams:
        """Parameters that maximize the expected log-density of the trait."""
        if self.is_fixed:
            return params
        coefficients: Array = params.coefficients
        if self.n_covariates:
            coefficients = np.asarray(np.linalg.solve(moments.gram, moments.cross))
        means, covariances = params.means.copy(), params.covariances.copy()
        for group in range(self.n_groups):
            weight = moments.weight[group]
            if weight <= 0.0:
                continue
            second = moments.second[group] / weight
            if group or self.free_first:
                means[group] = moments.first[group] / weight
                scatter = second - np.outer(means[group], means[group])
                covariances[group] = self._covariance(scatter, grid)
            elif self._has_correlations:
                if self.n_covariates:
                    fitted = moments.cross.T @ coefficients / weight
                    second = second - fitted
                covariances[group] = _correlation(second, covariances[group])
        return LatentParams(means, covariances, coefficients)

    def _covariance(self, scatter: Array, grid: Grid) -> Array:
        """Covariance of a group, whose standard deviations are at least the spacing."""
        least = grid.spacing**2
        if not self._has_correlations:
            return np.diag(np.maximum(np.diag(scatter), least))
        values, vectors = np.linalg.eigh(0.5 * (scatter + scatter.T))
        clipped = (vectors * np.maximum(values, least)) @ vectors.T
        return np.asarray(clipped, np.float64)

    def to_vector(self, params: LatentParams) -> Array:
        """Free parameters as an unconstrained vector."""
        parts = [params.coefficients.ravel()]
        for group in range(self.n_groups):
            covariance = params.covariances[group]
            if group or self.free_first:
                parts.append(params.means[group])
                factor = np.linalg.cholesky(covariance)
                parts.append(np.log(np.diag(factor)))
                if self._has_correlations:
                    parts.append(factor[np.tril_indices(self.n_dims, -1)])
            elif self._has_correlations:
                # Rows of a Cholesky factor with unit diagonal determine a correlation.
                factor = np.linalg.cholesky(covariance)
                parts.append((factor / np.diag(factor)[:, None])[np.tril_indices(self.n_dims, -1)])
        return np.concatenate(parts)

    def from_vector(self, vector: Array, like: LatentParams, grid: Grid) -> LatentParams:
        """Inverse of `to_vector`."""
        size, at = self.n_dims, like.coefficients.size
        coefficients = vector[:at].reshape(like.coefficients.shape)
        means, covariances = like.means.copy(), like.covariances.copy()
        n_below = size * (size - 1) // 2 if self._has_correlations else 0
        below = np.tril_indices(size, -1)
        for group in range(self.n_groups):
            factor = np.eye(size)
            if group or self.free_first:
                means[group] = vector[at : at + size].clip(-1e3, 1e3)
                at += size
                np.fill_diagonal(factor, np.exp(vector[at : at + size].clip(-20.0, 20.0)))
                at += size
                factor[below] = vector[at : at + n_below] if n_below else 0.0
                at += n_below
                covariances[group] = self._covariance(factor @ factor.T, grid)
            elif n_below:
                factor[below] = vector[at : at + n_below].clip(-1e3, 1e3)
                at += n_below
                covariances[group] = _as_correlation(factor)
        return LatentParams(means, covariances, coefficients)

    def turned(self, params: LatentParams, sign: Array) -> LatentParams:
        """Parameters of the trait with the signs of its dimensions changed."""
        return LatentParams(
            params.means * sign,
            params.covariances * sign[:, None] * sign,
            params.coefficients * sign,
        )


def _as_correlation(factor: Array) -> Array:
    """Correlation of a lower triangular factor, whose rows are brought to length 1."""
    rows = factor / np.linalg.norm(factor, axis=1, keepdims=True)
    correlation = (rows @ rows.T).clip(-_LARGEST_CORRELATION, _LARGEST_CORRELATION)
    np.fill_diagonal(correlation, 1.0)
    return correlation


def _correlation(second: Array, current: Array) -> Array:
    """Correlation matrix that maximizes the normal density of these second moments."""
    size = len(second)
    below = np.tril_indices(size, -1)

    def build(free: Array) -> Array:
        factor = np.eye(size)
        factor[below] = free
        return _as_correlation(factor)

    def loss(free: Array) -> float:
        matrix = build(free)
        value = np.linalg.slogdet(matrix)[1] + np.trace(np.linalg.solve(matrix, second))
        return float(value)

    factor = np.linalg.cholesky(current)
    start = (factor / np.diag(factor)[:, None])[below]
    found = minimize(loss, start, method="BFGS", options={"gtol": 1e-9})
    return build(found.x) if found.fun < loss(start) else current
