"""GaussianMixtureEM: Gaussian mixtures as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from emlearn._compat import Interval, StrOptions
from emlearn.data import as_numbers, read_table
from emlearn.data.resampling import check_copies
from emlearn.distributions import Gaussian
from emlearn.distributions._domain import named_columns
from emlearn.distributions.gaussian.structures import STRUCTURES, FactorCovariance
from emlearn.engine import EMEstimator, RacePlan, SearchPlan, StepwisePlan, find_plan
from emlearn.engine.block_table import RowPart
from emlearn.engine.inference import FittedProblem
from emlearn.engine.stepwise import Stream
from emlearn.engine.threads import blas_limited
from emlearn.latent import (
    LabelModel,
    LabelParams,
    MixtureLaw,
    MixtureParams,
    Observations,
)
from emlearn.latent.candidates import MixedStarts
from emlearn.latent.preparing import prepare
from emlearn.latent.starts import POINT_STARTS, Initializer, NearestToMeans, start_of
from emlearn.latent.streams import LabelStreaming, held_by, stream_after
from emlearn.mixture._gaussian_published import PublishedGaussians
from emlearn.mixture._given import GivenParameters
from emlearn.mixture._scoring import (
    MixtureScoring,
    check_enough_rows,
    read_weights,
)

Array = NDArray[Any]

# Names of the attributes by those of the model.
_PUBLISHED = {
    "weights": "weights",
    "mean": "means",
    "covariance": "covariances",
}


class GaussianMixtureEM(PublishedGaussians, MixtureScoring, LabelStreaming, EMEstimator):
    """Gaussian mixture fitted by expectation-maximization.

    A drop-in replacement for `sklearn.mixture.GaussianMixture` that accepts sample weights and
    missing entries, runs its starts in parallel, does not depend on the units of the data,
    and reports the log-likelihood at the parameters that it returns.

    Parameters
    ----------
    n_components : int, default=1
        Number of components.
    covariance_type : {"full", "tied", "diag", "spherical", "EEV", "factor"}, default="full"
        Structure of the covariances: a matrix for each component, one matrix for all, a
        diagonal matrix for each, a single variance for each, "EEV" (the name in mclust):
        ellipsoids of equal volume and shape, each with its own orientation, or "factor": for
        each component `n_factors` factors, and independent noise (a mixture of factor
        analyzers), for more columns than full matrices can be estimated for. With
        "spherical" and "EEV" the units of the columns matter.
    n_factors : int, default=None
        Number of factors of each component with ``covariance_type="factor"``, less than the
        number of columns. BIC or cross-validation can choose it. None with the other types.
    {tol}
    reg_covar : float or "auto", default="auto"
        Ridge added to the diagonal of the covariances. A float is a variance in squared
        units of the data, as in scikit-learn. "auto" is 1e-6 times the variance of each
        column, so the fit does not depend on the units; gaps between groups of values do not
        count for this variance. On standardized data without gaps it equals scikit-learn's
        default. (The ridge of a constant column is 1e-6.) 0 is maximum
        likelihood, which has no maximum if a component can shrink to a point. The objective
        includes a term for the ridge; see Notes.
    {max_iter}
    n_init : int, default=1
        How much effort goes into the search for the best optimum. With ``init_params="auto"``
        it sets how many starts are raced. Otherwise it is the number of starts or searches, of
        which the one with the highest objective is kept.
    init_params : str, callable or array-like, default="auto"
        How to start. "auto": a race of starts of several kinds, namely clusters joined by
        Gaussian likelihood, k-means, Ward's method and seeds of k-means++, each of the columns
        as they are, standardized and whitened. Every start makes a few EM steps, those that
        cannot become the best are dropped, and the best one is finished. Components with too
        few rows count against a start; see `emlearn.engine.race`. "kmeans": clusters of
        k-means. "k-means++": only the seeds of k-means++. "random_from_data": random rows as
        centers. "random": random responsibilities; all components start close to the center,
        so EM is slow. These use a random sample of 10000 rows, or of 100 for each component if
        that is more. "search": the best of many short runs, modified as long as this improves
        it (see `search`). An array of shape (n_samples, n_components): the responsibilities. A
        callable: ``init_params(X, n_components, rng)`` returns the responsibilities. `rng` is a
        `numpy.random.Generator`, and `X` holds the rows of positive weight.
    {search}
    {accelerate}
    {fixed}
    weights_init : array-like of shape (n_components,), default=None
        Starting weights.
    means_init : array-like of shape (n_components, n_features), default=None
        Starting means. Unless `init_params` is an array or callable, the other parameters
        then start from the rows closest to each mean.
    precisions_init : array-like, default=None
        Inverses of the starting covariances, in the shape of `precisions_`.
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
    means_ : ndarray of shape (n_components, n_features)
        Means.
    covariances_ : ndarray
        Covariances: (n_components, n_features, n_features) if "full", "EEV" or "factor",
        (n_features, n_features) if "tied", (n_components, n_features) if "diag",
        (n_components,) if "spherical".
    precisions_ : ndarray
        Inverses of the covariances, in the same shape.
    precisions_cholesky_ : ndarray
        Upper triangular P with precision = P P'; 1 / standard deviation if "diag" or
        "spherical".
    loadings_ : ndarray of shape (n_components, n_features, n_factors)
        Loadings L of the factors. The covariances are ``L L' + diag(noise_variances_)``. The
        factors are uncorrelated given a row, the one that explains most first, and their
        standardized loadings have a positive sum. Only with ``covariance_type="factor"``.
    noise_variances_ : ndarray of shape (n_components, n_features)
        Variances of the noise. Only with ``covariance_type="factor"``.
    {converged_}
    {n_iter_}
    {log_likelihood_}
    lower_bound_ : float
        Objective per unit of weight at the fitted parameters: the log-likelihood plus the
        term for the ridge. Equal to ``score(X)`` for ``reg_covar=0``.
    {lower_bounds_}
    {history_}
    {restarts_}
    {n_features_in_}
    {feature_names_in_}

    See Also
    --------
    sklearn.mixture.GaussianMixture : The estimator with the same interface.

    Notes
    -----
    EM maximizes ``sum_i w_i log sum_k pi_k N(x_i; mu_k, Sigma_k) exp(-tr(Lambda
    inv(Sigma_k)) / 2)``, where Lambda is the diagonal matrix of the ridge. Its M-step is
    ``Sigma_k = S_k / N_k + Lambda``, as in scikit-learn, whose objective however omits the
    last factor. `score`, `predict_proba` and the other methods omit it too: they describe the
    mixture itself.

    A component with less than a fraction 2e-15 of the rows gets weight 0 and keeps its mean
    and covariance. If a covariance becomes numerically singular, its start fails. The other
    starts continue, and `restarts_` records the failure.

    References
    ----------
    A. P. Dempster, N. M. Laird and D. B. Rubin (1977). "Maximum likelihood from
    incomplete data via the EM algorithm". Journal of the Royal Statistical Society B
    39(1), 1-38.

    G. J. McLachlan and D. Peel (2000). "Finite Mixture Models", chapters 2, 3 and 8. Wiley.

    Z. Ghahramani and G. E. Hinton (1996). "The EM algorithm for mixtures of factor analyzers".
    Technical report CRG-TR-96-1, University of Toronto.

    Examples
    --------
    >>> from emlearn import GaussianMixtureEM
    >>> from emlearn.datasets import load_old_faithful
    >>> X = load_old_faithful().data
    >>> mixture = GaussianMixtureEM(n_components=2, random_state=0).fit(X)
    >>> order = mixture.weights_.argsort()
    >>> mixture.weights_[order].round(3)
    array([0.356, 0.644])
    >>> mixture.means_[order].round(2)
    array([[ 2.04, 54.48],
           [ 4.29, 79.97]])
    """

    _likelihood_of_published: ClassVar[bool] = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "covariance_type": [StrOptions({*STRUCTURES, FactorCovariance.name})],
        "n_factors": [Interval(Integral, 1, None, closed="left"), None],
        "reg_covar": [Interval(Real, 0.0, None, closed="left"), StrOptions({"auto"})],
        "init_params": [StrOptions({"auto", "search", *POINT_STARTS}), callable, "array-like"],
        "weights_init": ["array-like", None],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", None],
    }

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        n_factors: int | None = None,
        tol: float | str = "auto",
        reg_covar: float | str = "auto",
        max_iter: int = 1000,
        n_init: int = 1,
        init_params: str | Callable[..., ArrayLike] | ArrayLike = "auto",
        search: str | int | SearchPlan = "default",
        accelerate: str | None = "auto",
        fixed: dict[str, Any] | None = None,
        weights_init: ArrayLike | None = None,
        means_init: ArrayLike | None = None,
        precisions_init: ArrayLike | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        stepwise: StepwisePlan | None = None,
        n_jobs: int | None = None,
    ):
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.n_factors = n_factors
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.search = search
        self.accelerate = accelerate
        self.fixed = fixed
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.stepwise = stepwise
        self.n_jobs = n_jobs

    # ---- fitting ----------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Estimate the parameters with the EM algorithm.

        The best start is kept. With ``warm_start=True``, the only start is the result of the
        last fit.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to fit. NaN means a missing entry. float32 stays float32, and most of the
            arithmetic with it; other types become float64. Parameters are always float64. Also
            rows that are read block by block, or are on a cluster: see `emlearn.data.blocks`.
        y : Ignored
            Present for compatibility with pipelines.
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
            If a hyperparameter, the rows or the weights are invalid, or if every start ends
            with a singular covariance.
        """
        rows, weight = self._read(X, sample_weight, any_scale=True, by_block=True)
        self._stream = self._waiting = None
        return self._fit_rows(rows, weight)

    def _fit_rows(self, rows: Any, weight: Array | None) -> Self:
        K = int(self.n_components)
        check_enough_rows(K, rows, weight)
        family = self._family(self.reg_covar)
        family.structure.check(rows.shape[1])
        plan = self._plan()
        model = LabelModel(MixtureLaw(K), family, self._initializer(rows, plan))
        names = getattr(self, "feature_names_in_", None)
        with blas_limited(), named_columns(names):
            whole, data, column_spec = prepare(model, Observations(rows), weight)
            fit = self._run_em(
                whole,
                data,
                start=self._last_params(family, column_spec),
                plan=plan,
                dtype=rows.dtype,
                advice=self._advice(),
            )
            self._publish(family, fit.params, fit.fixed)
            self._stream = stream_after(model, fit)
            self.log_likelihood_ = self._total_log_likelihood(rows, weight)
        return self._report(fit, "Increase reg_covar, or use fewer components.")

    def _fit_part(self, part: RowPart) -> None:
        self._fit_rows(part.X, part.weight)

    def _publish_stream(self, stream: Stream, params: LabelParams) -> None:
        self._publish(self._family(self.reg_covar), params, held_by(stream.model))

    def _fitted_problem(self, X: Any, *arguments: Any) -> FittedProblem:
        _, sample_weight = arguments
        check_is_fitted(self)
        self._emissions()  # checks what is published
        rows, weight = self._rows_and_weight(X, sample_weight, any_scale=True)
        check_copies(weight)
        family = self._family(self.reg_covar)
        model = LabelModel(MixtureLaw(len(self.weights_)), family, MixedStarts())
        names = getattr(self, "feature_names_in_", None)
        with blas_limited(), named_columns(names):
            whole, data, column_spec = prepare(model, Observations(rows), weight)
        components = family.from_public(self._public(), column_spec)
        params = LabelParams(MixtureParams(read_weights(self)), components, column_spec)
        fixed = self._fixed(whole, params)
        return FittedProblem(whole, data, params, _PUBLISHED, fixed, self._axis_labels())

    def _read_rows(self, X: ArrayLike, *, reset: bool = False) -> Array:
        rows: Array = read_table(self, X, reset=reset, min_rows=2 if reset else 1)
        return rows

    def _initializer(self, X: Array, plan: SearchPlan | RacePlan | None) -> Initializer:
        """The strategy of the starts, with the parameters that the user gives."""
        K, d = int(self.n_components), X.shape[1]
        weights = self._given("weights_init", (K,))
        means = self._given("means_init", (K, d))
        precisions = self._given("precisions_init", self._structure.shape(K, d))
        if weights is not None:
            _check_weights(weights)
        covariances = None
        if precisions is not None:
            covariances = self._structure.covariance_from_precision(precisions, d)
        initializer = self._strategy(X.shape[0], plan)
        if means is not None and isinstance(self.init_params, str):
            initializer = NearestToMeans(means)
        if weights is None and means is None and covariances is None:
            return initializer
        return GivenParameters(initializer, weights, means, covariances)

    def _strategy(self, n_samples: int, plan: SearchPlan | RacePlan | None) -> Initializer:
        if not isinstance(self.init_params, str):
            return start_of(self.init_params, (n_samples, int(self.n_components)))
        if isinstance(plan, RacePlan):
            return MixedStarts()
        name = {"auto": "kmeans", "search": "k-means++"}.get(self.init_params)
        return POINT_STARTS[name or self.init_params]

    def _given(self, name: str, shape: tuple[int, ...]) -> Array | None:
        value = getattr(self, name)
        if value is None:
            return None
        array = as_numbers(value, name)
        if array.shape != shape:
            raise ValueError(
                f"The parameter '{name}' should have the shape of {shape}, but got {array.shape}."
            )
        if not np.isfinite(array).all():
            raise ValueError(f"The parameter '{name}' has entries that are not finite.")
        return array

    def _last_params(self, family: Gaussian, column_spec: Any) -> LabelParams | None:
        """The published parameters, for the rows of a new fit; None without `warm_start`."""
        if not self._resumes():
            return None
        K, d = int(self.n_components), self.n_features_in_
        parts = tuple(part.shape[-1] for part in self._matrices("covariances_").parts)
        need = () if self.n_factors is None else (self.n_factors, d)
        shapes = (self.means_.shape, self.covariances_.shape, parts)
        if shapes != ((K, d), self._structure.shape(K, d), need):
            raise ValueError(
                "With warm_start=True the fit continues the last one, which had a different "
                "n_components, covariance_type, n_factors or number of features. Set "
                "warm_start=False to start afresh."
            )
        components = family.from_public(self._public(), column_spec)
        return LabelParams(MixtureParams(read_weights(self)), components, column_spec)

    def _plan(self) -> SearchPlan | RacePlan | None:
        # One component has one optimum, and given means are where the user wants to start.
        if self._resumes() or self.n_components == 1 or self.means_init is not None:
            return None
        if not isinstance(self.init_params, str):
            return None
        if self.init_params == "search":
            return find_plan(self.search)
        given = self.weights_init is not None or self.precisions_init is not None
        races = self.init_params == "auto" and not given
        return RacePlan().times(self.n_init) if races else None

    def _parameter_names(self, public: Mapping[str, Any]) -> dict[str, str]:
        return {own: name for name, own in _PUBLISHED.items() if name in public}

    def _advice(self) -> str:
        if self.reg_covar == 0:
            return (
                "The likelihood is unbounded if a component shrinks to a point or a plane. Set "
                "reg_covar > 0 (or 'auto'), or use fewer components, more starts (n_init) or "
                "a simpler covariance_type."
            )
        return (
            "Increase reg_covar, use fewer components, more starts (n_init) or a simpler "
            "covariance_type, or scale the input data."
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _check_weights(weights: Array) -> None:
    if (weights < 0.0).any() or (weights > 1.0).any():
        raise ValueError(
            "The parameter 'weights_init' should be in the range [0, 1], but got "
            f"min value {weights.min():.5g}, max value {weights.max():.5g}."
        )
    if abs(weights.sum() - 1.0) > 1e-6:
        raise ValueError(
            "The parameter 'weights_init' should be normalized, but got "
            f"sum(weights) = {weights.sum():.5f}."
        )
