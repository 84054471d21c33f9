"""FiniteMixtureEM: the mixture of any family as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from emlearn._compat import Interval, StrOptions
from emlearn._fitting import FITTING_CONSTRAINTS
from emlearn.data import check_responsibilities, classes_of, read_labels, read_table
from emlearn.distributions import FAMILIES, DomainError, Family, find_family
from emlearn.engine import EMResult, SearchPlan, find_plan
from emlearn.mixture._base import BaseMixtureEM
from emlearn.mixture._finite_data import FiniteData, Observations
from emlearn.mixture._finite_model import FiniteMixtureModel, FiniteMixtureParams
from emlearn.mixture._finite_scorer import FiniteScorer
from emlearn.mixture._finite_start import (
    FINITE_STARTS,
    CallableStart,
    FiniteDraw,
    GivenStart,
    RowsStart,
)

Array = NDArray[Any]


class FiniteMixtureEM(BaseMixtureEM):
    """Finite mixture of any family of distributions, fitted by expectation-maximization.

    Latent class analysis, mixtures of Poisson counts, documents in topics, Gaussian
    clusters of incomplete rows, and mixtures over columns of different types. If the
    classes of some rows are known, it is a semi-supervised (naive Bayes) classifier.

    Parameters
    ----------
    n_components : int, default=None
        Number of components. None means as many as there are classes in `y` with
        ``use_labels=True``, and otherwise one.
    family : str, Family or list of (family, columns), default="gaussian"
        Distribution of the rows of a component: "categorical" (items with codes 0, 1,
        2, ...: latent class analysis), "bernoulli" (items of 0 or 1), "multinomial"
        (counts of words in documents; CSR input is not densified), "poisson" (counts),
        "gaussian", a family from `emlearn.distributions` or of your own, or a list of
        families with the columns (names or positions) that each describes; columns of
        different families are independent within a component.
    weight_alpha : float, default=0.0
        Pseudo-rows of each component in the estimate of the weights: their prior is
        Dirichlet(1 + weight_alpha, ...). 0 is maximum likelihood. (The priors of the other
        parameters belong to the family.)
    use_labels : bool, default=False
        Whether `y`, if given to `fit`, holds classes of the rows. By default it is ignored,
        since a Pipeline passes its target to every step.
    unlabelled_weight : float, default=1.0
        Factor on the weights of the rows whose class is unknown, where some are known.
        Below 1 keeps a great mass of them from overriding the classes; 0 leaves them out.
    tol : float, default=1e-7
        Stop when the objective still to be gained, estimated from the rate of
        convergence, is below this many nats per unit of weight.
    max_iter : int, default=1000
        Largest number of iterations of each start.
    n_init : int, default=1
        Number of starts, or of searches, of which the one with the highest objective is
        kept.
    init_params : str, callable or array-like, default="search"
        How to start. "rows": each component around a row drawn at random; "random": random
        responsibilities (all components start near the average row: slow); "search":
        from the best of many short runs from "rows", changed as long as that pays
        (see `search`). An array of shape (n_samples, n_components) gives the
        responsibilities themselves; so does a callable, ``init_params(X, n_components,
        rng)``, rng being a `numpy.random.Generator` and X the distinct rows of positive
        weight. If each component has rows of known class, it starts from these, whatever
        is chosen here.
    search : {"fast", "default", "thorough"}, int or SearchPlan, default="default"
        How much to search for the global optimum with ``init_params="search"``; see
        `GaussianMixtureEM`.
    accelerate : {"auto", "squarem", "quasi-newton", "anderson"} or None, default="auto"
        How to take longer steps than EM where it is slow; None is plain EM. No choice
        lowers the objective. With a family of your own that has no vector form, "auto" is
        plain EM.
    random_state : int, RandomState instance or None, default=None
        Seed of the starts and of `sample`.
    warm_start : bool, default=False
        Whether `fit` starts where the last fit ended, instead of from new starts.
    verbose : int, default=0
        1 prints the objective, 2 also the last gain and the gain still to come.
    verbose_interval : int, default=10
        Iterations between prints.
    n_jobs : int, default=None
        Starts that run at the same time; see `GaussianMixtureEM`.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Mixing proportions. 0 for a component that lost all its rows, which a warning
        reports.
    component_params_ : dict of str to ndarray
        Parameters of the components by name, in the units of the data; the first axis is
        the component. For example "probability", "rate", "mean", "covariance".
    family_ : Family
        The family fitted.
    n_components_ : int
        Number of components.
    classes_ : ndarray of shape (n_classes,)
        Classes in `y`, sorted; component c is that of class c. Only if some were known.
    converged_ : bool
        Whether the best start converged.
    n_iter_ : int
        Iterations of the best start.
    log_likelihood_ : float
        Total log-likelihood of what was fitted, weighted, at the parameters returned: of
        the rows, and of the classes that are known.
    lower_bound_ : float
        Objective per unit of weight at the parameters returned: the log-likelihood plus
        the logarithm of the priors, up to their constant.
    lower_bounds_ : list of float
        The same after each iteration.
    history_ : dict of str to ndarray
        For the start and each iteration: "objective" (total), "gain", "rate",
        "remaining", "e_steps", "step", "step_norm"; see `emlearn.engine.Iteration`.
    restarts_ : tuple of Restart
        Objective, status, iterations and seed of every start.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had names that are strings.

    See Also
    --------
    GaussianMixtureEM : Faster for complete Gaussian rows, with more to choose from.
    emlearn.distributions : The families, their priors and their parameters.

    Notes
    -----
    NaN is a missing entry, which is integrated out: exact if entries are missing at
    random. Rows that are copies of each other are merged where half of the rows or more
    are copies (dense X only), so that an iteration costs what the distinct rows do.

    With classes known of some rows, EM climbs ``sum_known w log pi_y f(x; y) +
    unlabelled_weight * sum_unknown w log sum_k pi_k f(x; k) + log prior``, after Nigam et
    al. (2000); with all classes known it is naive Bayes. If there are more components than
    classes, the others may describe rows that belong to none of the classes; `predict`
    returns -1 there.

    References
    ----------
    G. J. McLachlan and D. Peel (2000). "Finite Mixture Models". Wiley.

    L. A. Goodman (1974). "Exploratory latent structure analysis using both identifiable
    and unidentifiable models". Biometrika 61(2), 215-231.

    K. Nigam, A. K. McCallum, S. Thrun and T. Mitchell (2000). "Text classification from
    labeled and unlabeled documents using EM". Machine Learning 39, 103-134.

    Examples
    --------
    Deaths of women over 80 on 1096 days, as a mixture of two kinds of days:

    >>> import numpy as np
    >>> from emlearn import FiniteMixtureEM
    >>> deaths = np.arange(10)[:, None]
    >>> days = [162, 267, 271, 185, 111, 61, 27, 8, 3, 1]
    >>> mixture = FiniteMixtureEM(2, family="poisson", random_state=0)
    >>> mixture = mixture.fit(deaths, sample_weight=days)
    >>> order = mixture.component_params_["rate"][:, 0].argsort()
    >>> mixture.component_params_["rate"][order].round(2).ravel()
    array([1.26, 2.66])
    >>> mixture.weights_[order].round(2)
    array([0.36, 0.64])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "family": [StrOptions(set(FAMILIES)), Family, list, tuple],
        "weight_alpha": [Interval(Real, 0.0, None, closed="left")],
        "use_labels": ["boolean"],
        "unlabelled_weight": [Interval(Real, 0.0, None, closed="left")],
        "init_params": [StrOptions({"search", *FINITE_STARTS}), callable, "array-like"],
        **FITTING_CONSTRAINTS,
    }

    def __init__(
        self,
        n_components: int | None = None,
        *,
        family: str | Family | list[tuple[Any, Any]] = "gaussian",
        weight_alpha: float = 0.0,
        use_labels: bool = False,
        unlabelled_weight: float = 1.0,
        tol: float = 1e-7,
        max_iter: int = 1000,
        n_init: int = 1,
        init_params: str | Callable[..., ArrayLike] | ArrayLike = "search",
        search: str | int | SearchPlan = "default",
        accelerate: str | None = "auto",
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        n_jobs: int | None = None,
    ):
        self.n_components = n_components
        self.family = family
        self.weight_alpha = weight_alpha
        self.use_labels = use_labels
        self.unlabelled_weight = unlabelled_weight
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.search = search
        self.accelerate = accelerate
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.n_jobs = n_jobs

    # ---- fitting ----------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Estimate the parameters with the EM algorithm.

        Parameters
        ----------
        X : {array-like, CSR array} of shape (n_samples, n_features)
            Rows to fit; NaN is a missing entry. Sparse for families that take it.
        y : array-like of shape (n_samples,), default=None
            Classes of the rows with ``use_labels=True``, otherwise ignored: integers,
            booleans or strings. A class is not known where `y` is -1, NaN, None, pandas.NA
            or an empty category. None means that no class is known.
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
            If a hyperparameter, the rows, the classes or the weights are invalid, or if
            every start failed.
        """
        super().fit(X, y, sample_weight)
        return self

    def _validate_rows(self, X: ArrayLike, *, reset: bool) -> Array:
        rows: Array = read_table(
            self,
            X,
            reset=reset,
            accept_sparse=self._given_family().accepts_sparse,
            min_rows=2 if reset else 1,
        )
        return rows

    def _given_family(self) -> Family:
        return find_family(self.family)

    def _family_at(self, X: Array) -> Family:
        return self._given_family().at_columns(getattr(self, "feature_names_in_", None), X.shape[1])

    def _observe(self, X: Array, y: object) -> Observations:
        known = read_labels(y, X.shape[0]) if self.use_labels and y is not None else None
        n_classes = 0 if known is None else len(known.classes)
        n_components = self.n_components or max(n_classes, 1)
        if n_classes > n_components:
            raise ValueError(
                f"y has {n_classes} classes, which are more than n_components="
                f"{n_components}. Use n_components=None for one component for each class, or "
                "use_labels=False if y does not hold classes to be learnt."
            )
        self.n_components_ = int(n_components)
        if known is None:
            self.__dict__.pop("classes_", None)
            return Observations(X)
        self.classes_ = known.classes
        return Observations(X, known.codes)

    def _n_components(self) -> int:
        return int(self.n_components_)

    def _make_model(self, X: Array) -> FiniteMixtureModel:
        family = self._family_at(X)
        if not family.has_vector and self.accelerate not in (None, "auto"):
            raise ValueError(
                f"accelerate={self.accelerate!r} needs the vector form of the parameters, which "
                f"{family!r} has not. Use accelerate='auto' or None."
            )
        return FiniteMixtureModel(
            family=family,
            n_components=self.n_components_,
            draw=self._draw(X.shape[0]),
            weight_alpha=float(self.weight_alpha),
            unlabelled_weight=float(self.unlabelled_weight),
            resume=self._last_params(family, X) if self._resumes() else None,
        )

    def _accelerator(self) -> str | None:
        return self.accelerate if self._given_family().has_vector else None

    def _draw(self, n_samples: int) -> FiniteDraw:
        if isinstance(self.init_params, str):
            return FINITE_STARTS.get(self.init_params, RowsStart())
        if callable(self.init_params):
            return CallableStart(self.init_params)
        shape = (n_samples, self.n_components_)
        return GivenStart(check_responsibilities(self.init_params, shape))

    def _last_params(self, family: Family, X: Array) -> FiniteMixtureParams:
        same = (self.family_, len(self.weights_), self._n_features) == (
            family,
            self.n_components_,
            X.shape[1],
        )
        if not same:
            raise ValueError(
                "With warm_start=True the fit goes on from the last one, which had another "
                "family, n_components or number of features. Set warm_start=False to start anew."
            )
        return self._params

    def _plan(self) -> SearchPlan | None:
        is_search = isinstance(self.init_params, str) and self.init_params == "search"
        # One component has one optimum, and where all classes are known the start is too.
        supervised = len(getattr(self, "classes_", ())) == self.n_components_
        if self._resumes() or not is_search or self.n_components_ == 1 or supervised:
            return None
        return find_plan(self.search)

    def _publish(self, params: FiniteMixtureParams, data: FiniteData, dtype: Any) -> None:
        self.family_ = self._family_at(data.X)
        self._params = params
        self._n_features = data.X.shape[1]
        self.weights_ = params.weights
        self.component_params_ = self.family_.to_public(params.components, params.column_spec)

    def _log_likelihood_of_fit(
        self, model: Any, best: EMResult, X: Array, weight: Array | None
    ) -> float:
        return float(best.objective - model.log_prior(best.params))

    def _advice(self) -> str:
        return (
            "Use fewer components, more starts (n_init), or a stronger prior (alpha of the family)."
        )

    def _singularity_advice(self) -> str:
        return "Use a stronger prior (alpha of the family),"

    # ---- what is asked of a fitted mixture --------------------------------------------

    def _scorer(self, dtype: Any) -> FiniteScorer:
        return FiniteScorer.at(self.family_, self._params)

    def _map(self, X: Array, out: Array, reduce: Any, *, common: bool = True) -> Array:
        try:
            return super()._map(X, out, reduce, common=common)
        except DomainError:
            # It names a row of a block; this names that of X.
            self.family_.encode(X, self._params.column_spec)
            raise

    def _n_parameters(self) -> int:
        components = self.family_.n_parameters(self._params.components, self._params.column_spec)
        return len(self.weights_) - 1 + components

    def predict(self, X: ArrayLike) -> Array:
        """Most probable component of each row, or its class if classes were known.

        Parameters
        ----------
        X : {array-like, CSR array} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Indices of components; if `fit` was given classes, these, and -1 for rows of
            a component that is none of the classes.
        """
        components = super().predict(X)
        if not hasattr(self, "classes_"):
            return components
        return classes_of(components, self.classes_)

    def sample(self, n_samples: int = 1) -> tuple[Array, Array]:
        """Draw rows from the fitted mixture.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Rows, ordered by component.
        y : ndarray of shape (n_samples,)
            The component, or the class, of each.
        """
        check_is_fitted(self)
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(
                f"Invalid value for 'n_samples': {n_samples!r}. It must be an int >= 1."
            )
        rng = np.random.default_rng(
            check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        )
        counts = rng.multinomial(n_samples, self.weights_ / self.weights_.sum())
        labels = np.repeat(np.arange(len(counts)), counts)
        X = self.family_.sample(self._params.components, self._params.column_spec, labels, rng)
        if hasattr(self, "classes_"):
            return X, classes_of(labels, self.classes_)
        return X, labels

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        try:
            family = self._given_family()
        except ValueError:
            return tags
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = family.accepts_sparse
        tags.input_tags.positive_only = family.is_discrete
        tags.input_tags.categorical = family.is_discrete
        return tags
