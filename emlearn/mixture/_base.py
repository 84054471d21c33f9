"""What the estimators of finite mixtures share: fitting."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning

from emlearn._compat import validate_params
from emlearn._fitting import EMFitting
from emlearn.data import read_weight
from emlearn.engine import EMResult, LatentVariableModel
from emlearn.engine.threads import blas_limited
from emlearn.mixture._scoring import MixtureScoring

Array = NDArray[Any]


class BaseMixtureEM(EMFitting, MixtureScoring):
    """Base of mixture estimators. Subclasses supply the model, the attributes, the scorer."""

    # ---- what a subclass supplies -----------------------------------------------------

    @abstractmethod
    def _make_model(self, X: Array) -> LatentVariableModel[Any, Any, Any]:
        """Model for these hyperparameters; checks those that depend on the data."""

    @abstractmethod
    def _publish(self, params: Any, data: Any, dtype: Any) -> None:
        """Set the attributes of the parameters."""

    # ---- what it may change -----------------------------------------------------------

    def _observe(self, X: Array, y: object) -> Any:
        """What the model is fitted to; here the rows alone."""
        return X

    #: Whether a common factor of all weights changes nothing, however small or large.
    _any_scale = False

    def _n_components(self) -> int:
        return int(self.n_components)

    def _log_likelihood_of_fit(
        self, model: Any, best: EMResult, X: Array, weight: Array | None
    ) -> float:
        return self._total_log_likelihood(X, weight)

    # ---- fitting ----------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Estimate the parameters with the EM algorithm.

        The best of `n_init` starts is kept. With `warm_start`, the only start is where
        the last fit ended.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to fit. float32 stays float32; everything else becomes float64.
        y : Ignored
            Present for compatibility with pipelines.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, >= 0; weight w has the effect of w copies of the row.
            None means 1 each.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a hyperparameter, the rows or the weights are invalid, or if every start
            ended at a singular covariance.
        """
        validate_params(self)
        X = self._validate_rows(X, reset=True)
        weight = read_weight(sample_weight, X.shape[0], any_scale=self._any_scale)
        observed = self._observe(X, y)
        self._check_enough_rows(X, weight)
        with blas_limited():
            model = self._make_model(X)
            data = model.prepare(observed, weight)
            found = self._search(model, data, X.dtype)
            self._publish(found.best.params, data, X.dtype)
            self._publish_run(found, model.total_weight(data))
            self.log_likelihood_ = self._log_likelihood_of_fit(model, found.best, X, weight)
        self._report(found.best)
        return self

    def fit_predict(
        self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> NDArray[np.intp]:
        """Fit, and return the most probable component of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to fit.
        y : Ignored
            Present for compatibility with pipelines.
        sample_weight : array-like of shape (n_samples,), default=None
            See `fit`.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            The same as ``fit(X).predict(X)``.
        """
        return self.fit(X, y, sample_weight=sample_weight).predict(X)

    def _check_enough_rows(self, X: Array, weight: Array | None) -> None:
        n_rows = X.shape[0] if weight is None else int(np.count_nonzero(weight))
        if n_rows < self._n_components():
            counted = "" if weight is None else " of positive weight"
            raise ValueError(
                f"Expected n_samples >= n_components but got n_components = "
                f"{self._n_components()}, n_samples = {n_rows}{counted}. Use fewer components."
            )

    def _report(self, best: EMResult) -> None:
        dead = np.flatnonzero(self.weights_ == 0.0)
        if dead.size:
            warnings.warn(
                f"Component(s) {dead.tolist()} lost all rows and were given weight 0: fewer "
                f"than n_components={self._n_components()} describe the data. Use fewer.",
                ConvergenceWarning,
                stacklevel=3,
            )
        self._report_convergence(best)
