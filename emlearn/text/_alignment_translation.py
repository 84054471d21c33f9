r"""The table of translations, for pairs of words that occur in a pair of sentences.

The probability :math:`t(f|e)` of the target word f given the source word e has an entry for each
pair that occurs. All V + 1 - n other words of the target vocabulary, where n is the number of
entries of e and the one more stands for all words never seen, have the same probability
:math:`r_e` each. With expected numbers of links :math:`c_{ef}`, the pseudo-count :math:`\alpha`
of each of the V + 1 words, and :math:`C_e` the sum of :math:`c_{ef}` over f, the M-step is

.. math::

    t(f|e) = \frac{c_{ef} + \alpha}{C_e + \alpha (V + 1)}, \quad
    r_e = \frac{\alpha}{C_e + \alpha (V + 1)}.

So the table stays sparse with a prior, and the prior is that of the whole vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from emlearn.distributions._exponential import log_of
from emlearn.engine import DegenerateModelError
from emlearn.kernels.alignments import link_table, look_up_links
from emlearn.text._alignment_reading import Bitext, Occurrences, Vocabulary

Array = NDArray[np.float64]
Index = NDArray[np.int64]

# A probability below has long been ruled out. Products with others above are normal numbers.
_LEAST = 1e-100


class Translation(NamedTuple):
    """Probabilities of translations.

    Attributes
    ----------
    entries : ndarray of shape (n_entries,)
        Of the pairs of words of the table.
    rest : ndarray of shape (n_source,)
        Of each other word, given each source word.
    """

    entries: Array
    rest: Array


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Which pairs of words the table of translations has, and the prior.

    Parameters
    ----------
    starts : ndarray of shape (n_source + 1,) of int64
        Where each source word starts among the entries.
    targets : ndarray of shape (n_entries,) of int32
        Target word of each entry.
    n_target : int
        Number of target words.
    alpha : float, default=0.0
        Pseudo-count of each target word.
    """

    starts: Index
    targets: NDArray[np.int32]
    n_target: int
    alpha: float = 0.0

    @classmethod
    def of(
        cls, bitext: Bitext, n_source: int, n_target: int, alpha: float
    ) -> tuple[Lexicon, NDArray[np.int32]]:
        """The pairs of words that occur, and the entries of all links, by `Bitext.by_source`."""
        spread = Occurrences.of(bitext, bitext.by_source)
        starts, targets, entries = link_table(
            spread.source, spread.starts, spread.word_starts, bitext.target, n_source
        )
        return cls(starts, targets, n_target, alpha), entries

    @property
    def n_source(self) -> int:
        """Number of source words."""
        return len(self.starts) - 1

    @cached_property
    def n_other(self) -> Array:
        """Number of words without an entry given each source word."""
        return self.n_target + 1.0 - np.diff(self.starts)

    def links(self, bitext: Bitext, spread: Occurrences) -> NDArray[np.int32]:
        """Entry of each link in `table`."""
        # A source word that is not known has a row without entries.
        rows = np.append(self.starts, self.starts[-1])
        return look_up_links(
            (rows, self.targets), spread.source, spread.starts, spread.word_starts, bitext.target
        )

    def table(self, params: Translation) -> Array:
        """Entries, the others of each source word, and those of unknown source words."""
        return np.concatenate([*params, [1.0 / (self.n_target + 1)]])

    def uniform(self) -> Translation:
        """The same probability for all words."""
        value = 1.0 / (self.n_target + 1)
        return Translation(np.full(len(self.targets), value), np.full(self.n_source, value))

    def row_sums(self, entries: Array) -> Array:
        """Sums of entries of each source word."""
        found = np.zeros(self.n_source)
        filled = self.starts[1:] > self.starts[:-1]
        if filled.any():
            found[filled] = np.add.reduceat(entries, self.starts[:-1][filled])
        return found

    def _spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """A number of each source word, for all its entries."""
        return np.repeat(values, np.diff(self.starts))

    def _split(self, counts: Array) -> tuple[Array, Array]:
        """Entries of a table and those of the others, without unknown source words."""
        n = len(self.targets)
        return counts[:n], counts[n : n + self.n_source]

    def m_step(self, counts: Array, before: Translation) -> Translation:
        """The mode given expected numbers of links, in the order of `table`."""
        own, rest = self._split(counts)
        pseudo_counts = self.alpha * (self.n_target + 1)
        total = self.row_sums(own) + rest + pseudo_counts
        used = total > 0.0
        divisor = np.where(used, total, 1.0)
        entries = self._spread(1.0 / divisor)
        entries *= own + self.alpha if self.alpha else own
        if entries.min(initial=1.0) < _LEAST:
            entries[entries < _LEAST] = 0.0
        rest = (rest + self.alpha * self.n_other) / (divisor * self.n_other)
        if not used.all():
            kept = self._spread(~used)
            entries[kept] = before.entries[kept]
            rest = np.where(used, rest, before.rest)
        return Translation(entries, rest)

    def log_prior(self, params: Translation) -> float:
        """Log prior, up to the constant that makes it 0 for equal probabilities."""
        if not self.alpha:
            return 0.0
        logs = float(log_of(params.entries).sum() + self.n_other @ log_of(params.rest))
        n_values = self.n_source * (self.n_target + 1)
        return self.alpha * (logs + n_values * np.log(self.n_target + 1))

    def n_parameters(self) -> int:
        """Number of free probabilities."""
        return len(self.targets) - (0 if self.alpha else self.n_source)

    def to_vector(self, params: Translation) -> Array:
        """Square roots, as EM drives probabilities to 0."""
        vector = np.concatenate([params.entries, params.rest * self.n_other])
        return np.sqrt(vector, out=vector)

    def from_vector(self, vector: Array) -> Translation:
        """Inverse of `to_vector`; sums that are not 1 are made so.

        Raises
        ------
        DegenerateModelError
            If a sum is 0 or not finite.
        """
        if not (np.abs(vector) < 1e100).all():
            raise DegenerateModelError("probabilities of translations are not finite")
        entries, rest = self._split(np.square(vector))
        total = self.row_sums(entries) + rest
        if not (total > 0.0).all():
            raise DegenerateModelError("probabilities of translations are all 0")
        return Translation(entries / self._spread(total), rest / (total * self.n_other))

    def matrix(self, params: Translation) -> csr_array:
        """The entries as a sparse matrix, source words x target words; those of 0 are left out."""
        found = csr_array(
            (params.entries.copy(), self.targets.copy(), self.starts.copy()),
            shape=(self.n_source, self.n_target),
        )
        found.eliminate_zeros()
        found.sort_indices()
        return found


