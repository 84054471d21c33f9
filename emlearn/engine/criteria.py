"""Information criteria of estimators whose rows are independent."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike


class InformationCriteria(ABC):
    """Akaike's and the Bayesian criterion."""

    @abstractmethod
    def _likelihood(self, X: ArrayLike, sample_weight: ArrayLike | None) -> tuple[float, float]:
        """Log-likelihood of rows, and the sum of their weights."""

    @abstractmethod
    def _n_parameters(self) -> int:
        """Number of free parameters."""

    def aic(self, X: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Akaike's information criterion; lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows. None means 1 each.

        Returns
        -------
        aic : float
            -2 log-likelihood + 2 times the number of parameters.
        """
        log_likelihood, _ = self._likelihood(X, sample_weight)
        return -2.0 * log_likelihood + 2.0 * self._n_parameters()

    def bic(self, X: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Bayesian information criterion; lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows. None means 1 each.

        Returns
        -------
        bic : float
            -2 log-likelihood + log(n) times the number of parameters, where n is the sum of
            the weights.
        """
        log_likelihood, total = self._likelihood(X, sample_weight)
        return -2.0 * log_likelihood + float(np.log(total)) * self._n_parameters()
