"""A linear Gaussian state-space model as matrices."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class System(NamedTuple):
    """Matrices of a linear Gaussian state-space model.

        x[t+1] = A x[t] + B u[t] + w[t],    w ~ N(0, Q),
        y[t]   = C x[t] + D r[t] + v[t],    v ~ N(0, R).

    Attributes
    ----------
    transition : ndarray of shape (n_states, n_states)
        A.
    observation : ndarray of shape (n_features, n_states)
        C.
    inputs : ndarray of shape (n_states, n_inputs)
        B.
    regression : ndarray of shape (n_features, n_regressors)
        D; r holds the inputs, and 1 if observations have an offset.
    transition_covariance : ndarray of shape (n_states, n_states)
        Q.
    observation_covariance : ndarray of shape (n_features, n_features) or (n_features,)
        R; its diagonal if it is diagonal.
    initial_mean : ndarray of shape (n_states,)
        Mean of the first state.
    initial_covariance : ndarray of shape (n_states, n_states)
        Covariance of the first state.
    """

    transition: Array
    observation: Array
    inputs: Array
    regression: Array
    transition_covariance: Array
    observation_covariance: Array
    initial_mean: Array
    initial_covariance: Array

    @property
    def dynamics(self) -> Array:
        """A and B, (n_states, n_states + n_inputs)."""
        return np.hstack((self.transition, self.inputs))

    @property
    def loadings(self) -> Array:
        """C and D, (n_features, n_states + n_regressors)."""
        return np.hstack((self.observation, self.regression))

    def with_dynamics(self, dynamics: Array) -> System:
        """The model with other A and B."""
        n = self.transition.shape[0]
        return self._replace(transition=dynamics[:, :n], inputs=dynamics[:, n:])

    def with_loadings(self, loadings: Array) -> System:
        """The model with other C and D."""
        n = self.transition.shape[0]
        return self._replace(observation=loadings[:, :n], regression=loadings[:, n:])


def covariance_root(matrix: Array) -> Array:
    """A square root of a positive semidefinite matrix: ``root @ root.T`` is the matrix."""
    size = np.sqrt(np.maximum(np.diagonal(matrix), 0.0))
    scale = np.where(size > 0.0, size, 1.0)
    scaled = matrix / scale[:, None] / scale
    try:
        return scale[:, None] * np.linalg.cholesky(scaled)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(scaled)
        return scale[:, None] * vectors * np.sqrt(np.maximum(values, 0.0))


def as_matrix(covariance: Array) -> Array:
    """A covariance matrix, from it or from its diagonal."""
    return np.diag(covariance) if covariance.ndim == 1 else covariance
