r"""Topics of new documents, with the words of the topics held.

Of one document the objective
:math:`\frac1\beta \sum_w n_w \log \sum_z (\theta_z \varphi_{zw})^\beta
+ \alpha \sum_z \log \theta_z` is concave in :math:`\theta`, so there is one maximum, and it
depends on no other document. An EM step multiplies :math:`\theta_z` by :math:`g_z`, the derivative
divided by :math:`N = n + K \alpha`. As the objective is concave, what is left to gain is at most
:math:`N (\max_z g_z - 1)` nats (Cover 1984). So each document is done when this is small. The loop
of the engine tests one objective of all documents, and a document would then depend on the others
that it comes with; so this is a loop of its own, over all documents side by side. Every second step
is extrapolated (SQUAREM) in the square roots of the probabilities, and kept if that is better.

T. M. Cover (1984). "An algorithm for maximizing expected log investment return". IEEE Transactions
on Information Theory 30(2), 369-373.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from emlearn.distributions._exponential import log_of
from emlearn.engine.blocks import Threads
from emlearn.engine.threads import available_threads, blas_limited
from emlearn.kernels.topics import Words, pad_topics, topic_step

Array = NDArray[np.float64]

# What a document may have left to gain, in nats, and the largest number of pairs of steps.
_LEFT = 1e-5
_MOST_STEPS = 1000

# Documents that a thread works on at a time.
_AT_A_TIME = 2048


class Step(NamedTuple):
    """The result of an EM step of some documents.

    Attributes
    ----------
    image : ndarray of shape (n_documents, n_topics)
        Probabilities after the step.
    left : ndarray of shape (n_documents,)
        Bound of what is left to gain before the step.
    value : ndarray of shape (n_documents,)
        Objectives before the step.
    """

    image: Array
    left: Array
    value: Array

    def where(self, chosen: NDArray[np.bool_], other: Step) -> Step:
        """The step of the chosen documents, and another one of the rest."""
        image = np.where(chosen[:, None], self.image, other.image)
        left, value = (np.where(chosen, a, b) for a, b in zip(self[1:], other[1:], strict=True))
        return Step(image, left, value)

    def at(self, kept: NDArray[np.bool_]) -> Step:
        """Some of the documents."""
        return Step(*(part[kept] for part in self))


@dataclass(frozen=True)
class Folding:
    """Topics of documents under given topics.

    Parameters
    ----------
    topics : ndarray of shape (n_words, n_topics)
        P(w|z).
    beta : float
        Inverse temperature.
    document_prior : float
        Pseudo-counts of each topic in each document.
    """

    topics: Array
    beta: float
    document_prior: float

    def fold_in(self, counts: csr_array) -> Array:
        """Probabilities of the topics in documents, (n_documents, n_topics).

        Words that no topic has are left out; without words, all topics are as probable.
        """
        padded = pad_topics(self.topics) ** self.beta
        words = Words.of(counts)
        n_documents = counts.shape[0]
        parts = [
            words.at(slice(start, min(start + _AT_A_TIME, n_documents)))
            for start in range(0, n_documents, _AT_A_TIME)
        ]
        with (
            blas_limited(),
            Threads(available_threads()).over(self._fold_part, parts) as each,
        ):
            return np.concatenate(each(padded))

    def _fold_part(self, words: Words, padded: Array) -> Array:
        n_documents, k = len(words.starts) - 1, self.topics.shape[1]
        row = np.repeat(np.arange(n_documents), np.diff(words.starts))
        total = np.bincount(row, words.counts, n_documents) + k * self.document_prior
        found = np.full((n_documents, k), 1.0 / k)
        number = np.flatnonzero(total > 0.0)
        words, total = _take(words, number), total[number]
        theta, longest = found[number], np.ones(len(number))
        step = self._step(words, theta, total, padded)
        for _ in range(_MOST_STEPS):
            going = step.left > _LEFT
            found[number[~going]] = theta[~going]
            if not going.all():
                words = _take(words, np.flatnonzero(going))
                number, total, longest = number[going], total[going], longest[going]
                theta, step = theta[going], step.at(going)
            if not len(number):
                return found
            plain = self._step(words, step.image, total, padded)
            far, length = _extrapolate(theta, step.image, plain.image, longest)
            trial = self._step(words, far, total, padded)
            better = trial.value >= plain.value
            longest = np.where(length < longest, longest, 4.0 * longest)
            longest = np.where(better, longest, np.maximum(1.0, 0.5 * length))
            theta = np.where(better[:, None], far, step.image)
            step = trial.where(better, plain)
        found[number] = theta
        return found

    def _step(self, words: Words, theta: Array, total: Array, padded: Array) -> Step:
        k = theta.shape[1]
        powers = pad_topics(theta) ** self.beta
        sums, value = topic_step(words, powers, padded, None, None)
        image = ((powers * sums)[:, :k] + self.document_prior) / total[:, None]
        growth = np.divide(image, theta, out=np.zeros_like(image), where=theta > 0.0)
        value = value / self.beta
        if self.document_prior:
            value = value + self.document_prior * log_of(theta).sum(axis=1)
        return Step(image, total * (growth.max(axis=1, initial=0.0) - 1.0), value)


def _extrapolate(start: Array, first: Array, second: Array, longest: Array) -> tuple[Array, Array]:
    """SQUAREM of each document, with a largest length of its step; and the lengths."""
    roots = np.sqrt(start), np.sqrt(first), np.sqrt(second)
    change = roots[1] - roots[0]
    bend = roots[2] - roots[1] - change
    size, bent = np.linalg.norm(change, axis=1), np.linalg.norm(bend, axis=1)
    length = np.divide(size, bent, out=longest.copy(), where=bent > size / longest)
    length = np.clip(length, 1.0, longest)
    far = roots[0] + 2.0 * length[:, None] * change + np.square(length)[:, None] * bend
    square = np.square(far)
    return square / square.sum(axis=1, keepdims=True), length


def _take(words: Words, number: NDArray[np.intp]) -> Words:
    """The words of some documents."""
    if len(number) == len(words.starts) - 1:
        return words
    lengths = np.diff(words.starts)[number]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    entries = np.arange(starts[-1]) + np.repeat(words.starts[number] - starts[:-1], lengths)
    return Words(starts, words.words[entries], words.counts[entries])


def log_likelihoods(counts: csr_array, theta: Array, topics: Array) -> Array:
    """Log-likelihood of each document, (n_documents,); -inf where a word has probability 0."""
    return topic_step(Words.of(counts), pad_topics(theta), pad_topics(topics), None, None)[1]
