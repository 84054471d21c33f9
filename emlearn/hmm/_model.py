"""The hidden Markov model as a model for the engine.

With probabilities pi of the first state, A of the next state given the last, and
densities f(x; theta_k) of one family, EM climbs

    sum_s w_s log sum_z pi(z_1) f(x_1; z_1) prod_t A(z_t-1, z_t) f(x_t; z_t)  +  log prior,

where the inner sum is over the paths z through the states that agree with what is known
of them. A block of the data is a group of whole sequences; its E-step is the
forward-backward algorithm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions import Family
from emlearn.distributions._labels import with_labels
from emlearn.engine import DegenerateModelError, LatentVariableModel, add_statistics
from emlearn.hmm._chain import Smoothed, smooth
from emlearn.hmm._data import (
    Observations,
    SequenceBlock,
    SequenceData,
    prepare_sequences,
    subset_sequences,
)
from emlearn.hmm._perturbing import count_moves, split_state
from emlearn.hmm._start import Draw

Array = NDArray[Any]

_EPS = float(np.finfo(np.float64).eps)
_TINY = float(np.finfo(np.float64).tiny)
# Probability of staying, at a start, beyond that of moving anywhere.
_PERSISTENCE = 0.5


class HiddenMarkovParams(NamedTuple):
    """Parameters; not to be written to.

    Attributes
    ----------
    startprob : ndarray of shape (n_states,)
        Probabilities of the first state.
    transmat : ndarray of shape (n_states, n_states)
        Probabilities of the next state (column) given the last (row).
    components : object
        Parameters of the family.
    column_spec : object
        What the family knows of the columns, carried along.
    """

    startprob: Array
    transmat: Array
    components: Any
    column_spec: Any


class HiddenMarkovStatistics(NamedTuple):
    """Expected numbers of starts and transitions, and the statistics of the family."""

    start: Array
    transition: Array
    components: Any


class _Working(NamedTuple):
    """What all blocks of one E-step need."""

    startprob: Array
    transmat: Array
    precomputed: Any


class Distribution(NamedTuple):
    """One of the two kinds of probabilities of the chain: where it starts, how it moves.

    Attributes
    ----------
    given : ndarray or None
        Where to start; each row sums to one. Zeros stay zeros.
    excess : ndarray
        Pseudo-counts: the concentration of the Dirichlet prior less one.
    """

    given: Array | None
    excess: Array

    def allowed(self) -> Array:
        """Which entries are not fixed at zero."""
        if self.given is None:
            return np.ones(self.excess.shape, bool)
        return self.given > 0.0

    def start(self, default: Array) -> Array:
        """Starting probabilities."""
        return default if self.given is None else self.given

    def estimate(self, counts: Array, before: Array) -> Array:
        """Mode given expected counts; rows without any count stay as they were."""
        counts = counts + np.where(self.allowed(), self.excess, 0.0)
        total = counts.sum(axis=-1, keepdims=True)
        return np.where(total > 0.0, counts / np.where(total > 0.0, total, 1.0), before)

    def near(self, counts: Array) -> Array:
        """Probabilities to go on from near counts that are only guessed."""
        even = self.allowed() / self.allowed().sum(axis=-1, keepdims=True)
        guessed = counts * self.allowed() + _TINY * even
        return 0.9 * guessed / guessed.sum(axis=-1, keepdims=True) + 0.1 * even

    def log_prior(self, probability: Array) -> float:
        """Log prior density up to a constant."""
        informed = (self.excess > 0.0) & self.allowed()
        if not informed.any():
            return 0.0
        logs = np.log(np.maximum(probability[informed], _TINY))
        return float(self.excess[informed] @ logs)

    def n_parameters(self) -> int:
        """Number of free probabilities."""
        allowed = np.atleast_2d(self.allowed())
        return int(allowed.sum()) - len(allowed)


@dataclass(frozen=True, eq=False)
class HiddenMarkovModel(
    LatentVariableModel[SequenceData, HiddenMarkovParams, HiddenMarkovStatistics]
):
    """Hidden Markov model with K states and emissions of one family.

    Parameters
    ----------
    n_states : int
        Number of states.
    family : Family
        Family of the emissions.
    draw : Draw
        How to find starting responsibilities.
    startprob : Distribution
        What is known of the first state before.
    transmat : Distribution
        What is known of the transitions before.
    resume : HiddenMarkovParams, default=None
        Parameters to start from instead.
    """

    n_states: int
    family: Family
    draw: Draw
    startprob: Distribution
    transmat: Distribution
    resume: HiddenMarkovParams | None = None

    def prepare(self, X: Observations, sample_weight: Array | None = None) -> SequenceData:
        """Drop sequences of weight zero, sort by length, encode, cut into blocks."""
        return prepare_sequences(X, sample_weight, self.family, self.n_states)

    def initialize(self, data: SequenceData, rng: np.random.Generator) -> HiddenMarkovParams:
        """Start as the hyperparameters say."""
        if self.resume is not None:
            return self.resume
        responsibilities = self.draw(data, self.n_states, rng)
        if data.observed.labels is not None:
            responsibilities = with_labels(responsibilities, data.observed.labels)
        components = self._from_responsibilities(data, responsibilities, rng)
        even = np.full(self.n_states, 1.0 / self.n_states)
        staying = _PERSISTENCE * np.eye(self.n_states) + (1.0 - _PERSISTENCE) * even
        return HiddenMarkovParams(
            self.startprob.start(even), self.transmat.start(staying), components, data.column_spec
        )

    def _from_responsibilities(
        self, data: SequenceData, responsibilities: Array, rng: np.random.Generator
    ) -> Any:
        weighted = responsibilities * data.row_weight
        return self.family.start(data.rows, weighted, data.column_spec, rng)

    def precompute(self, params: HiddenMarkovParams) -> _Working:
        """The family precomputed to its parameters."""
        precomputed = self.family.precompute(params.components, params.column_spec)
        return _Working(params.startprob, params.transmat, precomputed)

    def log_joint(self, block: SequenceBlock, params: _Working) -> Array:
        """Log-densities (n_states, n_rows) of the rows by state; valid until asked again."""
        shape = (self.n_states, block.sequences.n_rows)
        joint = block.workspace.array("log_joint", shape, np.float64)
        for part, rows in block.parts:
            density = joint[:, part]
            if len(block.parts) > 1:
                shape = (self.n_states, part.stop - part.start)
                density = block.workspace.array("part", shape, np.float64)
            density[...] = 0.0
            self.family.log_density(rows, params.precomputed, density)
            if len(block.parts) > 1:
                joint[:, part] = density
        if block.known is not None:
            block.known.impose(joint, -np.inf)
        return joint

    def smooth(self, block: SequenceBlock, params: _Working) -> tuple[Array, Smoothed]:
        """Smoothed probabilities (n_states, n_rows) times weight, and what follows from them."""
        joint = self.log_joint(block, params)
        smoothed = smooth(joint, block.sequences, params.startprob, params.transmat, block.weight)
        return joint, smoothed

    def e_step(
        self, block: SequenceBlock, params: _Working
    ) -> tuple[HiddenMarkovStatistics, float]:
        """Forward-backward over the sequences of a block."""
        smoothed, chain = self.smooth(block, params)
        impossible = np.flatnonzero(~np.isfinite(chain.log_likelihood))
        if impossible.size:
            raise DegenerateModelError(
                f"sequence {block.origin[impossible[0]]} has likelihood "
                f"{np.exp(chain.log_likelihood[impossible[0]])}: no path through the states "
                "that are known of it (y) is possible, or its density is not finite"
            )
        components = None
        for part, rows in block.parts:
            own = np.ascontiguousarray(smoothed[:, part])
            found = self.family.sufficient_statistics(rows, own, params.precomputed)
            components = found if components is None else add_statistics(components, found)
        statistics = HiddenMarkovStatistics(chain.start, chain.transition, components)
        return statistics, float(block.weight @ chain.log_likelihood)

    def m_step(
        self, statistics: HiddenMarkovStatistics, params: HiddenMarkovParams
    ) -> HiddenMarkovParams:
        """Modes given the statistics. What no sequence tells of stays as it was."""
        transition = statistics.transition
        counts = transition.sum(axis=1, keepdims=True)
        visited = counts > 10.0 * _EPS * max(counts.sum(), statistics.start.sum())
        return HiddenMarkovParams(
            self.startprob.estimate(statistics.start, params.startprob),
            self.transmat.estimate(np.where(visited, transition, 0.0), params.transmat),
            self.family.m_step(statistics.components, params.components, params.column_spec),
            params.column_spec,
        )

    def log_prior(self, params: HiddenMarkovParams) -> float:
        """Dirichlet priors of the chain, and the prior of the family."""
        return (
            self.startprob.log_prior(params.startprob)
            + self.transmat.log_prior(params.transmat)
            + self.family.log_prior(params.components, params.column_spec)
        )

    def perturb(
        self, data: SequenceData, params: HiddenMarkovParams, rng: np.random.Generator
    ) -> HiddenMarkovParams | None:
        """Take one state away and split another in two; see `emlearn.hmm._perturbing`."""
        labels = data.observed.labels
        if self.n_states == 1 or (
            labels is not None and np.isin(range(self.n_states), labels).all()
        ):
            return None
        working = self.precompute(params)
        # The next block is worked on in the same memory, so what it holds is copied.
        density = np.concatenate([self.log_joint(b, working).copy() for b in data.blocks], 1)
        smoothed = np.concatenate([self.smooth(b, working)[0].copy() for b in data.blocks], 1)
        changed = split_state(data, self.family, density, smoothed, rng)
        if changed is None:
            return None
        if labels is not None:
            changed = with_labels(changed / data.row_weight, labels) * data.row_weight
        start, transition = count_moves(changed, data.observed.sequences)
        components = self.family.start(data.rows, changed, data.column_spec, rng)
        return HiddenMarkovParams(
            self.startprob.near(start), self.transmat.near(transition), components, data.column_spec
        )

    def idle_states(self, data: SequenceData, params: HiddenMarkovParams) -> Array:
        """States that no row is expected to be in."""
        working = self.precompute(params)
        visits = np.sum([self.smooth(block, working)[0].sum(axis=1) for block in data.blocks], 0)
        return np.flatnonzero(visits <= 10.0 * _EPS * visits.sum())

    def subset(self, data: SequenceData, rng: np.random.Generator) -> SequenceData | None:
        """Random sequences of large data."""
        return subset_sequences(data, self.family, self.n_states, rng)

    def blocks(self, data: SequenceData) -> Sequence[SequenceBlock]:
        """Groups of whole sequences."""
        return data.blocks

    def total_weight(self, data: SequenceData) -> float:
        """Sum of the weights of the rows."""
        return float(data.weight @ data.observed.sequences.lengths)

    def n_parameters(self, params: HiddenMarkovParams) -> int:
        """Number of free parameters; fixed zeros are none."""
        own = self.family.n_parameters(params.components, params.column_spec)
        return self.startprob.n_parameters() + self.transmat.n_parameters() + own


class VectorHiddenMarkovModel(HiddenMarkovModel):
    """Hidden Markov model of a family that has a vector form."""

    def to_vector(self, params: HiddenMarkovParams) -> NDArray[np.float64]:
        """Square roots of the probabilities, and the vector of the family.

        Roots of probabilities that tend to zero do so at a constant rate, which
        accelerators foresee, where logarithms would run away.
        """
        components = self.family.to_vector(params.components, params.column_spec)
        chain = np.concatenate([params.startprob, params.transmat.ravel()])
        return np.concatenate([np.sqrt(chain), components])

    def from_vector(
        self, vector: NDArray[np.float64], like: HiddenMarkovParams
    ) -> HiddenMarkovParams:
        """See `to_vector`."""
        n = self.n_states
        root, components = np.split(vector, [n + n * n])
        if not (np.abs(root) < 1e100).all():
            raise DegenerateModelError("the probabilities are not finite")
        square = np.square(root).reshape(n + 1, n)
        square[0] *= self.startprob.allowed()
        square[1:] *= self.transmat.allowed()
        total = square.sum(axis=1, keepdims=True)
        if not (total > 0.0).all():
            raise DegenerateModelError("the probabilities of a state are all zero")
        square /= total
        emission = self.family.from_vector(components, like.components, like.column_spec)
        return HiddenMarkovParams(square[0], square[1:].copy(), emission, like.column_spec)


def make_model(n_states: int, family: Family, *settings: Any) -> HiddenMarkovModel:
    """Hidden Markov model of a family, with a vector form if the family has one."""
    kind = VectorHiddenMarkovModel if family.has_vector else HiddenMarkovModel
    return kind(n_states, family, *settings)
