"""The law of labels that form a Markov chain along each sequence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions import Family
from emlearn.distributions._exponential import log_of
from emlearn.engine import DegenerateModelError
from emlearn.engine.parameters import Part, Simplex, per_probability
from emlearn.latent.chain.recursions import forward_backward
from emlearn.latent.chain.sequences import Sequences
from emlearn.latent.data import (
    LabelBlock,
    LabelData,
    Observations,
    prepare_sequences,
    take_sequences,
)
from emlearn.latent.law import EMPTY, SUBSET_ROWS, Law

Array = NDArray[Any]

_TINY = float(np.finfo(np.float64).tiny)
_SUBSET_ROWS_PER_STATE = 200
# Probability of staying at a start, in addition to that of moving to any state at random.
_PERSISTENCE = 0.5
# Fraction of a guessed distribution that is spread evenly over the allowed entries.
_SMOOTHING = 0.1


class ChainParams(NamedTuple):
    """Parameters of a chain.

    Attributes
    ----------
    startprob : ndarray of shape (n_states,)
        Probabilities of the first state.
    transmat : ndarray of shape (n_states, n_states)
        Probabilities of the next state (column) given the last one (row).
    """

    startprob: Array
    transmat: Array


class ChainStatistics(NamedTuple):
    """Expected numbers of starts, transitions and visits of each state."""

    start: Array
    transition: Array
    visits: Array


class Probabilities(NamedTuple):
    """Start or transition probabilities as the user specifies them.

    Attributes
    ----------
    given : ndarray or None
        Starting values. Each row sums to one. Zeros stay zeros.
    pseudocounts : ndarray
        Concentrations of the Dirichlet prior minus one.
    """

    given: Array | None
    pseudocounts: Array

    def allowed(self) -> Array:
        """Which entries are not fixed at zero."""
        if self.given is None:
            return np.ones(self.pseudocounts.shape, bool)
        return self.given > 0.0

    def m_step(self, counts: Array, before: Array) -> Array:
        """Mode given expected counts. Rows without counts keep their probabilities."""
        counts = counts + np.where(self.allowed(), self.pseudocounts, 0.0)
        total = counts.sum(axis=-1, keepdims=True)
        return np.where(total > 0.0, counts / np.where(total > 0.0, total, 1.0), before)

    def restrict(self, probability: Array, name: str) -> Array:
        """Set the fixed zeros, and normalize each row again.

        Raises
        ------
        ValueError
            If a row becomes zero. The message names it.
        """
        allowed = self.allowed()
        if not probability[~allowed].any():
            return probability
        kept = np.where(allowed, probability, 0.0)
        total = kept.sum(axis=-1, keepdims=True)
        lost = np.flatnonzero(total == 0.0)
        if lost.size:
            row = f"Row {lost[0]} of {name}_" if kept.ndim == 2 else f"{name}_"
            raise ValueError(
                f"{row} is zero wherever {name}_init is positive, so warm_start=True has nothing "
                f"to start from. Change {name}_init, or set warm_start=False."
            )
        return kept / total

    def smoothed_start(self, counts: Array) -> Array:
        """Probabilities close to guessed counts, without zeros where none are fixed."""
        even = self.allowed() / self.allowed().sum(axis=-1, keepdims=True)
        guessed = counts * self.allowed() + _TINY * even
        guessed /= guessed.sum(axis=-1, keepdims=True)
        return (1.0 - _SMOOTHING) * guessed + _SMOOTHING * even

    def log_prior(self, probability: Array) -> float:
        """Log prior density up to a constant."""
        informed = (self.pseudocounts > 0.0) & self.allowed()
        if not informed.any():
            return 0.0
        logs = np.log(np.maximum(probability[informed], _TINY))
        return float(self.pseudocounts[informed] @ logs)

    def n_parameters(self) -> int:
        """Number of free probabilities."""
        allowed = np.atleast_2d(self.allowed())
        return int(allowed.sum()) - len(allowed)


def count_moves(responsibilities: Array, sequences: Sequences) -> tuple[Array, Array]:
    """Expected starts and transitions, as if neighboring states were independent."""
    start = responsibilities[:, sequences.first].sum(axis=1)
    inner = np.ones(sequences.n_rows, bool)
    inner[sequences.first] = False
    after = np.flatnonzero(inner)
    before = responsibilities[:, after - 1] / responsibilities[:, after - 1].sum(axis=0)
    return start, before @ responsibilities[:, after].T


@dataclass(frozen=True, eq=False)
class ChainLaw(Law):
    """Labels that form a Markov chain along each sequence.

    Parameters
    ----------
    n_components : int
        Number of states.
    startprob : Probabilities
        Start and prior of the probabilities of the first state.
    transmat : Probabilities
        Start and prior of the transition probabilities.
    """

    n_components: int
    startprob: Probabilities
    transmat: Probabilities

    noun: ClassVar[str] = "state"
    emptied: ClassVar[str] = "are not visited"

    def prepare(self, observed: Observations, weight: Array | None, family: Family) -> LabelData:
        """Drop sequences of weight zero, sort by length, encode and cut into blocks."""
        return prepare_sequences(observed, weight, family, self.n_components)

    def subset(
        self, data: LabelData, family: Family, rng: np.random.Generator, size: int | None
    ) -> LabelData | None:
        """Random sequences with about `size` rows in total."""
        assert data.sequences is not None
        lengths = data.sequences.lengths
        size = size or max(SUBSET_ROWS, _SUBSET_ROWS_PER_STATE * self.n_components)
        if lengths.sum() <= 2 * size:
            return None
        order = rng.permutation(len(lengths))
        n_chosen = int(np.searchsorted(np.cumsum(lengths[order]), size)) + 1
        chosen = np.sort(order[:n_chosen])
        if lengths[chosen].sum() > 2 * size:
            return None
        return take_sequences(data, chosen, family, self.n_components)

    def start(self, responsibilities: Array | None, data: LabelData) -> ChainParams:
        """The given probabilities. By default, equal ones in which states tend to last."""
        n = self.n_components
        even = np.full(n, 1.0 / n)
        staying = _PERSISTENCE * np.eye(n) + (1.0 - _PERSISTENCE) * even
        startprob, transmat = self.startprob.given, self.transmat.given
        return ChainParams(
            even if startprob is None else startprob, staying if transmat is None else transmat
        )

    def restrict(self, params: ChainParams) -> ChainParams:
        """Parameters of another fit, with the fixed zeros of this law."""
        return ChainParams(
            self.startprob.restrict(params.startprob, "startprob"),
            self.transmat.restrict(params.transmat, "transmat"),
        )

    def completed(self, params: ChainParams) -> ChainParams:
        """Parameters that this law can have, from transitions of a start; by default the same."""
        return params

    def restart(self, responsibilities: Array, data: LabelData) -> ChainParams:
        """Probabilities close to the expected moves of the responsibilities."""
        assert data.sequences is not None
        start, transition = count_moves(responsibilities, data.sequences)
        return ChainParams(
            self.startprob.smoothed_start(start), self.transmat.smoothed_start(transition)
        )

    def posterior(
        self, joint: Array, block: LabelBlock, precomputed: ChainParams
    ) -> tuple[ChainStatistics, float]:
        """Forward-backward over the sequences of a block."""
        assert block.sequences is not None
        assert block.origin is not None
        found = forward_backward(
            joint, block.sequences, precomputed.startprob, precomputed.transmat, block.weight
        )
        impossible = np.flatnonzero(~np.isfinite(found.log_likelihood))
        if impossible.size:
            raise DegenerateModelError(
                f"sequence {block.origin[impossible[0]]} has likelihood "
                f"{np.exp(found.log_likelihood[impossible[0]])}: no path agrees with its known "
                "states (y), or its density is not finite"
            )
        statistics = ChainStatistics(found.start, found.transition, joint.sum(axis=1))
        value = found.log_likelihood
        return statistics, float(value.sum() if block.weight is None else block.weight @ value)

    def rows(self, statistics: ChainStatistics) -> Array:
        """Expected visits."""
        return statistics.visits

    def m_step(self, statistics: ChainStatistics, params: ChainParams) -> ChainParams:
        """Modes given the expected counts. Probabilities without counts do not change."""
        transition = statistics.transition
        counts = transition.sum(axis=1, keepdims=True)
        visited = counts > EMPTY * max(counts.sum(), statistics.start.sum())
        return ChainParams(
            self.startprob.m_step(statistics.start, params.startprob),
            self.transmat.m_step(np.where(visited, transition, 0.0), params.transmat),
        )

    def log_likelihoods(self, joint: Array, block: LabelBlock, precomputed: ChainParams) -> Array:
        """See `Law`."""
        assert block.sequences is not None
        return forward_backward(joint, block.sequences, *precomputed).log_likelihood

    def public(self, params: ChainParams) -> dict[str, Array]:
        """See `Law`."""
        return {"startprob": params.startprob, "transmat": params.transmat}

    def from_public(self, public: Mapping[str, Array]) -> ChainParams:
        """See `Law`."""
        return ChainParams(
            np.asarray(public["startprob"], np.float64), np.asarray(public["transmat"], np.float64)
        )

    def space(self, params: ChainParams) -> dict[str, Part]:
        """See `Law`; zeros that the user set are no parameters."""
        return {
            "startprob": Simplex(("state",), self.startprob.allowed()),
            "transmat": Simplex(("state", "state"), self.transmat.allowed()),
        }

    def score(self, statistics: ChainStatistics, params: ChainParams) -> dict[str, Array]:
        """See `Law`."""
        start = statistics.start + self.startprob.pseudocounts
        transition = statistics.transition + self.transmat.pseudocounts
        return {
            "startprob": per_probability(start, params.startprob),
            "transmat": per_probability(transition, params.transmat),
        }

    def expected(self, statistics: ChainStatistics, params: ChainParams) -> float:
        """See `Law`; zeros that the user set are impossible."""
        startprob = np.where(self.startprob.allowed(), params.startprob, 0.0)
        transmat = np.where(self.transmat.allowed(), params.transmat, 0.0)
        start = float(statistics.start @ log_of(startprob))
        return start + float((statistics.transition * log_of(transmat)).sum())

    def renumbered(self, statistics: ChainStatistics, order: Array) -> ChainStatistics:
        """See `Law`."""
        start, transition, visits = statistics
        return ChainStatistics(start[order], transition[np.ix_(order, order)], visits[order])

    def renumbered_params(self, params: ChainParams, order: Array) -> ChainParams:
        """See `Law`."""
        startprob, transmat = params
        if self.startprob.given is None:
            startprob = startprob[order]
        if self.transmat.given is None:
            transmat = transmat[np.ix_(order, order)]
        return ChainParams(startprob, transmat)

    def log_prior(self, params: ChainParams) -> float:
        """Log density of the Dirichlet priors."""
        return self.startprob.log_prior(params.startprob) + self.transmat.log_prior(params.transmat)

    def pseudo_rows(self) -> float:
        """See `Law`: first states or transitions, whichever are more."""
        return float(max(self.startprob.pseudocounts.sum(), self.transmat.pseudocounts.sum()))

    def n_parameters(self) -> int:
        """Number of free probabilities, without the fixed zeros."""
        return self.startprob.n_parameters() + self.transmat.n_parameters()

    def to_vector(self, params: ChainParams) -> NDArray[np.float64]:
        """Square roots of the probabilities.

        The square root of a probability that tends to zero does so at a constant rate, which
        acceleration can extrapolate. Its logarithm would diverge.
        """
        return np.sqrt(np.concatenate([params.startprob, params.transmat.ravel()]))

    def from_vector(
        self, vector: NDArray[np.float64], like: ChainParams
    ) -> tuple[ChainParams, NDArray[np.float64]]:
        """See `Law`."""
        n = self.n_components
        sqrt, rest = np.split(vector, [n + n * n])
        if not (np.abs(sqrt) < 1e100).all():
            raise DegenerateModelError("the probabilities are not finite")
        square = np.square(sqrt).reshape(n + 1, n)
        square[0] *= self.startprob.allowed()
        square[1:] *= self.transmat.allowed()
        total = square.sum(axis=1, keepdims=True)
        if not (total > 0.0).all():
            raise DegenerateModelError("the probabilities of a state are all zero")
        square /= total
        return ChainParams(square[0], square[1:].copy()), rest
