"""GaussianMixtureEM: the Gaussian mixture as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from emlearn._checks import as_numbers, check_responsibilities
from emlearn._compat import Interval, StrOptions
from emlearn._fitting import FITTING_CONSTRAINTS
from emlearn.distributions.gaussian.structures import STRUCTURES, CovarianceStructure
from emlearn.engine import SearchPlan, find_plan
from emlearn.mixture._base import BaseMixtureEM
from emlearn.mixture._data import MixtureData, beyond_range
from emlearn.mixture._gaussian_model import GaussianMixtureModel, GaussianMixtureParams
from emlearn.mixture._gaussian_scorer import GaussianScorer
from emlearn.mixture._initialization import (
    SEARCH_START,
    STARTS,
    CallableStart,
    Draw,
    GivenResponsibilities,
    NearestMeansStart,
    Start,
)

Array = NDArray[Any]


class GaussianMixtureEM(BaseMixtureEM):
    """Gaussian mixture fitted by expectation-maximization.

    A drop-in replacement of `sklearn.mixture.GaussianMixture` that takes sample weights,
    runs its starts in parallel, does not depend on the units of the data, and reports
    the log-likelihood at the parameters it returns.

    Parameters
    ----------
    n_components : int, default=1
        Number of components.
    covariance_type : {"full", "tied", "diag", "spherical", "EEV"}, default="full"
        Structure of the covariances: a matrix each, one matrix for all, a diagonal
        matrix each, one variance each, or (EEV, as mclust names it) ellipsoids of one
        volume and shape, each with an orientation of its own. With "spherical" and "EEV"
        the units of the columns matter.
    tol : float, default=1e-7
        Stop when the log-likelihood still to be gained, estimated from the rate of
        convergence, is below this many nats per unit of weight. (scikit-learn stops at
        the last gain, which says little where EM is slow; the default of 1e-3 there
        leaves more to be gained than this.)
    reg_covar : float or "auto", default="auto"
        Ridge added to the diagonal of the covariances. A float is a variance in squared
        units of the data, as in scikit-learn; "auto" is 1e-6 times the variance of each
        column, so that the fit does not depend on the units: on standardised data it is
        scikit-learn's default. (A constant column has no variance; it gets 1e-6.) 0 is
        pure maximum likelihood, which has no maximum where a component can shrink to
        a point. The ridge has its term in the objective; see Notes.
    max_iter : int, default=1000
        Largest number of iterations of each start.
    n_init : int, default=1
        Number of starts, or of searches, of which the one with the highest objective is
        kept. That one search finds the best optimum again and again, as `restarts_` tells,
        is a sign that it is the global one.
    init_params : str, callable or array-like, default="kmeans"
        How to start. The default is one start for each of the `n_init`, as in
        scikit-learn, which costs little; where the optimum matters, use "search": it
        starts from the best of many short runs, changed as long as that pays (see
        `search`). "kmeans": clusters of k-means; "k-means++": its seeds only;
        "random_from_data": random rows as centers; "random": random responsibilities
        (all components start near the center: slow). These look at no more than 10000
        random rows, or 100 for each component. An array of shape (n_samples,
        n_components) gives the responsibilities themselves; so does a callable,
        ``init_params(X, n_components, rng)``, rng being a `numpy.random.Generator` and
        X the rows of positive weight.
    search : {"fast", "default", "thorough"}, int or SearchPlan, default="default"
        How much to search for the global optimum, with ``init_params="search"`` and
        without `means_init`: the name of one of `emlearn.engine.PLANS`, about how many
        E-steps to spend on each of the `n_init` searches, or a plan with numbers of your
        own. A search is short EM runs from seeds of k-means++, of which the best is kept;
        then random swaps: one component is moved to a random row, and stays there if a
        few EM steps later the objective is higher. Of more than 10000 rows (or
        more for many components) it sees a random part.
    accelerate : {"auto", "squarem", "quasi-newton", "anderson"} or None, default="auto"
        How to take longer steps than EM where it is slow; None is plain EM. No choice
        lowers the objective. "auto" starts as plain EM and accelerates once its steps
        are seen to shrink slowly; see `emlearn.engine.acceleration`.
    weights_init : array-like of shape (n_components,), default=None
        Weights to start from.
    means_init : array-like of shape (n_components, n_features), default=None
        Means to start from. Unless `init_params` is an array or callable, the other
        parameters then start from the rows nearest to these means.
    precisions_init : array-like, default=None
        Inverses of the covariances to start from, in the shape of `precisions_`.
    random_state : int, RandomState instance or None, default=None
        Seed of the starts and of `sample`.
    warm_start : bool, default=False
        Whether `fit` starts where the last fit ended, instead of from new starts.
    verbose : int, default=0
        1 prints the objective, 2 also the last gain and the gain still to come.
    verbose_interval : int, default=10
        Iterations between prints.
    n_jobs : int, default=None
        Starts that run at the same time (joblib; threads unless
        `joblib.parallel_config` says otherwise). None means 1. A single start uses the
        threads that BLAS may use. The result has the same bits for any number.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Mixing proportions. 0 for a component that lost all its rows, which a warning
        reports.
    means_ : ndarray of shape (n_components, n_features)
        Means.
    covariances_ : ndarray
        Covariances: (n_components, n_features, n_features) if "full" or "EEV",
        (n_features, n_features) if "tied", (n_components, n_features) if "diag",
        (n_components,) if "spherical".
    precisions_ : ndarray
        Their inverses, in the same shape.
    precisions_cholesky_ : ndarray
        Upper triangular P with precision = P P', or 1 / standard deviation.
    converged_ : bool
        Whether the best start converged.
    n_iter_ : int
        Iterations of the best start.
    log_likelihood_ : float
        Total log-likelihood of the rows, weighted, at the parameters returned.
    lower_bound_ : float
        Objective per unit of weight at the parameters returned: the log-likelihood plus
        the term of the ridge. Equal to ``score(X)`` for ``reg_covar=0``.
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
    sklearn.mixture.GaussianMixture : The estimator whose interface this one has.

    Notes
    -----
    EM climbs ``sum_i w_i log sum_k pi_k N(x_i; mu_k, Sigma_k) exp(-tr(Lambda
    inv(Sigma_k)) / 2)``, where Lambda is the diagonal matrix of the ridge. Its M-step is
    ``Sigma_k = S_k / N_k + Lambda``, as in scikit-learn, which however leaves the last
    factor out of the objective. `score`, `predict_proba` and all that follows leave it
    out too: they are those of the mixture itself.

    A component whose share of the rows falls below 1e-15 keeps its mean and covariance
    and gets weight 0. A start in which a covariance becomes singular to working
    precision fails; the others go on, and `restarts_` records it.

    References
    ----------
    A. P. Dempster, N. M. Laird and D. B. Rubin (1977). "Maximum likelihood from
    incomplete data via the EM algorithm". Journal of the Royal Statistical Society B
    39(1), 1-38.

    G. J. McLachlan and D. Peel (2000). "Finite Mixture Models", chapters 2 and 3. Wiley.

    Examples
    --------
    >>> from emlearn import GaussianMixtureEM
    >>> from emlearn.datasets import load_old_faithful
    >>> X = load_old_faithful().data
    >>> mixture = GaussianMixtureEM(n_components=2, random_state=0).fit(X)
    >>> mixture.weights_.round(3)
    array([0.356, 0.644])
    >>> mixture.means_.round(2)
    array([[ 2.04, 54.48],
           [ 4.29, 79.97]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "covariance_type": [StrOptions(set(STRUCTURES))],
        "reg_covar": [Interval(Real, 0.0, None, closed="left"), StrOptions({"auto"})],
        "init_params": [StrOptions({"search", *STARTS}), callable, "array-like"],
        "weights_init": ["array-like", None],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", None],
        **FITTING_CONSTRAINTS,
    }

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-7,
        reg_covar: float | str = "auto",
        max_iter: int = 1000,
        n_init: int = 1,
        init_params: str | Callable[..., ArrayLike] | ArrayLike = "kmeans",
        search: str | int | SearchPlan = "default",
        accelerate: str | None = "auto",
        weights_init: ArrayLike | None = None,
        means_init: ArrayLike | None = None,
        precisions_init: ArrayLike | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        n_jobs: int | None = None,
    ):
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.search = search
        self.accelerate = accelerate
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.n_jobs = n_jobs

    @property
    def _structure(self) -> CovarianceStructure:
        return STRUCTURES[self.covariance_type]

    def _make_model(self, X: Array) -> GaussianMixtureModel:
        return GaussianMixtureModel(
            int(self.n_components), self._structure, self._start(X), self.reg_covar, X.dtype
        )

    def _start(self, X: Array) -> Start:
        draw = self._draw(len(X))
        n_features = X.shape[1]
        shape = self._structure.shape(self.n_components, n_features)
        if self._resumes():
            return self._resume(draw, (self.n_components, n_features), shape)
        weights = self._given("weights_init", (self.n_components,))
        means = self._given("means_init", (self.n_components, n_features))
        precisions = self._given("precisions_init", shape)
        if weights is not None:
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
        covariances = None
        if precisions is not None:
            covariances = self._structure.covariance_from_precision(precisions, n_features)
        if means is not None and isinstance(self.init_params, str):
            draw = NearestMeansStart(means)
        return Start(draw, weights, means, covariances)

    def _resume(self, draw: Draw, means: tuple[int, int], covariances: tuple[int, ...]) -> Start:
        if (self.means_.shape, self.covariances_.shape) != (means, covariances):
            raise ValueError(
                "With warm_start=True the fit goes on from the last one, which had "
                "another n_components, covariance_type or number of features. Set "
                "warm_start=False to start anew."
            )
        return Start(draw, self.weights_, self.means_, self.covariances_)

    def _plan(self) -> SearchPlan | None:
        is_search = isinstance(self.init_params, str) and self.init_params == "search"
        # One component has one optimum, and given means are where the user wants to start.
        if self._resumes() or not is_search or self.means_init is not None:
            return None
        return None if self.n_components == 1 else find_plan(self.search)

    def _draw(self, n_samples: int) -> Draw:
        if isinstance(self.init_params, str):
            return STARTS.get(self.init_params, SEARCH_START)
        if callable(self.init_params):
            return CallableStart(self.init_params)
        shape = (n_samples, self.n_components)
        return GivenResponsibilities(check_responsibilities(self.init_params, shape))

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

    def _advice(self) -> str:
        if self.reg_covar == 0:
            return (
                "The likelihood is unbounded where a component shrinks to a point or a "
                "plane. Set reg_covar > 0 (or 'auto'), use fewer components, more starts "
                "(n_init), or a simpler covariance_type."
            )
        return (
            "Increase reg_covar, use fewer components, more starts (n_init), or a simpler "
            "covariance_type, or scale the input data."
        )

    def _publish(self, params: GaussianMixtureParams, data: MixtureData, dtype: Any) -> None:
        structure, scaling = self._structure, data.scaling
        with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
            root = structure.rescale_cholesky(params.factor.precision_cholesky, scaling.scale)
            precisions = structure.precision(root).astype(dtype)
            covariances = structure.rescale(params.covariances, scaling.scale).astype(dtype)
        # Where a variance underflows to 0, its inverse overflows.
        if not (np.isfinite(covariances).all() and np.isfinite(precisions).all()):
            raise beyond_range(np.arange(len(scaling.scale)), scaling.scale, dtype)
        self.weights_ = params.weights.astype(dtype)
        self.means_ = scaling.to_units(params.means).astype(dtype)
        self.covariances_ = covariances
        self.precisions_ = precisions
        self.precisions_cholesky_ = root.astype(dtype)

    def _scorer(self, dtype: Any) -> GaussianScorer:
        return GaussianScorer.at(
            self._structure, self.weights_, self.means_, self.precisions_cholesky_, dtype
        )

    def _n_parameters(self) -> int:
        n_components, n_features = self.means_.shape
        covariances = self._structure.n_parameters(n_components, n_features)
        return int(n_components - 1 + n_components * n_features + covariances)

    def sample(self, n_samples: int = 1) -> tuple[Array, NDArray[np.intp]]:
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
            The component of each.
        """
        check_is_fitted(self)
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(
                f"Invalid value for 'n_samples': {n_samples!r}. It must be an int >= 1."
            )
        rng = check_random_state(self.random_state)
        weights = self.weights_.astype(np.float64)
        counts = rng.multinomial(n_samples, weights / weights.sum())
        n_features = self.means_.shape[1]
        precisions_cholesky = self.precisions_cholesky_.astype(np.float64)
        rows = []
        for k, count in enumerate(counts):
            root = self._structure.sample_root(precisions_cholesky, k, n_features)
            rows.append(self.means_[k] + rng.standard_normal((count, n_features)) @ root.T)
        labels = np.repeat(np.arange(len(counts)), counts)
        return np.concatenate(rows).astype(self.means_.dtype), labels