def carried_translation(
    lexicon: Lexicon,
    params: Translation,
    words: tuple[Vocabulary, Vocabulary],
    new: Lexicon,
    new_words: tuple[Vocabulary, Vocabulary],
    share: float,
) -> Translation:
    """Translations of an earlier fit for the words of another.

    Parameters
    ----------
    lexicon, params, words
        Of the earlier fit.
    new, new_words
        Of the other.
    share : float
        Part of a word's probability for pairs of words that are new.

    Returns
    -------
    params : Translation
        The same probabilities, divided by their sums, where there were any.
    """
    start = new.uniform()
    same = [
        np.array([own.codes.get(word, -1) for word in other.words], np.int64)
        for own, other in zip(words, new_words, strict=True)
    ]
    source, target = np.repeat(same[0], np.diff(new.starts)), same[1][new.targets]
    matrix = csr_array(
        (np.arange(1, len(lexicon.targets) + 1), lexicon.targets, lexicon.starts),
        shape=(lexicon.n_source, lexicon.n_target),
    )
    known = (source >= 0) & (target >= 0)
    place = np.zeros(len(new.targets), np.int64)
    if known.any():
        place[known] = np.asarray(matrix[source[known], target[known]]).ravel()
    old = place > 0
    if old.all() and new.n_source == lexicon.n_source and new.n_target == lexicon.n_target:
        return Translation(params.entries[place - 1], params.rest.copy())
    entries = start.entries * share
    entries[old] += params.entries[place[old] - 1]
    rest = start.rest * share
    carried = same[0] >= 0
    rest[carried] += params.rest[same[0][carried]]
    total = new.row_sums(entries) + rest * new.n_other
    return Translation(entries / np.repeat(total, np.diff(new.starts)), rest / total)
