"""What the estimators of all models share: from hyperparameters to a search, and its report."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from emlearn._compat import Interval, StrOptions
from emlearn._warnings import warn_user
from emlearn.engine import (
    ACCELERATORS,
    PLANS,
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

#: Error of a row's log-density, in nats, that double precision may make for speed.
ACCEPTED_LOSS = 1e-10

#: What the hyperparameters may be that all estimators with a search have.
FITTING_CONSTRAINTS: dict[str, list[Any]] = {
    "tol": [Interval(Real, 0.0, None, closed="left")],
    "max_iter": [Interval(Integral, 0, None, closed="left")],
    "n_init": [Interval(Integral, 1, None, closed="left")],
    "search": [StrOptions(set(PLANS)), Interval(Integral, 1, None, closed="left"), SearchPlan],
    "accelerate": [StrOptions(set(ACCELERATORS)), None],
    "random_state": ["random_state"],
    "warm_start": ["boolean"],
    "verbose": ["verbose"],
    "verbose_interval": [Interval(Integral, 1, None, closed="left")],
    "n_jobs": [
        Interval(Integral, 1, None, closed="left"),
        Interval(Integral, None, -1, closed="right"),
        None,
    ],
}


class EMFitting(BaseEstimator):
    """Base of estimators with the hyperparameters of `FITTING_CONSTRAINTS`."""

    # ---- what a subclass may change ---------------------------------------------------

    def _plan(self) -> SearchPlan | None:
        """How each start is searched for; None for what the model's initialize returns."""
        return None

    def _accelerator(self) -> str | None:
        return self.accelerate

    def _advice(self) -> str:
        return "Try fewer components, more starts (n_init), or other rows."

    def _singularity_advice(self) -> str:
        return "A covariance is nearly singular: increase reg_covar,"

    # ---- fitting ----------------------------------------------------------------------

    def _search(
        self,
        model: LatentVariableModel[Any, Any, Any],
        data: Any,
        dtype: Any,
        start: Any = None,
    ) -> SearchResult:
        """The best of the starts.

        Raises
        ------
        ValueError
            If all of them failed.
        """
        found = search(
            model,
            data,
            seeds=self._seeds(),
            convergence=self._convergence(dtype),
            max_iter=self.max_iter,
            accelerator=find_accelerator(self._accelerator()),
            callback=self._callback(),
            n_jobs=self.n_jobs,
            plan=self._plan(),
            start=start,
        )
        self._require_success(found)
        return found

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

    def _publish_run(self, found: SearchResult, total_weight: float) -> None:
        best = found.best
        self.converged_ = best.converged
        self.n_iter_ = best.n_iter
        self.history_ = best.history.as_arrays()
        objectives = self.history_["objective"] / total_weight
        self.lower_bounds_ = [float(value) for value in objectives[1:]]
        self.lower_bound_ = float(objectives[-1])
        self.restarts_ = found.restarts

    def _report_convergence(self, best: EMResult) -> None:
        """Warn if the best run did not converge."""
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
        warn_user(
            f"Best performing initialization did not converge; {reason} or use fewer components.",
            ConvergenceWarning,
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
