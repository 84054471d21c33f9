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
from emlearn.kernels.alignments import Links, best_links, count_links, sum_links
from emlearn.text._alignment_positions import PositionLaw, Shapes
from emlearn.text._alignment_reading import Bitext, Occurrences
from emlearn.text._alignment_translation import Lexicon, Translation

Array = NDArray[np.float64]

# Links of a block that is worth a thread, blocks at most (each has counts for the whole table),
# and links for each entry of the table: adding the counts then takes a small part of the time.
_WORTH, _MOST_BLOCKS, _LINKS_PER_ENTRY = 2e5, 8, 1.5


class Block(NamedTuple):
    """Successive pairs: their links, target words of each pair, weights, and which they are."""

    links: Links
    word_starts: NDArray[np.int64]
    weight: Array | None
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
    accelerated : bool, default=True
        Whether the parameters have a vector form.
    """

    lexicon: Lexicon
    law: PositionLaw
    shapes: Shapes
    accelerated: bool = True

    @property
    def has_vector(self) -> bool:
        """Whether there is a vector form, of the size of the table, which takes its time."""
        return self.accelerated

    def links(
        self,
        bitext: Bitext,
        order: NDArray[np.intp] | None = None,
        entries: NDArray[np.int32] | None = None,
    ) -> Links:
        """The links of all source positions, by default in their order."""
        spread, cell_starts = Occurrences.of(bitext, order), self.shapes.cell_starts(bitext)
        if entries is None:
            entries = self.lexicon.links(bitext, spread)
        own = cell_starts if order is None else cell_starts[order]
        return Links(entries, spread.starts, spread.word_starts, own)

    def prepare(
        self,
        X: Bitext,
        sample_weight: Array | None = None,
        entries: NDArray[np.int32] | None = None,
    ) -> Corpus:
        """See `LatentVariableModel.prepare`; `entries` of `Lexicon.of` need no look-up."""
        pairs = np.arange(len(X))
        if sample_weight is not None and not sample_weight.all():
            pairs = np.flatnonzero(sample_weight > 0.0)
            X, sample_weight, entries = X.take(pairs), sample_weight[pairs], None
        edges = self._edges(X)
        blocks = []
        for first, last in pairwise(edges):
            part = X if last - first == len(X) else X.take(np.arange(first, last))
            weight = None
            if sample_weight is not None:
                weight = np.repeat(sample_weight[first:last], part.target_lengths)
            known = entries if part is X or entries is None else _within(X, entries, first, last)
            links = self.links(part, part.by_source, known)
            blocks.append(Block(links, part.target_starts, weight, pairs[first:last]))
        total = float(len(X.target) if sample_weight is None else sample_weight @ X.target_lengths)
        return Corpus(tuple(blocks), total)

    def _edges(self, bitext: Bitext) -> list[int]:
        """First pairs of the blocks, which have about as many links, and the end."""
        before = np.cumsum(bitext.source_lengths * bitext.target_lengths)
        n_links = int(before[-1]) if len(before) else 0
        most = min(n_links / _WORTH, n_links / (_LINKS_PER_ENTRY * len(self.lexicon.targets) + 1))
        # Powers of 2, so that threads have as much to do.
        n_blocks = 2 ** int(np.log2(np.clip(most, 1, _MOST_BLOCKS)))
        inner = np.searchsorted(before, np.linspace(0, n_links, n_blocks + 1)[1:-1])
        edges = np.unique([0, *inner.tolist(), len(bitext)]).tolist()
        return edges if len(edges) > 1 else [0, 0]

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
        links, table, cells = block.links, params.table, params.cells
        values = sum_links(links, table, cells, int(block.word_starts[-1]))
        if not values.all():
            word = int(np.argmin(values))
            pair = block.pairs[np.searchsorted(block.word_starts, word, side="right") - 1]
            raise DegenerateModelError(f"the target sentence of pair {pair} has probability 0")
        logs = np.log(values)
        factors = 1.0 / values if block.weight is None else block.weight / values
        counts = np.zeros_like(table)
        cell_counts = None if self.law.shared else np.zeros_like(cells)
        count_links(links, table, cells, factors, counts, cell_counts)
        value = float(logs.sum() if block.weight is None else logs @ block.weight)
        return LinkCounts(counts, np.zeros(0) if cell_counts is None else cell_counts), value

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
        if not self.accelerated:
            raise NotImplementedError("the model was made without a vector form")
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

    def log_likelihoods_of(self, bitext: Bitext, params: Alignment) -> Array:
        """Log-likelihood of each pair."""
        values = sum_links(self.links(bitext), *self.precompute(params), len(bitext.target))
        logs = np.full(len(values), -np.inf)
        np.log(values, out=logs, where=values > 0.0)
        pair = np.repeat(np.arange(len(bitext)), bitext.target_lengths)
        return np.bincount(pair, logs, len(bitext)).astype(np.float64)

    def posteriors(self, bitext: Bitext, params: Alignment) -> Array:
        """Probability of each link, by source positions; 0 for a target word that is impossible."""
        table, cells = self.precompute(params)
        links = self.links(bitext)
        values = sum_links(links, table, cells, len(bitext.target))
        terms = table[links.entries] * cells[links.cells]
        factors = np.divide(1.0, values, out=np.zeros_like(values), where=values > 0.0)
        found: Array = terms * factors[links.words]
        return found

    def best_sources(self, bitext: Bitext, params: Alignment) -> NDArray[np.int64]:
        """Source position of each target word with the most probable link; -1 if impossible.

        Of equally probable positions the one nearest to the diagonal is taken, and the null word
        last.
        """
        pair = np.repeat(np.arange(len(bitext)), bitext.target_lengths)
        j = np.arange(len(pair)) - bitext.target_starts[pair]
        along = (j + 1.0) / bitext.target_lengths[pair]
        own = np.repeat(np.arange(len(bitext)), bitext.source_lengths)
        i = np.arange(len(own)) - bitext.source_starts[own]
        length = np.maximum(bitext.source_lengths - bitext.null, 1)
        places = (i + (1.0 - bitext.null)) / length[own]
        if bitext.null:
            places[i == 0] = np.inf
        order = bitext.by_source
        links = self.links(bitext, order)
        best = best_links(links, *self.precompute(params), along, places[order])
        # The number -1 of a word without a link takes the last one.
        position = np.append(order, 0)[best] - bitext.source_starts[pair]
        return np.where(best >= 0, position, -1)


def _within(bitext: Bitext, entries: NDArray[np.int32], first: int, last: int) -> NDArray[np.int32]:
    """Those of the entries, by source word, that are of some successive pairs."""
    order = bitext.by_source
    inside = (order >= bitext.source_starts[first]) & (order < bitext.source_starts[last])
    sizes = np.repeat(bitext.target_lengths, bitext.source_lengths)[order]
    return entries[np.repeat(inside, sizes)]
