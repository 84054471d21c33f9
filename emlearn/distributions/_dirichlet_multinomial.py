"""Documents whose words repeat: counts with a distribution of words of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.special import digamma

from emlearn.distributions._concentration import Objective, log_prior
from emlearn.distributions._contract import Array, Family
from emlearn.distributions._document_rows import (
    DocumentRows,
    Table,
    complete,
    encode_counts,
    in_table,
    positive,
)
from emlearn.distributions._domain import require_drawable
from emlearn.distributions._multinomial import Multinomial
from emlearn.distributions._published import read_parameter, require_entries
from emlearn.distributions._rising import Steps, log_rising
from emlearn.engine import DegenerateModelError
from emlearn.engine.parameters import Entries, Part

_TINY = float(np.finfo(np.float64).tiny)
_STEPS = 3
_POOLED_STEPS = 30
# Pairs of a word and a count that tables of streams may grow to.
_MOST_PAIRS = 1 << 20
# Logarithms of concentrations that accelerators may reach.
_LOWEST_LOG, _HIGHEST_LOG = -230.0, 18.0


class DocumentSpec(NamedTuple):
    """What is known about the columns, and which counts and lengths there are.

    Attributes
    ----------
    concentration : ndarray of shape (n_features,)
        Concentrations of the average row.
    table : Table
        The counts of words and the lengths that there are.
    chance : ndarray of shape (n_lengths,)
        The fractions of the rows that have each length.
    words, lengths : Steps
        Terms of the rising factorials of pairs and of lengths.
    """

    concentration: Array
    table: Table
    chance: Array
    words: Steps
    lengths: Steps


class DocumentParams(NamedTuple):
    """Parameters.

    Attributes
    ----------
    concentration : ndarray of shape (n_components, n_features)
        Concentrations of the Dirichlet distributions.
    """

    concentration: Array


class DocumentPrecomputed(NamedTuple):
    """Concentrations (V, K), and terms of the pairs (n_pairs, K) and lengths (n_lengths, K)."""

    concentration: Array
    pairs: Array
    lengths: Array
    spec: DocumentSpec


class DocumentStatistics(NamedTuple):
    """Statistics.

    Attributes
    ----------
    pairs : ndarray of shape (n_components, n_pairs)
        Expected numbers of rows with each pair of word and count.
    lengths : ndarray of shape (n_components, n_lengths)
        Expected numbers of rows of each length, without missing counts.
    single : ndarray of shape (n_components, n_features)
        What counts that are no pair of the column spec count as, each in occurrences of the word
        in different rows.
    linear : ndarray of shape (n_components, n_features)
        Derivatives of the term of the length by each observed concentration, summed over the
        rows with missing counts or of new lengths.
    """

    pairs: Array
    lengths: Array
    single: Array
    linear: Array


@dataclass(frozen=True)
class DirichletMultinomial(Family):
    """Counts of a row given their sum, where words come in bursts.

    Each row draws probabilities of the words from the Dirichlet distribution of its component, and
    then its counts with these. So a word that is in a row at all is more likely to be there
    again: counts vary more than multinomial ones. Published: ``"concentration"``, of shape
    (n_components, n_features); divided by its sum A it is the mean distribution of words, and
    1 / (A + 1) is the correlation of two words of a row. CSR arrays are read as they are, not
    made dense.

    Parameters
    ----------
    alpha : float, default=0.01
        Strength of the prior: the mean distribution is Dirichlet(1 + alpha, ..., 1 + alpha), as
        in `Multinomial`, and the correlation Beta(1 + alpha, 1 + alpha). The default is close to
        maximum likelihood, but rules out no word, and keeps the concentrations finite where
        counts vary as little as multinomial ones. 0 is maximum likelihood, with A at most 1e8.

    Notes
    -----
    Rows of length 1 say nothing about the sum of the concentrations. In a row with missing counts,
    the observed counts are Dirichlet-multinomial given their own sum. An M-step takes a few
    Newton steps or steps of a fixed point, on numbers of rows that have each count of each word.
    `sample` draws the lengths of rows from those of the rows that were fitted.

    References
    ----------
    R. E. Madsen, D. Kauchak and C. Elkan (2005). "Modeling word burstiness using the Dirichlet
    distribution". Proceedings of the 22nd International Conference on Machine Learning, 545-552.

    T. P. Minka (2000). "Estimating a Dirichlet distribution". Technical report, MIT.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> from emlearn import FiniteMixtureEM
    >>> words = csr_array([[3, 0, 0, 0], [0, 4, 0, 1], [0, 0, 2, 3], [0, 0, 0, 5], [4, 1, 0, 0]])
    >>> topics = FiniteMixtureEM(family="dirichlet_multinomial", use_labels=True)
    >>> topics = topics.fit(words, [0, 0, 1, -1, -1])
    >>> topics.predict(words)
    array([0, 0, 1, 1, 0])
    """

    alpha: float = 0.01

    accepts_sparse: ClassVar[bool] = True
    is_discrete: ClassVar[bool] = True

    # ---- rows -------------------------------------------------------------------------

    def column_spec(self, X: Any, weight: Array | None = None) -> DocumentSpec:
        """See `Family`."""
        rows = Multinomial().encode(X, None)
        counts = positive(rows.counts)
        n_features = counts.shape[1]
        weight = np.ones(counts.shape[0]) if weight is None else weight
        level, own = np.unique(counts.data, return_inverse=True)
        pair = np.unique(counts.indices * np.int64(len(level)) + own)
        word, which = np.divmod(pair, max(len(level), 1))
        has_missing = rows.missing is not None
        length, group = np.unique(rows.total, return_inverse=True)
        spec = DocumentSpec(
            np.full(n_features, 1.0 / n_features),
            Table(level, pair, length),
            np.bincount(group, weight) / weight.sum(),
            Steps.of(word.astype(np.intp), level[which], n_features),
            Steps.of(np.zeros(len(length), np.intp), length, 1),
        )
        mean = np.asarray(counts.T @ weight) + 1.0 / n_features
        # As if two words of a row had the correlation 1/2.
        start = DocumentParams((mean / mean.sum())[None])
        encoded = encode_counts(counts, rows.total, rows.missing, rows.base, spec.table)
        for _ in range(_POOLED_STEPS if has_missing else 1):
            statistics = self.sufficient_statistics(
                encoded, weight[None], self.precompute(start, spec)
            )
            n_steps = 1 if has_missing else _POOLED_STEPS
            start = self._improved(statistics, start, spec, None, n_steps)
        return spec._replace(concentration=start.concentration[0])

    def encode(self, X: Any, column_spec: DocumentSpec) -> DocumentRows:
        """See `Family`."""
        rows = Multinomial().encode(X, None)
        counts = positive(rows.counts)
        return encode_counts(counts, rows.total, rows.missing, rows.base, column_spec.table)

    def take(self, rows: DocumentRows, index: slice | Array) -> DocumentRows:
        """See `Family`."""
        parts: list[Any] = [None if part is None else part[index] for part in rows[1:]]
        return DocumentRows(rows.table, *parts)

    def points(self, X: Any, column_spec: DocumentSpec) -> Any:
        """Square roots of the fractions of the words, as those of `Multinomial`."""
        return Multinomial().points(X, None)  # type: ignore[arg-type]  # it needs no spec

    # ---- the distribution -------------------------------------------------------------

    def pooled(self, n_components: int, column_spec: DocumentSpec) -> DocumentParams:
        """See `Family`."""
        return DocumentParams(np.repeat(column_spec.concentration[None], n_components, axis=0))

    def precompute(self, params: DocumentParams, column_spec: DocumentSpec) -> DocumentPrecomputed:
        """See `Family`."""
        a = np.ascontiguousarray(params.concentration.T)
        words, lengths = column_spec.words, column_spec.lengths
        total = a.sum(axis=0, keepdims=True)
        return DocumentPrecomputed(
            a,
            np.asarray(words.of_counts @ words.logarithms(a)),
            np.asarray(lengths.of_counts @ lengths.logarithms(total)),
            column_spec,
        )

    def log_density(self, rows: DocumentRows, precomputed: DocumentPrecomputed, out: Array) -> None:
        """See `Family`."""
        a, rows = precomputed.concentration, in_table(rows, precomputed.spec.table)
        out += np.asarray(rows.pairs @ precomputed.pairs).T
        if rows.others is not None:
            others = rows.others.tocoo()
            terms = log_rising(a[others.col], others.data[:, None])
            add = csr_array(
                (np.ones(others.nnz), (others.row, np.arange(others.nnz))),
                shape=(len(rows.total), others.nnz),
            )
            out += np.asarray(add @ terms).T
        known = rows.length >= 0
        if known.all():
            out -= precomputed.lengths[rows.length].T
        else:
            out[:, known] -= precomputed.lengths[rows.length[known]].T
            present = self._present(rows, ~known, a)
            out[:, ~known] -= log_rising(present, rows.total[~known, None]).T
        out += rows.base

    def _present(self, rows: DocumentRows, which: NDArray[np.bool_], a: Array) -> Array:
        """Sums of the concentrations of the words that are observed, (n_rows, K)."""
        total = a.sum(axis=0)
        if rows.missing is None:
            return np.repeat(total[None], int(which.sum()), axis=0)
        present: Array = total - np.asarray(rows.missing[which] @ a)
        return np.maximum(present, _TINY)

    def sufficient_statistics(
        self, rows: DocumentRows, responsibilities: Array, precomputed: DocumentPrecomputed
    ) -> DocumentStatistics:
        """See `Family`."""
        rows = in_table(rows, precomputed.spec.table)
        by_row = np.ascontiguousarray(responsibilities.T)
        pairs = np.asarray(rows.pairs.T @ by_row).T
        known = rows.length >= 0
        n_lengths = len(precomputed.lengths)
        lengths = np.stack(
            [np.bincount(rows.length[known], own[known], n_lengths) for own in responsibilities]
        )
        a = precomputed.concentration
        single, linear = np.zeros((2, len(responsibilities), len(a)))
        if rows.others is not None:
            # log (a)_c is above this times log a, up to a constant, and touches it here.
            others = rows.others.tocoo()
            own = a[others.col]
            slope = own * (digamma(own + others.data[:, None]) - digamma(own))
            for k, values in enumerate((slope * by_row[others.row]).T):
                single[k] = np.bincount(others.col, values, len(a))
        if not known.all():
            present = self._present(rows, ~known, a)
            total = rows.total[~known, None]
            slope = np.where(total > 0.0, digamma(present + total) - digamma(present), 0.0)
            slope = slope * by_row[~known]
            linear += slope.sum(axis=0)[:, None]
            if rows.missing is not None:
                linear -= np.asarray(rows.missing[~known].T @ slope).T
        return DocumentStatistics(pairs, lengths, single, linear)

    # ---- rows that come later -----------------------------------------------------------

    def widened(self, column_spec: DocumentSpec, X: Any) -> DocumentSpec:
        """See `Family`: new counts of words, and new lengths, enter while there is room."""
        rows, old = Multinomial().encode(X, None), column_spec.table
        counts = positive(rows.counts)
        whole = rows.total[complete(rows.missing, counts.shape[0])]
        table = old.widened(counts.indices, counts.data, whole)
        if table is old or len(table.pair) > _MOST_PAIRS:
            return column_spec
        words, levels = table.words_and_counts()
        chance = np.zeros(len(table.length))
        chance[table.find_length(old.length)] = column_spec.chance
        return DocumentSpec(
            column_spec.concentration,
            table,
            chance,
            Steps.of(words.astype(np.intp), levels, counts.shape[1]),
            Steps.of(np.zeros(len(table.length), np.intp), table.length, 1),
        )

    def rearranged(
        self, statistics: DocumentStatistics, column_spec: DocumentSpec, wider: DocumentSpec
    ) -> DocumentStatistics:
        """See `Family`."""
        old, new = column_spec.table, wider.table
        pairs = np.zeros((len(statistics.pairs), len(new.pair)))
        pairs[:, new.find(*old.words_and_counts())[0]] = statistics.pairs
        lengths = np.zeros((len(pairs), len(new.length)))
        lengths[:, new.find_length(old.length)] = statistics.lengths
        return statistics._replace(pairs=pairs, lengths=lengths)

    def _objective(self, statistics: DocumentStatistics, spec: DocumentSpec) -> Objective:
        counted = spec.words.of_counts.T @ np.ascontiguousarray(statistics.pairs.T)
        lengths = spec.lengths.of_counts.T @ np.ascontiguousarray(statistics.lengths.T)
        # Sums of differences can be below 0 by rounding.
        linear = np.maximum(statistics.linear.T, 0.0)
        single = statistics.single.T + self.alpha
        return Objective(
            spec.words,
            spec.lengths,
            np.asarray(counted),
            np.asarray(lengths),
            single,
            linear,
            self.alpha,
        )

    def _improved(
        self,
        statistics: DocumentStatistics,
        params: DocumentParams,
        spec: DocumentSpec,
        free: NDArray[np.bool_] | None,
        n_steps: int,
    ) -> DocumentParams:
        a = np.ascontiguousarray(params.concentration.T)
        found = self._objective(statistics, spec).improve(a, free, n_steps)
        return DocumentParams(np.ascontiguousarray(found.T))

    def m_step(
        self, statistics: DocumentStatistics, params: DocumentParams, column_spec: DocumentSpec
    ) -> DocumentParams:
        """See `Family`: some steps up the expected objective, which never lower it."""
        return self._improved(statistics, params, column_spec, None, _STEPS)

    def constrained_m_step(
        self,
        statistics: DocumentStatistics,
        params: DocumentParams,
        fixed: Mapping[str, Array],
        column_spec: DocumentSpec,
    ) -> DocumentParams:
        """See `Family`: the sum of the concentrations depends on those that are held."""
        if "concentration" not in fixed:
            return self.m_step(statistics, params, column_spec)
        free = np.isnan(fixed["concentration"]).T
        return self._improved(statistics, params, column_spec, free, _STEPS)

    def log_prior(self, params: DocumentParams, column_spec: DocumentSpec) -> float:
        """See `Family`."""
        return float(log_prior(params.concentration.T, self.alpha).sum())

    def pseudo_rows(self, column_spec: DocumentSpec) -> float:
        """See `Family`: pseudo-counts of all words, in rows of the average length."""
        length = float(column_spec.table.length @ column_spec.chance)
        return self.alpha * len(column_spec.concentration) / max(length, 1.0)

    def score(
        self, statistics: DocumentStatistics, params: DocumentParams, column_spec: DocumentSpec
    ) -> dict[str, Array]:
        """See `Family`."""
        a = np.ascontiguousarray(params.concentration.T)
        return {"concentration": self._objective(statistics, column_spec).gradient(a).T}

    # ---- for the user -----------------------------------------------------------------

    def space(self, params: DocumentParams, column_spec: DocumentSpec) -> dict[str, Part]:
        """See `Family`: entries are positive."""
        return {"concentration": Entries(("component", "feature"), lower=0.0)}

    def n_parameters(self, params: DocumentParams, column_spec: DocumentSpec) -> int:
        """See `Family`."""
        return params.concentration.size

    def to_public(self, params: DocumentParams, column_spec: DocumentSpec) -> dict[str, Array]:
        """See `Family`."""
        return {"concentration": params.concentration}

    def moments(
        self, params: DocumentParams, column_spec: DocumentSpec
    ) -> tuple[Array, Array] | None:
        """See `Family`: of counts whose sum is distributed as in the fit; None without one."""
        length, chance = column_spec.table.length, column_spec.chance
        if not len(length):
            return None
        total = params.concentration.sum(axis=1, keepdims=True)
        share, mean = params.concentration / total, float(length @ chance)
        within = (length * (length + total) / (1.0 + total)) @ chance
        variance = within[:, None] * share * (1.0 - share)
        spread = float(np.square(length - mean) @ chance)
        return mean * share, variance + spread * np.square(share)

    public_names: ClassVar[tuple[str, ...]] = ("concentration",)

    def from_public(
        self, public: Mapping[str, ArrayLike], column_spec: DocumentSpec, fitted: Any = None
    ) -> DocumentParams:
        """See `Family`."""
        return DocumentParams(_read(public, len(column_spec.concentration)))

    def spec_of(
        self, public: Mapping[str, ArrayLike], fitted: DocumentSpec | None = None
    ) -> DocumentSpec:
        """See `Family`: without a fit, the lengths of rows are unknown."""
        if fitted is not None:
            return fitted
        concentration = _read(public, "n_features").mean(axis=0)
        none, nothing = np.empty(0), np.empty(0, np.intp)
        n_features = len(concentration)
        words, lengths = Steps.of(nothing, none, n_features), Steps.of(nothing, none, 1)
        numbers = np.empty(0, np.int64)
        return DocumentSpec(concentration, Table(none, numbers, none), none, words, lengths)

    def sample(
        self,
        params: DocumentParams,
        column_spec: DocumentSpec,
        labels: Array,
        rng: np.random.Generator,
    ) -> Array:
        """See `Family`."""
        if not len(column_spec.table.length):
            raise ValueError(
                "Counts given their sum cannot be drawn from parameters alone: the sums are drawn "
                "from those of the rows of a fit. Fit the estimator before you call sample."
            )
        require_drawable(column_spec.table.length, "the largest sum of a fitted row")
        length = rng.choice(column_spec.table.length, len(labels), p=column_spec.chance).astype(
            np.int64
        )
        a = params.concentration[labels]
        drawn = rng.standard_gamma(a)
        total = drawn.sum(axis=1, keepdims=True)
        # Concentrations so small that all numbers are 0: one word has all.
        empty = total[:, 0] < _TINY
        drawn[empty] = rng.multinomial(1, a[empty] / a[empty].sum(axis=1, keepdims=True))
        total[empty] = 1.0
        return rng.multinomial(length, drawn / total).astype(np.float64)

    def to_vector(self, params: DocumentParams, column_spec: DocumentSpec) -> Array:
        """Logarithms of the concentrations."""
        return np.log(params.concentration).ravel()

    def from_vector(
        self, vector: Array, like: DocumentParams, column_spec: DocumentSpec
    ) -> DocumentParams:
        """See `Family`."""
        logarithm = vector.reshape(like.concentration.shape)
        if not ((logarithm > _LOWEST_LOG - 1.0) & (logarithm < _HIGHEST_LOG + 1.0)).all():
            raise DegenerateModelError("a concentration is out of range")
        return DocumentParams(np.exp(logarithm))


def _read(public: Mapping[str, ArrayLike], n_features: int | str) -> Array:
    given = read_parameter(public, "concentration", ("n_components", n_features))
    require_entries(given > 0.0, given, "concentration", "which is not positive")
    return given
