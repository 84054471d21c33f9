"""The distribution of the latent trait: normal, in groups or given covariates."""

from __future__ import annotations

from collections.abc import Mapping
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
            self.n_covariates or self.n_groups > 1 or self.free_first or self.has_correlations
        )

    @property
    def has_correlations(self) -> bool:
        """Whether there are correlations of dimensions to estimate."""
        return self.correlated and self.n_dims > 1

    @property
    def moves(self) -> bool:
        """Whether persons differ in their means, so that the nodes have to reach further."""
        return bool(self.n_covariates) or self.n_groups > 1 or self.free_first

    @property
    def estimates_covariances(self) -> bool:
        """Whether any variance or correlation is estimated."""
        return self.has_correlations or self.n_groups > 1 or self.free_first

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

    def m_step(
        self,
        moments: LatentMoments,
        params: LatentParams,
        grid: Grid,
        fixed: Mapping[str, Array] | None = None,
    ) -> LatentParams:
        """Parameters that maximize the expected log-density of the trait.

        Parameters
        ----------
        moments : LatentMoments
            Moments at `params`.
        params : LatentParams
            Current parameters.
        grid : Grid
            The nodes.
        fixed : mapping of str to ndarray, default=None
            Entries of "latent_mean" and "coefficients" that are held; NaN where free.
        """
        if self.is_fixed:
            return params
        fixed = fixed or {}
        coefficients = params.coefficients
        if self.n_covariates:
            coefficients = _regression(moments, fixed.get("coefficients"))
        means, covariances = params.means.copy(), params.covariances.copy()
        for group in range(self.n_groups):
            weight = moments.weight[group]
            if weight > 0.0 and (group or self.free_first):
                means[group] = moments.first[group] / weight
        if "latent_mean" in fixed:
            held = fixed["latent_mean"]
            means = np.where(np.isnan(held), means, held)
        scatter = residual_scatter(moments, LatentParams(means, covariances, coefficients))
        for group in range(self.n_groups):
            weight = moments.weight[group]
            if weight > 0.0 and (group or self.free_first):
                covariances[group] = self._covariance(scatter[group] / weight, grid)
            elif weight > 0.0 and self.has_correlations:
                covariances[group] = _correlation(scatter[group] / weight, covariances[group])
        return LatentParams(means, covariances, coefficients)

    def _covariance(self, scatter: Array, grid: Grid) -> Array:
        """Covariance of a group, whose standard deviations are at least the spacing."""
        least = grid.spacing**2
        if not self.has_correlations:
            return np.diag(np.maximum(np.diag(scatter), least))
        values, vectors = np.linalg.eigh(0.5 * (scatter + scatter.T))
        clipped = (vectors * np.maximum(values, least)) @ vectors.T
        return np.asarray(clipped, np.float64)

    def to_vector(self, params: LatentParams) -> Array:
        """Free parameters as an unconstrained vector."""
        means = params.means if self.free_first else params.means[1:]
        return np.concatenate(
            [
                params.coefficients.ravel(),
                means.ravel(),
                self.covariances_to_vector(params.covariances),
            ]
        )

    def from_vector(self, vector: Array, like: LatentParams, grid: Grid) -> LatentParams:
        """Inverse of `to_vector`."""
        first = 0 if self.free_first else 1
        at = like.coefficients.size
        end = at + like.means[first:].size
        means = like.means.copy()
        means[first:] = vector[at:end].reshape(-1, self.n_dims).clip(-1e3, 1e3)
        return LatentParams(
            means,
            self.covariances_from_vector(vector[end:], like.covariances, grid),
            vector[:at].reshape(like.coefficients.shape),
        )

    def covariances_to_vector(self, covariances: Array) -> Array:
        """Free entries of the covariances: of Cholesky factors, the diagonal as logarithms."""
        parts = [np.empty(0)]
        if not self.estimates_covariances:
            return parts[0]
        below = np.tril_indices(self.n_dims, -1)
        for group, covariance in enumerate(covariances):
            factor = np.linalg.cholesky(covariance)
            if group or self.free_first:
                parts.append(np.log(np.diag(factor)))
                if self.has_correlations:
                    parts.append(factor[below])
            elif self.has_correlations:
                # Rows of a Cholesky factor with unit diagonal determine a correlation.
                parts.append((factor / np.diag(factor)[:, None])[below])
        return np.concatenate(parts)

    def covariances_from_vector(self, vector: Array, like: Array, grid: Grid) -> Array:
        """Inverse of `covariances_to_vector`."""
        size, at, covariances = self.n_dims, 0, like.copy()
        below = np.tril_indices(size, -1)
        n_below = len(below[0]) if self.has_correlations else 0
        for group in range(self.n_groups):
            factor = np.eye(size)
            if group or self.free_first:
                np.fill_diagonal(factor, np.exp(vector[at : at + size].clip(-20.0, 20.0)))
                at += size
                factor[below] = vector[at : at + n_below] if n_below else 0.0
                at += n_below
                covariances[group] = self._covariance(factor @ factor.T, grid)
            elif n_below:
                factor[below] = vector[at : at + n_below].clip(-1e3, 1e3)
                at += n_below
                covariances[group] = _as_correlation(factor)
        return covariances

    def turned(self, params: LatentParams, sign: Array) -> LatentParams:
        """Parameters of the trait with the signs of its dimensions changed."""
        return LatentParams(
            params.means * sign,
            params.covariances * sign[:, None] * sign,
            params.coefficients * sign,
        )


