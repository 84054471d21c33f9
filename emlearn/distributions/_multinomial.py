"""Documents: counts of words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from scipy.special import gammaln

from emlearn.distributions._contract import Array, Family
from emlearn.distributions._domain import (
    LARGEST_COUNT,
    DomainError,
    require_counts,
    require_drawable,
)
from emlearn.distributions._exponential import log_of
from emlearn.distributions._passes import RowPasses, Tally
from emlearn.distributions._published import read_probabilities
from emlearn.engine.parameters import Part, Simplex, per_probability

_TINY = float(np.finfo(np.float64).tiny)
_WHAT = "counts, which are integers >= 0 (or NaN where missing)"


class MultinomialRows(NamedTuple):
    """Encoded rows.

    Attributes
    ----------
    counts : ndarray or CSR array of shape (n_rows, n_features)
        Counts; 0 where missing.
    missing : ndarray or CSR array of shape (n_rows, n_features) or None
        1 where a count is missing; None if no count is missing.
    total : ndarray of shape (n_rows,)
        Sum of the counts.
    base : ndarray of shape (n_rows,)
        Logarithm of the multinomial coefficient.
    """

    counts: Any
    missing: Any
    total: Array
    base: Array


class MultinomialSpec(NamedTuple):
    """What is known about the columns and about the lengths of the rows.

    Attributes
    ----------
    frequency : ndarray of shape (n_features,)
        Sum of the counts of each column, relative to the sum of all counts.
    length : ndarray of shape (n_lengths,)
        Distinct lengths (sums of counts) of the rows; empty without a fit.
    chance : ndarray of shape (n_lengths,)
        Fraction of the rows that have each length.
    """

    frequency: Array
    length: Array
    chance: Array


class MultinomialParams(NamedTuple):
    """Parameters.

    Attributes
    ----------
    probability : ndarray of shape (n_components, n_features)
        Probability of each column; sums to 1 for each component.
    """

    probability: Array


class MultinomialPrecomputed(NamedTuple):
    """Probabilities and their logarithms, both transposed: (n_features, n_components)."""

    probability: Array
    logarithm: Array


@dataclass(frozen=True)
class Multinomial(Family):
    """Counts of a row given their sum, such as the words of a document.

    Published: ``"probability"``, of shape (n_components, n_features). CSR arrays are read as
    they are, not made dense.

    Parameters
    ----------
    alpha : float, default=0.01
        Pseudo-count of each word in each component, as in
        `sklearn.naive_bayes.MultinomialNB`: the prior of the probabilities is
        Dirichlet(1 + alpha, ..., 1 + alpha). 0 is maximum likelihood.

    Notes
    -----
    In a row with missing counts, the observed counts are multinomial given their own sum.
    `sample` draws the lengths of rows from those of the rows that were fitted.

    References
    ----------
    K. Nigam, A. K. McCallum, S. Thrun and T. Mitchell (2000). "Text classification from
    labeled and unlabeled documents using EM". Machine Learning 39, 103-134.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> from emlearn import FiniteMixtureEM
    >>> from emlearn.distributions import Multinomial
    >>> words = csr_array([[3, 1, 0, 0], [4, 0, 1, 0], [0, 0, 2, 2], [0, 1, 1, 3]])
    >>> topics = FiniteMixtureEM(family=Multinomial(alpha=1.0), use_labels=True)
    >>> topics = topics.fit(words, [0, -1, 1, -1])
    >>> topics.predict(words)
    array([0, 0, 1, 1])
    """

    alpha: float = 0.01

    accepts_sparse: ClassVar[bool] = True
    is_discrete: ClassVar[bool] = True

    def spec_of_passes(self, passes: RowPasses) -> MultinomialSpec:
        """See `Family`."""
        counts, lengths = passes.total(self._sums)
        total = counts + 1.0 / len(counts)
        chance = lengths.weight / lengths.weight.sum()
        return MultinomialSpec(total / total.sum(), lengths.values, chance)

    def _sums(self, X: Any, weight: Array | None) -> tuple[Array, Tally]:
        rows = self.encode(X, None)
        weight = np.ones(len(rows.total)) if weight is None else weight
        return rows.counts.T @ weight, Tally.of(rows.total, weight)

    def encode(self, X: Any, column_spec: MultinomialSpec | None) -> MultinomialRows:
        """See `Family`."""
        if hasattr(X, "indptr"):
            return self._encode_sparse(csr_array(X).astype(np.float64, copy=False))
        X = np.asarray(X, np.float64)
        require_counts(X, _WHAT)
        missing = np.isnan(X)
        counts = np.where(missing, 0.0, X) if missing.any() else X
        total = counts.sum(axis=1)
        base = gammaln(total + 1.0) - gammaln(counts + 1.0).sum(axis=1)
        none = missing.astype(np.float64) if missing.any() else None
        return MultinomialRows(counts, none, total, base)

    def _encode_sparse(self, X: Any) -> MultinomialRows:
        values = X.data
        wrong = np.flatnonzero(~((values >= 0) & (np.floor(values) == values)) & (values == values))
        if wrong.size:
            row = int(np.searchsorted(X.indptr, wrong[0], side="right")) - 1
            raise DomainError(float(values[wrong[0]]), row, int(X.indices[wrong[0]]), _WHAT)
        huge = np.flatnonzero(values > LARGEST_COUNT)
        if huge.size:
            row = int(np.searchsorted(X.indptr, huge[0], side="right")) - 1
            what = f"numbers of at most {LARGEST_COUNT:g}"
            raise DomainError(float(values[huge[0]]), row, int(X.indices[huge[0]]), what)
        absent = np.isnan(values)
        missing = None
        if absent.any():
            missing = csr_array((absent.astype(np.float64), X.indices, X.indptr), shape=X.shape)
            values = np.where(absent, 0.0, values)
            X = csr_array((values, X.indices, X.indptr), shape=X.shape)
        total = np.asarray(X.sum(axis=1), np.float64)
        parts = csr_array((gammaln(values + 1.0), X.indices, X.indptr), shape=X.shape)
        base = gammaln(total + 1.0) - np.asarray(parts.sum(axis=1))
        return MultinomialRows(X, missing, total, base)

    def take(self, rows: MultinomialRows, index: slice | Array) -> MultinomialRows:
        """See `Family`."""
        missing = None if rows.missing is None else rows.missing[index]
        return MultinomialRows(rows.counts[index], missing, rows.total[index], rows.base[index])

    def points(self, X: Any, column_spec: MultinomialSpec) -> Any:
        """Square roots of the fractions of the words, whatever the length of the document."""
        rows = self.encode(X, column_spec)
        factor = 1.0 / np.sqrt(np.maximum(rows.total, 1.0))
        if hasattr(rows.counts, "indptr"):
            return np.sqrt(rows.counts).multiply(factor[:, None]).tocsr()
        return np.sqrt(rows.counts) * factor[:, None]

    def pooled(self, n_components: int, column_spec: MultinomialSpec) -> MultinomialParams:
        """See `Family`."""
        return MultinomialParams(np.repeat(column_spec.frequency[None], n_components, axis=0))

    def precompute(
        self, params: MultinomialParams, column_spec: MultinomialSpec
    ) -> MultinomialPrecomputed:
        """See `Family`."""
        probability = np.ascontiguousarray(params.probability.T)
        return MultinomialPrecomputed(probability, log_of(probability))

    def log_density(
        self, rows: MultinomialRows, precomputed: MultinomialPrecomputed, out: Array
    ) -> None:
        """See `Family`."""
        out += (rows.counts @ precomputed.logarithm).T
        if rows.missing is not None:
            out -= rows.total * np.log(_present(rows, precomputed))
        out += rows.base

    def sufficient_statistics(
        self, rows: MultinomialRows, responsibilities: Array, precomputed: MultinomialPrecomputed
    ) -> Array:
        """Counts of each word in each component, (n_components, n_features).

        They include the expected counts of missing words, given the observed counts.
        """
        counts: Array = (rows.counts.T @ np.ascontiguousarray(responsibilities.T)).T
        if rows.missing is not None:
            scaled = responsibilities * rows.total / _present(rows, precomputed)
            counts = counts + (precomputed.probability * (rows.missing.T @ scaled.T)).T
        return counts

    def m_step(
        self, statistics: Array, params: MultinomialParams, column_spec: MultinomialSpec
    ) -> MultinomialParams:
        """See `Family`."""
        counts = statistics + self.alpha
        total = counts.sum(axis=1, keepdims=True)
        known = total > 0.0
        probability = np.where(known, counts / np.where(known, total, 1.0), params.probability)
        return MultinomialParams(probability)

    def space(self, params: MultinomialParams, column_spec: MultinomialSpec) -> dict[str, Part]:
        """See `Family`: the probabilities of the words of a component sum to one."""
        return {"probability": Simplex(("component", "feature"))}

    def score(
        self, statistics: Array, params: MultinomialParams, column_spec: MultinomialSpec
    ) -> dict[str, Array]:
        """See `Family`."""
        return {"probability": per_probability(statistics + self.alpha, params.probability)}

    def log_prior(self, params: MultinomialParams, column_spec: MultinomialSpec) -> float:
        """See `Family`."""
        return self.alpha * float(log_of(params.probability).sum())

    def pseudo_rows(self, column_spec: MultinomialSpec) -> float:
        """See `Family`: pseudo-counts of all words, in rows of the average length."""
        length = float(column_spec.length @ column_spec.chance)
        return self.alpha * len(column_spec.frequency) / max(length, 1.0)

    def n_parameters(self, params: MultinomialParams, column_spec: MultinomialSpec) -> int:
        """See `Family`."""
        n_components, n_features = params.probability.shape
        return n_components * (n_features - 1)

    def to_public(
        self, params: MultinomialParams, column_spec: MultinomialSpec
    ) -> dict[str, Array]:
        """See `Family`."""
        return {"probability": params.probability}

    def moments(
        self, params: MultinomialParams, column_spec: MultinomialSpec
    ) -> tuple[Array, Array] | None:
        """See `Family`: of counts whose sum is distributed as in the fit; None without one."""
        if not len(column_spec.length):
            return None
        probability = params.probability
        length = float(column_spec.length @ column_spec.chance)
        spread = float(np.square(column_spec.length - length) @ column_spec.chance)
        variance = length * probability * (1.0 - probability) + spread * np.square(probability)
        return length * probability, variance

    public_names: ClassVar[tuple[str, ...]] = ("probability",)

    def from_public(
        self, public: Mapping[str, ArrayLike], column_spec: MultinomialSpec, fitted: Any = None
    ) -> MultinomialParams:
        """See `Family`."""
        shape = ("n_components", len(column_spec.frequency))
        return MultinomialParams(read_probabilities(public, "probability", shape))

    def spec_of(
        self, public: Mapping[str, ArrayLike], fitted: MultinomialSpec | None = None
    ) -> MultinomialSpec:
        """See `Family`: without a fit, the lengths of rows are unknown."""
        if fitted is not None:
            return fitted
        given = read_probabilities(public, "probability", ("n_components", "n_features"))
        return MultinomialSpec(given.mean(axis=0), np.empty(0), np.empty(0))

    def sample(
        self,
        params: MultinomialParams,
        column_spec: MultinomialSpec,
        labels: Array,
        rng: np.random.Generator,
    ) -> Array:
        """See `Family`."""
        if not len(column_spec.length):
            raise ValueError(
                "Counts given their sum cannot be drawn from parameters alone: the sums are drawn "
                "from those of the rows of a fit. Fit the estimator before you call sample."
            )
        require_drawable(column_spec.length, "the largest sum of a fitted row")
        length = rng.choice(column_spec.length, len(labels), p=column_spec.chance).astype(np.int64)
        return rng.multinomial(length, params.probability[labels]).astype(np.float64)

    def to_vector(self, params: MultinomialParams, column_spec: MultinomialSpec) -> Array:
        """Logarithms of the probabilities. `from_vector` ignores a term common to a component."""
        return log_of(params.probability).ravel()

    def from_vector(
        self, vector: Array, like: MultinomialParams, column_spec: MultinomialSpec
    ) -> MultinomialParams:
        """See `Family`."""
        logarithm = vector.reshape(like.probability.shape)
        probability = np.exp(logarithm - logarithm.max(axis=1, keepdims=True))
        return MultinomialParams(probability / probability.sum(axis=1, keepdims=True))


def _present(rows: MultinomialRows, precomputed: MultinomialPrecomputed) -> Array:
    """Total probability of the words whose counts are observed, (n_components, n_rows)."""
    present: Array = np.maximum(1.0 - (rows.missing @ precomputed.probability).T, _TINY)
    return present
