"""One analysis of each imputed table: fits, pooled coefficients, pooled predictions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, clone, is_classifier

from emlearn.impute.pooling.rubin import PooledEstimates, pool_estimates

Array = NDArray[np.float64]


def pool_fits(
    fits: Iterable[Any], *, df_complete: float | str | None = "auto", confidence: float = 0.95
) -> PooledEstimates:
    """Pool the results of one model of statsmodels, fitted to each imputation.

    Parameters
    ----------
    fits : iterable of results
        Results that have `params` and `cov_params()`, one for each imputation.
    df_complete : float, "auto" or None, default="auto"
        See `pool_estimates`; "auto" is the smallest `df_resid` of the results, if they have it.
    confidence : float, default=0.95
        Level of the intervals.

    Returns
    -------
    pooled : PooledEstimates
        With the names of the parameters, and with their covariances for joint tests.

    Raises
    ------
    TypeError
        If a result has no `params` or `cov_params`.
    ValueError
        If the results have different parameters, or there are fewer than two.

    Examples
    --------
    Any object with these names will do:

    >>> import numpy as np
    >>> from emlearn.impute import pool_fits
    >>> class Mean:
    ...     def __init__(self, values):
    ...         self.params = {"mean": values.mean()}
    ...         self.df_resid = len(values) - 1
    ...         self.variance = values.var(ddof=1) / len(values)
    ...     def cov_params(self):
    ...         return np.array([[self.variance]])
    >>> fits = [Mean(np.array([1.0, 2.5, 3.0, b])) for b in (2.0, 2.2, 1.5)]
    >>> pool_fits(fits).summary()
          estimate  std error     df  p-value      low   high    fmi
    mean       2.1     0.4486  1.887  0.04771  0.05487  4.145  0.441
    3 imputations, 95 % intervals
    """
    found = list(fits)
    for fit in found:
        if not (hasattr(fit, "params") and callable(getattr(fit, "cov_params", None))):
            raise TypeError(
                f"Results with params and cov_params() are required, got {type(fit).__name__}. "
                "For estimators of scikit-learn, use fit_each; for other estimates, "
                "pool_estimates."
            )
    df: Any = df_complete
    if isinstance(df_complete, str):
        if df_complete != "auto":
            raise ValueError(f"df_complete must be a number, 'auto' or None; got {df_complete!r}.")
        known = [float(fit.df_resid) for fit in found if hasattr(fit, "df_resid")]
        df = min(known) if known and np.isfinite(known).all() else None
    params = [fit.params for fit in found]
    covariances = [fit.cov_params() for fit in found]
    return pool_estimates(params, covariances, df_complete=df, confidence=confidence)


def fit_each(
    estimator: Any,
    tables: Iterable[Any],
    y: Any = None,
    *,
    sample_weight: Any = None,
    n_jobs: int | None = None,
) -> PooledPredictor:
    """Fit a clone of an estimator of scikit-learn to each imputation.

    Parameters
    ----------
    estimator : estimator
        A regressor or classifier. It is neither fitted nor changed.
    tables : iterable of array-like or DataFrame of shape (n_samples, n_features)
        The imputations, such as the result of `multiple_imputation`.
    y : array-like of shape (n_samples,), str, int or None, default=None
        The target; or the name (the number, for arrays) of the column of the tables that is the
        target, which may have been imputed too.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights, for `fit`.
    n_jobs : int, default=None
        Number of estimators fitted at the same time with joblib.

    Returns
    -------
    fitted : PooledPredictor
        The estimators, with pooled predictions.

    Raises
    ------
    ValueError
        If there is no table.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from emlearn.impute import MissingDataImputerEM, fit_each, multiple_imputation
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(100, 2))
    >>> y = X.sum(axis=1) > 0
    >>> X[:30, 1] = np.nan
    >>> tables = multiple_imputation(MissingDataImputerEM(), X, n_imputations=5, random_state=0)
    >>> model = fit_each(LogisticRegression(), tables, y)
    >>> model.predict([[1.0, 2.0], [-2.0, 1.0]])
    array([ True, False])
    """
    parts = [(table, y) if not np.isscalar(y) else _split_target(table, y) for table in tables]
    if not parts:
        raise ValueError("tables is empty: at least one imputation is needed.")
    options = {} if sample_weight is None else {"sample_weight": sample_weight}
    fitted = Parallel(n_jobs=n_jobs)(
        delayed(_fit_one)(clone(estimator), X, target, options) for X, target in parts
    )
    kind = PooledClassifier if is_classifier(estimator) else PooledPredictor
    return kind(fitted)


class PooledPredictor:
    """Estimators fitted to imputations, and their pooled predictions; made by `fit_each`.

    Rows to predict are one complete table, or a list of one table for each estimator: the
    imputations of rows with missing entries.

    Parameters
    ----------
    estimators : sequence of estimators
        The fitted estimators, one for each imputation.

    Attributes
    ----------
    estimators_ : list of estimators
        The fitted estimators.
    """

    def __init__(self, estimators: Sequence[Any]):
        self.estimators_ = list(estimators)

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Mean of the predictions.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features), or list of these
            Rows.
        return_std : bool, default=False
            Whether to return standard errors too, by Rubin's rules. The estimators have to
            know theirs (``predict(X, return_std=True)``, as `BayesianRidge` has).

        Returns
        -------
        prediction : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predictions.
        std : ndarray of shape (n_samples,)
            Their standard errors, with `return_std`.
        """
        if not return_std:
            return np.mean([e.predict(rows) for e, rows in self._pairs(X)], axis=0)
        found = [e.predict(rows, return_std=True) for e, rows in self._pairs(X)]
        values, errors = zip(*found, strict=True)
        pooled = pool_estimates(np.array(values), np.square(errors))
        return pooled.estimate, pooled.standard_error

    def _pairs(self, X: Any) -> list[tuple[Any, Any]]:
        """Each estimator with its rows."""
        several = isinstance(X, list | tuple) and len(X) > 0 and np.ndim(X[0]) == 2
        if not several:
            return [(estimator, X) for estimator in self.estimators_]
        if len(X) != len(self.estimators_):
            raise ValueError(
                f"X has {len(X)} tables, but there are {len(self.estimators_)} estimators, each of "
                "which needs one."
            )
        return list(zip(self.estimators_, X, strict=True))


