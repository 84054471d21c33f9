r"""The HMM of word alignment, as the engine reads it.

The links of a target sentence form a Markov chain (Vogel, Ney and Tillmann 1996):

.. math::

    p(f | e) = \sum_{a} \prod_{j=1}^m p(a_j | a_{j-1}, l) \, t(f_j | e_{a_j}).

The state is the position r of the last link, 0 before the first one. A target word has no link
with probability :math:`p_0`, which leaves r as it is (Och and Ney 2003 have a state for the null
word after each position; the last link is all that it has to know). So a step of the forward
recursion is

.. math::

    \alpha_j(i) = p_0 \, t(f_j|e_0) \, \alpha_{j-1}(i)
    + (1 - p_0) \, t(f_j|e_i) \sum_{r=0}^l \alpha_{j-1}(r) \, q(i|r,l).

Pairs with the same number of source words are worked on together, sorted by the length of the
target sentence, so that a step is a matrix product. It takes :math:`l^2 m` operations for each
pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.engine import DegenerateModelError, LatentVariableModel
from emlearn.text._alignment_jumps import JumpLaw
from emlearn.text._alignment_model import Alignment
from emlearn.text._alignment_reading import Bitext, Occurrences
from emlearn.text._alignment_translation import Lexicon, Translation

Array = NDArray[np.float64]
Index = NDArray[np.int64]

# Operations of a block that is worth a thread, and blocks at most.
_WORTH, _MOST_BLOCKS = 2e7, 8
# Pairs times the square of their source words in a group.
_MOST_PAIRS = 2e6


class Group(NamedTuple):
    """Pairs with the same number of source words.

    Rows are target words: the first ones of all pairs, then the second ones, and so on; the pairs
    are sorted by their number.

    Attributes
    ----------
    length : int
        Number of source words, without the null word.
    entries : ndarray of shape (n_rows, n_links) of int32
        Entries of the links in the table of translations, with the null word first.
    steps : tuple of slice
        Rows of each target position.
    pairs : ndarray of shape (n_pairs,)
        Which pairs they are.
    weight : ndarray of shape (n_pairs,) or None
        Their weights.
    """

    length: int
    entries: NDArray[np.int32]
    steps: tuple[slice, ...]
    pairs: Index
    weight: Array | None


class Chains(NamedTuple):
    """Blocks of groups, and the weighted number of target words."""

    blocks: tuple[tuple[Group, ...], ...]
    total_weight: float


class Working(NamedTuple):
    """The table of translations, p0 and the jumps of each length."""

    table: Array
    law: Array
    moves: dict[int, Array]


class ChainCounts(NamedTuple):
    """Expected numbers: of links, jumps, departures, and of words without a link and all."""

    translation: Array
    jumps: Array
    departures: Array
    nulls: Array


class Recursion(NamedTuple):
    """Forward recursion of a group: states before each row, scale of each row, emissions."""

    before: Array
    scale: Array
    linked: Array
    unlinked: Array


@dataclass(frozen=True, eq=False)
class JumpAlignment(LatentVariableModel[Chains, Alignment, ChainCounts]):
    """The HMM of word alignment.

    Parameters
    ----------
    lexicon : Lexicon
        Pairs of words, and the prior.
    law : JumpLaw
        Law of the jumps.
    accelerated : bool, default=True
        Whether the parameters have a vector form.
    """

    lexicon: Lexicon
    law: JumpLaw
    accelerated: bool = True

    @property
    def has_vector(self) -> bool:
        """Whether there is a vector form, of the size of the table, which takes its time."""
        return self.accelerated

    def groups(self, bitext: Bitext, weight: Array | None = None) -> list[Group]:
        """The pairs with target words, by number of source words."""
        m, n = bitext.target_lengths, bitext.source_lengths
        entries = self.lexicon.links(bitext, Occurrences.of(bitext))
        link_starts = np.concatenate([[0], np.cumsum(n * m)])
        found = []
        kept = np.flatnonzero((m > 0) & (n > 0))
        order = kept[np.lexsort((-m[kept], n[kept]))]
        for pairs in self._parts(order, n):
            links, steps, row = int(n[pairs[0]]), [], 0
            active = [int(np.count_nonzero(m[pairs] > j)) for j in range(int(m[pairs[0]]))]
            own = np.empty((sum(active), links), np.int32)
            for j, count in enumerate(active):
                now, some = slice(row, row + count), pairs[:count]
                # Links are by source position, then by target position.
                first_link = link_starts[some] + j
                own[now] = entries[first_link[:, None] + m[some][:, None] * np.arange(links)]
                steps.append(now)
                row += count
            of_pairs = None if weight is None else weight[pairs]
            found.append(Group(links - bitext.null, own, tuple(steps), pairs, of_pairs))
        return found

    def _parts(self, order: Index, n: Index) -> list[Index]:
        """Pairs with the same number of source words, not too many at once."""
        parts = []
        for same in np.split(order, np.flatnonzero(np.diff(n[order])) + 1):
            if len(same):
                most = max(int(_MOST_PAIRS / n[same[0]] ** 2), 1)
                parts += [same[k : k + most] for k in range(0, len(same), most)]
        return parts

    def prepare(self, X: Bitext, sample_weight: Array | None = None) -> Chains:
        """See `LatentVariableModel.prepare`."""
        pairs = np.arange(len(X))
        if sample_weight is not None:
            pairs = np.flatnonzero(sample_weight > 0.0)
            X, sample_weight = X.take(pairs), sample_weight[pairs]
        groups = [g._replace(pairs=pairs[g.pairs]) for g in self.groups(X, sample_weight)]
        total = float(len(X.target) if sample_weight is None else sample_weight @ X.target_lengths)
        work = np.cumsum([len(g.entries) * (g.length + 1) ** 2 for g in groups])
        whole = float(work[-1]) if groups else 0.0
        n_blocks = int(np.clip(whole / _WORTH, 1, _MOST_BLOCKS))
        inner = np.searchsorted(work, np.linspace(0.0, whole, n_blocks + 1)[1:-1])
        edges = np.unique([0, *inner.tolist(), len(groups)]).tolist()
        blocks = tuple(tuple(groups[a:b]) for a, b in pairwise(edges))
        return Chains(blocks or ((),), total)

    def blocks(self, data: Chains) -> Sequence[tuple[Group, ...]]:
        """See `LatentVariableModel.blocks`."""
        return data.blocks

    def total_weight(self, data: Chains) -> float:
        """See `LatentVariableModel.total_weight`: the number of target words."""
        return data.total_weight

    def initialize(self, data: Chains, rng: np.random.Generator | None = None) -> Alignment:
        """The same probability for all translations; see `JumpLaw.start`."""
        return Alignment(self.lexicon.uniform(), self.law.start())

    def precompute(self, params: Alignment) -> Working:
        """See `LatentVariableModel.precompute`."""
        return Working(
            self.lexicon.table(params.translation), params.law, self.law.moves(params.law)
        )

    def e_step(self, block: tuple[Group, ...], params: Working) -> tuple[ChainCounts, float]:
        """See `LatentVariableModel.e_step`."""
        size = max(self.law.lengths, default=0) + 1
        jumps = np.zeros(self.law.n_widths)
        departures = np.zeros((len(self.law.lengths), size))
        nulls, value = np.zeros(2), 0.0
        links, weights = [np.zeros(0, np.int32)], [np.zeros(0)]
        for group in block:
            forward, values = self._forward(group, params)
            if not np.isfinite(values).all():
                pair = group.pairs[int(np.argmin(values))]
                raise DegenerateModelError(f"the target sentence of pair {pair} has probability 0")
            value += float(values.sum() if group.weight is None else values @ group.weight)
            posterior, moved = self._backward(group, params, forward)
            links.append(group.entries.ravel())
            weights.append(posterior.ravel())
            if group.length:
                widths = self.law.widths(group.length)
                jumps += np.bincount(widths.ravel(), moved.ravel(), self.law.n_widths)
                departures[self.law.place(group.length), : group.length + 1] += moved.sum(axis=1)
                nulls[0] += float(posterior[:, 0].sum()) if self.law.null else 0.0
                nulls[1] += float(posterior.sum())
        counts = np.bincount(
            np.concatenate(links), np.concatenate(weights), len(params.table)
        ).astype(np.float64)
        return ChainCounts(counts, jumps, departures, nulls), value

    def _emissions(self, group: Group, params: Working) -> tuple[Array, Array]:
        """Probability of each target word and link, and without a link (with p0)."""
        null = self.law.null_of(params.law, group.length)
        found = params.table[group.entries]
        if not self.law.null:
            return found, np.zeros((len(found), 1))
        return found[:, 1:] * (1.0 - null), found[:, :1] * null

    def _forward(self, group: Group, params: Working) -> tuple[Recursion, Array]:
        """The forward recursion, and the log-likelihood of each pair."""
        linked, unlinked = self._emissions(group, params)
        move = params.moves[group.length]
        n_rows, n = len(linked), group.length + 1
        before, scale = np.empty((n_rows, n)), np.empty(n_rows)
        values = np.zeros(len(group.pairs))
        state = np.zeros((len(group.pairs), n))
        state[:, 0] = 1.0
        for now in group.steps:
            state = state[: now.stop - now.start]
            before[now] = state
            new = state * unlinked[now]
            new[:, 1:] += (state @ move) * linked[now]
            total = new.sum(axis=1)
            possible = total > 0.0
            scale[now] = np.where(possible, total, np.inf)
            logs = np.full(len(total), -np.inf)
            np.log(total, out=logs, where=possible)
            values[: len(total)] += logs
            state = new / scale[now, None]
        return Recursion(before, scale, linked, unlinked), values

    def _backward(self, group: Group, params: Working, forward: Recursion) -> tuple[Array, Array]:
        """Weighted probabilities of the links, and expected jumps from each position to each."""
        before, scale, linked, unlinked = forward
        move = params.moves[group.length]
        weight = np.ones(len(group.pairs)) if group.weight is None else group.weight
        after = np.repeat(weight[:, None], group.length + 1, axis=1)
        ahead = np.empty_like(linked)
        null = int(self.law.null)
        posterior = np.empty((len(linked), group.length + null))
        for now in reversed(group.steps):
            n = now.stop - now.start
            reached = linked[now] * after[:n, 1:] / scale[now, None]
            stayed = unlinked[now] * after[:n] / scale[now, None]
            if null:
                posterior[now, 0] = np.einsum("pr,pr->p", before[now], stayed)
            ahead[now] = reached
            after[:n] = stayed + reached @ move.T
        posterior[:, null:] = (before @ move) * ahead
        return posterior, (before.T @ ahead) * move

    def m_step(self, statistics: ChainCounts, params: Alignment) -> Alignment:
        """See `LatentVariableModel.m_step`."""
        counts, jumps, departures, nulls = statistics
        return Alignment(
            self.lexicon.m_step(counts, params.translation),
            self.law.m_step(jumps, departures, nulls, params.law),
        )

    def log_prior(self, params: Alignment) -> float:
        """See `LatentVariableModel.log_prior`."""
        return self.lexicon.log_prior(params.translation) + self.law.log_prior(params.law)

    def n_parameters(self, params: Alignment) -> int:
        """See `LatentVariableModel.n_parameters`."""
        return self.lexicon.n_parameters() + self.law.n_parameters()

    def to_vector(self, params: Alignment) -> Array:
        """See `LatentVariableModel.to_vector`."""
        if not self.accelerated:
            raise NotImplementedError("the model was made without a vector form")
        own = self.lexicon.to_vector(params.translation)
        return np.concatenate([own, self.law.to_vector(params.law)])

    def from_vector(self, vector: Array, like: Alignment) -> Alignment:
        """See `LatentVariableModel.from_vector`."""
        n = sum(map(len, like.translation))
        return Alignment(self.lexicon.from_vector(vector[:n]), self.law.from_vector(vector[n:]))

    def public(self, params: Alignment) -> dict[str, Array]:
        """See `LatentVariableModel.public`."""
        return {**params.translation._asdict(), "law": params.law}

    def from_public(self, public: Mapping[str, Array], like: Alignment) -> Alignment:
        """See `LatentVariableModel.from_public`."""
        return Alignment(Translation(public["entries"], public["rest"]), public["law"])

    # ---- sentences after a fit --------------------------------------------------------------

    def log_likelihoods_of(self, bitext: Bitext, params: Alignment) -> Array:
        """Log-likelihood of each pair."""
        working = self.precompute(params)
        found = np.where(bitext.target_lengths > 0, -np.inf, 0.0)
        for group in self.groups(bitext):
            found[group.pairs] = self._forward(group, working)[1]
        return found

    def posteriors(self, bitext: Bitext, params: Alignment) -> Array:
        """Probability of each link, by source positions; 0 in a pair that is impossible."""
        working = self.precompute(params)
        n, m = bitext.source_lengths, bitext.target_lengths
        starts = np.concatenate([[0], np.cumsum(n * m)])
        found = np.zeros(int(starts[-1]))
        for group in self.groups(bitext):
            forward, values = self._forward(group, working)
            possible = np.isfinite(values)
            posterior = self._backward(group, working, forward)[0]
            for j, now in enumerate(group.steps):
                some = group.pairs[: now.stop - now.start]
                place = starts[some][:, None] + j + m[some][:, None] * np.arange(n[some[0]])
                found[place] = np.where(possible[: len(some), None], posterior[now], 0.0)
        return found

    def best_sources(self, bitext: Bitext, params: Alignment) -> Index:
        """Source position of each target word on the most probable path; -1 if impossible."""
        working = self.precompute(params)
        found = np.full(len(bitext.target), -1, np.int64)
        for group in self.groups(bitext):
            path = self._best_path(group, working)
            for j, now in enumerate(group.steps):
                some = group.pairs[: now.stop - now.start]
                found[bitext.target_starts[some] + j] = path[now]
        return found

    def _best_path(self, group: Group, params: Working) -> Index:
        """Link of each row, 0 for the null word, on the most probable path; -1 if impossible."""
        linked, unlinked = (_log(part) for part in self._emissions(group, params))
        move = _log(params.moves[group.length])
        null, n = int(self.law.null), group.length + 1
        score = np.full((len(group.pairs), n), -np.inf)
        score[:, 0] = 0.0
        origin = np.empty((len(linked), n), np.int64)
        for now in group.steps:
            active = now.stop - now.start
            stay = score[:active] + unlinked[now]
            best = stay.copy()
            # The state before; n stands for one that stays.
            origin[now] = n
            if group.length:
                through = score[:active, :, None] + move
                start = through.argmax(axis=1)
                jump = np.take_along_axis(through, start[:, None], axis=1)[:, 0] + linked[now]
                better = jump >= best[:, 1:]
                best[:, 1:] = np.where(better, jump, best[:, 1:])
                origin[now, 1:] = np.where(better, start, n)
            score[:active] = best
        state = score.argmax(axis=1)
        possible = score.max(axis=1) > -np.inf
        path = np.empty(len(linked), np.int64)
        for now in reversed(group.steps):
            active = now.stop - now.start
            came = origin[now][np.arange(active), state[:active]]
            stays = came == n
            path[now] = np.where(stays, 0, state[:active] - 1 + null)
            state[:active] = np.where(stays, state[:active], came)
            path[now] = np.where(possible[:active], path[now], -1)
        return path


def _log(probability: Array) -> Array:
    """Logarithms; -inf for 0."""
    logs = np.full(probability.shape, -np.inf)
    np.log(probability, out=logs, where=probability > 0.0)
    return logs
