"""Predicting and scoring with a fitted mixture."""

from __future__ import annotations

from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    DensityMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_is_fitted

from emlearn.data import read_table, read_weight
from emlearn.engine.threads import available_threads, blas_limited, limit_openmp_of_thread
from emlearn.kernels.softmax import row_log_density

Array = NDArray[Any]


class Scorer(Protocol):
    """Log-joint densities of new rows at the published parameters."""

    def blocks(self, X: Array) -> list[slice]:
        """Rows to be taken together."""
        ...

    def log_joint(self, X: Array, *, common: bool = True) -> Array:
        """log(weight_k) + log-density, shape (n_components, n_rows), valid until asked again.

        With ``common=False`` a term shared by all components of a row may be left out.
        """
        ...


class MixtureScoring(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, DensityMixin, BaseEstimator
):
    """What can be asked of a fitted mixture. Subclasses supply the scorer."""

    @abstractmethod
    def _scorer(self, dtype: Any) -> Scorer:
        """Scorer at the published parameters for rows of a precision."""

    @abstractmethod
    def _n_parameters(self) -> int:
        """Number of free parameters."""

    def _validate_rows(self, X: ArrayLike, *, reset: bool) -> Array:
        rows: Array = read_table(self, X, reset=reset, allow_nan=False, min_rows=2 if reset else 1)
        return rows

    def _rows_to_score(self, X: ArrayLike) -> Array:
        check_is_fitted(self)
        return self._validate_rows(X, reset=False)

    def _map(self, X: Array, out: Array, reduce: Any, *, common: bool = True) -> Array:
        """Fill ``out[rows] = reduce(log_joint of the rows)`` block by block, in threads."""
        scorer = self._scorer(X.dtype)

        def work(rows: slice) -> None:
            out[rows] = reduce(scorer.log_joint(X[rows], common=common))

        blocks = scorer.blocks(X)
        with blas_limited():
            n_threads = min(available_threads(), len(blocks))
            if n_threads > 1:
                with ThreadPoolExecutor(n_threads, initializer=limit_openmp_of_thread) as pool:
                    list(pool.map(work, blocks))
            else:
                for rows in blocks:
                    work(rows)
        return out

    def predict(self, X: ArrayLike) -> NDArray[np.intp]:
        """Most probable component of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Indices of components.
        """
        X = self._rows_to_score(X)
        labels = np.empty(X.shape[0], np.intp)
        return self._map(X, labels, lambda joint: joint.argmax(axis=0), common=False)

    def predict_proba(self, X: ArrayLike) -> Array:
        """Responsibilities: posterior probability of each component for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, n_components)
            Rows add up to one.
        """
        X = self._rows_to_score(X)

        def reduce(joint: Array) -> Array:
            row_log_density(joint)
            return joint.T

        responsibilities = np.empty((X.shape[0], len(self.weights_)), X.dtype)
        return self._map(X, responsibilities, reduce, common=False)

    def transform(self, X: ArrayLike) -> Array:
        """Responsibilities, as `predict_proba`: soft clustering as a step of a Pipeline.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, n_components)
            Rows add up to one.
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
        """Mean log-density of the rows, weighted.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : Ignored
            Present for compatibility with pipelines.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; None means 1 each.

        Returns
        -------
        log_likelihood : float
            In nats per unit of weight.
        """
        X = self._rows_to_score(X)
        weight = read_weight(sample_weight, X.shape[0])
        total = float(X.shape[0]) if weight is None else float(weight.sum())
        return self._total_log_likelihood(X, weight) / total

    def _total_log_likelihood(self, X: Array, weight: Array | None) -> float:
        density = self._map(X, np.empty(X.shape[0]), row_log_density)
        return float(density.sum() if weight is None else weight @ density)

    def aic(self, X: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Akaike's information criterion; the lower the better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; None means 1 each.

        Returns
        -------
        aic : float
            -2 log-likelihood + 2 times the number of parameters.
        """
        log_likelihood, _, _ = self._criterion(X, sample_weight)
        return -2.0 * log_likelihood + 2.0 * self._n_parameters()

    def bic(self, X: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Bayesian information criterion; the lower the better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; None means 1 each.

        Returns
        -------
        bic : float
            -2 log-likelihood + log(n) times the number of parameters, n being the sum
            of the weights.
        """
        log_likelihood, total, _ = self._criterion(X, sample_weight)
        return -2.0 * log_likelihood + np.log(total) * self._n_parameters()

    def icl(self, X: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Integrated completed likelihood criterion; the lower the better.

        BIC with a penalty for rows that are not clearly of one component, so that it
        counts clusters rather than components.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; None means 1 each.

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
        log_likelihood, total, weight = self._criterion(X, sample_weight)
        largest = np.log(self.predict_proba(X).max(axis=1).astype(np.float64))
        certainty = float(largest.sum() if weight is None else weight @ largest)
        return -2.0 * (log_likelihood + certainty) + np.log(total) * self._n_parameters()

    def _criterion(
        self, X: ArrayLike, sample_weight: ArrayLike | None
    ) -> tuple[float, float, Array | None]:
        X = self._rows_to_score(X)
        weight = read_weight(sample_weight, X.shape[0])
        total = float(X.shape[0]) if weight is None else float(weight.sum())
        return self._total_log_likelihood(X, weight), total, weight
