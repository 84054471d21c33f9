"""The estimator `MissingDataImputerEM`."""

from __future__ import annotations

import numbers
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from emlearn._compat import Interval, StrOptions
from emlearn.data import input_names, read_weight
from emlearn.data.blocks.finding import find_blocks
from emlearn.data.blocks.reading import by_block
from emlearn.data.markers import read_markers
from emlearn.data.mixed import MixedTable
from emlearn.data.tables import with_labels
from emlearn.engine.block_table import BlockTable, RowPart
from emlearn.engine.stepwise import StepwisePlan
from emlearn.impute._filling import has_other_types
from emlearn.impute._inference import ImputerInference
from emlearn.impute._known import conditioning
from emlearn.impute._published import NOT_FITTED
from emlearn.impute._streaming import ImputerStreaming

Array = NDArray[np.float64]
Floats = NDArray[np.floating]


@by_block("transform", "conditional_std", "score_samples")
class MissingDataImputerEM(TransformerMixin, ImputerStreaming, ImputerInference):
    """Impute missing values given the observed ones, under a model fitted by EM.

    The model of a table of numbers is one multivariate normal, a mixture of them, or a factor
    analysis. The model of a table that also has categories (text, booleans, dtypes of categories)
    is the general location model with latent classes, or an average of several. It is fitted to
    the observed entries with the EM algorithm, by maximum likelihood or posterior mode.
    Entries are assumed to be missing at random: whether an entry is missing may depend on
    observed entries, but not on missing ones.

    Numbers are imputed by their conditional mean, ordered categories by their median, and other
    categories by the most probable level. Each column of a DataFrame comes back in its own dtype.

    Parameters
    ----------
    n_components : int, default=1
        Number of Gaussians or latent classes. More than one makes the imputation nonlinear. For
        a table with categories, 1 with ``model="auto"`` means the average.
    n_factors : int, default=None
        If given, covariances are those of a factor analysis with this number of factors. With
        one component the fit then needs no d x d matrix, which suits wide data. With several
        it is a mixture of factor analyzers, for more columns than the rows of a component
        determine full matrices for; there must be fewer factors than columns that vary.
    alpha : "auto" or float, default="auto"
        Strength of the prior on the covariances, as a number of pseudo-rows of weight 1. They
        have the observed variances of the columns and are uncorrelated. If all rows obey an
        exact linear relation, for example if a column is the total of others, the pseudo-rows
        obey it too (not with `n_factors`). 0 is exact maximum likelihood.
        "auto" is the strength between 0.1 and d + 1 with the highest likelihood of each row given
        the others, or 1 if there are so many rows that it has no effect. It is 1 for a factor
        analysis, and for each component of a mixture. Its influence vanishes as rows are added,
        and no covariance is singular. `multiple_imputation` uses a weaker prior. For several
        classes it is the number of numeric columns + 2, with the covariance of the model of one
        class.
    {tol}
    {max_iter}
    {accelerate}
    n_init : int, default=1
        For one component, number of starts, of which the best run is kept; there can be several
        optima if few rows have both columns of a pair. For a mixture, how much effort goes into
        the race of starts, as in `GaussianMixtureEM`.
    model : {"auto", "gaussian", "classes", "average"}, default="auto"
        "gaussian" takes numbers only. "classes" is one general location model with `n_components`
        latent classes: in class k, categories are independent and numbers are normal, with
        covariance Sigma_k and a mean that depends linearly on the categories. "average" is the
        average of the distributions under eight such models: of 1, 3, 6 and 12 classes, each with
        both kinds of `margins`. It imputes better than any one of them, and takes some 10 times
        the time; with ``tol="auto"`` its fits stop when about 1e-4 nats a row are left to gain.
        "auto" is "gaussian" for numbers
        only. If a column has categories, it is "average", or "classes" if `n_components` is more
        than 1.
    margins : {"auto", "raw", "power"}, default="auto"
        For the models with classes, whether numbers are taken as they are, or transformed to be
        more nearly normal (Yeo-Johnson), in which case imputed values are at most 10 % of the
        range outside the observed ones. "auto" is both for an average, and "raw" for one model.
    categorical_features : "from_dtype", array-like of str, int or bool, or None, \
default="from_dtype"
        Columns of categories: those whose dtype is one of categories, text or booleans; or
        names, positions or a mask of columns. None means none. Ordered dtypes are ordered
        categories, and so are integers with 2 to 8 distinct values, if another column has
        categories or they are integers by the dtype of a DataFrame. A column with more levels
        than 30 or a tenth of the rows (half of them if declared as categories) is refused.
    ordinal_features : array-like of str, int or bool, default=None
        Columns that are ordered categories whatever their dtype; their levels are sorted.
    unseen : {"missing", "error"}, default="missing"
        What `transform` does with a level that did not occur in fit: it is missing to the model
        and returned as it is, or an error.
    missing_values : float, int, str, pandas.NA, None or list of these, default=np.nan
        What marks a missing entry. If it is NaN, None or pandas.NA, all of these are read as
        missing; also if it is a list such as ``[-9, "?", ""]``.
    sample_posterior : bool, default=False
        Impute draws from the conditional distribution instead of its mean.
    bounds : tuple (low, high) or dict, default=None
        Limits of imputed numbers. A tuple has the lower and the upper bounds of all columns;
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
    {stepwise}
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
        Loadings and noise variances; only with `n_factors`. With several components, these are
        the first axis of both. The factors are uncorrelated given a row, the one that explains
        most first, and their standardized loadings have a positive sum.
    mean_ : ndarray of shape (n_features_out,)
        Mean of the model; follows from the above.
    covariance_ : ndarray of shape (n_features_out, n_features_out)
        Covariance of the model (for a mixture, of the whole mixture); follows from the above.
    models_ : tuple of ClassesModel
        The fitted models of a table with categories, with equal weights. If there is one, its
        arrays are also `weights_`, `means_`, `covariances_`, and the dicts `probabilities_` and
        `coefficients_`. They cannot be set.
    candidates_ : dict of ndarray
        Table of these models, for `pandas.DataFrame`: number of classes, covariances, margins,
        weight in the average, log-likelihood, BIC, iterations.
    category_levels_ : dict of tuple
        Levels of each column of categories.
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
    Changed parameters are used, and invalid ones raise an error. Those of models with classes
    cannot be changed.

    For a table with categories, `log_likelihood_` is that of the average of the models, and
    `lower_bound_`, `n_iter_` and `history_` are those of the model with the highest likelihood.

    The output is an array if all columns are numbers, unless `set_output` asks for a DataFrame.
    Otherwise it is a DataFrame if the input is one, or an array of objects. A dtype of integers
    gets rounded values.

    References
    ----------
    R. J. A. Little and D. B. Rubin (2019). "Statistical Analysis with Missing Data", 3rd
    edition, chapters 8 and 11. Wiley.
    J. S. Murray and J. P. Reiter (2016). "Multiple imputation of missing categorical and
    continuous values via Bayesian mixture models with local dependence". Journal of the American
    Statistical Association 111(516), 1466-1479.

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
        "model": [StrOptions({"auto", "gaussian", "classes", "average"})],
        "margins": [StrOptions({"auto", "raw", "power"})],
        "categorical_features": "no_validation",
        "ordinal_features": "no_validation",
        "unseen": [StrOptions({"missing", "error"})],
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
        model: Literal["auto", "gaussian", "classes", "average"] = "auto",
        margins: Literal["auto", "raw", "power"] = "auto",
        categorical_features: Any = "from_dtype",
        ordinal_features: Any = None,
        unseen: Literal["missing", "error"] = "missing",
        missing_values: Any = np.nan,
        sample_posterior: bool = False,
        bounds: Any = None,
        add_indicator: bool = False,
        keep_empty_features: bool = False,
        random_state: Any = None,
        stepwise: StepwisePlan | None = None,
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
        self.model = model
        self.margins = margins
        self.categorical_features = categorical_features
        self.ordinal_features = ordinal_features
        self.unseen = unseen
        self.missing_values = missing_values
        self.sample_posterior = sample_posterior
        self.bounds = bounds
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.random_state = random_state
        self.stepwise = stepwise
        self.n_jobs = n_jobs
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> MissingDataImputerEM:
        """Fit the model to the observed entries.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Data with missing entries. Also tables of numbers that are read block by block, or are
            on a cluster: see `emlearn.data.blocks`.
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
        table = self._fit(X, sample_weight)
        if isinstance(table, BlockTable):
            return self.transform(X)
        return self._complete(MixedTable(table, self._schema, None), X)

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
        return self._complete(self._encode(X), X)

    def conditional_std(self, X: Any, *, inference: Any = None) -> Array:
        """Standard deviation of each missing number given the observed entries of its row.

        It measures the uncertainty of an imputed value. By default it is a plug-in: that of the
        fitted model, as if its parameters were known. An interval of 1.96 of these deviations on
        both sides then covers the missing value less often than it should: in 92.7 % of cases for
        100 rows of 5 columns and ``alpha=0``, instead of 95 %
        (``python benchmarks/bench_conditional_std.py``). With `inference` it includes the
        uncertainty of the parameters. Bounds are ignored.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows with missing entries; not necessarily those of the fit.
        inference : MomentInference or BootstrapResult, default=None
            What tells the uncertainty of the parameters: the result of `inference` or of
            `emlearn.inference.bootstrap`, for the rows of the fit. The variance of the conditional
            mean, by the delta method or over the resamples, is then added to the conditional
            variance. None means that the parameters count as known.

        Returns
        -------
        std : ndarray of shape (n_samples, n_features_out)
            Standard deviations; 0 for observed entries, and for categories, for which
            `conditional_entropy` measures the uncertainty.

        Raises
        ------
        ValueError
            If `inference` is given for a table with categories.
        """
        check_is_fitted(self, msg=NOT_FITTED)
        rows = self._keep(self._read_rows(X))
        out = np.zeros(rows.shape)
        if hasattr(self, "_mixed"):
            if inference is not None:
                raise ValueError(
                    "A table with categories has no standard errors of its parameters: use "
                    "emlearn.impute.multiple_imputation, and leave inference out."
                )
            self._put_mixed("deviations", rows, out)
            return np.asarray(out)
        self._fill(self._known(), rows, out, "fill_deviations")
        if inference is not None:
            holes = np.isnan(rows).any(axis=1)
            out[holes] = np.sqrt(out[holes] ** 2 + self._spread_of_means(rows[holes], inference))
        return np.asarray(out)

    def conditional_entropy(self, X: Any) -> Array:
        """Entropy of each missing category given the observed entries of its row.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows with missing entries.

        Returns
        -------
        entropy : ndarray of shape (n_samples, n_features_out)
            Entropies in nats; 0 for observed entries and for numbers.
        """
        check_is_fitted(self, msg=NOT_FITTED)
        rows = self._keep(self._read_rows(X))
        out = np.zeros(rows.shape)
        if hasattr(self, "_mixed"):
            self._put_mixed("entropies", rows, out)
        return out

    def category_proba(self, X: Any) -> dict[Any, Any]:
        """Probabilities of the levels of each category given the observed entries of each row.

        Under "auto" and "average" they are the means of the probabilities of the models.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows with missing entries.

        Returns
        -------
        probabilities : dict
            A table for each column of categories, by its name (or its position if the columns
            have no names): a DataFrame of pandas with the index of `X` and the levels as columns
            if `X` is one, otherwise an ndarray of shape (n_samples, n_levels) with the levels in
            the order of ``category_levels_``. Where an entry is observed, its level has the
            probability 1. Levels without observed rows have 0.
        """
        check_is_fitted(self, msg=NOT_FITTED)
        table = self._read_rows(X)
        found = self._category_probabilities(table)
        return {key: with_labels(part, self.category_levels_[key], X) for key, part in found}

    def score_samples(self, X: Any) -> Array:
        """Log-density of the observed entries of each row.

        For a table with categories, it is the logarithm of a probability of the categories times a
        density of the numbers. Under "auto" and "average" it is the logarithm of the mean of the
        densities of the models.

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
        check_is_fitted(self, msg=NOT_FITTED)
        return self._density(self._keep(self._read_rows(X)))

    def _density(self, rows: Array) -> Array:
        """Log-densities of rows that were read."""
        if hasattr(self, "_mixed"):
            self._known_mixed()
            return self._mixed_density(rows)
        known = self._known()
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
        blocks = find_blocks(X)
        if blocks is not None:
            check_is_fitted(self, msg=NOT_FITTED)
            table = self._read_table(blocks, sample_weight)
            return float(table.total(self._score_of_part) / table.total_weight)
        density = self.score_samples(X)
        return float(np.average(density, weights=read_weight(sample_weight, len(density))))

    def _score_of_part(self, part: RowPart) -> float:
        """Weighted sum of the log-densities of some rows."""
        density = self._density(self._keep(part.X))
        return float(density.sum() if part.weight is None else part.weight @ density)

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
        if self._schema is not None and has_other_types(self._schema):
            raise ValueError(
                "inverse_transform works for tables of numbers only; here are other columns, too."
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
        single = isinstance(self.missing_values, numbers.Real)
        mark = self.missing_values if single else np.nan
        original = np.full((table.shape[0], self.n_features_in_), mark, dtype=table.dtype)
        original[:, kept] = table[:, : kept.size]
        columns = original[:, marked]
        columns[table[:, kept.size :].astype(bool)] = mark
        original[:, marked] = columns
        return original

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = read_markers(self.missing_values).absent
        tags.input_tags.categorical = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
