"""ItemResponseEM: item response models as a scikit-learn estimator."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from emlearn._compat import Interval, StrOptions
from emlearn._warnings import warn_user
from emlearn.engine import EMEstimator
from emlearn.engine.parameters import Public
from emlearn.irt._judging import FitCriteria
from emlearn.irt._latent import LatentLaw
from emlearn.irt._learning import check_latent_is_identified, check_size, learn_persons
from emlearn.irt._model import IRTParams, ItemResponseModel
from emlearn.irt._persons import ABSENT, Persons
from emlearn.irt._prior import ItemPrior
from emlearn.irt._published import bank_of, item_attributes, published_params
from emlearn.irt._quadrature import default_nodes
from emlearn.irt._reading import (
    encode,
    learn_categories,
    read_codes,
    read_loadings,
    skipped_categories,
)
from emlearn.irt._responses import RESPONSE_MODELS
from emlearn.irt._warnings import doubts, not_identified, reversed_items

Array = NDArray[np.float64]

# Default priors of "3pl". That of the asymptotes has its mode at 0.2 and counts as 20 observations.
SLOPES, GUESSING = (0.0, 0.5), (5.0, 17.0)


class ItemResponseEM(FitCriteria, EMEstimator):
    """Item response models, fitted by marginal maximum likelihood.

    Rows are persons, columns are items, and entries are responses 0, 1, 2, .... The chance of
    each response depends on a trait theta of the person, which is normal in the population, and on
    parameters of the item. The items are fitted by integrating over the trait; then `transform`
    estimates the trait of any person.

    Parameters
    ----------
    model : {{"1pl", "2pl", "3pl", "grm", "gpcm"}}, default="2pl"
        Probability of a response. "1pl": one discrimination for all items (the Rasch model).
        "2pl": a discrimination for each item. "3pl": also a lower asymptote (guessing). "grm":
        graded responses, for ordered categories. "gpcm": generalized partial credit. The first
        three take responses of 0 and 1.
    loadings : array-like of shape (n_items, n_dims), default=None
        1 where an item has a discrimination on a dimension of the trait, and 0 elsewhere; up to 3
        dimensions. For a bifactor model, the first column is 1 and each item has another 1 in the
        column of its group. None means one dimension.
    latent_correlation : bool, default=False
        Whether the dimensions of the trait may be correlated. The default suits bifactor models;
        if each item loads on one dimension only, correlations are usually wanted.
    prior : "auto", ItemPrior or None, default="auto"
        Prior of the parameters of the items. "auto": for "3pl", Beta(5, 17) on the lower
        asymptotes and log-normal slopes whose logarithms have mean 0 and standard deviation 0.5.
        Their likelihood is flat for easy items and has maxima with infinite slopes; with
        these priors, fits from different starts agree. But slopes are then positive: fit "2pl"
        first if some items may be reversed. Maximum likelihood for the other models. None is
        maximum likelihood.
    n_quadrature : int or "auto", default="auto"
        Number of nodes per dimension. "auto": 61 in one dimension (more for tests of more than 100
        items, whose posteriors are narrower), 31 in two and 15 in three.
    reference_group : object, default=None
        The group whose trait has mean 0 and variance 1. None means the first in sorted order.
    estimate_latent : bool, default=False
        Whether the mean and the variance of the trait are estimated in the reference group, too.
        This takes items that are held by `fixed`: a discrimination for the variance, and a
        difficulty or threshold for the mean.
    {tol}
    {max_iter}
    {n_init}
    {accelerate}
    {fixed}
    {random_state}
    {warm_start}
    {verbose}
    {verbose_interval}
    {n_jobs}

    Attributes
    ----------
    discrimination_ : ndarray of shape (n_items,) or (n_items, n_dims)
        Discriminations a; two axes only with several dimensions.
    difficulty_ : ndarray of shape (n_items,)
        Difficulties b, of ``a (theta - b)``; the mean of the thresholds for items with more than
        two categories. With several dimensions, the distance from the origin at which an item
        reaches the same point, along its discriminations.
    intercept_ : ndarray of shape (n_items,) or (n_items, n_categories - 1)
        Intercepts ``c = -a b``. Two axes for "grm" and "gpcm", with NaN where an item has fewer
        categories.
    thresholds_ : ndarray of shape (n_items, n_categories - 1)
        Thresholds b of the categories from 1 on, NaN where an item has fewer categories.
    guessing_ : ndarray of shape (n_items,)
        Lower asymptotes; 0 for other models than "3pl".
    categories_ : list of ndarray, of length n_items
        Codes of the categories of each item. Codes that do not occur are left out, with a
        warning if there are others below and above.
    latent_mean_ : ndarray of shape (n_groups, n_dims)
        Mean of the trait in each group.
    latent_covariance_ : ndarray of shape (n_groups, n_dims, n_dims)
        Covariance of the trait in each group, or of what the covariates leave unexplained.
    coefficients_ : ndarray of shape (n_covariates, n_dims)
        Effects of the covariates on the trait.
    covariate_means_ : ndarray of shape (n_covariates,)
        Means of the covariates. A person with these has a trait of mean 0.
    groups_ : ndarray of shape (n_groups,) or None
        Labels of the groups, the reference group first. None without groups.
    {converged_}
    {n_iter_}
    {log_likelihood_}
    {lower_bound_}
    {lower_bounds_}
    {history_}
    {restarts_}
    {n_features_in_}
    {feature_names_in_}

    See Also
    --------
    ItemPrior : Priors of the parameters of the items.
    FiniteMixtureEM : Latent classes instead of a continuous trait.

    Notes
    -----
    The trait is standard normal: this fixes its origin and its unit. With groups, it is so in the
    reference group, and the means and variances of the other groups are estimated; the items are
    the same in all groups, and NaN where a group did not get an item. With covariates, the trait is
    normal about a linear function of them, with variance 1.

    Integrals are sums over equally spaced nodes. Persons with the same responses are merged. The
    direction of each dimension is such that the mean discrimination is positive; a warning names
    items of negative discrimination.

    References
    ----------
    R. D. Bock and M. Aitkin (1981). "Marginal maximum likelihood estimation of item parameters:
    application of an EM algorithm". Psychometrika 46(4), 443-459.

    A. Birnbaum (1968). "Some latent trait models and their use in inferring an examinee's
    ability". In F. M. Lord and M. R. Novick, Statistical Theories of Mental Test Scores.

    F. Samejima (1969). "Estimation of latent ability using a response pattern of graded scores".
    Psychometrika Monograph 17.

    E. Muraki (1992). "A generalized partial credit model: application of an EM algorithm".
    Applied Psychological Measurement 16(2), 159-176.

    Examples
    --------
    Five items of the Law School Admission Test:

    >>> from emlearn import ItemResponseEM
    >>> from emlearn.datasets import load_lsat6
    >>> X = load_lsat6().data
    >>> test = ItemResponseEM("2pl").fit(X)
    >>> test.difficulty_.round(2)
    array([-3.36, -1.37, -0.28, -1.87, -3.13])
    >>> test.discrimination_.round(2)
    array([0.83, 0.72, 0.89, 0.69, 0.66])

    The trait of a person who solved the first three items:

    >>> trait, deviation = test.transform([[1, 1, 1, 0, 0]], return_std=True)
    >>> print(trait.round(2).item(), deviation.round(2).item())
    -0.3 0.82
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "model": [StrOptions(set(RESPONSE_MODELS))],
        "loadings": ["array-like", None],
        "latent_correlation": ["boolean"],
        "prior": [StrOptions({"auto"}), ItemPrior, None],
        "n_quadrature": [Interval(Integral, 5, None, closed="left"), StrOptions({"auto"})],
        "reference_group": "no_validation",
        "estimate_latent": ["boolean"],
    }

    def __init__(
        self,
        model: str = "2pl",
        *,
        loadings: ArrayLike | None = None,
        latent_correlation: bool = False,
        prior: str | ItemPrior | None = "auto",
        n_quadrature: int | str = "auto",
        reference_group: Any = None,
        estimate_latent: bool = False,
        tol: float | str = 1e-8,
        max_iter: int = 1000,
        n_init: int = 1,
        accelerate: str | None = "quasi-newton",
        fixed: dict[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        n_jobs: int | None = None,
    ):
        self.model = model
        self.loadings = loadings
        self.latent_correlation = latent_correlation
        self.prior = prior
        self.n_quadrature = n_quadrature
        self.reference_group = reference_group
        self.estimate_latent = estimate_latent
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.accelerate = accelerate
        self.fixed = fixed
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.n_jobs = n_jobs

    def fit(
        self,
        X: ArrayLike,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
        covariates: ArrayLike | None = None,
    ) -> Self:
        """Estimate the parameters of the items, and of the trait in the population.

        Parameters
        ----------
        X : array-like of shape (n_persons, n_items)
            Responses 0, 1, 2, ...; NaN where an item was not presented.
        y : object, default=None
            Ignored.
        sample_weight : array-like of shape (n_persons,), default=None
            Weights of the persons, >= 0. A weight w has the same effect as w copies.
        groups : array-like of shape (n_persons,), default=None
            Group of each person. The items are the same in all groups, the distribution of the
            trait is not.
        covariates : array-like of shape (n_persons, n_covariates), default=None
            Variables that the mean of the trait depends on (latent regression). Not together with
            `groups`: pass a column of 0 and 1 for each group but one instead.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a hyperparameter, the responses, the weights, the groups or the covariates are
            invalid, or if every start fails.
        """
        rows, weight = self._read(X, sample_weight)
        names = getattr(self, "feature_names_in_", None)
        codes = read_codes(rows, names)
        kept = slice(None) if weight is None else weight > 0.0
        kind = RESPONSE_MODELS[self.model]
        check_size(codes[kept])
        self.categories_ = learn_categories(codes[kept], kind.is_binary, self.model, names)
        if weight is not None:
            # Persons of weight 0 may have given responses that nobody else gave.
            codes[weight == 0.0] = ABSENT
        codes = encode(codes, self.categories_, names)
        learned = learn_persons(codes, weight, groups, covariates, self.reference_group)
        persons, self.groups_, self.covariate_means_ = learned
        model = self._make_model(tuple(len(seen) for seen in self.categories_), persons)
        start = None
        if self._resumes() and self._fits_published(model, persons):
            start = published_params(self, model.responses)
        fit = self._run_em(model, model.prepare(persons, weight), start=start)
        # Entries that are held also hold the direction of the trait.
        params = fit.params if fit.fixed else model.oriented(fit.params)
        self._publish(model, params, fit.fixed)
        known = bool(fit.fixed) or model.prior.slopes is not None
        messages = (
            skipped_categories(self.categories_, names),
            *([] if known else not_identified(model, persons, self.groups_)),
            *doubts(model, params, codes[kept], names),
            reversed_items(params, codes[kept], names),
        )
        for message in filter(None, messages):
            warn_user(message, UserWarning)
        return self._report(fit)

    @classmethod
    def from_parameters(
        cls,
        discrimination: ArrayLike,
        difficulty: ArrayLike,
        *,
        guessing: ArrayLike | None = None,
        model: str = "2pl",
        **hyperparameters: Any,
    ) -> Self:
        """A test of known items, which can estimate the trait of persons without a fit.

        Parameters
        ----------
        discrimination : float or array-like of shape (n_items,)
            Discriminations a; a number is that of all items.
        difficulty : array-like of shape (n_items,) or (n_items, n_categories - 1)
            Difficulties or thresholds b, NaN where an item has fewer categories.
        guessing : float or array-like of shape (n_items,), default=None
            Lower asymptotes; only for "3pl".
        model : str, default="2pl"
            Probability of a response.
        **hyperparameters : object
            Other hyperparameters of the estimator.

        Returns
        -------
        test : ItemResponseEM
            The test.

        Raises
        ------
        ValueError
            If a parameter is invalid. The message names it.

        Examples
        --------
        >>> from emlearn import ItemResponseEM
        >>> test = ItemResponseEM.from_parameters([1.0, 1.5], [-1.0, 1.0])
        >>> test.item_probabilities([1.0])[0, :, 1].round(3)
        array([0.881, 0.5  ])
        """
        if model not in RESPONSE_MODELS:
            raise ValueError(f"model must be one of {list(RESPONSE_MODELS)}, got {model!r}.")
        kind = RESPONSE_MODELS[model]
        values = np.asarray(difficulty, dtype=np.float64)
        values = values[:, None] if values.ndim == 1 else values
        if kind.is_binary and values.shape[1] != 1:
            raise ValueError(f"difficulty must have one number for each item of model={model!r}.")
        if guessing is not None and not kind.has_guessing:
            raise ValueError(f"model={model!r} has no guessing; use model='3pl'.")
        n_categories = tuple(int(count) + 1 for count in (~np.isnan(values)).sum(axis=1))
        if min(n_categories) < 2:
            raise ValueError("difficulty has an item without any number.")
        test = cls(model, **hyperparameters)
        responses = kind(n_categories)
        made = ItemResponseModel(responses, n_nodes=test._n_nodes(1, len(values)))
        test.n_features_in_ = len(values)
        test.categories_ = [np.arange(count) for count in n_categories]
        test.groups_, test.covariate_means_ = None, np.empty(0)
        items = bank_of(responses, discrimination, values, guessing)
        test._publish(made, IRTParams(items, made.law.start()))
        return test

    # ---- parts of a fit -------------------------------------------------------------------

    def _make_model(self, n_categories: tuple[int, ...], persons: Persons) -> ItemResponseModel:
        loads = read_loadings(self.loadings, len(n_categories))
        law = LatentLaw(
            n_dims=loads.shape[1],
            n_groups=1 if self.groups_ is None else len(self.groups_),
            n_covariates=0 if persons.covariates is None else persons.covariates.shape[1],
            correlated=bool(self.latent_correlation),
            free_first=bool(self.estimate_latent),
        )
        if law.free_first:
            check_latent_is_identified(self.fixed, law)
        prior = self.prior if isinstance(self.prior, ItemPrior) else ItemPrior()
        if self.prior == "auto" and self.model == "3pl":
            prior = ItemPrior(slopes=SLOPES, guessing=GUESSING)
        return ItemResponseModel(
            RESPONSE_MODELS[self.model](n_categories),
            law,
            prior,
            self._n_nodes(loads.shape[1], len(n_categories)),
            None if loads.all() else tuple(tuple(bool(cell) for cell in row) for row in loads),
        )

    def _n_nodes(self, n_dims: int, n_items: int) -> int:
        given = self.n_quadrature
        return default_nodes(n_dims, n_items) if isinstance(given, str) else int(given)

    def _fits_published(self, model: ItemResponseModel, persons: Persons) -> bool:
        """Whether the last fit had the same items, groups and covariates."""
        law, last = model.law, self._model
        return bool(last.responses == model.responses and last.law == law)

    def _publish(
        self, model: ItemResponseModel, params: IRTParams, fixed: Public | None = None
    ) -> None:
        self._model, self._held = model, fixed or {}
        for name, values in item_attributes(model.responses, params.items).items():
            setattr(self, name, values)
        self.latent_mean_, self.latent_covariance_, self.coefficients_ = params.latent
        for name, values in self._held.items():
            # Exactly what was given, which the arithmetic of intercepts rounds.
            found = getattr(self, f"{name}_")
            setattr(self, f"{name}_", np.where(np.isnan(values), found, values))

    def _params(self) -> IRTParams:
        """The published parameters."""
        check_is_fitted(self)
        return published_params(self, self._model.responses)

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there are parameters."""
        return hasattr(self, "discrimination_")

    def __sklearn_tags__(self) -> Any:
        """Tags: responses are codes of categories, and may be missing."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.positive_only = True
        return tags
