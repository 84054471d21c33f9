r"""IBM models 1 and 2 of word alignment, as the engine reads them.

The target sentence :math:`f_1 \dots f_m` is a translation of :math:`e_1 \dots e_l`. Each target
word is linked to one source word, or to the null word :math:`e_0`, independently of the others:

.. math::

    p(f | e) = \prod_{j=1}^m \sum_{i=0}^l a(i|j,l,m) \, t(f_j | e_i).

The length m is given. The E-step gives link (i, j) the probability
:math:`a(i|j,l,m) t(f_j|e_i)` divided by its sum over i. The M-step divides expected numbers of
links by their sums: those of pairs of words for t, those of positions for a. An E-step takes a
few operations for each link, whatever the size of the vocabularies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.engine import DegenerateModelError, LatentVariableModel
from emlearn.kernels.alignments import Links, link_step
from emlearn.text._alignment_positions import PositionLaw, Shapes
from emlearn.text._alignment_reading import Bitext
from emlearn.text._alignment_translation import Lexicon, Translation

Array = NDArray[np.float64]

# Links of a block that is worth a thread, blocks at most (each has counts for the whole table),
# and links for each entry of the table: adding the counts then takes a small part of the time.
_WORTH, _MOST_BLOCKS, _LINKS_PER_ENTRY = 2e5, 8, 4


class Block(NamedTuple):
    """Successive pairs: their links, weights of target words, and words of each pair."""

    links: Links
    weight: Array | None
    starts: NDArray[np.int64]
    pairs: NDArray[np.int64]


class Corpus(NamedTuple):
    """Blocks of pairs, and the weighted number of target words."""

    blocks: tuple[Block, ...]
    total_weight: float


class Alignment(NamedTuple):
    """Parameters: of the translations, and of the law of the links."""

    translation: Translation
    law: Array


class Working(NamedTuple):
    """The table of translations and that of the positions."""

    table: Array
    cells: Array


class LinkCounts(NamedTuple):
    """Expected numbers of links: of pairs of words, and of positions."""

    translation: Array
    cells: Array


@dataclass(frozen=True, eq=False)
class PositionAlignment(LatentVariableModel[Corpus, Alignment, LinkCounts]):
    """IBM models 1 and 2.

    Parameters
    ----------
    lexicon : Lexicon
        Pairs of words, and the prior.
    law : PositionLaw
        Law of the positions.
    shapes : Shapes
        Lengths of sentences.
    """

    lexicon: Lexicon
    law: PositionLaw
    shapes: Shapes

    def links(self, bitext: Bitext) -> Links:
        """All links."""
        sizes = np.repeat(bitext.source_lengths, bitext.target_lengths)
        return Links(
            self.lexicon.links(bitext),
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            self.shapes.cell_starts(bitext, self.law.by_target),
        )

    def prepare(self, X: Bitext, sample_weight: Array | None = None) -> Corpus:
        """See `LatentVariableModel.prepare`."""
        pairs = np.arange(len(X))
        if sample_weight is not None:
            pairs = np.flatnonzero(sample_weight > 0.0)
            X, sample_weight = X.take(pairs), sample_weight[pairs]
        links = self.links(X)
        weight = None if sample_weight is None else np.repeat(sample_weight, X.target_lengths)
        starts = X.target_starts
        blocks = []
        for first, last in pairwise(self._edges(links, starts)):
            words = slice(int(starts[first]), int(starts[last]))
            blocks.append(
                Block(
                    links.at(words),
                    None if weight is None else weight[words],
                    starts[first : last + 1] - starts[first],
                    pairs[first:last],
                )
            )
        total = float(len(X.target) if weight is None else weight.sum())
        return Corpus(tuple(blocks), total)

    def _edges(self, links: Links, starts: NDArray[np.int64]) -> list[int]:
        """First pairs of the blocks, which have about as many links, and the end."""
        n_links = len(links.entries)
        most = min(n_links / _WORTH, n_links / (_LINKS_PER_ENTRY * len(self.lexicon.targets) + 1))
        n_blocks = int(np.clip(most, 1, _MOST_BLOCKS))
        targets = np.linspace(0, n_links, n_blocks + 1)[1:-1]
        inner = np.searchsorted(links.starts[starts], targets)
        return np.unique([0, *inner.tolist(), len(starts) - 1]).tolist()

    def blocks(self, data: Corpus) -> Sequence[Block]:
        """See `LatentVariableModel.blocks`."""
        return data.blocks

    def total_weight(self, data: Corpus) -> float:
        """See `LatentVariableModel.total_weight`: the number of target words."""
        return data.total_weight

    def initialize(self, data: Corpus, rng: np.random.Generator | None = None) -> Alignment:
        """The same probability for all translations; see `PositionLaw.start`."""
        return Alignment(self.lexicon.uniform(), self.law.start(self.shapes))

    def precompute(self, params: Alignment) -> Working:
        """See `LatentVariableModel.precompute`."""
        return Working(
            self.lexicon.table(params.translation), self.law.cells(params.law, self.shapes)
        )

    def e_step(self, block: Block, params: Working) -> tuple[LinkCounts, float]:
        """See `LatentVariableModel.e_step`."""
        counts = np.zeros_like(params.table)
        cells = np.zeros_like(params.cells) if self.law.learns else None
        values = link_step(block.links, params.table, params.cells, block.weight, counts, cells)
        if not values.all():
            word = int(np.argmin(values))
            pair = block.pairs[np.searchsorted(block.starts, word, side="right") - 1]
            raise DegenerateModelError(f"the target sentence of pair {pair} has probability 0")
        logs = np.log(values)
        value = float(logs.sum() if block.weight is None else logs @ block.weight)
        return LinkCounts(counts, np.zeros(0) if cells is None else cells), value

    def m_step(self, statistics: LinkCounts, params: Alignment) -> Alignment:
        """See `LatentVariableModel.m_step`."""
        return Alignment(
            self.lexicon.m_step(statistics.translation, params.translation),
            self.law.m_step(statistics.cells, params.law, self.shapes),
        )

    def log_prior(self, params: Alignment) -> float:
        """See `LatentVariableModel.log_prior`."""
        return self.lexicon.log_prior(params.translation) + self.law.log_prior(
            params.law, self.shapes
        )

    def n_parameters(self, params: Alignment) -> int:
        """See `LatentVariableModel.n_parameters`."""
        return self.lexicon.n_parameters() + self.law.n_parameters(self.shapes)

    def to_vector(self, params: Alignment) -> Array:
        """See `LatentVariableModel.to_vector`."""
        own = self.lexicon.to_vector(params.translation)
        return np.concatenate([own, self.law.to_vector(params.law)])

    def from_vector(self, vector: Array, like: Alignment) -> Alignment:
        """See `LatentVariableModel.from_vector`."""
        n = sum(map(len, like.translation))
        return Alignment(
            self.lexicon.from_vector(vector[:n]),
            self.law.from_vector(vector[n:], self.shapes),
        )

    def public(self, params: Alignment) -> dict[str, Array]:
        """See `LatentVariableModel.public`."""
        return {**params.translation._asdict(), "law": params.law}

    def from_public(self, public: Mapping[str, Array], like: Alignment) -> Alignment:
        """See `LatentVariableModel.from_public`."""
        translation = Translation(public["entries"], public["rest"])
        return Alignment(translation, public["law"])

    # ---- sentences after a fit --------------------------------------------------------------

    def word_values(self, bitext: Bitext, params: Alignment) -> Array:
        """Probabilities of all target words."""
        working = self.precompute(params)
        return link_step(self.links(bitext), *working, None, None, None)

    def log_likelihoods_of(self, bitext: Bitext, params: Alignment) -> Array:
        """Log-likelihood of each pair."""
        values = self.word_values(bitext, params)
        logs = np.full(len(values), -np.inf)
        np.log(values, out=logs, where=values > 0.0)
        pair = np.repeat(np.arange(len(bitext)), bitext.target_lengths)
        return np.bincount(pair, logs, len(bitext)).astype(np.float64)

    def posteriors(self, bitext: Bitext, params: Alignment) -> Array:
        """Probability of each link, one pair after another; 0 for a word that is impossible."""
        working, links = self.precompute(params), self.links(bitext)
        values = link_step(links, *working, None, None, None)
        terms = working.table[links.entries] * working.cells[links.cells]
        safe = np.where(values > 0.0, values, 1.0)[links.words]
        return np.where(values[links.words] > 0.0, terms / safe, 0.0)

    def best_sources(self, bitext: Bitext, params: Alignment) -> NDArray[np.int64]:
        """Source position of each target word with the most probable link; -1 if impossible.

        Of positions with the same probability the one nearest to the diagonal is taken.
        """
        posterior, links = self.posteriors(bitext, params), self.links(bitext)
        n_words = len(links.cell_starts)
        found = np.full(n_words, -1, np.int64)
        filled = np.flatnonzero(np.diff(links.starts))
        if not filled.size:
            return found
        starts, word = links.starts[:-1][filled], links.words
        place = np.empty(n_words, np.int64)
        place[filled] = np.arange(len(filled))
        own = place[word]
        largest = np.maximum.reduceat(posterior, starts)
        position = np.arange(len(word)) - links.starts[:-1][word]
        pair = np.repeat(np.arange(len(bitext)), bitext.target_lengths)
        j = np.arange(n_words) - bitext.target_starts[pair]
        along = (j + 1.0) / bitext.target_lengths[pair]
        null = int(bitext.null)
        length = np.maximum(np.diff(links.starts) - null, 1)
        distance = np.abs((position + 1 - null) / length[word] - along[word])
        if null:
            distance[position == 0] = 2.0
        distance[posterior < largest[own]] = np.inf
        nearest = np.minimum.reduceat(distance, starts)
        hits = np.flatnonzero(distance == nearest[own])
        chosen = hits[np.unique(own[hits], return_index=True)[1]]
        found[filled] = np.where(largest > 0.0, position[chosen], -1)
        return found
