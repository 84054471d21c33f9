r"""The model of probabilistic latent semantic analysis, as the engine reads it.

Each of the :math:`n_{dw}` occurrences of word w in document d has a topic z, with probability
:math:`\theta_{dz} = P(z|d)`, and is then w with probability :math:`\varphi_{zw} = P(w|z)`. With
the inverse temperature :math:`\beta`, which is 1 for EM, the objective is

.. math::

    \frac1\beta \sum_{dw} v_d n_{dw} \log \sum_z (\theta_{dz} \varphi_{zw})^\beta
    + \alpha \sum_{dz} v_d \log \theta_{dz} + \eta \sum_{zw} \log \varphi_{zw}

with weights :math:`v_d` of the documents and pseudo-counts :math:`\alpha, \eta`. The E-step gives
an occurrence of w in d the topic z with probability

.. math::

    q_{dwz} = (\theta_{dz} \varphi_{zw})^\beta / s_{dw}, \quad
    s_{dw} = \sum_z (\theta_{dz} \varphi_{zw})^\beta.

The M-step counts: :math:`\theta_{dz} \propto \alpha + \sum_w n_{dw} q_{dwz}` and
:math:`\varphi_{zw} \propto \eta + \sum_d v_d n_{dw} q_{dwz}`. As q is a product of a number of d
and one of w, divided by s, only s is computed of each word in a document, and never q:

.. math::

    \sum_w n_{dw} q_{dwz} = \theta_{dz}^\beta \sum_w \frac{n_{dw}}{s_{dw}} \varphi_{zw}^\beta.

This takes 6 K operations for each entry of the matrix of counts that is not 0. The counts of topics
in a document come from its block alone, so blocks give theirs one after another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from emlearn.distributions._exponential import log_of
from emlearn.engine import DegenerateModelError, LatentVariableModel
from emlearn.engine.parameters import ParameterSpace, Simplex, per_probability
from emlearn.kernels.topics import Words, pad_topics, topic_step

Array = NDArray[np.float64]

# Products of two probabilities above this are normal numbers. One below has long been ruled out.
_LEAST = 1e-100

# Entries times topics of a block that is worth a thread, and the largest number of blocks, each
# of which has sums for all words and topics.
_WORTH = 3e5
_MOST_BLOCKS = 8
# Entries for each word in a block: adding its sums then takes a small part of the time.
_ENTRIES_PER_WORD = 8


class Block(NamedTuple):
    """Successive documents, and their weights."""

    documents: slice
    words: Words
    weight: Array | None


class Corpus(NamedTuple):
    """The documents.

    Attributes
    ----------
    blocks : tuple of Block
        Blocks of documents.
    n_documents : int
        Number of documents.
    word_counts : ndarray of shape (n_words,)
        Weighted counts of each word in all documents.
    """

    blocks: tuple[Block, ...]
    n_documents: int
    word_counts: Array


class Topics(NamedTuple):
    """Parameters.

    Attributes
    ----------
    documents : ndarray of shape (n_documents, n_topics)
        P(z|d); rows sum to 1.
    words : ndarray of shape (n_words, n_topics)
        P(w|z); columns sum to 1.
    """

    documents: Array
    words: Array


class Working(NamedTuple):
    """Parameters to the power of the inverse temperature, padded; and P(z|d) itself."""

    documents: Array
    words: Array
    plain: Array


class Stacked:
    """Rows of successive documents; the sum with the next ones is all of them."""

    def __init__(self, parts: tuple[Array, ...]):
        self.parts = parts

    def __add__(self, following: Stacked) -> Stacked:
        return Stacked(self.parts + following.parts)

    def rows(self) -> Array:
        """All rows."""
        return self.parts[0] if len(self.parts) == 1 else np.concatenate(self.parts)


class TopicCounts(NamedTuple):
    """Statistics.

    Attributes
    ----------
    documents : Stacked
        Expected counts of the topics in each document.
    words : ndarray of shape (n_words, n_padded)
        Expected counts of the topics of each word, divided by ``P(w|z)**beta``.
    """

    documents: Stacked
    words: Array


@dataclass(frozen=True)
class TopicModel(LatentVariableModel[Corpus, Topics, TopicCounts]):
    """Probabilistic latent semantic analysis.

    Parameters
    ----------
    n_topics : int
        Number of topics.
    beta : float, default=1.0
        Inverse temperature, in (0, 1].
    document_prior, word_prior : float, default=0.0
        Pseudo-counts of each topic in each document, and of each word in each topic.
    lengths : ndarray of shape (n_documents,), default=None
        Weighted numbers of words of the documents, for the coordinates of accelerators: lengths
        of steps are then in standard errors, about, and weights are copies. None means 1 each.
    """

    n_topics: int
    beta: float = 1.0
    document_prior: float = 0.0
    word_prior: float = 0.0
    lengths: Array | None = None

    def prepare(self, X: csr_array, sample_weight: Array | None = None) -> Corpus:
        """See `LatentVariableModel.prepare`. `X` has positive entries only."""
        words = Words.of(X)
        n_documents, n_words = X.shape
        weight = np.ones(n_documents) if sample_weight is None else sample_weight
        blocks = tuple(
            Block(part, words.at(part), None if sample_weight is None else weight[part])
            for part in self._slices(words, n_words)
        )
        return Corpus(blocks, n_documents, np.asarray(X.T @ weight))

    def _slices(self, words: Words, n_words: int) -> list[slice]:
        """Documents of each block, with about as many entries."""
        n_entries = len(words.counts)
        most = min(n_entries * self.n_topics / _WORTH, n_entries / (_ENTRIES_PER_WORD * n_words))
        n_blocks = int(np.clip(most, 1, _MOST_BLOCKS))
        targets = np.linspace(0, n_entries, n_blocks + 1)[1:-1]
        inner = np.searchsorted(words.starts, targets)
        edges = np.unique([0, *inner.tolist(), len(words.starts) - 1])
        return [slice(int(a), int(b)) for a, b in pairwise(edges)]

    def blocks(self, data: Corpus) -> Sequence[Block]:
        """See `LatentVariableModel.blocks`."""
        return data.blocks

    def total_weight(self, data: Corpus) -> float:
        """See `LatentVariableModel.total_weight`: the number of words in the documents."""
        return float(data.word_counts.sum())

    def initialize(self, data: Corpus, rng: np.random.Generator) -> Topics:
        """Topics at random about the mean document, in equal parts in all documents."""
        mean = data.word_counts + self.word_prior
        # An odds ratio of a word to the mean document is exponential.
        words = mean[:, None] * rng.standard_exponential((len(mean), self.n_topics))
        documents = np.full((data.n_documents, self.n_topics), 1.0 / self.n_topics)
        return Topics(documents, words / words.sum(axis=0))

    def precompute(self, params: Topics) -> Working:
        """See `LatentVariableModel.precompute`."""
        documents, words = pad_topics(params.documents), pad_topics(params.words)
        return Working(self._tempered(documents), self._tempered(words), params.documents)

    def _tempered(self, probability: Array) -> Array:
        if self.beta == 1.0:
            return probability
        powers: Array = np.power(probability, self.beta)
        return powers

    def e_step(self, block: Block, params: Working) -> tuple[TopicCounts, float]:
        """See `LatentVariableModel.e_step`."""
        own = params.documents[block.documents]
        word_sums = np.zeros_like(params.words)
        counts, values = topic_step(block.words, own, params.words, block.weight, word_sums)
        value = _weighted(values, block.weight)
        if value == -np.inf:
            raise DegenerateModelError("a document has a word that none of its topics can make")
        counts *= own
        if self.beta != 1.0:
            value /= self.beta
        value += self._document_log_prior(params.plain[block.documents], block.weight)
        return TopicCounts(Stacked((counts,)), word_sums), value

    def _document_log_prior(self, documents: Array, weight: Array | None) -> float:
        if not self.document_prior:
            return 0.0
        terms = log_of(documents).sum(axis=1)
        return self.document_prior * _weighted(terms, weight)

    def m_step(self, statistics: TopicCounts, params: Topics) -> Topics:
        """See `LatentVariableModel.m_step`; what nothing determines stays as it is."""
        k = self.n_topics
        counts = statistics.documents.rows()[:, :k] + self.document_prior
        documents = _shares(counts, 1, params.documents)
        counts = self._tempered(params.words) * statistics.words[:, :k]
        if self.word_prior:
            counts += self.word_prior
        return Topics(documents, _shares(counts, 0, params.words))

    def log_prior(self, params: Topics) -> float:
        """See `LatentVariableModel.log_prior`: that of the topics."""
        return self.word_prior * float(log_of(params.words).sum()) if self.word_prior else 0.0

    def log_likelihood(self, data: Corpus, params: Topics, objective: float) -> float:
        """See `LatentVariableModel.log_likelihood`."""
        working = TopicModel(self.n_topics).precompute(params)
        return sum(_weighted(_values(block, working), block.weight) for block in data.blocks)

    def n_parameters(self, params: Topics) -> int:
        """See `LatentVariableModel.n_parameters`."""
        n_documents, n_words = len(params.documents), len(params.words)
        return n_documents * (self.n_topics - 1) + self.n_topics * (n_words - 1)

    def to_vector(self, params: Topics) -> Array:
        """See `LatentVariableModel.to_vector`: square roots, as EM drives probabilities to 0."""
        of_documents, of_words = self._sizes()
        documents, words = params.documents * of_documents, params.words * of_words
        return np.sqrt(np.concatenate([documents.ravel(), words.ravel()]))

    def from_vector(self, vector: Array, like: Topics) -> Topics:
        """See `LatentVariableModel.from_vector`; sums that are not 1 are made so."""
        square = np.square(vector)
        n = like.documents.size
        documents = square[:n].reshape(like.documents.shape)
        words = square[n:].reshape(like.words.shape)
        totals = documents.sum(axis=1, keepdims=True), words.sum(axis=0)
        empty = np.zeros(len(documents), bool) if self.lengths is None else self.lengths == 0.0
        totals[0][empty] = 1.0
        if not all(np.isfinite(total).all() and (total > 0.0).all() for total in totals):
            raise DegenerateModelError("probabilities do not sum to a positive number")
        documents = np.where(empty[:, None], like.documents, documents / totals[0])
        return Topics(documents, words / totals[1])

    def _sizes(self) -> tuple[Any, float]:
        """Numbers of words of each document, and of a topic on average."""
        if self.lengths is None:
            return 1.0, 1.0
        return self.lengths[:, None], float(self.lengths.sum()) / self.n_topics

    def public(self, params: Topics) -> dict[str, Array]:
        """See `LatentVariableModel.public`."""
        return {"document_topics": params.documents, "components": params.words.T}

    def from_public(self, public: Mapping[str, Array], like: Topics) -> Topics:
        """See `LatentVariableModel.from_public`."""
        words = np.ascontiguousarray(np.asarray(public["components"], np.float64).T)
        return Topics(np.asarray(public["document_topics"], np.float64), words)

    def space(self, params: Topics) -> ParameterSpace:
        """See `LatentVariableModel.space`."""
        return ParameterSpace(
            {
                "document_topics": Simplex(("document", "component")),
                "components": Simplex(("component", "feature")),
            }
        )

    def score(self, statistics: TopicCounts, params: Topics) -> dict[str, Array]:
        """See `LatentVariableModel.score`."""
        k = self.n_topics
        documents = statistics.documents.rows()[:, :k] + self.document_prior
        words = self._tempered(params.words) * statistics.words[:, :k] + self.word_prior
        return {
            "document_topics": per_probability(documents, params.documents),
            "components": per_probability(words, params.words).T,
        }


def _values(block: Block, params: Working) -> Array:
    """Log-likelihoods of the documents of a block, without their weights."""
    return topic_step(block.words, params.documents[block.documents], params.words, None, None)[1]


def _weighted(values: Array, weight: Array | None) -> float:
    return float(values.sum() if weight is None else values @ weight)


def _shares(counts: Array, axis: int, otherwise: Array) -> Array:
    """Counts divided by their sums; those of sum 0 are replaced."""
    total = counts.sum(axis=axis, keepdims=True)
    known = total > 0.0
    shares = counts / np.where(known, total, 1.0)
    shares[shares < _LEAST] = 0.0
    return shares if known.all() else np.where(known, shares, otherwise)
