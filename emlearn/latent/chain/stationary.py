r"""The law of a chain that is in equilibrium when it starts.

The start probabilities are the stationary distribution d of the transition probabilities A,

    d A = d,  sum(d) = 1,

so they are no parameters of their own. Given expected starts s and transitions C (with the
pseudo-counts), the M-step maximizes

    Q(A) = sum_k s_k log d_k(A) + sum_ij C_ij log A_ij

over matrices whose rows sum to one. With the fundamental matrix Z = (I - A + 1 d)^-1, a change E
of A whose rows sum to zero changes d by d E Z. So the gradient, up to a constant in each row, is

    G_ij = d_i ((Z v)_j - (A Z v)_i) + C_ij / A_ij,   v_k = s_k / d_k,

and at a maximum the A_ij are in proportion to A_ij G_ij, as those of a free chain are to C_ij. A
step of the M-step moves A towards these proportions. That direction is one of ascent: with
positive parts of G and S_i = sum_j A_ij G_ij of them, the slope in row i is at least S_i minus
sum_j A_ij G_ij, by the inequality of Cauchy and Schwarz. A line search makes sure that Q grows.
The start is one of many transitions, so a few steps are enough. Entries that are held leave the
rest of their row to the free ones, for which the same holds.

References
----------
W. Zucchini, I. L. MacDonald and R. Langrock (2016). "Hidden Markov Models for Time Series", second
edition. Chapman & Hall/CRC. Sections 1.3.2 and 4.2.4.

J. G. Kemeny and J. L. Snell (1976). "Finite Markov Chains". Springer. Chapter 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions._exponential import log_of
from emlearn.engine import DegenerateModelError
from emlearn.engine.parameters import Part, Simplex, per_probability
from emlearn.latent.chain.law import ChainLaw, ChainParams, ChainStatistics
from emlearn.latent.data import LabelData
from emlearn.latent.law import EMPTY

Array = NDArray[Any]

# Steps of an M-step, halvings of a step, and what a step must gain relative to its slope.
_STEPS, _HALVINGS, _ARMIJO = 50, 30, 1e-4
# The M-step ends where the slope is this small, relative to the number of transitions.
_SLOPE = 1e-13
# A step that would put a probability to zero goes only so far.
_MOST = 0.9


def stationary_distribution(transition: Array) -> Array | None:
    """The distribution that the transitions do not change; None if there are several.

    Parameters
    ----------
    transition : ndarray of shape (n_states, n_states)
        Probabilities of the next state (column) given the last one (row).

    Returns
    -------
    probability : ndarray of shape (n_states,) or None
        The distribution. It is unique if there is one set of states that is never left.
    """
    recurrent = _recurrent_states(transition > 0.0)
    if recurrent is None:
        return None
    # Within these states, by elimination without subtractions (Grassmann, Taksar and Heyman).
    own = np.array(transition[np.ix_(recurrent, recurrent)], np.float64)
    n = len(own)
    for last in range(n - 1, 0, -1):
        leaving = own[last, :last].sum()
        if not leaving > 0.0:
            return None
        own[:last, last] /= leaving
        own[:last, :last] += np.outer(own[:last, last], own[last, :last])
    weight = np.ones(n)
    for state in range(1, n):
        weight[state] = weight[:state] @ own[:state, state]
        if not np.isfinite(weight[state]):
            return None
    probability = np.zeros(len(transition))
    probability[recurrent] = weight / weight.sum()
    return probability


def _recurrent_states(possible: Array) -> Array | None:
    """The states of the only set that is never left; None if there are several such sets."""
    n = len(possible)
    if possible.all():
        return np.arange(n)
    reach = possible | np.eye(n, dtype=bool)
    for _ in range(max(n - 1, 1).bit_length()):
        reach = reach.astype(np.float64) @ reach > 0.0
    # A state is never left for good if all states that it reaches lead back to it.
    recurrent = np.flatnonzero((~reach | reach.T).all(axis=1))
    return recurrent if reach[np.ix_(recurrent, recurrent)].all() else None


@dataclass(frozen=True, eq=False)
class StationaryChainLaw(ChainLaw):
    """Labels that form a Markov chain whose first state has the stationary distribution.

    Parameters
    ----------
    n_components, startprob, transmat
        As for `ChainLaw`. The start probabilities have neither starting values nor a prior.
    """

    def completed(self, params: ChainParams) -> ChainParams:
        """The same transitions with their stationary distribution."""
        startprob = stationary_distribution(params.transmat)
        if startprob is None:
            raise DegenerateModelError(
                "the transitions have no unique stationary distribution, because several sets of "
                "states are never left"
            )
        return ChainParams(startprob, params.transmat)

    def start(self, responsibilities: Array | None, data: LabelData) -> ChainParams:
        """See `ChainLaw`."""
        return self.completed(super().start(responsibilities, data))

    def restrict(self, params: ChainParams) -> ChainParams:
        """See `ChainLaw`."""
        return self.completed(super().restrict(params))

    def restart(self, responsibilities: Array, data: LabelData) -> ChainParams:
        """See `ChainLaw`."""
        return self.completed(super().restart(responsibilities, data))

    def m_step(self, statistics: ChainStatistics, params: ChainParams) -> ChainParams:
        """Ascend from the current transitions; see the module."""
        return self._ascend(statistics, params, self.transmat.allowed())

    def constrained_m_step(
        self, statistics: ChainStatistics, params: ChainParams, fixed: Mapping[str, Array]
    ) -> ChainParams:
        """See `Law`: only the free transitions move."""
        free = self.transmat.allowed()
        if "transmat" in fixed:
            free = free & np.isnan(fixed["transmat"])
        return self._ascend(statistics, params, free)

    def _ascend(self, statistics: ChainStatistics, params: ChainParams, free: Array) -> ChainParams:
        start, counts = statistics.start, self._counts(statistics)
        total = max(float(counts.sum() + start.sum()), np.finfo(np.float64).tiny)
        value = _objective(params, start, counts)
        for _ in range(_STEPS):
            target, slope = _target(params, start, counts, free, EMPTY * total)
            if not slope > _SLOPE * total:
                break
            step = _MOST if ((target == 0.0) & (params.transmat > 0.0)).any() else 1.0
            for _ in range(_HALVINGS):
                moved = (1.0 - step) * params.transmat + step * target
                startprob = stationary_distribution(moved)
                if startprob is not None:
                    proposed = ChainParams(startprob, moved)
                    better = _objective(proposed, start, counts)
                    if better >= value + _ARMIJO * step * slope:
                        break
                step *= 0.5
            else:
                break
            params, value = proposed, better
        return params

    def _counts(self, statistics: ChainStatistics) -> Array:
        prior = np.where(self.transmat.allowed(), self.transmat.pseudocounts, 0.0)
        counts: Array = statistics.transition + prior
        return counts

    def public(self, params: ChainParams) -> dict[str, Array]:
        """See `Law`: the start probabilities are no parameters."""
        return {"transmat": params.transmat}

    def from_public(self, public: Mapping[str, Array]) -> ChainParams:
        """See `Law`."""
        transmat = np.asarray(public["transmat"], np.float64)
        return self.completed(ChainParams(np.zeros(len(transmat)), transmat))

    def space(self, params: ChainParams) -> dict[str, Part]:
        """See `Law`."""
        return {"transmat": Simplex(("state", "state"), self.transmat.allowed())}

    def score(self, statistics: ChainStatistics, params: ChainParams) -> dict[str, Array]:
        """See `Law`: the gradient within rows that sum to one."""
        counts, free = self._counts(statistics), self.transmat.allowed()
        return {
            "transmat": per_probability(counts, params.transmat)
            + _of_start(params, statistics.start, free)
        }

    def renumbered_params(self, params: ChainParams, order: Array) -> ChainParams:
        """See `Law`."""
        return self.completed(super().renumbered_params(params, order))

    def n_parameters(self) -> int:
        """Number of free transition probabilities."""
        return self.transmat.n_parameters()

    def to_vector(self, params: ChainParams) -> NDArray[np.float64]:
        """Square roots of the transition probabilities; see `ChainLaw`."""
        return np.sqrt(params.transmat.ravel())

    def from_vector(
        self, vector: NDArray[np.float64], like: ChainParams
    ) -> tuple[ChainParams, NDArray[np.float64]]:
        """See `Law`."""
        whole = np.concatenate([np.sqrt(np.full(self.n_components, 1.0)), vector])
        params, rest = super().from_vector(whole, like)
        return self.completed(params), rest


def _objective(params: ChainParams, start: Array, counts: Array) -> float:
    """Expected log-probability of the labels plus the log prior: Q of the module."""
    return float(start @ log_of(params.startprob) + (counts * log_of(params.transmat)).sum())


def _of_start(params: ChainParams, start: Array, free: Array) -> Array:
    """The part of the gradient that is due to the first state, centered within the free entries."""
    startprob, transmat = params
    n = len(startprob)
    per_start = per_probability(start, startprob)
    fundamental = np.eye(n) - transmat + startprob
    effect = np.linalg.solve(fundamental, per_start[:, None])[:, 0]
    inside = np.where(free, transmat, 0.0)
    mass = inside.sum(axis=1)
    center = (inside @ effect) / np.where(mass > 0.0, mass, 1.0)
    gradient: Array = np.where(free, startprob[:, None] * (effect - center[:, None]), 0.0)
    return gradient


def _target(
    params: ChainParams, start: Array, counts: Array, free: Array, least: float
) -> tuple[Array, float]:
    """Transitions in proportion to A G where they are free, and the slope towards them."""
    transmat = params.transmat
    pull = np.where(free, counts + transmat * _of_start(params, start, free), 0.0)
    mass = np.where(free, transmat, 0.0).sum(axis=1)
    positive = np.maximum(pull, 0.0)
    total = positive.sum(axis=1)
    moves = total > least
    share = positive / np.where(moves, total, 1.0)[:, None]
    target = np.where(free & moves[:, None], share * mass[:, None], transmat)
    gradient = per_probability(pull, transmat)
    return target, float((gradient * (target - transmat)).sum())
