"""The estimator `MissingDataImputerEM`."""

from __future__ import annotations

import numbers
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from emlearn._compat import Interval, StrOptions
from emlearn.data import (
    input_names,
    is_na,
    is_nan,
    read_weight,
)
from emlearn.impute._base import ImputerFitting
from emlearn.impute._filling import Filling
from emlearn.impute._known import conditioning
from emlearn.impute._published import NOT_FITTED

Array = NDArray[np.float64]
Floats = NDArray[np.floating]


class MissingDataImputerEM(TransformerMixin, Filling, ImputerFitting):
    """Impute missing values by their conditional expectation under a fitted Gaussian model.

    The model (one multivariate normal, a mixture of them, or a factor analysis) is fitted to
    the observed entries with the EM algorithm, by maximum likelihood or posterior mode.
    Entries are assumed to be missing at random: whether an entry is missing may depend on
    observed entries, but not on missing ones.

    Parameters
    ----------
    n_components : int, default=1
        Number of Gaussians. More than one makes the imputation nonlinear.
    n_factors : int, default=None
        If given, the covariance is that of a factor analysis with this number of factors. The
        fit then needs no d x d matrix, which suits wide data. Requires ``n_components=1``.
    alpha : "auto" or float, default="auto"
        Strength of the prior on the covariances, as a number of pseudo-rows of weight 1. They
        have the observed variances of the columns and are uncorrelated. If all rows obey an
        exact linear relation, for example if a column is the total of others, the pseudo-rows
        obey it too (not with `n_factors`). 0 is exact maximum likelihood.
        "auto" is the strength between 0.1 and d + 1 with the highest likelihood of each row given
        the others, or 1 if there are so many rows that it has no effect. It is 1 for a factor
        analysis, and for each component of a mixture. Its influence vanishes as rows are added,
        and no covariance is singular. `multiple_imputation` uses a weaker prior.
    {tol}
    {max_iter}
    {accelerate}
    n_init : int, default=1
        For one component, number of starts, of which the best run is kept; there can be several
        optima if few rows have both columns of a pair. For a mixture, how much effort goes into
        the race of starts, as in `GaussianMixtureEM`.
    missing_values : float, int or pandas.NA, default=np.nan
        The value that marks a missing entry. If it is NaN or pandas.NA, all of NaN, None and
        pandas.NA are read as missing.
    sample_posterior : bool, default=False
        Impute draws from the conditional distribution instead of its mean.
    bounds : tuple (low, high) or dict, default=None
        Limits of imputed values. A tuple has the lower and the upper bounds of all columns;
        each is a number, or one number for each column (a list, an array, or a Series whose
        labels are the columns). A dict maps names or numbers of columns to pairs (low, high).
        None means no limit. Conditional means are clipped; draws follow the conditional
        distribution within the bounds.
    add_indicator : bool, default=False
        Append a `sklearn.impute.MissingIndicator` to the output.
    keep_empty_features : bool, default=False
        Whether to keep columns without any observed value in fit, filled with 0. Otherwise
        they are dropped.
    {random_state}
    {n_jobs}
    {warm_start}
    {verbose}
    {verbose_interval}

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Mixture weights.
    means_ : ndarray of shape (n_components, n_features_out)
        Means of the components. Columns are those of the output without indicators.
    covariances_ : ndarray of shape (n_components, n_features_out, n_features_out)
        Covariances of the components. With `n_factors` they follow from `loadings_` and
        `noise_variances_`, and cannot be set.
    loadings_, noise_variances_ : ndarray of shape (n_features_out, n_factors), \
(n_features_out,)
        Loadings and noise variances; only with `n_factors`.
    mean_ : ndarray of shape (n_features_out,)
        Mean of the model; follows from the above.
    covariance_ : ndarray of shape (n_features_out, n_features_out)
        Covariance of the model (for a mixture, of the whole mixture); follows from the above.
    {log_likelihood_}
    {lower_bound_}
    {lower_bounds_}
    alpha_ : float
        Number of pseudo-rows of the prior that was used.
    {n_iter_}
    {converged_}
    {history_}
    {restarts_}
    indicator_ : MissingIndicator or None
        The indicator, if asked for.
    {n_features_in_}
    {feature_names_in_}

    See Also
    --------
    emlearn.impute.multiple_imputation : Several proper imputations, for statistics.
    emlearn.impute.little_mcar_test : Test whether entries are missing completely at random.

    Notes
    -----
    A column with a single distinct value is imputed with that value. It is not part of the
    model, and its covariances are 0. A row without any observed entry is imputed with the
    mean.

    The published parameters are the model: each call of `transform` and the other methods reads
    `weights_`, `means_` and `covariances_`, or `means_`, `loadings_` and `noise_variances_`.
    Changed parameters are used, and invalid ones raise an error.

    References
    ----------
    R. J. A. Little and D. B. Rubin (2019). "Statistical Analysis with Missing Data", 3rd
    edition, chapters 8 and 11. Wiley.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.impute import MissingDataImputerEM
    >>> X = np.array(
    ...     [[1.0, 2.1], [2.0, 3.9], [3.0, np.nan], [4.0, 8.1], [np.nan, 10.0], [6.0, 11.8]]
    ... )
    >>> MissingDataImputerEM().fit_transform(X).round(1)
    array([[ 1. ,  2.1],
           [ 2. ,  3.9],
           [ 3. ,  6. ],
           [ 4. ,  8.1],
           [ 5. , 10. ],
           [ 6. , 11.8]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [Interval(numbers.Integral, 1, None, closed="left")],
        "n_factors": [Interval(numbers.Integral, 1, None, closed="left"), None],
        "alpha": [StrOptions({"auto"}), Interval(numbers.Real, 0, None, closed="left")],
        "missing_values": "no_validation",
        "sample_posterior": ["boolean"],
        "bounds": "no_validation",
        "add_indicator": ["boolean"],
        "keep_empty_features": ["boolean"],
    }

    def __init__(
        self,
        n_components: int = 1,
        *,
        n_factors: int | None = None,
        alpha: Any = "auto",
        tol: float | str = "auto",
        max_iter: int = 1000,
        accelerate: str | None = "auto",
        n_init: int = 1,
        missing_values: Any = np.nan,
        sample_posterior: bool = False,
        bounds: Any = None,
        add_indicator: bool = False,
        keep_empty_features: bool = False,
        random_state: Any = None,
        n_jobs: int | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
    ):
        self.n_components = n_components
        self.n_factors = n_factors
        self.alpha = alpha
        self.tol = tol
        self.max_iter = max_iter
        self.accelerate = accelerate
        self.n_init = n_init
        self.missing_values = missing_values
        self.sample_posterior = sample_posterior
        self.bounds = bounds
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> MissingDataImputerEM:
        """Fit the model to the observed entries.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Data with missing entries.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; weight w means w copies. A pseudo-row of the prior has weight 1.

        Returns
        -------
        self : MissingDataImputerEM
            The fitted estimator.

        Raises
        ------
        ValueError
            If a hyperparameter or an entry is invalid (the message names it), or if every
            start led to a singular covariance, which is impossible with the default prior.
        """
        self._fit(X, sample_weight)
        return self

    def fit_transform(self, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Fit to `X` and impute it.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Data with missing entries.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; weight w means w copies.

        Returns
        -------
        X_imputed : ndarray or DataFrame of shape (n_samples, n_features_out)
            The same as ``fit(X).transform(X)``.
        """
        return self._complete(self._fit(X, sample_weight))

    def transform(self, X: Any) -> Any:
        """Impute the missing entries of rows, which can be other rows than those of fit.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows, with any pattern of missing entries.

        Returns
        -------
        X_imputed : ndarray or DataFrame of shape (n_samples, n_features_out)
            Rows without missing entries, in the precision of `X`. Observed entries do not
            change by a bit. With `add_indicator`, the indicators follow.
        """
        check_is_fitted(self, msg=NOT_FITTED)
        return self._complete(self._read_rows(X))

    def conditional_std(self, X: Any) -> Array:
        """Standard deviation of each missing entry given the observed entries of its row.

        It measures the uncertainty of an imputed value under the fitted model, not that of the
        model itself; for both, see `multiple_imputation`. Bounds are ignored.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows with missing entries.

        Returns
        -------
        std : ndarray of shape (n_samples, n_features_out)
            Standard deviations; 0 for observed entries.
        """
        known = self._known()
        rows = self._keep(self._read_rows(X))
        out = np.zeros(rows.shape)
        self._fill(known, rows, out, "fill_deviations")
        return np.asarray(out)

    def score_samples(self, X: Any) -> Array:
        """Log-density of the observed entries of each row.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows with missing entries.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            Log-densities; 0 for a row without any observed entry. Columns that were constant
            or empty in fit are left out.
        """
        known = self._known()
        rows = self._keep(self._read_rows(X))
        if known.fitted is None:
            return np.zeros(rows.shape[0])
        with conditioning():
            density: Array = known.fitted.log_density(rows[:, known.varying])
        density[np.isnan(density)] = -np.inf
        return density

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Mean log-density of the observed entries, by which GridSearchCV compares models.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows with missing entries.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row.

        Returns
        -------
        score : float
            Weighted mean of `score_samples`.
        """
        density = self.score_samples(X)
        return float(np.average(density, weights=read_weight(sample_weight, len(density))))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the columns of the output.

        Parameters
        ----------
        input_features : array-like of str of shape (n_features,), default=None
            Names of the columns of the input. The default is those of fit, or x0, x1, ...

        Returns
        -------
        names : ndarray of str of shape (n_features_out,)
            Names of the columns kept, then those of the indicators.
        """
        check_is_fitted(self, msg=NOT_FITTED)
        given = input_names(self, input_features)
        names = given[self._kept]
        if self.indicator_ is not None:
            names = np.concatenate((names, self.indicator_.get_feature_names_out(given)))
        return np.asarray(names, dtype=object)

    def inverse_transform(self, X: Any) -> Floats:
        """Mark entries as missing again where the indicators are set.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_out + n_indicators)
            Output of `transform`.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            The rows as they were; only columns with missing entries in fit have indicators.

        Raises
        ------
        ValueError
            If there are no indicators, or the number of columns is wrong.
        """
        check_is_fitted(self, msg=NOT_FITTED)
        if self.indicator_ is None:
            raise ValueError(
                "'inverse_transform' works only when 'MissingDataImputerEM' is instantiated "
                f"with 'add_indicator=True'. Got 'add_indicator={self.add_indicator}' instead."
            )
        table = np.asarray(X)
        if table.dtype.kind != "f":
            table = table.astype(np.float64)
        kept, marked = self._kept, self.indicator_.features_
        if table.ndim != 2 or table.shape[1] != kept.size + marked.size:
            raise ValueError(
                f"X has shape {table.shape}; {kept.size} columns and {marked.size} indicators "
                "are expected."
            )
        mark = np.nan if is_na(self.missing_values) else self.missing_values
        original = np.full((table.shape[0], self.n_features_in_), mark, dtype=table.dtype)
        original[:, kept] = table[:, : kept.size]
        columns = original[:, marked]
        columns[table[:, kept.size :].astype(bool)] = mark
        original[:, marked] = columns
        return original

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = is_na(self.missing_values) or is_nan(self.missing_values)
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
