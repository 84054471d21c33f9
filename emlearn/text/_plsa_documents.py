"""Topics and likelihoods of documents under fitted topics."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from emlearn.data import as_numbers, column_label, read_weight
from emlearn.engine.threads import blas_limited
from emlearn.text._plsa_folding import Folding, log_likelihoods
from emlearn.text._plsa_reading import documents_at, read_documents, words_at

Array = NDArray[np.float64]


class TopicsOfDocuments(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Transforms and scores by the published attributes."""

    components_: Array
    temperature_: float
    document_alpha: float

    def transform(self, X: Any) -> Array:
        """Topics of documents, which need not be those of the fit (folding in).

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
            Counts of words.

        Returns
        -------
        document_topics : ndarray of shape (n_samples, n_components)
            P(z|d), at the temperature and prior of the fit. Words that no topic has are left out.
        """
        check_is_fitted(self)
        return self._fold_in(read_documents(self, X, reset=False))

    def inverse_transform(self, X: ArrayLike) -> Array:
        """Distributions of words of documents with given topics.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            P(z|d).

        Returns
        -------
        words : ndarray of shape (n_samples, n_features)
            P(w|d), not sparse.

        Raises
        ------
        ValueError
            If `X` has another number of columns.
        """
        check_is_fitted(self)
        topics = as_numbers(X, "X")
        if topics.ndim != 2 or topics.shape[1] != len(self.components_):
            raise ValueError(
                f"X has shape {topics.shape}, but must have (n_samples, n_components) with "
                f"n_components = {len(self.components_)}."
            )
        words: Array = topics @ self.components_
        return words

    def score(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Mean log-likelihood of documents, in nats per document, at their own topics.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
            Counts of words.
        y : Ignored
            Present for compatibility.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the documents.

        Returns
        -------
        score : float
            The mean.

        Raises
        ------
        ValueError
            If a document has a word that no topic has. It is named.
        """
        check_is_fitted(self)
        counts = read_documents(self, X, reset=False)
        weight = read_weight(sample_weight, counts.shape[0])
        values = self._log_likelihoods(counts, counts, weight)
        return float(np.average(values, weights=weight))

    def perplexity(
        self, X: Any, targets: Any = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Perplexity of words: the inverse of the geometric mean of their probabilities.

        Topics of documents are found from their own words, so without `targets` the perplexity is
        also lower because they fit them. For an honest one, divide the words of new documents,
        find the topics from one part, and predict the other.

        Parameters
        ----------
        X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
            Counts of words, from which the topics are found.
        targets : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features), \
                default=None
            Counts of words of the same documents to predict. None means those of `X`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the documents.

        Returns
        -------
        perplexity : float
            ``exp(-log-likelihood / number of words)``.

        Raises
        ------
        ValueError
            If there are no words to predict, a word is in no topic, or the tables have different
            numbers of rows.
        """
        check_is_fitted(self)
        counts = read_documents(self, X, reset=False)
        predicted = counts if targets is None else read_documents(self, targets, reset=False)
        if predicted.shape[0] != counts.shape[0]:
            raise ValueError(
                f"targets has {predicted.shape[0]} rows, but X has {counts.shape[0]}: they are "
                "parts of the same documents."
            )
        weight = read_weight(sample_weight, counts.shape[0])
        values = self._log_likelihoods(counts, predicted, weight)
        ones = np.ones(len(values)) if weight is None else weight
        total = float(ones @ predicted.sum(axis=1))
        if total == 0.0:
            raise ValueError("There are no words to predict: all counts are 0.")
        return float(np.exp(-(values @ ones) / total))

    # ---- what they are made of ----------------------------------------------------------

    @property
    def _n_features_out(self) -> int:
        return len(self.components_)

    def _known_words(self) -> NDArray[np.bool_]:
        """Words that some topic has."""
        known: NDArray[np.bool_] = self.components_.max(axis=0) > 0.0
        return known

    def _fold_in(self, counts: csr_array) -> Array:
        known = words_at(counts, self._known_words())
        beta, prior = 1.0 / self.temperature_, float(self.document_alpha)
        return Folding(np.ascontiguousarray(self.components_.T), beta, prior).fold_in(known)

    def _log_likelihoods(
        self, counts: csr_array, predicted: csr_array, weight: Array | None
    ) -> Array:
        """Log-likelihoods of documents; 0 for those of weight 0."""
        predicted = documents_at(predicted, weight)
        unknown = ~self._known_words()[predicted.indices]
        if unknown.any():
            entry = int(np.flatnonzero(unknown)[0])
            row = int(np.searchsorted(predicted.indptr, entry, side="right")) - 1
            column = column_label(self, int(predicted.indices[entry]))
            raise ValueError(
                f"Row {row} of X has counts in {column}, a word that no topic has, so its "
                "likelihood is 0. Leave the column out, or fit with word_alpha > 0."
            )
        with blas_limited():
            return log_likelihoods(predicted, self._fold_in(counts), self.components_.T)
