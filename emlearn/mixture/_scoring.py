"""Predictions and scores of a fitted mixture."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    DensityMixin,
    TransformerMixin,
)
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from emlearn.data import check_proportions, read_weight
from emlearn.data.blocks.finding import find_blocks
from emlearn.data.blocks.reading import by_block
from emlearn.engine.block_table import BlockTable, RowPart
from emlearn.engine.criteria import InformationCriteria
from emlearn.kernels.softmax import row_log_density
from emlearn.latent import Emissions
from emlearn.latent.law import log_weights

Array = NDArray[Any]

# Published weights may be set by a user, who rounds them.
_SUM_TOLERANCE = 1e-4


def read_weights(estimator: Any) -> Array:
    """The published weights, checked and normalized.

    Raises
    ------
    ValueError
        If they are not a vector, negative, not finite, or do not sum to one.
    """
    weights = check_proportions(estimator.weights_, "weights_", tolerance=_SUM_TOLERANCE)
    return weights / weights.sum()


def count_and_weight(X: Any, weight: Array | None) -> tuple[int, float]:
    """Number of rows of positive weight, and the sum of their weights."""
    if isinstance(X, BlockTable):
        return X.n_used, X.total_weight
    if weight is None:
        return X.shape[0], float(X.shape[0])
    return int(np.count_nonzero(weight)), float(weight.sum())


def check_enough_rows(n_components: int, X: Any, weight: Array | None) -> None:
    """Raise ValueError if there are fewer rows than components."""
    n_rows, _ = count_and_weight(X, weight)
    if n_rows < n_components:
        counted = "" if weight is None else " of positive weight"
        raise ValueError(
            f"Expected n_samples >= n_components but got n_components = {n_components}, "
            f"n_samples = {n_rows}{counted}. Use fewer components."
        )


@by_block("predict", "predict_proba", "transform", "score_samples")
class MixtureScoring(
    InformationCriteria,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    DensityMixin,
    BaseEstimator,
):
    """Predictions, scores and samples of a fitted mixture."""

    #: Rows that are read block by block, with their weights; see `EMEstimator`.
    _read_table: Any

    @abstractmethod
    def _emissions(self) -> Emissions:
        """The family at the published parameters."""

    @abstractmethod
    def _read_rows(self, X: ArrayLike, *, reset: bool = False) -> Array:
        """The rows, as an array that the family accepts."""

    def _rows_to_score(self, X: ArrayLike) -> Array:
        check_is_fitted(self)
        return self._read_rows(X)

    def _rows_and_weight(
        self, X: Any, sample_weight: Any, *, any_scale: bool = False
    ) -> tuple[Any, Array | None]:
        """Rows in memory and their weights, or a table that has the weights."""
        check_is_fitted(self)
        blocks = find_blocks(X)
        if blocks is not None:
            return self._read_table(blocks, sample_weight, any_scale=any_scale), None
        rows = self._rows_to_score(X)
        return rows, read_weight(sample_weight, rows.shape[0], any_scale=any_scale)

    def _map(self, X: Array, out: Array, reduce: Callable[[Array], Array]) -> Array:
        """Set ``out[rows] = reduce(log-joint densities of the rows)`` block by block."""
        return self._emissions().map(X, out, reduce, log_weights(read_weights(self)))

    def sample(self, n_samples: int = 1) -> tuple[Array, Array]:
        """Draw rows from the fitted mixture.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Rows, ordered by component.
        y : ndarray of shape (n_samples,)
            The component of each row.
        """
        check_is_fitted(self)
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(
                f"Invalid value for 'n_samples': {n_samples!r}. It must be an int >= 1."
            )
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        rng = np.random.default_rng(seed)
        weights = read_weights(self)
        labels = np.repeat(np.arange(len(weights)), rng.multinomial(n_samples, weights))
        return self._emissions().sample(labels, rng), labels

    def fit_predict(
        self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> NDArray[np.intp]:
        """Fit, and return the most probable component of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to fit.
        y : object, default=None
            See `fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            See `fit`.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            The same as ``fit(X).predict(X)``.
        """
        labels: NDArray[np.intp] = self.fit(X, y, sample_weight=sample_weight).predict(X)
        return labels

    def predict(self, X: ArrayLike) -> NDArray[np.intp]:
        """Most probable component of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Indices of the components.
        """
        X = self._rows_to_score(X)
        labels = np.empty(X.shape[0], np.intp)
        return self._map(X, labels, lambda joint: joint.argmax(axis=0))

    def predict_proba(self, X: ArrayLike) -> Array:
        """Responsibilities: posterior probability of each component for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, n_components)
            Each row sums to one.
        """
        X = self._rows_to_score(X)

        def reduce(joint: Array) -> Array:
            row_log_density(joint)
            return joint.T

        responsibilities = np.empty((X.shape[0], len(read_weights(self))), X.dtype)
        return self._map(X, responsibilities, reduce)

    def transform(self, X: ArrayLike) -> Array:
        """The same as `predict_proba`: soft clustering as a step of a Pipeline.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, n_components)
            Each row sums to one.
        """
        return self.predict_proba(X)

    @property
    def _n_features_out(self) -> int:
        return len(self.weights_)

    def score_samples(self, X: ArrayLike) -> Array:
        """Log-density of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            Natural logarithm of the density, per unit of volume in the units of X.
        """
        X = self._rows_to_score(X)
        return self._map(X, np.empty(X.shape[0], X.dtype), row_log_density)

    def score(
        self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Weighted mean log-density of the rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : Ignored
            Present for compatibility with pipelines.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows. None means 1 each.

        Returns
        -------
        log_likelihood : float
            In nats per unit of weight.
        """
        rows, weight = self._rows_and_weight(X, sample_weight)
        return self._total_log_likelihood(rows, weight) / count_and_weight(rows, weight)[1]

    def _total_log_likelihood(self, X: Any, weight: Array | None) -> float:
        return self._total(X, weight, row_log_density)

    def _total(self, X: Any, weight: Array | None, of_rows: Callable[[Array], Array]) -> float:
        """Weighted sum over rows of a function of their log-joint densities."""
        log_prior = log_weights(read_weights(self))
        if isinstance(X, BlockTable):
            scorer = partial(_total_of_part, self._emissions(), log_prior, of_rows)
            return float(X.total(scorer))
        values = self._map(X, np.empty(X.shape[0]), of_rows)
        return float(values.sum() if weight is None else weight @ values)

    def icl(self, X: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Integrated completed likelihood criterion; lower is better.

        BIC with a penalty for rows that do not clearly belong to one component. So it
        counts clusters rather than components.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows. None means 1 each.

        Returns
        -------
        icl : float
            BIC - 2 times the sum of the logarithms of the largest responsibilities.

        References
        ----------
        C. Biernacki, G. Celeux and G. Govaert (2000). "Assessing a mixture model for
        clustering with the integrated completed likelihood". IEEE Transactions on
        Pattern Analysis and Machine Intelligence 22(7), 719-725.
        """
        rows, weight = self._rows_and_weight(X, sample_weight)
        total = count_and_weight(rows, weight)[1]
        log_likelihood = self._total_log_likelihood(rows, weight)
        certainty = self._total(rows, weight, _log_largest)
        return -2.0 * (log_likelihood + certainty) + np.log(total) * self._n_parameters()

    def _likelihood(self, X: ArrayLike, sample_weight: ArrayLike | None) -> tuple[float, float]:
        rows, weight = self._rows_and_weight(X, sample_weight)
        return self._total_log_likelihood(rows, weight), count_and_weight(rows, weight)[1]


def _total_of_part(
    emissions: Emissions, log_prior: Array, of_rows: Callable[[Array], Array], part: RowPart
) -> float:
    out = np.empty(part.X.shape[0])
    values = emissions.map(part.X, out, of_rows, log_prior, n_threads=1)
    return float(values.sum() if part.weight is None else part.weight @ values)


def _log_largest(joint: Array) -> Array:
    """Logarithms of the largest responsibilities."""
    largest = joint.max(axis=0)
    return largest - row_log_density(joint)
