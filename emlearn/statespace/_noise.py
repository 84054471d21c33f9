"""The noise of the observations: what of a row tells of the state, and what the M-step needs.

With noise of any covariance R, missing entries are latent variables too. Given the state, the
residuals ``e = y - C x - D r`` of the missing entries m follow from those of the observed ones o:

    E[e_m] = R_mo inv(R_oo) e_o,    Cov[e_m] = R_mm - R_mo inv(R_oo) R_om.

With diagonal noise, each column has a regression of its own on the rows where it is observed. The
moments are those of residuals, which are small, not of observations: there is no cancellation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from emlearn.engine.errors import DegenerateModelError
from emlearn.statespace._data import Block, Index
from emlearn.statespace._system import System

Array = NDArray[np.float64]


class Whitened(NamedTuple):
    """Observed entries whose noise has variance 1 and is uncorrelated.

    Attributes
    ----------
    rows : ndarray of shape (n_rows, n_states)
        Rows of the observation matrix.
    entries, bounds : ndarray of int
        Rows of each pattern; see `emlearn.kernels.state_space.Recursion`.
    observations : ndarray of shape (n_sequences, n_observations)
        The entries, one step after another.
    log_determinant : float
        Sum of the log-determinants of the noise over the steps of a sequence.
    """

    rows: Array
    entries: Index
    bounds: Index
    observations: Array
    log_determinant: float


class Regression(NamedTuple):
    """Expected moments of residuals e and regressors z; sums over rows.

    Attributes
    ----------
    squares : ndarray of shape (n_features, n_features) or (n_features,)
        Of e and e'; the diagonal if the columns are separate.
    cross : ndarray of shape (n_features, n_regressors)
        Of e and z'.
    regressors : ndarray of shape (n_regressors, n_regressors), or one for each feature
        Of z and z'.
    total : float or ndarray of shape (n_features,)
        Weighted numbers of rows.
    """

    squares: Array
    cross: Array
    regressors: Array
    total: Any


class States(NamedTuple):
    """Smoothed states of a block, with what stands for unknown first states.

    Attributes
    ----------
    means : ndarray of shape (n_sequences + n_directions, n_steps, n_states)
        Expected states; then directions of their uncertainty that all sequences share.
    weight : ndarray of shape (n_sequences + n_directions,)
        Weights.
    of_pattern : ndarray of shape (n_patterns, n_states, n_states)
        Covariances of the states, summed over the steps of each pattern.
    """

    means: Array
    weight: Array
    of_pattern: Array


def residuals(block: Block, system: System, means: Array) -> tuple[Array, Array]:
    """Residuals and regressors of the observations at expected states; directions have no data."""
    extra = len(means) - len(block.observed)
    regressors = block.regressors
    found = block.observed - regressors @ system.regression.T
    if extra:
        shape = (extra, *found.shape[1:])
        found = np.concatenate((found, np.zeros(shape)))
        regressors = np.concatenate((regressors, np.zeros((*shape[:2], regressors.shape[2]))))
    return found - means @ system.observation.T, np.concatenate((means, regressors), axis=2)


class ObservationNoise(ABC):
    """Strategy for noise of one kind."""

    @abstractmethod
    def whiten(self, block: Block, system: System) -> Whitened:
        """Observed entries with noise of variance 1."""

    @abstractmethod
    def moments(self, block: Block, system: System, states: States) -> Regression:
        """What the M-step of C, D and R needs."""


@dataclass(frozen=True)
class DiagonalNoise(ObservationNoise):
    """Noise that is independent from column to column."""

    def whiten(self, block: Block, system: System) -> Whitened:
        """See `ObservationNoise`."""
        deviation = np.sqrt(system.observation_covariance)
        rows = system.observation / deviation[:, None]
        scaled = (block.observed - block.regressors @ system.regression.T) / deviation
        index, bounds = _pattern_index(block)
        complete = block.complete
        observations = scaled.reshape(len(scaled), -1) if complete else scaled[:, block.mask]
        counts = np.bincount(block.pattern, minlength=len(block.patterns)) @ block.patterns
        log_determinant = float(counts @ np.log(system.observation_covariance))
        return Whitened(rows, index, bounds, observations, log_determinant)

    def moments(self, block: Block, system: System, states: States) -> Regression:
        """See `ObservationNoise`."""
        e, z = residuals(block, system, states.means)
        n, k, m = system.transition.shape[0], z.shape[2], e.shape[2]
        C, total = system.observation, float(block.weight.sum())
        steps = np.bincount(block.pattern, minlength=len(block.patterns))
        covariances = total * np.tensordot(block.patterns.T.astype(float), states.of_pattern, 1)
        if block.complete:
            weighted = states.weight[:, None, None] * z
            moment = weighted.reshape(-1, k).T @ z.reshape(-1, k)
            regressors = np.broadcast_to(moment, (m, k, k)).copy()
        else:
            e = e * block.mask
            regressors = np.zeros((m, k, k))
            for p, observed in enumerate(block.patterns):
                own = z[:, block.pattern == p].reshape(-1, k)
                weight = np.repeat(states.weight, steps[p])[:, None]
                regressors[observed] += (weight * own).T @ own
        weighted_e = states.weight[:, None, None] * e
        cross = weighted_e.reshape(-1, m).T @ z.reshape(-1, k)
        cross[:, :n] -= np.einsum("in,inp->ip", C, covariances)
        regressors[:, :n, :n] += covariances
        squares = np.einsum("gti,gti->i", weighted_e, e)
        squares += np.einsum("in,inp,ip->i", C, covariances, C)
        return Regression(squares, cross, regressors, total * (steps @ block.patterns))


@dataclass(frozen=True)
class FullNoise(ObservationNoise):
    """Noise of any covariance."""

    def whiten(self, block: Block, system: System) -> Whitened:
        """See `ObservationNoise`."""
        C, R = system.observation, system.observation_covariance
        values = block.observed - block.regressors @ system.regression.T
        sizes = block.patterns.sum(axis=1)
        begins = np.concatenate(([0], np.cumsum(sizes[block.pattern])))
        observations = np.empty((len(values), begins[-1]))
        rows, log_determinant = [], 0.0
        for p, observed in enumerate(block.patterns):
            steps = np.flatnonzero(block.pattern == p)
            root = _cholesky(R[np.ix_(observed, observed)])
            rows.append(_solve(root, C[observed]))
            own = values[:, steps][:, :, observed]
            white = _solve(root, own.reshape(len(values) * len(steps), sizes[p]).T).T
            places = begins[steps][:, None] + np.arange(sizes[p])
            observations[:, places.ravel()] = white.reshape(len(values), -1)
            log_determinant += 2.0 * len(steps) * float(np.log(np.diagonal(root).copy()).sum())
        bounds = np.concatenate(([0], np.cumsum(sizes))).astype(np.intp)
        index = np.arange(bounds[-1], dtype=np.intp)
        return Whitened(np.concatenate(rows), index, bounds, observations, log_determinant)

    def moments(self, block: Block, system: System, states: States) -> Regression:
        """See `ObservationNoise`."""
        e, z = residuals(block, system, states.means)
        n, k, m = system.transition.shape[0], z.shape[2], e.shape[2]
        R, total = system.observation_covariance, float(block.weight.sum())
        squares, cross = np.zeros((m, m)), np.zeros((m, k))
        regressors = np.zeros((k, k))
        for p, observed in enumerate(block.patterns):
            steps = np.flatnonzero(block.pattern == p)
            V = total * states.of_pattern[p]
            own_e = e if block.complete else e[:, steps][:, :, observed]
            own_z = (z if block.complete else z[:, steps]).reshape(-1, k)
            own_e = own_e.reshape(len(own_z), -1)
            weight = np.repeat(states.weight, len(steps))[:, None]
            loadings = system.observation[observed]
            if not observed.all():
                fill = self._fill(R, observed)
                own_e, loadings = own_e @ fill.T, fill @ loadings
                squares += total * len(steps) * (R - fill @ R[observed])
            squares += (weight * own_e).T @ own_e + loadings @ V @ loadings.T
            cross += (weight * own_e).T @ own_z
            cross[:, :n] -= loadings @ V
            regressors += (weight * own_z).T @ own_z
            regressors[:n, :n] += V
        return Regression(squares, cross, regressors, total * len(block.pattern))

    @staticmethod
    def _fill(R: Array, observed: NDArray[np.bool_]) -> Array:
        """Residuals of all entries from those of the observed ones."""
        root = _cholesky(R[np.ix_(observed, observed)])
        half = _solve(root, R[observed])
        fill = _solve(root, half, transposed=True).T
        fill[observed] = np.eye(int(observed.sum()))
        return fill


def _pattern_index(block: Block) -> tuple[Index, Index]:
    index = np.nonzero(block.patterns)[1].astype(np.intp)
    bounds = np.concatenate(([0], np.cumsum(block.patterns.sum(axis=1)))).astype(np.intp)
    return index, bounds


def _cholesky(matrix: Array) -> Array:
    try:
        root = np.asarray(np.linalg.cholesky(matrix), np.float64)
    except np.linalg.LinAlgError:
        raise DegenerateModelError(
            "the covariance of the observation noise is not positive definite"
        ) from None
    return root


def _solve(root: Array, right: Array, *, transposed: bool = False) -> Array:
    if not right.size:
        return right
    solved: Array = solve_triangular(root, right, lower=True, trans="T" if transposed else "N")
    return solved
