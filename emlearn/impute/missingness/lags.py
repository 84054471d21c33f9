"""Earlier and later rows as further columns, for tables in order of time."""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from emlearn._compat import validate_params
from emlearn.data import input_names, read_table
from emlearn.impute.missingness.columns import column_position, column_values, is_frame, with_column

Floats = NDArray[np.floating]


class LagFeatures(TransformerMixin, BaseEstimator):
    """Append lags and leads of columns: their values some rows earlier and later.

    In front of an imputer, a missing entry of a time series is filled from its neighbors in
    time as well as from the other columns. Entries without a neighbor are NaN, which
    `MissingDataImputerEM` leaves out of the likelihood.

    Parameters
    ----------
    lags : int or list of int, default=1
        How many rows back each lag lies; 1 is the row before. An empty list means none.
    leads : int or list of int, default=()
        How many rows ahead each lead lies.
    columns : list of str or int, default=None
        Names or numbers of the columns that get lags and leads. None means all.
    groups : str or int, default=None
        Name or number of a column that tells series apart, such as the persons of a panel. Its
        values can also be text. It is not in the output, and lags do not cross its series.
        Rows of a series are in order of time; other series may lie between them. None means one
        series.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns in fit.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, if all are text.

    See Also
    --------
    MissingDataImputerEM : The imputer that follows.

    Notes
    -----
    A lag is a number of rows, so rows must be equally spaced in time: insert rows of NaN where
    a time is missing. Lags repeat entries, so rows are not independent: imputations are fine,
    but the log-likelihood of the imputer is no longer that of the data.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from emlearn.impute import LagFeatures, MissingDataImputerEM
    >>> X = np.array([[1.0], [2.0], [np.nan], [4.0], [5.0], [6.2]])
    >>> LagFeatures(lags=1, leads=1).fit_transform(X)[:3]
    array([[ 1., nan,  2.],
           [ 2.,  1., nan],
           [nan,  2.,  4.]])
    >>> lags = LagFeatures(lags=1, leads=1)
    >>> filled = make_pipeline(lags, MissingDataImputerEM()).fit_transform(X)
    >>> lags.inverse_transform(filled).shape
    (6, 1)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "lags": ["array-like", numbers.Integral],
        "leads": ["array-like", numbers.Integral],
        "columns": ["array-like", None],
        "groups": [str, numbers.Integral, None],
    }

    def __init__(self, lags: Any = 1, *, leads: Any = (), columns: Any = None, groups: Any = None):
        self.lags = lags
        self.leads = leads
        self.columns = columns
        self.groups = groups

    def fit(self, X: Any, y: Any = None) -> LagFeatures:
        """Check the parameters, and learn the names of the columns.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows in order of time, with or without missing entries.
        y : None
            Ignored.

        Returns
        -------
        self : LagFeatures
            The transformer.
        """
        self._fit(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """Fit to `X` and append lags and leads.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows in order of time, with or without missing entries.
        y : None
            Ignored.

        Returns
        -------
        X_lagged : ndarray or DataFrame of shape (n_samples, n_features_out)
            The same as ``fit(X).transform(X)``.
        """
        return self._append(*self._fit(X))

    def transform(self, X: Any) -> Any:
        """Append lags and leads.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows in order of time; the first ones have no earlier neighbors, whatever was fitted.

        Returns
        -------
        X_lagged : ndarray or DataFrame of shape (n_samples, n_features_out)
            The columns of `X` without that of `groups`, then the first lag of the chosen
            columns, the second, and so on, then the leads; NaN where there is no such row.
        """
        check_is_fitted(self)
        return self._append(*self._read(X, reset=False))

    def inverse_transform(self, X: Any) -> Any:
        """Drop the appended columns.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features_out)
            Output of `transform`, or of an imputer after it. Of a DataFrame, columns are taken
            by name.

        Returns
        -------
        X_original : ndarray or DataFrame of shape (n_samples, n_features)
            The original columns, without that of `groups`.
        """
        check_is_fitted(self)
        names = list(self._names()[self._kept])
        if is_frame(X):
            return X[names]
        table = np.asarray(X)
        if table.ndim != 2 or table.shape[1] < len(names):
            raise ValueError(
                f"X has shape {table.shape}; at least {len(names)} columns are expected."
            )
        return table[:, : len(names)]

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the columns of the output, such as price, price_lag1 and price_lead2.

        Parameters
        ----------
        input_features : array-like of str of shape (n_features,), default=None
            Names of the columns of the input. The default is those of fit, or x0, x1, ...

        Returns
        -------
        names : ndarray of str of shape (n_features_out,)
            The names.
        """
        check_is_fitted(self)
        given = self._names(input_features)
        kept, chosen = given[self._kept], given[self._chosen]
        words = [f"lag{-s}" if s < 0 else f"lead{s}" for s in self._steps]
        added = [f"{name}_{word}" for word in words for name in chosen]
        return np.array([*kept, *added], dtype=object)

    def _names(self, input_features: Any = None) -> NDArray[np.object_]:
        return input_names(self, input_features)

    def _fit(self, X: Any) -> tuple[Floats, NDArray[np.intp]]:
        validate_params(self)
        steps = [-lag for lag in _steps(self.lags, "lags")] + _steps(self.leads, "leads")
        found = self._read(X, reset=True)
        names = self._names()
        every = np.arange(names.size)
        own = [] if self.groups is None else [column_position(self.groups, names)]
        self._kept = np.delete(every, own)
        columns = self._kept if self.columns is None else self.columns
        self._chosen = np.array([column_position(c, names) for c in columns], dtype=np.intp)
        if np.isin(self._chosen, own).any():
            raise ValueError(f"columns contains {self.groups!r}, which is the column of groups.")
        self._steps = steps
        return found

    def _read(self, X: Any, *, reset: bool) -> tuple[Floats, NDArray[np.intp]]:
        """The table, and for each row the number of its series."""
        if self.groups is None:
            table = read_table(self, X, reset=reset)
            return table, np.zeros(table.shape[0], dtype=np.intp)
        X = X if is_frame(X) else np.asarray(X)
        names = np.array(list(X.columns) if is_frame(X) else range(X.shape[1]), dtype=object)
        position = column_position(self.groups, names)
        place = names[position]
        values = column_values(X, place)
        known = np.array([value is not None and value == value for value in values], dtype=bool)
        if not known.all():
            row = np.flatnonzero(~known)[0]
            raise ValueError(
                f"groups={place!r} has a missing entry in row {row}: each row belongs to a series."
            )
        _, series = np.unique(
            values.astype(str) if values.dtype == object else values, return_inverse=True
        )
        table = read_table(self, with_column(X, place, series.ravel()), reset=reset)
        return table, series.ravel()

    def _append(self, table: Floats, series: NDArray[np.intp]) -> Floats:
        order = np.argsort(series, kind="stable")
        sorted_series, chosen = series[order], table[np.ix_(order, self._chosen)]
        n_rows = table.shape[0]
        parts = [table[:, self._kept]]
        for step in self._steps:
            source = np.arange(n_rows) + step
            inside = (source >= 0) & (source < n_rows)
            source = np.clip(source, 0, max(n_rows - 1, 0))
            inside &= sorted_series[source] == sorted_series
            moved = np.empty_like(chosen)
            moved[order] = np.where(inside[:, None], chosen[source], np.nan)
            parts.append(moved)
        return np.concatenate(parts, axis=1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _steps(value: Any, name: str) -> list[int]:
    steps = list(value) if isinstance(value, Iterable) else [value]
    valid = all(isinstance(s, numbers.Integral) and not isinstance(s, bool) for s in steps)
    if not valid or any(s < 1 for s in steps) or len(set(steps)) < len(steps):
        raise ValueError(f"{name} must be different integers >= 1, got {value!r}.")
    return [int(s) for s in steps]
