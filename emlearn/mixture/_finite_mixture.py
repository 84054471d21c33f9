"""FiniteMixtureEM: finite mixtures of any family as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from emlearn._compat import Interval
from emlearn.data import (
    classes_of,
    read_table,
)
from emlearn.data.blocks.reading import by_block
from emlearn.data.resampling import check_copies
from emlearn.distributions import Family
from emlearn.distributions._domain import named_columns
from emlearn.engine import ManyStarts, RacePlan, SearchPlan
from emlearn.engine.block_table import RowPart
from emlearn.engine.inference import FittedProblem
from emlearn.engine.stepwise import StepwisePlan, Stream
from emlearn.engine.threads import blas_limited
from emlearn.latent import (
    LabelModel,
    LabelParams,
    MixtureLaw,
    MixtureParams,
    Observations,
)
from emlearn.latent.candidates import MixedStarts
from emlearn.latent.class_candidates import CLASS_STARTS
from emlearn.latent.estimator import LABEL_CONSTRAINTS, STRONGER_PRIOR, LabelEstimator
from emlearn.latent.preparing import prepare
from emlearn.latent.starts import Initializer
from emlearn.latent.streams import LabelStreaming, held_by, stream_after
from emlearn.mixture._scoring import (
    MixtureScoring,
    check_enough_rows,
    count_and_weight,
    read_weights,
)

Array = NDArray[Any]


@by_block("predict")
class FiniteMixtureEM(LabelEstimator, MixtureScoring, LabelStreaming):
    """Finite mixture of any family of distributions, fitted by expectation-maximization.

    It covers latent class analysis, mixtures of Poisson counts, topics of documents, Gaussian
    clusters of incomplete rows, and mixtures over columns of different types. If the classes
    of some rows are known, it is a semi-supervised (naive Bayes) classifier.

    Parameters
    ----------
    n_components : int, default=None
        Number of components. None means the number of classes in `y` with
        ``use_labels=True``, and one otherwise.
    family : str, Family or list of (family, columns), default="gaussian"
        Distribution of the rows of a component: "categorical" (items with codes 0, 1,
        2, ...: latent class analysis), "bernoulli" (items of 0 or 1), "multinomial"
        (counts of words in documents; CSR input is not densified), "dirichlet_multinomial"
        (the same, with words that come in bursts), "poisson", "negative_binomial" and
        "zero_inflated" (counts), "gamma" (positive numbers), "von_mises" (angles in radians),
        "gaussian", a family from `emlearn.distributions`, a family of your own, or a list of
        families with the columns (names or positions) that each describes. Columns of different
        families are independent within a component.
    weights_alpha : float, default=0.0
        Pseudo-rows of each component in the estimate of the weights. The prior is
        Dirichlet(1 + weights_alpha, ...). 0 is maximum likelihood. The family holds the
        priors of its own parameters.
    use_labels : bool, default=False
        Whether the `y` passed to `fit` holds known classes. The default is False, because a
        Pipeline passes its target to every step.
    unlabelled_weight : float, default=1.0
        Factor on the weights of the rows of unknown class, if some classes are known. Values
        below 1 keep many unlabelled rows from overriding the known classes. 0 leaves them
        out.
    {tol}
    {max_iter}
    {n_init}
    init_params : str, callable or array-like, default="auto"
        How to start. "auto": a race of starts of several kinds (see `emlearn.engine.race`),
        as in `GaussianMixtureEM` if the family is Gaussian, and otherwise from clusters of
        the rows, in which items are one-hot and counts are square roots (see
        `emlearn.distributions.Family.points`). "rows": each component starts at a row drawn at
        random. "random": random responsibilities; all components start close to the average
        row, so EM is slow. "search": the best of many short runs from "rows", modified as
        long as this improves it (see `search`). An array of shape (n_samples,
        n_components): the responsibilities. A callable: ``init_params(X, n_components,
        rng)`` returns the responsibilities. `rng` is a `numpy.random.Generator`, and `X`
        holds the rows of positive weight, with copies of discrete rows merged. If every
        component has rows of its class, each starts from these rows, whatever is chosen
        here.
    {search}
    {accelerate}
    {fixed}
    {random_state}
    {warm_start}
    {verbose}
    {verbose_interval}
    {stepwise}
    {n_jobs}

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Mixing proportions. 0 for a component that lost all its rows; a warning names it.
    component_params_ : dict of str to ndarray
        Parameters of the components by name, such as "probability", "rate", "mean" or
        "covariance", in the units of the data. The first axis is the component.
    means_ : ndarray of shape (n_components, n_features)
        Means: those of `component_params_`. Only if the family is Gaussian.
    covariances_ : ndarray
        Covariances: those of `component_params_`. Only if the family is Gaussian.
    levels_ : list of ndarray or None, of length n_features
        Codes of the levels of each categorical column:
        ``component_params_["probability"][k, j, l]`` is the probability of the code
        ``levels_[j][l]`` in component k. None for a column without levels. Only if the
        family has levels.
    family_ : Family
        The fitted family.
    n_components_ : int
        Number of components.
    classes_ : ndarray of shape (n_classes,)
        Sorted classes in `y`: component c is class ``classes_[c]``. Only if some classes
        were known.
    {converged_}
    {n_iter_}
    log_likelihood_ : float
        Total weighted log-likelihood of the rows, and of the known classes, at the fitted
        parameters.
    {lower_bound_}
    {lower_bounds_}
    {history_}
    {restarts_}
    {n_features_in_}
    {feature_names_in_}

    See Also
    --------
    GaussianMixtureEM : Gaussian mixtures with the interface of scikit-learn.
    emlearn.distributions : The families with their priors and parameters.

    Notes
    -----
    NaN means a missing entry. Missing entries are integrated out, which is exact if they are
    missing at random. If at least half of the rows are copies (dense rows of codes or counts),
    copies are merged, so an iteration costs only as much as for the distinct rows.

    If the classes of some rows are known, EM maximizes ``sum_known w log pi_y f(x; y) +
    unlabelled_weight * sum_unknown w log sum_k pi_k f(x; k) + log prior``, after Nigam et
    al. (2000). With all classes known this is naive Bayes. If there are more components than
    classes, the additional ones can describe rows that belong to none of the classes.
    `predict` returns -1 for these rows.

    References
    ----------
    G. J. McLachlan and D. Peel (2000). "Finite Mixture Models". Wiley.

    L. A. Goodman (1974). "Exploratory latent structure analysis using both identifiable
    and unidentifiable models". Biometrika 61(2), 215-231.

    K. Nigam, A. K. McCallum, S. Thrun and T. Mitchell (2000). "Text classification from
    labeled and unlabeled documents using EM". Machine Learning 39, 103-134.

    Examples
    --------
    Daily deaths of women over 80 on 1096 days, as a mixture of two kinds of days:

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

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **LABEL_CONSTRAINTS,
        "weights_alpha": [Interval(Real, 0.0, None, closed="left")],
        "unlabelled_weight": [Interval(Real, 0.0, None, closed="left")],
    }

    _priors = "alpha of the family and weights_alpha"
    _model_attributes: ClassVar[tuple[str, ...]] = ("weights_", "component_params_")

    def __init__(
        self,
        n_components: int | None = None,
        *,
        family: str | Family | list[tuple[Any, Any]] = "gaussian",
        weights_alpha: float = 0.0,
        use_labels: bool = False,
        unlabelled_weight: float = 1.0,
        tol: float | str = "auto",
        max_iter: int = 1000,
        n_init: int = 1,
        init_params: str | Callable[..., ArrayLike] | ArrayLike = "auto",
        search: str | int | SearchPlan = "default",
        accelerate: str | None = "auto",
        fixed: dict[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        stepwise: StepwisePlan | None = None,
        n_jobs: int | None = None,
    ):
        self.n_components = n_components
        self.family = family
        self.weights_alpha = weights_alpha
        self.use_labels = use_labels
        self.unlabelled_weight = unlabelled_weight
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.search = search
        self.accelerate = accelerate
        self.fixed = fixed
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.stepwise = stepwise
        self.n_jobs = n_jobs

    # ---- fitting ----------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Estimate the parameters with the EM algorithm.

        Parameters
        ----------
        X : {array-like, CSR array} of shape (n_samples, n_features)
            Rows to fit. NaN means a missing entry. Sparse for families that accept it. Also
            rows that are read block by block, or are on a cluster: see `emlearn.data.blocks`.
        y : array-like of shape (n_samples,), default=None
            Classes of the rows: integers, booleans or strings. Ignored unless
            ``use_labels=True``. A class is unknown where `y` is -1, NaN, None, pandas.NA or an
            empty category. None means that no class is known.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, >= 0. A weight w has the same effect as w copies of the row.
            None means 1 each.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a hyperparameter, the rows, the classes or the weights are invalid, or if
            every start fails.
        """
        rows, weight = self._read(X, sample_weight, by_block=True)
        self._stream = self._waiting = None
        return self._fit_rows(rows, weight, self._encode_target(y, rows.shape[0]))

    def _fit_rows(self, rows: Any, weight: Array | None, labels: NDArray[np.intp] | None) -> Self:
        check_enough_rows(self.n_components_, rows, weight)
        family = self._family_of_columns()
        law = MixtureLaw(self.n_components_, self.weights_alpha, self.unlabelled_weight)
        plan = self._plan(labels)
        model = LabelModel(law, family, self._initializer(rows.shape[0], plan))
        with blas_limited(), named_columns(getattr(self, "feature_names_in_", None)):
            whole, data, column_spec = prepare(model, Observations(rows, labels), weight)
            fit = self._run_em(
                whole,
                data,
                start=self._last_params(family, column_spec),
                plan=plan,
                advice=f"Use fewer components or more starts (n_init). {STRONGER_PRIOR}",
            )
        self.weights_ = fit.params.law.weights
        self._publish_components(family, fit.params, fit.fixed)
        self._stream = stream_after(model, fit)
        self._warn_of_weights(model, fit.params, *count_and_weight(rows, weight))
        return self._report(fit, STRONGER_PRIOR)

    def _fit_part(self, part: RowPart) -> None:
        self._fit_rows(*part[:3])

    def _publish_stream(self, stream: Stream, params: LabelParams) -> None:
        self.weights_ = params.law.weights
        self._publish_components(self.family_, params, held_by(stream.model))

    def _labels_of_batch(self, y: Any, n_rows: int, *, reset: bool) -> NDArray[np.intp] | None:
        return self._encode_target(y, n_rows) if reset else self._more_labels(y, n_rows)

    def _fitted_problem(self, X: Any, *arguments: Any) -> FittedProblem:
        y, sample_weight = arguments
        check_is_fitted(self)
        rows, weight = self._rows_and_weight(X, sample_weight)
        check_copies(weight)
        labels = self._labels_of_fit(y, rows.shape[0])
        law = MixtureLaw(len(self.weights_), self.weights_alpha, self.unlabelled_weight)
        return self._problem_of(law, self._law_params(), Observations(rows, labels), weight)

    def _race(self) -> RacePlan:
        if self._given_family().cluster_shape:
            return RacePlan()
        return ManyStarts(n_candidates=12, n_large=12, first_steps=5, steps=40)

    def _candidates(self) -> Initializer:
        if not self._given_family().cluster_shape:
            return CLASS_STARTS
        # The rest of a row is spread over all components: families may exclude what a
        # component has not seen.
        return MixedStarts(certainty=0.9)

    def _read_rows(self, X: ArrayLike, *, reset: bool = False) -> Array:
        accept_sparse = self._given_family().accepts_sparse
        rows: Array = read_table(
            self,
            X,
            reset=reset,
            dtype=(np.float64,),
            accept_sparse=accept_sparse,
            min_rows=2 if reset else 1,
        )
        return rows

    # ---- the published model ----------------------------------------------------------

    @classmethod
    def from_parameters(
        cls,
        weights: ArrayLike,
        component_params: dict[str, ArrayLike],
        *,
        family: str | Family | list[tuple[Any, Any]] = "gaussian",
        n_features: int | None = None,
        **hyperparameters: Any,
    ) -> Self:
        """A mixture with known parameters, which can predict, score and sample without a fit.

        Parameters
        ----------
        weights : array-like of shape (n_components,)
            Mixing proportions.
        component_params : dict of str to array-like
            Parameters of the components, like `component_params_` of a fitted mixture.
        family : str, Family or list of (family, columns), default="gaussian"
            Distribution of the rows of a component.
        n_features : int, default=None
            Number of features. None takes it from the parameters.
        **hyperparameters : object
            Other hyperparameters of the estimator.

        Returns
        -------
        mixture : FiniteMixtureEM
            The mixture.

        Raises
        ------
        ValueError
            If a parameter is missing or invalid. The message names it.

        Examples
        --------
        >>> from emlearn import FiniteMixtureEM
        >>> mixture = FiniteMixtureEM.from_parameters(
        ...     [0.4, 0.6], {"rate": [[1.3], [2.7]]}, family="poisson"
        ... )
        >>> mixture.predict([[0], [6]])
        array([0, 1])
        """
        return cls._of_known(
            {"weights_": weights}, component_params, n_features, family=family, **hyperparameters
        )

    def _n_labels(self) -> int:
        return len(read_weights(self))

    def _law_params(self) -> MixtureParams:
        return MixtureParams(read_weights(self))

    def _n_parameters(self) -> int:
        return self._n_free(MixtureLaw(self._n_labels(), self.weights_alpha))

    def predict(self, X: ArrayLike) -> Array:
        """Most probable component of each row, or its class if classes are known.

        Parameters
        ----------
        X : {array-like, CSR array} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Indices of the components. If `fit` was given classes: the classes, and -1 for
            rows of a component without a class.
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
            The component or class of each row.
        """
        X, labels = super().sample(n_samples)
        if hasattr(self, "classes_"):
            return X, classes_of(labels, self.classes_)
        return X, labels
