"""The E-step of all linear Gaussian state-space models.

For residuals ``w[t] = x[t+1] - A x[t] - B u[t]`` and regressors ``z[t] = (x[t], u[t])`` it finds
the sums over the transitions of E[w w'], E[w z'] and E[z z'], with P the covariance of the
filtered state and N the precision of the backward pass (see `emlearn.kernels.state_space`):

    Cov[w] = Q - Q N Q,    Cov[w, x] = -Q N A P.

These are differences that are never taken between large numbers. A full M-step is then the
regression of w on z, which is added to A and B. The cost of an E-step is of order
``n_steps (n_states^3 + n_features n_states^2)`` until covariances are steady, and
``n_steps n_states (n_states + n_features)`` from then on.

References
----------
R. H. Shumway and D. S. Stoffer (1982). "An approach to time series smoothing and forecasting using
the EM algorithm". Journal of Time Series Analysis 3(4), 253-264.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from emlearn.engine.errors import DegenerateModelError
from emlearn.engine.model import LatentVariableModel
from emlearn.kernels.state_space import Recursion, smooth_states
from emlearn.statespace._data import Block, Observations, SequenceData, prepare_sequences
from emlearn.statespace._noise import DiagonalNoise, ObservationNoise, Regression, States
from emlearn.statespace._start_law import UnknownStart
from emlearn.statespace._system import System, covariance_root

Array = NDArray[np.float64]
ParamsT = TypeVar("ParamsT")

_DIAGONAL, _KNOWN = DiagonalNoise(), UnknownStart()


class Start(NamedTuple):
    """Expected moments of the first states x about their mean.

    Attributes
    ----------
    deviation : ndarray of shape (n_states,)
        Sum of E[x] less the mean.
    squares : ndarray of shape (n_states, n_states)
        Sum of expected squares about the mean.
    total : float
        Weighted number of sequences.
    """

    deviation: Array
    squares: Array
    total: float


class Moments(NamedTuple):
    """Expected sufficient statistics of a state-space model.

    Attributes
    ----------
    dynamics : Regression
        Of the residuals of transitions on states and inputs.
    observation : Regression
        Of the residuals of observations on states and regressors.
    start : Start
        Of the first states.
    """

    dynamics: Regression
    observation: Regression
    start: Start


class SmoothedBlock(NamedTuple):
    """Smoothed states of a block.

    Attributes
    ----------
    states : States
        The states.
    log_likelihood : ndarray of shape (n_sequences,)
        Log-likelihood of each sequence.
    first, last, information, cross
        See `emlearn.kernels.state_space.Smoothed`.
    covariances : ndarray of shape (n_steps, n_states, n_states) or None
        Covariances of the states.
    """

    states: States
    log_likelihood: Array
    first: Array
    last: Array
    information: Array
    cross: Array
    covariances: Array | None


class BlockRecursion(NamedTuple):
    """Arguments of the kernels for a block.

    Attributes
    ----------
    recursion, observations, inputs, initial
        See `emlearn.kernels.state_space.filter_states`.
    log_determinant : float
        Of the noise of the observed entries of a sequence.
    """

    recursion: Recursion
    observations: Array
    inputs: Array | None
    initial: Array
    log_determinant: float


class Prepared(NamedTuple):
    """A system with roots of its covariances."""

    system: System
    noise_root: Array
    initial_root: Array


@dataclass(frozen=True)
class StateSpaceModel(LatentVariableModel[SequenceData, ParamsT, Moments], Generic[ParamsT]):
    """A model whose parameters stand for a linear Gaussian state-space model.

    Parameters
    ----------
    noise : ObservationNoise
        Kind of the noise of the observations.
    start : UnknownStart
        First states without a prior.
    """

    noise: ObservationNoise = _DIAGONAL
    start: UnknownStart = _KNOWN

    @abstractmethod
    def system(self, params: ParamsT) -> System:
        """The matrices."""

    def prepare(self, X: Observations, sample_weight: Array | None = None) -> SequenceData:
        """See `LatentVariableModel`; weights are those of sequences."""
        return prepare_sequences(X, sample_weight)

    def blocks(self, data: SequenceData) -> Sequence[Block]:
        """See `LatentVariableModel`."""
        return data.blocks

    def total_weight(self, data: SequenceData) -> float:
        """See `LatentVariableModel`: the weighted number of rows."""
        return data.n_rows

    def precompute(self, params: ParamsT) -> Prepared:
        """See `LatentVariableModel`."""
        system = self.system(params)
        known = self.start.known(system.initial_covariance)
        return Prepared(
            system, covariance_root(system.transition_covariance), covariance_root(known)
        )

    def e_step(self, block: Block, params: Prepared) -> tuple[Moments, float]:
        """See `LatentVariableModel`."""
        with np.errstate(over="ignore", invalid="ignore"):
            smoothed = self.smooth(block, params)
            system, states = params.system, smoothed.states
            moments = Moments(
                _dynamics(block, system, smoothed),
                self.noise.moments(block, system, states),
                _start(block, system, smoothed),
            )
        return moments, float(block.weight @ smoothed.log_likelihood)

    def smooth(self, block: Block, params: Prepared, *, covariances: bool = False) -> SmoothedBlock:
        """States of the sequences of a block given all observations.

        Raises
        ------
        DegenerateModelError
            If the likelihood is not finite, or unknown first states are not determined.
        """
        n_sequences = len(block.observed)
        problem = self.recursion(block, params)
        found = smooth_states(
            problem.recursion,
            problem.observations,
            problem.inputs,
            problem.initial,
            covariances=covariances,
        )
        if not (np.isfinite(found.log_determinant) and np.isfinite(found.innovations).all()):
            raise DegenerateModelError("the states grow beyond the range of float64")
        response, means = found.innovations[:n_sequences], found.means[:n_sequences]
        every, weight = found.covariances, block.weight
        if self.start.columns:
            solved = self.start.solve(found.innovations[n_sequences:], response)
            columns = found.means[n_sequences:]
            means = means + np.tensordot(solved.estimate, columns, 1)
            quadratic, log_density = solved.quadratic, solved.log_density
            if self.start.flat:
                spread = np.tensordot(solved.root, columns, 1)
                means = np.concatenate((means, spread))
                weight = np.concatenate((weight, np.full(len(spread), weight.sum())))
                if every is not None:
                    every = every + np.einsum("ktn,ktp->tnp", spread, spread)
        else:
            quadratic = np.einsum("gn,gn->g", response, response)
            log_density = np.zeros(n_sequences)
        constant = response.shape[1] * np.log(2.0 * np.pi)
        constant += found.log_determinant + problem.log_determinant
        return SmoothedBlock(
            States(means, weight, found.of_pattern),
            log_density - 0.5 * (quadratic + constant),
            found.first,
            found.last,
            found.information,
            found.cross,
            every,
        )

    def recursion(self, block: Block, params: Prepared) -> BlockRecursion:
        """What the kernels read of a block: its sequences, then one for each unknown column."""
        system = params.system
        white = self.noise.whiten(block, system)
        shared = Recursion(
            np.ascontiguousarray(system.transition),
            np.ascontiguousarray(params.noise_root),
            np.ascontiguousarray(white.rows),
            white.entries,
            white.bounds,
            block.pattern,
            np.ascontiguousarray(params.initial_root),
        )
        directions = self.start.directions(len(system.transition))
        initial = np.tile(system.initial_mean, (len(block.observed), 1))
        inputs = block.inputs @ system.inputs.T if system.inputs.shape[1] else None
        return BlockRecursion(
            shared,
            _with_zeros(white.observations, len(directions)),
            None if inputs is None else _with_zeros(inputs, len(directions)),
            np.concatenate((initial, directions)),
            white.log_determinant,
        )

    def log_likelihoods(self, data: SequenceData, params: ParamsT) -> tuple[Array, Array]:
        """See `LatentVariableModel`; those of the sequences."""
        prepared = self.precompute(params)
        found = [self.smooth(block, prepared).log_likelihood for block in data.blocks]
        return np.concatenate(found), np.concatenate([block.weight for block in data.blocks])


def _dynamics(block: Block, system: System, smoothed: SmoothedBlock) -> Regression:
    states, n = smoothed.states, system.transition.shape[0]
    total, Q = float(block.weight.sum()), system.transition_covariance
    before, n_steps = states.means[:, :-1], states.means.shape[1]
    inputs = _with_zeros(block.inputs[:, :-1], len(before) - len(block.inputs))
    z = np.concatenate((before, inputs), axis=2)
    w = states.means[:, 1:] - z @ system.dynamics.T
    w, z = w.reshape(-1, n), z.reshape(-1, z.shape[2])
    weight = np.repeat(states.weight, n_steps - 1)[:, None]
    squares = (weight * w).T @ w + total * ((n_steps - 1) * Q - Q @ smoothed.information @ Q)
    cross = (weight * w).T @ z
    cross[:, :n] -= total * (Q @ smoothed.cross)
    regressors = (weight * z).T @ z
    regressors[:n, :n] += total * (states.of_pattern.sum(axis=0) - smoothed.last)
    return Regression(squares, cross, regressors, total * (n_steps - 1))


def _start(block: Block, system: System, smoothed: SmoothedBlock) -> Start:
    states, total = smoothed.states, float(block.weight.sum())
    first = states.means[:, 0].copy()
    first[: len(block.weight)] -= system.initial_mean
    squares = (states.weight[:, None] * first).T @ first + total * smoothed.first
    return Start(block.weight @ first[: len(block.weight)], squares, total)


def _with_zeros(array: Array, n: int) -> Array:
    """The array and `n` more sequences of zeros."""
    if not n:
        return np.ascontiguousarray(array)
    return np.concatenate((array, np.zeros((n, *array.shape[1:]))))
