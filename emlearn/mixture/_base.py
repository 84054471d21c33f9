"""What the estimators of finite mixtures share: fitting."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from emlearn._compat import check_sample_weight, validate_params
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
from emlearn.engine.threads import blas_limited
from emlearn.mixture._scoring import MixtureScoring

Array = NDArray[Any]

#: Error of a row's log-density, in nats, that double precision may make for speed.
ACCEPTED_LOSS = 1e-10


class BaseMixtureEM(MixtureScoring):
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

    # ---- what it may change -----------------------------------------------------------

    def _observe(self, X: Array, y: object) -> Any:
        """What the model is fitted to; here the rows alone."""
        return X

    def _n_components(self) -> int:
        return int(self.n_components)

    def _accelerator(self) -> str | None:
        return self.accelerate

    def _log_likelihood_of_fit(
        self, model: Any, best: EMResult, X: Array, weight: Array | None
    ) -> float:
        return self._total_log_likelihood(X, weight)

    def _singularity_advice(self) -> str:
        return "A covariance is nearly singular: increase reg_covar,"

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
        observed = self._observe(X, y)
        self._check_enough_rows(X, weight)
        with blas_limited():
            model = self._make_model(X)
            data = model.prepare(observed, weight)
            found = search(
                model,
                data,
                seeds=self._seeds(),
                convergence=self._convergence(X.dtype),
                max_iter=self.max_iter,
                accelerator=find_accelerator(self._accelerator()),
                callback=self._callback(),
                n_jobs=self.n_jobs,
                plan=self._plan(),
            )
            self._require_success(found)
            self._publish(found.best.params, data, X.dtype)
            self._publish_run(found, model.total_weight(data))
            self.log_likelihood_ = self._log_likelihood_of_fit(model, found.best, X, weight)
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

    def _check_enough_rows(self, X: Array, weight: Array | None) -> None:
        n_rows = X.shape[0] if weight is None else int(np.count_nonzero(weight))
        if n_rows < self._n_components():
            counted = "" if weight is None else " of positive weight"
            raise ValueError(
                f"Expected n_samples >= n_components but got n_components = "
                f"{self._n_components()}, n_samples = {n_rows}{counted}. Use fewer components."
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
                f"than n_components={self._n_components()} describe the data. Use fewer.",
                ConvergenceWarning,
                stacklevel=3,
            )
        if best.converged or self.max_iter == 0:
            return
        reason = f"{best.message}. {self._singularity_advice()}"
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