class PooledClassifier(ClassifierMixin, PooledPredictor):
    """Classifiers fitted to imputations, and their pooled predictions; made by `fit_each`.

    Parameters
    ----------
    estimators : sequence of estimators
        The fitted classifiers, one for each imputation.

    Attributes
    ----------
    estimators_ : list of estimators
        The fitted classifiers.
    classes_ : ndarray of shape (n_classes,)
        All classes that one of them knows.
    """

    def __init__(self, estimators: Sequence[Any]):
        super().__init__(estimators)
        self.classes_ = np.unique(np.concatenate([e.classes_ for e in self.estimators_]))

    def predict_proba(self, X: Any) -> Array:
        """Mean of the probabilities.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features), or list of these
            Rows.

        Returns
        -------
        probability : ndarray of shape (n_samples, n_classes)
            Probabilities of `classes_`.
        """
        return self._mean(X, lambda estimator, rows: estimator.predict_proba(rows))

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Class of the highest mean probability, or of most votes if there are no probabilities.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features), or list of these
            Rows.
        return_std : bool, default=False
            Not for classifiers.

        Returns
        -------
        label : ndarray of shape (n_samples,)
            Classes.
        """
        if return_std:
            raise ValueError("return_std is not for classifiers: use predict_proba.")
        if all(hasattr(estimator, "predict_proba") for estimator in self.estimators_):
            votes = self.predict_proba(X)
        else:
            votes = self._mean(X, _votes)
        return self.classes_[votes.argmax(axis=1)]

    def _mean(self, X: Any, evaluate: Any) -> Array:
        """Mean of a table with a column for each class; an unknown class has 0."""
        total: Any = 0.0
        for estimator, rows in self._pairs(X):
            own = evaluate(estimator, rows)
            table = np.zeros((len(own), len(self.classes_)))
            table[:, np.searchsorted(self.classes_, estimator.classes_)] = own
            total = total + table
        return np.asarray(total / len(self.estimators_))


def _votes(estimator: Any, rows: Any) -> Array:
    return (estimator.predict(rows)[:, None] == estimator.classes_).astype(np.float64)


def _fit_one(estimator: Any, X: Any, y: Any, options: dict[str, Any]) -> Any:
    return estimator.fit(X, **options) if y is None else estimator.fit(X, y, **options)


def _split_target(table: Any, target: Any) -> tuple[Any, Any]:
    """A table without one of its columns, and this column."""
    if hasattr(table, "columns"):
        names = list(table.columns)
        if target not in names:
            raise ValueError(f"y={target!r} is no column; the columns are {names}.")
        return table[[name for name in names if name != target]], table[target]
    array = np.asarray(table)
    if isinstance(target, str) or not -array.shape[1] <= target < array.shape[1]:
        raise ValueError(f"y={target!r} is no column of an array with {array.shape[1]} columns.")
    return np.delete(array, target, axis=1), array[:, target]
