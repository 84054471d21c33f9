"""What the estimators of finite mixtures share: fitting, predicting, scoring."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    DensityMixin,
    TransformerMixin,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from emlearn._compat import check_sample_weight, validate_data, validate_params
from emlearn.engine import (
    EMResult,
    LatentVariableModel,
    RemainingGain,
    SearchPlan,
    SearchResult,
    find_accelerator,
    search,
)
from emlearn.engine.loop import Callback
from emlearn.engine.result import Iteration, Status
from emlearn.engine.threads import available_threads, blas_limited
from emlearn.mixture._responsibilities import row_log_density

Array = NDArray[Any]

#: Error of a row's log-density, in nats, that double precision may make for speed.
ACCEPTED_LOSS = 1e-10


class Scorer(Protocol):
    """Log-joint densities of new rows at the published parameters."""

    def blocks(self, X: Array) -> list[slice]:
        """Rows to be taken together."""
        ...

    def log_joint(self, X: Array, *, common: bool = True) -> Array:
        """log(weight_k) + log-density, shape (n_components, n_rows), valid until asked again.

        With ``common=False`` a term shared by all components of a row may be left out.
        """
        ...


class BaseMixtureEM(ClassNamePrefixFeaturesOutMixin, TransformerMixin, DensityMixin, BaseEstimator):
    """Base of mixture estimators. Subclasses supply the model, the attributes, the scorer."""

    # ---- what a subclass supplies -----------------------------------------------------

    @abstractmethod
    def _make_model(self, X: Array) -> LatentVariableModel[Any, Any, Any]:
        """Model for these hyperparameters; checks those that depend on the data."""

    @abstractmethod
    def _plan(self) -> SearchPlan | None:
        """How each start is searched for; None for what the model's initialize returns."""

    @abstractmethod
    def _publish(self, params: Any, data: Any, dtype: Any) -> None:
        """Set the attributes of the parameters."""

    @abstractmethod
    def _scorer(self, dtype: Any) -> Scorer:
        """Scorer at the published parameters for rows of a precision."""

    @abstractmethod
    def _n_parameters(self) -> int:
        """Number of free parameters."""

    # ---- fitting ----------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Estimate the parameters with the EM algorithm.

        The best of `n_init` starts is kept. With `warm_start`, the only start is where
        the last fit ended.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to fit. float32 stays float32; everything else becomes float64.
        y : Ignored
            Present for compatibility with pipelines.
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
            If a hyperparameter, the rows or the weights are invalid, or if every start
            ended at a singular covariance.
        """
        validate_params(self)
        X = self._validate_rows(X, reset=True)
        weight = check_sample_weight(sample_weight, X)
        self._check_enough_rows(X, weight)
        with blas_limited():
            model = self._make_model(X)
            data = model.prepare(X, weight)
            found = search(
                model,
                data,
                seeds=self._seeds(),
                convergence=self._convergence(X.dtype),
                max_iter=self.max_iter,
                accelerator=find_accelerator(self.accelerate),
                callback=self._callback(),
                n_jobs=self.n_jobs,
                plan=self._plan(),
            )
            self._require_success(found)
            self._publish(found.best.params, data, X.dtype)
            self._publish_run(found, model.total_weight(data))
            self.log_likelihood_ = self._total_log_likelihood(X, weight)
        self._report(found.best)
        return self

    def fit_predict(
        self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> NDArray[np.intp]:
        """Fit, and return the most probable component of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to fit.
        y : Ignored
            Present for compatibility with pipelines.
        sample_weight : array-like of shape (n_samples,), default=None
            See `fit`.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            The same as ``fit(X).predict(X)``.
        """
        return self.fit(X, y, sample_weight=sample_weight).predict(X)

    def _validate_rows(self, X: ArrayLike, *, reset: bool) -> Array:
        try:
            rows: Array = validate_data(
                self,
                X,
                reset=reset,
                dtype=[np.float64, np.float32],
                ensure_min_samples=2 if reset else 1,
            )
        except ValueError as error:
            if "contains NaN" not in str(error):
                raise
            raise ValueError(
                f"Input X contains NaN. {type(self).__name__} does not take missing values "
                "yet: leave out the rows that have any, or fill them in first."
            ) from None
        return rows

    def _check_enough_rows(self, X: Array, weight: Array | None) -> None:
        n_rows = len(X) if weight is None else int(np.count_nonzero(weight))
        if n_rows < self.n_components:
            counted = "" if weight is None else " of positive weight"
            raise ValueError(
                f"Expected n_samples >= n_components but got n_components = "
                f"{self.n_components}, n_samples = {n_rows}{counted}. Use fewer components."
            )

    def _seeds(self) -> list[np.random.SeedSequence]:
        root = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        return np.random.SeedSequence(root).spawn(1 if self._resumes() else self.n_init)

    def _resumes(self) -> bool:
        return bool(self.warm_start) and hasattr(self, "converged_")

    def _convergence(self, dtype: Any) -> RemainingGain:
        """Test of convergence that does not take for a gain or a fall what is noise.

        `RemainingGain.rounding` is at least 256 times the precision for each row.
        """
        noise = min(self.tol, ACCEPTED_LOSS) / 256.0
        return RemainingGain(self.tol, max(float(np.finfo(dtype).eps), noise))

    def _callback(self) -> Callback | None:
        if not self.verbose:
            return None
        return _Printer(self.verbose_interval, detailed=int(self.verbose) > 1)

    def _require_success(self, found: SearchResult) -> None:
        if found.best.status.usable:
            return
        starts = len(found.restarts)
        which = "The only start" if starts == 1 else f"Each of the {starts} starts"
        raise ValueError(
            f"{which} of {type(self).__name__} failed; the first: {found.best.message}. "
            f"{self._advice()}"
        )

    def _advice(self) -> str:
        return "Try fewer components, more starts (n_init), or other rows."

    def _publish_run(self, found: SearchResult, total_weight: float) -> None:
        best = found.best
        self.converged_ = best.converged
        self.n_iter_ = best.n_iter
        self.history_ = best.history.as_arrays()
        objectives = self.history_["objective"] / total_weight
        self.lower_bounds_ = [float(value) for value in objectives[1:]]
        self.lower_bound_ = float(objectives[-1])
        self.restarts_ = found.restarts

    def _report(self, best: EMResult) -> None:
        dead = np.flatnonzero(self.weights_ == 0.0)
        if dead.size:
            warnings.warn(
                f"Component(s) {dead.tolist()} lost all rows and were given weight 0: fewer "
                f"than n_components={self.n_components} describe the data. Use fewer.",
                ConvergenceWarning,
                stacklevel=3,
            )
        if best.converged or self.max_iter == 0:
            return
        reason = f"{best.message}. A covariance is nearly singular: increase reg_covar,"
        if best.status is Status.MAX_ITER:
            remaining = best.history[-1].remaining
            left = ""
            if np.isfinite(remaining):
                left = f": an estimated {remaining:.3g} nats of log-likelihood are left to gain"
            reason = (
                f"max_iter={self.max_iter} iterations were not enough{left}. Increase "
                "max_iter, or increase tol if that accuracy is not needed,"
            )
        warnings.warn(
            f"Best performing initialization did not converge; {reason} or use fewer components.",
            ConvergenceWarning,
            stacklevel=3,
        )

    # ---- predicting and scoring -------------------------------------------------------

    def _rows_to_score(self, X: ArrayLike) -> Array:
        check_is_fitted(self)
        return self._validate_rows(X, reset=False)

    def _map(self, X: Array, out: Array, reduce: Any, *, common: bool = True) -> Array:
        """Fill ``out[rows] = reduce(log_joint of the rows)`` block by block, in threads."""
        scorer = self._scorer(X.dtype)

        def work(rows: slice) -> None:
            out[rows] = reduce(scorer.log_joint(X[rows], common=common))

        blocks = scorer.blocks(X)
        with blas_limited():
            n_threads = min(available_threads(), len(blocks))
            if n_threads > 1:
                with ThreadPoolExecutor(n_threads) as pool:
                    list(pool.map(work, blocks))
            else:
                for rows in blocks:
                    work(rows)
        return out

    def predict(self, X: ArrayLike) -> NDArray[np.intp]:
        """Most probable component of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Indices of components.
        """
        X = self._rows_to_score(X)
        labels = np.empty(len(X), np.intp)
        return self._map(X, labels, lambda joint: joint.argmax(axis=0), common=False)

    def predict_proba(self, X: ArrayLike) -> Array:
        """Responsibilities: posterior probability of each component for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, n_components)
            Rows add up to one.
        """
        X = self._rows_to_score(X)

        def reduce(joint: Array) -> Array:
            row_log_density(joint)
            return joint.T

        responsibilities = np.empty((len(X), len(self.weights_)), X.dtype)
        return self._map(X, responsibilities, reduce, common=False)

    def transform(self, X: ArrayLike) -> Array:
        """Responsibilities, as `predict_proba`: soft clustering as a step of a Pipeline.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, n_components)
            Rows add up to one.
        """
        return self.predict_proba(X)

    @property
    def _n_features_out(self) -> int:
        return len(self.weights_)

    def score_samples(self, X: ArrayLike) -> Array:
        """Log-density of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            Natural logarithm of the density, per unit of volume in the units of X.
        """
        X = self._rows_to_score(X)
        return self._map(X, np.empty(len(X), X.dtype), row_log_density)

    def score(
        self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Mean log-density of the rows, weighted.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : Ignored
            Present for compatibility with pipelines.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; None means 1 each.

        Returns
        -------
        log_likelihood : float
            In nats per unit of weight.
        """
        X = self._rows_to_score(X)
        weight = check_sample_weight(sample_weight, X)
        total = float(len(X)) if weight is None else float(weight.sum())
        return self._total_log_likelihood(X, weight) / total

    def _total_log_likelihood(self, X: Array, weight: Array | None) -> float:
        density = self._map(X, np.empty(len(X)), row_log_density)
        return float(density.sum() if weight is None else weight @ density)

    def aic(self, X: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Akaike's information criterion; the lower the better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; None means 1 each.

        Returns
        -------
        aic : float
            -2 log-likelihood + 2 times the number of parameters.
        """
        log_likelihood, _, _ = self._criterion(X, sample_weight)
        return -2.0 * log_likelihood + 2.0 * self._n_parameters()

    def bic(self, X: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Bayesian information criterion; the lower the better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; None means 1 each.

        Returns
        -------
        bic : float
            -2 log-likelihood + log(n) times the number of parameters, n being the sum
            of the weights.
        """
        log_likelihood, total, _ = self._criterion(X, sample_weight)
        return -2.0 * log_likelihood + np.log(total) * self._n_parameters()

    def icl(self, X: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Integrated completed likelihood criterion; the lower the better.

        BIC with a penalty for rows that are not clearly of one component, so that it
        counts clusters rather than components.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; None means 1 each.

        Returns
        -------
        icl : float
            BIC - 2 times the sum of the logarithms of the largest responsibilities.

        References
        ----------
        C. Biernacki, G. Celeux and G. Govaert (2000). "Assessing a mixture model for
        clustering with the integrated completed likelihood". IEEE Transactions on
        Pattern Analysis and Machine Intelligence 22(7), 719-725.
        """
        log_likelihood, total, weight = self._criterion(X, sample_weight)
        largest = np.log(self.predict_proba(X).max(axis=1).astype(np.float64))
        certainty = float(largest.sum() if weight is None else weight @ largest)
        return -2.0 * (log_likelihood + certainty) + np.log(total) * self._n_parameters()

    def _criterion(
        self, X: ArrayLike, sample_weight: ArrayLike | None
    ) -> tuple[float, float, Array | None]:
        X = self._rows_to_score(X)
        weight = check_sample_weight(sample_weight, X)
        total = float(len(X)) if weight is None else float(weight.sum())
        return self._total_log_likelihood(X, weight), total, weight


class _Printer:
    """Prints the progress of each run."""

    def __init__(self, interval: int, detailed: bool):
        self.interval = interval
        self.detailed = detailed

    def __call__(self, n_iter: int, iteration: Iteration) -> None:
        if n_iter % self.interval:
            return
        line = f"Iteration {n_iter}: objective {iteration.objective:.6f}"
        if self.detailed:
            line += f", gain {iteration.gain:.3e}, to come {iteration.remaining:.3e}"
        print(line)
