"""The model of Dawid and Skene as a latent-variable model.

An item has the class j with probability p[j], the prevalence. Given its class, labels are
independent: rater r gives label l with probability ``theta[r, j, l]``. With the number n[i, r, l]
of times that rater r gave label l to item i, the log-likelihood is

    sum_i w[i] log sum_j p[j] prod_rl theta[r, j, l] ** n[i, r, l].

*E-step.* The posterior ``T[i, j]`` is proportional to the terms of the inner sum. *M-step.*
``p[j] = sum_i w[i] T[i, j] / sum_i w[i]``, and the matrices maximize ``sum_rjl N[r, j, l] log
theta[r, j, l]`` with the expected counts ``N[r, j, l] = sum_i w[i] T[i, j] n[i, r, l]``. Priors add
pseudo-counts to both, and their logarithms to the objective.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from emlearn.distributions._exponential import log_of
from emlearn.engine import LatentVariableModel, Penalty
from emlearn.engine.parameters import ParameterSpace, Simplex, per_probability
from emlearn.kernels.softmax import row_log_density, to_responsibilities
from emlearn.raters._annotations import AnnotationData, Annotations, Block, prepare
from emlearn.raters._confusion import Confusion, from_roots, shares, to_roots

Array = NDArray[np.float64]

# Labels have changed their meaning if other names of the classes agree better by this part.
_BETTER = 1e-9
# Votes of a start that is drawn at random have this part of an even distribution.
_EVEN = 0.05


class RaterParams(NamedTuple):
    """Prevalence of the classes, and parameters of the raters."""

    prevalence: Array
    confusion: Any


class RaterStatistics(NamedTuple):
    """Expected number of items of each class, and counts (n_raters * n_labels, n_classes)."""

    items: Array
    counts: Array


class Working(NamedTuple):
    """Logarithms: of the prevalence, and of the matrices (n_raters * n_labels, n_classes)."""

    log_prevalence: Array
    table: Array


@dataclass(frozen=True)
class RaterModel(LatentVariableModel[AnnotationData, RaterParams, RaterStatistics]):
    """Raters with confusion matrices, and items with a class.

    Parameters
    ----------
    confusion : Confusion
        Which confusion matrices are possible.
    strength, accuracy : float
        Prior of the matrices; see `Confusion.pseudo_counts`.
    prevalence_alpha : float, default=0.0
        Pseudo-items of each class.
    anchored : bool, default=False
        Whether classes of some items are known, so that the classes have their names from these.
    """

    confusion: Confusion
    strength: float = 0.0
    accuracy: float = 0.7
    prevalence_alpha: float = 0.0
    anchored: bool = False

    def prepare(self, X: Annotations, sample_weight: NDArray[Any] | None = None) -> AnnotationData:
        """Merge copies, and cut the items into blocks."""
        return prepare(X, sample_weight, self.confusion.n_classes)

    def blocks(self, data: AnnotationData) -> tuple[Block, ...]:
        """Items."""
        return data.blocks

    def total_weight(self, data: AnnotationData) -> float:
        """Sum of the weights of the items that have a label."""
        return data.total_weight

    # ---- starts -------------------------------------------------------------------------

    def initialize(self, data: AnnotationData, rng: np.random.Generator) -> RaterParams:
        """The class of each item by the shares of its labels, and one M-step."""
        return self._start(data, np.ones(self.confusion.n_raters))

    def candidates(
        self, data: AnnotationData, rng: np.random.Generator, n: int
    ) -> Iterator[RaterParams]:
        """Votes of equal voices; then, from items of known classes; then votes of random voices."""
        yield self.initialize(data, rng)
        R = self.confusion.n_raters
        if self.anchored and n > 1:
            known = sum(
                block.weight[block.known.rows].sum() for block in data.blocks if block.known
            )
            rest = data.total_weight - known
            yield self._start(data, np.ones(R), 1.0, min(1.0, known / rest) if rest else 1.0)
            n -= 1
        for _ in range(n - 1):
            yield self._start(data, rng.exponential(size=R), _EVEN)

    def _start(
        self, data: AnnotationData, voices: Array, even: float = 0.0, unknown: float = 1.0
    ) -> RaterParams:
        """Parameters from votes in which each rater has a voice of its own.

        Parameters
        ----------
        data : AnnotationData
            The items.
        voices : ndarray of shape (n_raters,)
            How much a label of each rater counts.
        even : float
            Part of the posterior that is spread evenly over the classes.
        unknown : float
            Weight of the items whose class is not known.
        """
        K = self.confusion.n_classes
        of_label = np.kron(voices[:, None], np.eye(K))
        statistics = RaterStatistics(np.zeros(K), np.zeros((len(of_label), K)))
        for block in data.blocks:
            votes = shares(block.votes @ of_label, np.full(K, 1.0 / K)).T
            posterior = np.ascontiguousarray(unknown * ((1.0 - even) * votes + even / K))
            if block.known is not None:
                posterior[:, block.known.rows] = 0.0
                posterior[block.known.labels, block.known.rows] = 1.0
            posterior *= block.weight
            own = self._sums(block, posterior)
            statistics = RaterStatistics(*(a + b for a, b in zip(statistics, own, strict=True)))
        even_params = RaterParams(np.full(K, 1.0 / K), self.confusion.start())
        return self.m_step(statistics, even_params)

    # ---- E-step -------------------------------------------------------------------------

    def precompute(self, params: RaterParams) -> Working:
        """Logarithms of the prevalence and of the matrices."""
        log_matrices = self.confusion.log_matrices(params.confusion)
        K = self.confusion.n_classes
        table = np.ascontiguousarray(log_matrices.transpose(0, 2, 1)).reshape(-1, K)
        return Working(log_of(params.prevalence), table)

    def e_step(self, block: Block, params: Working) -> tuple[RaterStatistics, float]:
        """Posterior of the classes, and expected counts, as two sparse products."""
        joint = self.joint(block, params)
        log_likelihood = to_responsibilities(joint, block.weight)
        return self._sums(block, joint), log_likelihood

    @staticmethod
    def joint(block: Block, working: Working) -> Array:
        """Joint log-probabilities of class and labels, (n_classes, n_items)."""
        joint = np.ascontiguousarray((block.votes @ working.table).T)
        joint += working.log_prevalence[:, None]
        if block.known is not None:
            block.known.impose(joint)
        return joint

    @staticmethod
    def _sums(block: Block, posterior: Array) -> RaterStatistics:
        counts = block.votes.T @ np.ascontiguousarray(posterior.T)
        return RaterStatistics(posterior.sum(axis=1), counts)

    def log_likelihoods(self, data: AnnotationData, params: RaterParams) -> tuple[Array, Array]:
        """Log-likelihoods of the distinct items, and their weights."""
        working = self.precompute(params)
        values = [row_log_density(self.joint(block, working)) for block in data.blocks]
        return np.concatenate(values), data.weight

    # ---- M-step -------------------------------------------------------------------------

    @property
    def pseudo_counts(self) -> Array:
        """Pseudo-counts of each rater, (n_classes, n_classes)."""
        return self.confusion.pseudo_counts(self.strength, self.accuracy)

    def by_rater(self, statistics: RaterStatistics) -> Array:
        """Expected counts with pseudo-counts, by rater, class and label."""
        R, K = self.confusion.n_raters, self.confusion.n_classes
        counts: Array = statistics.counts.reshape(R, K, K).transpose(0, 2, 1)
        return counts + self.pseudo_counts

    def m_step(self, statistics: RaterStatistics, params: RaterParams) -> RaterParams:
        """Shares of expected counts."""
        return self.constrained_m_step(statistics, params, {})

    def constrained_m_step(
        self, statistics: RaterStatistics, params: RaterParams, fixed: Mapping[str, Array]
    ) -> RaterParams:
        """See `LatentVariableModel`: free probabilities keep their proportions."""
        prevalence = shares(statistics.items + self.prevalence_alpha, params.prevalence)
        if "prevalence" in fixed:
            prevalence = Simplex().impose(prevalence, fixed["prevalence"])
        counts = self.by_rater(statistics)
        return RaterParams(prevalence, self.confusion.maximize(counts, params.confusion, fixed))

    def log_prior(self, params: RaterParams) -> float:
        """Log prior density, up to a constant."""
        value = self.confusion.log_density(params.confusion)
        if self.strength > 0.0:
            logarithm = self.confusion.log_matrices(params.confusion)
            value += float((self.pseudo_counts * logarithm).sum())
        if self.prevalence_alpha > 0.0:
            value += self.prevalence_alpha * float(log_of(params.prevalence).sum())
        return value

    # ---- the meaning of the classes --------------------------------------------------------

    def agreement(self, statistics: RaterStatistics) -> tuple[NDArray[np.intp], float]:
        """The label that belongs to each class, and the part of labels that agree better so.

        The labels are assigned such that as many expected counts as possible agree. Those of
        ordered classes can only be reversed.
        """
        counts = self.by_rater(statistics).sum(axis=0)
        place = np.arange(len(counts))
        if self.confusion.is_ordinal:
            # Their order tells classes apart, but for the direction.
            far = np.abs(np.subtract.outer(place, place))
            apart = [float((counts * own).sum()) for own in (far, far[:, ::-1])]
            better = (apart[0] - apart[1]) / max(apart[0], 1e-300)
            return (place[::-1] if better > 0.0 else place), better
        label = linear_sum_assignment(counts, maximize=True)[1]
        best = float(counts[place, label].sum())
        better = (best - float(np.trace(counts))) / max(float(counts.sum()), 1e-300)
        return label, better

    def ranking_penalty(self, statistics: RaterStatistics, params: RaterParams) -> Penalty:
        """Starts whose classes have changed their labels lose."""
        changed = not self.anchored and self.agreement(statistics)[1] > _BETTER
        return Penalty(starved=int(changed))

    def unsound(self, statistics: RaterStatistics, params: RaterParams) -> list[str]:
        """A warning if other names of the classes would agree better with the raters."""
        label, better = self.agreement(statistics)
        if self.anchored or better <= _BETTER:
            return []
        wrong = np.flatnonzero(label != np.arange(len(label)))
        which = ", ".join(f"{label[j]} for {j}" for j in wrong)
        return [
            "Most raters seem to give labels of other classes than those that the fit found "
            f"(label number {which}). The raters disagree too much to say which label is right. "
            "Give the known classes of some items (use_labels=True), a stronger prior "
            "(prior_strength), or more starts (n_init)."
        ]

    # ---- other forms --------------------------------------------------------------------

    def n_parameters(self, params: RaterParams) -> int:
        """Number of free parameters."""
        return self.space(params).n_free(self.public(params), {})

    def to_vector(self, params: RaterParams) -> Array:
        """Square roots of probabilities, or what the model of the raters has."""
        own = self.confusion.to_vector(params.confusion)
        return np.concatenate([to_roots(params.prevalence), own])

    def from_vector(self, vector: Array, like: RaterParams) -> RaterParams:
        """Inverse of `to_vector`."""
        K = self.confusion.n_classes
        prevalence = from_roots(vector[:K], (K,))
        return RaterParams(prevalence, self.confusion.from_vector(vector[K:], like.confusion))

    def public(self, params: RaterParams) -> dict[str, Array]:
        """Prevalence, and what the model of the raters publishes."""
        return {"prevalence": params.prevalence, **self.confusion.public(params.confusion)}

    def from_public(self, public: Mapping[str, Array], like: RaterParams) -> RaterParams:
        """See `LatentVariableModel.from_public`."""
        prevalence = np.asarray(public["prevalence"], np.float64)
        return RaterParams(prevalence, self.confusion.from_public(public))

    def space(self, params: RaterParams) -> ParameterSpace:
        """See `LatentVariableModel.space`."""
        return ParameterSpace({"prevalence": Simplex(("class",)), **self.confusion.space()})

    def score(self, statistics: RaterStatistics, params: RaterParams) -> dict[str, Array]:
        """See `LatentVariableModel.score`."""
        items = statistics.items + self.prevalence_alpha
        return {
            "prevalence": per_probability(items, params.prevalence),
            **self.confusion.score(self.by_rater(statistics), params.confusion),
        }
