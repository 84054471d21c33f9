"""LinearMixedModelEM: linear models with random effects, for scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin

from emlearn._compat import StrOptions, validate_params
from emlearn._warnings import warn_user
from emlearn.engine import EMEstimator
from emlearn.engine.fixed import hold, n_held
from emlearn.engine.model import LatentVariableModel
from emlearn.engine.parameters import Public, read_fixed
from emlearn.engine.threads import blas_limited
from emlearn.mixed._data import MixedData
from emlearn.mixed._effects import random_effects
from emlearn.mixed._fitted_rows import MixedReading
from emlearn.mixed._fixed_effects import coefficient_covariance, tabulate
from emlearn.mixed._inferring import MixedInferring, heritabilities
from emlearn.mixed._model import MixedModel
from emlearn.mixed._params import RESIDUAL, MixedParams
from emlearn.mixed._predicting import MixedPredicting
from emlearn.mixed._reading import Recipe
from emlearn.mixed._terms import Design
from emlearn.mixed._uncertainty import uncertainty_of

Array = NDArray[np.float64]

# Nats that a variance of exactly 0 may cost where a fit came close to it.
_NEGLIGIBLE = 1e-4


class LinearMixedModelEM(
    MixedReading, MixedPredicting, MixedInferring, RegressorMixin, EMEstimator
):
    """Linear mixed model: a linear regression in which some effects are random.

    ``y = intercept_ + X @ coef_ + sum of Z_j @ u_j + e``. The random effects u_j are those of the
    levels of a grouping factor (subjects, schools, animals): normally distributed around 0 with a
    covariance that is estimated. So rows of the same level are correlated, and each level has
    effects of its own that are drawn toward 0 the more, the fewer rows it has.

    Grouping factors are columns of X, so that `predict` and `score` see them in a Pipeline and
    under any splitter.

    Parameters
    ----------
    groups : column, tuple, list or dict, default=None
        Grouping factors: the name (or number) of a column; a tuple of columns for the levels of
        their combinations, such as ``("school", "class")`` for classes within schools, which is
        the term "school:class"; a list of these; or a dict of them by a name of your own, with
        which two terms can use one column. None: no random effects, unless there are others.
    random_slopes : list of columns, or dict of str to list, default=None
        Columns whose effect differs between levels: for the only term, or by term.
    random_intercept : bool or dict of str to bool, default=True
        Whether levels have intercepts of their own.
    covariance : {"full", "diag"} or dict of str to these, default="full"
        Whether the intercept and slopes of a level are correlated.
    kinship : Kinship, DataFrame, ndarray or dict of str to these, default=None
        How levels are related: for the only term, or by term. A matrix of covariances whose rows
        and columns are named by the levels (of an array: numbered from 0), `Pedigree`, or
        `Genotypes`.
    Z : dict of str to list of columns, default=None
        Terms that are made of columns of X: each column has a random effect, and all effects of a
        term have the same variance. The columns have no fixed effects.
    formula : str, default=None
        Fixed and random effects as in R, such as ``"Reaction ~ Days + (Days | Subject)"``, instead
        of the parameters above. X must be a DataFrame. Needs the package formulaic.
    fixed_columns : list of columns, default=None
        Columns with fixed effects. None: all that are not in `groups` and `Z`; those with random
        slopes have fixed effects, too.
    fit_intercept : bool, default=True
        Whether there is a fixed intercept.
    method : {"reml", "ml"}, default="reml"
        "reml": restricted maximum likelihood, in which variances are not too small because fixed
        effects were fitted; it compares models with the same fixed effects only. "ml": maximum
        likelihood.
    weights : {"copies", "precision"}, default="copies"
        What `sample_weight` means. "copies": a weight w has the same effect as w copies of the
        row. "precision": the variance of the residual is divided by w, as lme4 has it.
    random_effects : {"known", "none"}, default="known"
        Whether `predict` adds the random effects of levels that were seen in `fit`. Other levels
        have the effect 0 in any case.
    fixed : dict of str to array-like, default=None
        Variances that are held at given values: by the keys of `variance_components_`, a number,
        or a matrix with NaN where free. None estimates all.
    tol : float, default=1e-13
        When to stop: estimated gain left, in nats for each row. Newton steps make it cheap.
    {max_iter}
    accelerate : {"auto", "squarem", "quasi-newton", "anderson"} or None, default="auto"
        "auto": Newton steps with the average of observed and expected information wherever they
        raise the likelihood, and EM steps elsewhere (with `fixed`, as in the other estimators).
        None is plain EM, which hardly moves where a variance is close to 0.
    {verbose}
    {verbose_interval}

    Attributes
    ----------
    coef_ : ndarray of shape (n_fixed,)
        Fixed effects, by generalized least squares.
    intercept_ : float
        Fixed intercept; 0 without one.
    fixed_names_ : tuple of str
        Names of the columns of `coef_`.
    fixed_effects_ : Estimates
        Intercept and fixed effects with standard errors, intervals, tests and a table, by the
        normal distribution. `fixed_effects` has Satterthwaite's degrees of freedom.
    variance_components_ : dict
        For each term the covariance matrix of its random effects, and the variance of the
        "residual".
    random_effects_ : dict of str to RandomEffects
        For each term the predicted random effects of the levels and their errors.
    boundary_ : tuple of str
        Terms whose covariance is singular: a variance is 0 or a correlation 1 or -1. That is an
        answer, not a failure: the data show no more variation than the residuals explain.
    heritability_ : float or dict of str to float
        Part of the variance of a row that is due to the intercepts of a term with a kinship,
        whose diagonal is taken to be 1, where columns with random slopes are 0; a dict if there
        are several such terms. Only if there is one.
    aic_, bic_ : float
        Akaike's and the Bayesian information criterion of the fit, as R has them.
    {converged_}
    {n_iter_}
    log_likelihood_ : float
        Log-likelihood in nats, restricted with ``method="reml"``, as lme4 has it.
    {lower_bound_}
    {lower_bounds_}
    {history_}
    {restarts_}
    {n_features_in_}
    {feature_names_in_}

    See Also
    --------
    emlearn.mixed.likelihood_ratio_test : Tests of fixed effects and of variance components.
    emlearn.mixed.Pedigree : Relationships from parents.
    emlearn.mixed.Genotypes : Relationships from markers.

    Notes
    -----
    See the guide to mixed models for the algorithm. The cost of an iteration is linear in the
    number of rows for one grouping factor, and for one kinship (after one eigendecomposition).
    Several grouping factors, and pedigrees, are factorized as sparse matrices.

    References
    ----------
    N. M. Laird and J. H. Ware (1982). "Random-effects models for longitudinal data". Biometrics
    38(4), 963-974.

    C. R. Henderson (1975). "Best linear unbiased estimation and prediction under a selection
    model". Biometrics 31(2), 423-447.

    Examples
    --------
    Reaction times of sleep-deprived subjects, each with an intercept and a slope of its own:

    >>> from emlearn import LinearMixedModelEM
    >>> from emlearn.datasets import load_sleepstudy
    >>> X, y = load_sleepstudy(return_X_y=True, as_frame=True)
    >>> model = LinearMixedModelEM("Subject", random_slopes=["Days"]).fit(X, y)
    >>> round(float(model.intercept_), 2), model.coef_.round(3)
    (251.41, array([10.467]))
    >>> model.variance_components_["Subject"].round(2)
    array([[612.09,   9.6 ],
           [  9.6 ,  35.07]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "groups": "no_validation",
        "random_slopes": "no_validation",
        "random_intercept": "no_validation",
        "covariance": "no_validation",
        "kinship": "no_validation",
        "Z": "no_validation",
        "formula": [str, None],
        "fixed_columns": "no_validation",
        "fit_intercept": ["boolean"],
        "method": [StrOptions({"reml", "ml"})],
        "weights": [StrOptions({"copies", "precision"})],
        "random_effects": [StrOptions({"known", "none"})],
    }
    _likelihood_of_published = True

    def __init__(
        self,
        groups: Any = None,
        *,
        random_slopes: Any = None,
        random_intercept: bool | dict[str, bool] = True,
        covariance: str | dict[str, str] = "full",
        kinship: Any = None,
        Z: dict[str, Sequence[Any]] | None = None,
        formula: str | None = None,
        fixed_columns: Sequence[Any] | None = None,
        fit_intercept: bool = True,
        method: str = "reml",
        weights: str = "copies",
        random_effects: str = "known",
        fixed: dict[str, Any] | None = None,
        tol: float = 1e-13,
        max_iter: int = 1000,
        accelerate: str | None = "auto",
        verbose: int = 0,
        verbose_interval: int = 10,
    ):
        self.groups = groups
        self.random_slopes = random_slopes
        self.random_intercept = random_intercept
        self.covariance = covariance
        self.kinship = kinship
        self.Z = Z
        self.formula = formula
        self.fixed_columns = fixed_columns
        self.fit_intercept = fit_intercept
        self.method = method
        self.weights = weights
        self.random_effects = random_effects
        self.fixed = fixed
        self.tol = tol
        self.max_iter = max_iter
        self.accelerate = accelerate
        self.verbose = verbose
        self.verbose_interval = verbose_interval

    # ---- fitting ----------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Estimate variances and fixed effects, and predict the random effects.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Columns of fixed effects and of grouping factors. Missing values are errors.
        y : array-like of shape (n_samples,)
            Response. Rows in which it is NaN are left out. None: the left side of the formula.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, >= 0; see `weights`. None means 1 each.
        groups : array-like of shape (n_samples,), default=None
            Levels of the rows, as a shortcut for a term "groups" with random intercepts. `predict`
            knows the levels only if it is given them, too.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a hyperparameter, an entry of X or y or a weight is invalid; if a level is not in
            its kinship; if there are no more rows than fixed effects, or than random effects of a
            term with slopes, or the columns of these depend on each other.

        Warns
        -----
        UserWarning
            If the fixed effects explain y exactly, as if it is constant: then all variances are 0,
            but for that of rounding errors. If columns depend on others.
        """
        validate_params(self)
        return self._fit_data(*self._read_data(X, y, sample_weight, groups, reset=True))

    def _fit_data(self, recipe: Recipe, design: Design, data: MixedData) -> Self:
        self._require_identified(design, data)
        with blas_limited():
            model = self._model(design)
            start = model.initialize(data, np.random.default_rng(0))
            fit = self._run_em(model, data, start=start, advice="Leave out a term.")
            self._recipe = recipe
            params = model.simplest(data, fit.params, _NEGLIGIBLE)
            self._publish(model, data, design, params, fit.fixed)
        self._warn_of_data(data)
        return self._report(fit)

    def _published_parameters(self) -> dict[str, Any]:
        """What the bootstrap has standard errors of."""
        found = {**self.variance_components_, "intercept": self.intercept_, "coef": self.coef_}
        if hasattr(self, "heritability_"):
            found["heritability"] = (
                list(self.heritability_.values())
                if isinstance(self.heritability_, dict)
                else self.heritability_
            )
        return {name: value for name, value in found.items() if np.size(value)}

    def _fixed(self, model: LatentVariableModel[Any, Any, Any], params: Any) -> Public:
        """As in `EMEstimator`; a variance may be given as a number."""
        public = model.public(params)
        fixed: Any = self.fixed
        if isinstance(fixed, Mapping):
            fixed = {
                name: np.reshape(value, np.shape(public[name]))
                if name in public and np.size(value) == 1 and np.size(public[name]) == 1
                else value
                for name, value in fixed.items()
            }
        return read_fixed(fixed, model.space(params), public, self._parameter_names(public))

    def _publish(
        self,
        model: MixedModel,
        data: MixedData,
        design: Design,
        params: MixedParams,
        fixed: Public,
    ) -> None:
        equations = model.equations(data, params)
        public = hold(model.public(params), fixed)
        self._params = params
        self.variance_components_ = {
            name: float(value) if name == RESIDUAL else value for name, value in public.items()
        }
        self.boundary_ = model.boundary(params)
        self.log_likelihood_ = model.log_likelihood_of(equations, params)
        self._publish_fixed(data, equations, params, design.fixed_names)
        kinships = [term.kinship for term in design.terms]
        self._uncertainty = uncertainty_of(
            equations,
            params.residual,
            [None if kinship is None else kinship.diagonal() for kinship in kinships],
            [term.grouped for term in design.terms],
        )
        self.random_effects_ = {
            design.terms[j].name: random_effects(design.terms[j], at, equations, self._uncertainty)
            for at, j in sorted(enumerate(data.order), key=lambda pair: pair[1])
        }
        self._publish_heritability(design)
        free = model.n_parameters(params) - n_held(model, params, fixed)
        n_parameters = data.n_fixed + free
        self.aic_ = -2.0 * self.log_likelihood_ + 2.0 * n_parameters
        self.bic_ = -2.0 * self.log_likelihood_ + float(np.log(data.n_observations)) * n_parameters
        # What `likelihood_ratio_test` compares: variances are NaN where they are free.
        patterns = zip(model.names, model.patterns, strict=True)
        self._held = {name: np.where(pattern, np.nan, 0.0) for name, pattern in patterns}
        self._held[RESIDUAL] = np.array(np.nan)
        self._held.update(self._fixed(model, params) if self.fixed else {})
        self._fingerprint = data.fingerprint
        self._log_det_fixed = data.basis.log_det

    def _publish_fixed(
        self, data: MixedData, equations: Any, params: MixedParams, names: tuple[str, ...]
    ) -> None:
        first = int(self._recipe.fit_intercept)
        found = np.zeros(first + len(names))
        found[data.basis.kept] = data.basis.coefficients(equations.coefficients)
        self.intercept_ = float(found[0]) if first else 0.0
        self.coef_ = found[first:]
        self.fixed_names_ = names
        covariance = coefficient_covariance(data, equations, params.residual)
        labels = ("intercept",) * first + names
        self.fixed_effects_ = tabulate(labels, found, data.basis.kept, covariance)

    def _publish_heritability(self, design: Design) -> None:
        self.__dict__.pop("heritability_", None)
        found = heritabilities(self.variance_components_, design)
        if len(found) == 1:
            self.heritability_: Any = next(iter(found.values()))
        elif found:
            self.heritability_ = found

    def _warn_of_data(self, data: MixedData) -> None:
        if data.is_exact and RESIDUAL not in (self.fixed or {}):
            warn_user(
                "The fixed effects explain y exactly (or y is constant), so that all variances are "
                "0, but for that of rounding errors. Check that y is not computed from columns of "
                "X.",
                UserWarning,
            )
        labels = self.fixed_effects_.names
        dropped = [name for i, name in enumerate(labels) if i not in set(data.basis.kept)]
        if dropped:
            warn_user(
                f"The column(s) {', '.join(dropped[:5])} of X depend on others (or are constant), "
                "so that their fixed effects are not identified. They are set to 0: leave these "
                "columns out.",
                UserWarning,
            )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.formula is None
        return tags