def residual_scatter(moments: LatentMoments, params: LatentParams) -> Array:
    """Sum of squares and products about the means, of shape (n_groups, n_dims, n_dims)."""
    mean, first = params.means, moments.first
    both = first[:, :, None] * mean[:, None, :]
    scatter: Array = (
        moments.second
        - both
        - both.transpose(0, 2, 1)
        + moments.weight[:, None, None] * mean[:, :, None] * mean[:, None, :]
    )
    if len(params.coefficients):
        fitted = moments.cross.T @ params.coefficients
        explained = params.coefficients.T @ moments.gram @ params.coefficients
        scatter = scatter - fitted - fitted.T + explained
    return scatter


def _regression(moments: LatentMoments, fixed: Array | None) -> Array:
    """Coefficients of least squares of the expected trait, some of which may be held."""
    if fixed is None:
        return np.asarray(np.linalg.solve(moments.gram, moments.cross), np.float64)
    found = fixed.copy()
    for dim in range(fixed.shape[1]):
        free = np.isnan(fixed[:, dim])
        right = moments.cross[:, dim] - moments.gram[:, ~free] @ fixed[~free, dim]
        found[free, dim] = np.linalg.solve(moments.gram[np.ix_(free, free)], right[free])
    return found


def _as_correlation(factor: Array) -> Array:
    """Correlation of a lower triangular factor, whose rows are brought to length 1."""
    rows = factor / np.linalg.norm(factor, axis=1, keepdims=True)
    correlation = (rows @ rows.T).clip(-_LARGEST_CORRELATION, _LARGEST_CORRELATION)
    np.fill_diagonal(correlation, 1.0)
    return correlation


def _correlation(second: Array, current: Array) -> Array:
    """Correlation matrix that maximizes the normal density of these second moments."""
    size = len(second)
    if size == 2:
        return _correlation_of_two(second)
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


def _correlation_of_two(second: Array) -> Array:
    """The real root of a cubic at which the density of two dimensions is largest."""
    both, total = second[0, 1], second[0, 0] + second[1, 1]
    roots = np.roots([1.0, -both, total - 1.0, -both])
    real = roots[np.abs(roots.imag) < 1e-9].real
    # Where there are three, rounding decides which are real; those outside are not correlations.
    r = np.append(real, both / max(total / 2.0, abs(both), 1e-300)).clip(
        -_LARGEST_CORRELATION, _LARGEST_CORRELATION
    )
    loss = np.log1p(-(r**2)) + (total - 2.0 * r * both) / (1.0 - r**2)
    best = float(r[loss.argmin()])
    return np.array([[1.0, best], [best, 1.0]])
