"""A covariance structure under test, with the moments of random rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.structures import CovarianceStructure

Array = NDArray[Any]


class Moments(NamedTuple):
    """Weighted second moments of K components, in the form for an M-step and in full.

    Attributes
    ----------
    weight : ndarray of shape (n_components,)
        Sums of the responsibilities.
    shift : ndarray of shape (n_components, n_features)
        Means, relative to the origin of `second`.
    second : ndarray
        Sums of r x x' about that origin, in the layout of the structure.
    ridge : ndarray of shape (n_features,)
        Variance to add to each feature.
    scatter : ndarray of shape (n_components, n_features, n_features)
        Sums of squares and products about the means, including the ridge.
    """

    weight: Array
    shift: Array
    second: Array
    ridge: Array
    scatter: Array


@dataclass(frozen=True)
class StructureCase:
    """A structure under test, with the moments of random rows."""

    structure: CovarianceStructure
    n_components: int
    n_features: int
    random_state: int
    rtol: float

    def rng(self) -> np.random.Generator:
        """A new generator, with the same random numbers at each call."""
        return np.random.default_rng(self.random_state)

    @property
    def size(self) -> tuple[int, int]:
        """Number of components, number of features."""
        return self.n_components, self.n_features

    def moments(self, rng: np.random.Generator, nonempty: Array | None = None) -> Moments:
        """Moments of random rows, for all components or only for those that are `nonempty`."""
        (n, d), n_rows = self.size, 6 * self.n_features
        mixing = rng.normal(size=(n, d, d)) + 1.5 * np.eye(d)
        rows = mixing @ rng.normal(size=(n, d, n_rows))
        resp = rng.uniform(0.1, 1.0, (n, n_rows)) * rng.uniform(0.5, 2.0, (n, 1))
        shift, ridge = rng.normal(size=(n, d)), rng.uniform(0.1, 0.3, d)
        if nonempty is not None:
            rows, resp, shift = rows[nonempty], resp[nonempty], shift[nonempty]
        n = len(rows)
        weight = resp.sum(axis=1)
        rows -= ((rows * resp[:, None]).sum(axis=2) / weight[:, None])[:, :, None]
        scatter = (rows * resp[:, None]) @ rows.transpose(0, 2, 1)
        scatter += weight[:, None, None] * np.diag(ridge)
        second = self.structure.new_scatter(n, d)
        for k in range(n):
            self.structure.scatter(rows[k] + shift[k][:, None], np.sqrt(resp[k]), k, second)
        return Moments(weight, shift, second, ridge, scatter)

    def estimate(self, moments: Moments) -> Array:
        """The structure's M-step."""
        return self.structure.estimate(*moments[:4])

    @cached_property
    def problems(self) -> tuple[Moments, ...]:
        """Moments of three sets of rows."""
        rng = self.rng()
        return tuple(self.moments(rng) for _ in range(3))

    @cached_property
    def points(self) -> tuple[Array, ...]:
        """Covariances fitted to the `problems`."""
        return tuple(self.estimate(moments) for moments in self.problems)

    def matrices(self, covariances: Array, n_components: int | None = None) -> Array:
        """All covariances as full matrices (n_components, n_features, n_features)."""
        n = self.n_components if n_components is None else n_components
        return np.array([self.structure.matrix(covariances, k, self.n_features) for k in range(n)])

    def published_matrices(self, published: Array) -> Array:
        """Covariances or precisions in the published form as full matrices."""
        d = self.n_features
        return np.array(
            [self.structure.published_matrix(published, k, d) for k in range(self.n_components)]
        )

    def factor(self, covariances: Array) -> Any:
        """The factor of the structure; DegenerateModelError if singular."""
        return self.structure.factor(covariances, self.n_features, 0.0)

    def again(self, covariances: Array) -> Array:
        """The M-step from rows with exactly these covariances."""
        weight = self.rng().uniform(1.0, 3.0, self.n_components)
        second = self.structure.new_scatter(*self.size)
        for k, matrix in enumerate(self.matrices(covariances)):
            values, vectors = np.linalg.eigh(matrix)
            rows = vectors * np.sqrt(np.maximum(values, 0.0))
            self.structure.scatter(rows, np.full(len(rows), np.sqrt(weight[k])), k, second)
        zero = np.zeros(self.size)
        return self.structure.estimate(weight, zero, second, zero[0])

    def distance_from_set(self, covariances: Array) -> float:
        """How far the M-step moves covariances. It is 0 for those in the set."""
        before = self.matrices(covariances)
        size = np.abs(before).max(axis=(1, 2), keepdims=True)
        return float((np.abs(self.matrices(self.again(covariances)) - before) / size).max())

    def require_in_set(self, covariances: Array, what: str, look_at: str) -> None:
        """Fail if the M-step moves the covariances."""
        gap = self.distance_from_set(covariances)
        if not gap <= self.rtol:
            self.fail(
                f"{what} are not in the structure: the M-step from rows with exactly these "
                f"covariances moves them by {gap:.3g} (relative); {self.rtol:.1g} is allowed",
                look_at,
            )

    def require_same(self, found: Array, expected: Array, what: str, look_at: str) -> None:
        """Fail if two arrays differ by more than rounding."""
        if np.shape(found) != np.shape(expected):
            self.fail(f"{what} has shape {np.shape(found)}, not {np.shape(expected)}", look_at)
        gap = float(np.abs(np.subtract(found, expected)).max(initial=0.0))
        allowed = self.rtol * max(float(np.abs(expected).max(initial=0.0)), 1e-300)
        if not gap <= allowed:
            self.fail(f"{what} is off by {gap:.3g}; {allowed:.1g} is allowed", look_at)

    def fail(self, found: str, look_at: str) -> NoReturn:
        """Raise an AssertionError."""
        raise AssertionError(f"{type(self.structure).__name__}: {found}. Look at {look_at}.")


def expected_log_likelihood(matrices: Array, weight: Array, scatter: Array) -> float:
    """What the M-step maximizes: -sum (N log|Sigma| + tr(inv(Sigma) W)) / 2 over components."""
    log_det = np.linalg.slogdet(matrices)[1]
    trace = np.trace(np.linalg.solve(matrices, scatter), axis1=1, axis2=2)
    return -0.5 * float(weight @ log_det + trace.sum())
