"""EMEstimator: the base of all estimators fitted by EM, including a user's own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state, get_tags

from emlearn._compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    validate_params,
    with_callbacks,
)
from emlearn._site import SITE
from emlearn._warnings import warn_user
from emlearn.data import read_table, read_weight
from emlearn.data.blocks import RowBlocks
from emlearn.data.blocks.finding import find_blocks
from emlearn.data.blocks.vectors import first_rows, vector_of_blocks
from emlearn.engine.acceleration import ACCELERATORS, Accelerator, Newton, find_accelerator
from emlearn.engine.block_survey import read_block_table
from emlearn.engine.block_table import BlockTable, TableReader
from emlearn.engine.convergence import RemainingGain, StatisticalGain
from emlearn.engine.documentation import complete_docstring
from emlearn.engine.errors import DegenerateModelError
from emlearn.engine.exploration import PLANS, SearchPlan
from emlearn.engine.fixed import FixedParameters
from emlearn.engine.inference import FittedProblem, Inference, Kind, infer
from emlearn.engine.loop import continued
from emlearn.engine.model import LatentVariableModel
from emlearn.engine.parameters import Public, read_fixed
from emlearn.engine.placement import placement_of
from emlearn.engine.progress import CallbackTask, Observer, Observers, Printer
from emlearn.engine.race import race
from emlearn.engine.race_plan import RacePlan
from emlearn.engine.restarts import SearchResult, search
from emlearn.engine.result import EMResult, Status
from emlearn.engine.stepwise import StepwisePlan
from emlearn.engine.threads import blas_limited

#: Error of a row's log-density, in nats, that double precision may make for speed.
ACCEPTED_LOSS = 1e-10

# Iterations that the convergence test of a later fit can continue from.
_REMEMBERED = 10

_FROM_ONE = Interval(Integral, 1, None, closed="left")
_CONSTRAINTS: dict[str, list[Any]] = {
    "tol": [Interval(Real, 0.0, None, closed="left"), StrOptions({"auto"})],
    "max_iter": [Interval(Integral, 0, None, closed="left")],
    "n_init": [_FROM_ONE],
    "search": [StrOptions(set(PLANS)), _FROM_ONE, SearchPlan],
    "accelerate": [StrOptions(set(ACCELERATORS)), None],
    "fixed": [dict, None],
    "random_state": ["random_state"],
    "warm_start": ["boolean"],
    "verbose": ["verbose"],
    "verbose_interval": [_FROM_ONE],
    "stepwise": [StepwisePlan, None],
    "n_jobs": [_FROM_ONE, Interval(Integral, None, -1, closed="right"), None],
}


@dataclass(frozen=True)
class Fit:
    """A fit that ended well enough to be published.

    Attributes
    ----------
    model, data : object
        The model and what it was fitted to.
    best : EMResult
        The best run.
    fixed : dict of str to ndarray
        Entries that were held, by the names of the model; NaN where free.
    """

    model: LatentVariableModel[Any, Any, Any]
    data: Any
    best: EMResult
    fixed: Public = field(default_factory=dict)

    @property
    def params(self) -> Any:
        """Parameters of the best run."""
        return self.best.params


class EMEstimator(CallbackSupportMixin, BaseEstimator):
    """Base of estimators that are fitted by EM.

    A subclass writes its constructor and `fit`, which reads the rows with `_read`, runs EM on
    a model with `_run_em`, publishes the parameters, and warns with `_report`. All
    hyperparameters below are optional: those that a subclass's constructor does not have
    take their defaults; without `random_state` all random numbers are the same in each fit.

    Parameters
    ----------
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
    emlearn.engine.LatentVariableModel : The contract of the models that it runs.

    Examples
    --------
    An exponential distribution of lifetimes, some of which are only known to exceed a limit:

    >>> import numpy as np
    >>> from emlearn.engine import EMEstimator, LatentVariableModel
    >>> class CensoredExponential(LatentVariableModel):
    ...     def prepare(self, X, sample_weight=None):
    ...         return X[:, 0], X[:, 1] > 0, sample_weight
    ...     def total_weight(self, data):
    ...         return float(len(data[0]))
    ...     def initialize(self, data, rng):
    ...         return data[0].mean()
    ...     def e_step(self, block, mean):
    ...         time, censored, _ = block
    ...         expected = time + mean * censored
    ...         log_density = -time / mean - np.where(censored, 0.0, np.log(mean))
    ...         return np.array([len(time), expected.sum()]), log_density.sum()
    ...     def m_step(self, statistics, mean):
    ...         return statistics[1] / statistics[0]
    >>> class LifetimeEM(EMEstimator):
    ...     def __init__(self, tol=1e-9, max_iter=1000):
    ...         self.tol = tol
    ...         self.max_iter = max_iter
    ...     def fit(self, X, y=None):
    ...         rows, _ = self._read(X)
    ...         fit = self._run_em(CensoredExponential(), CensoredExponential().prepare(rows))
    ...         self.mean_ = fit.params
    ...         return self._report(fit)
    >>> X = [[1.0, 0], [2.0, 0], [4.0, 1], [3.0, 1]]
    >>> round(float(LifetimeEM().fit(X).mean_), 3)
    5.0
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = _CONSTRAINTS
    # Whether `fit` itself sets `log_likelihood_`, at the parameters in the precision published.
    _likelihood_of_published: ClassVar[bool] = False
    # Where the HTML representation links to, for estimators of this package.
    _doc_link_module = "emlearn"
    _doc_link_template = f"{SITE}reference/generated/emlearn.{{estimator_name}}.html"

    def __init__(
        self,
        *,
        tol: float | str = "auto",
        max_iter: int = 1000,
        n_init: int = 1,
        accelerate: str | None = "auto",
        fixed: dict[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        n_jobs: int | None = None,
    ):
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

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Complete the docstring, and the constraints of the hyperparameters."""
        super().__init_subclass__(**kwargs)
        every = {**_CONSTRAINTS, **cls.__dict__.get("_parameter_constraints", {})}
        accepted = inspect.signature(cls).parameters
        cls._parameter_constraints = {name: every[name] for name in every if name in accepted}
        complete_docstring(cls)

    # ---- the parts of a fit, in the order of their use ----------------------------------

    def _read(
        self,
        X: Any,
        sample_weight: Any = None,
        *,
        any_scale: bool = False,
        by_block: bool = False,
    ) -> tuple[Any, NDArray[np.float64] | None]:
        """Check the hyperparameters; read the rows to fit and their weights.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.
        any_scale : bool, default=False
            See `emlearn.data.read_weight`.
        by_block : bool, default=False
            Whether rows may be read block by block.

        Returns
        -------
        rows : ndarray of shape (n_samples, n_features), or BlockTable
            The rows. A `BlockTable`, of rows that are read block by block, has the weights too.
        weight : ndarray of shape (n_samples,) or None
            The weights.
        """
        validate_params(self)
        blocks = find_blocks(X) if by_block else None
        if blocks is not None:
            return self._read_table(blocks, sample_weight, reset=True, any_scale=any_scale), None
        rows = self._read_rows(X, reset=True)
        return rows, read_weight(sample_weight, rows.shape[0], any_scale=any_scale)

    def _read_table(
        self,
        blocks: RowBlocks,
        sample_weight: Any = None,
        *,
        reset: bool = False,
        any_scale: bool = False,
    ) -> BlockTable:
        """The rows of blocks, which are read and checked once here, and again by each pass."""
        if reset:
            self._read_rows(first_rows(blocks), reset=True)
        if blocks.n_features != self.n_features_in_:
            raise ValueError(
                f"X has n_features={blocks.n_features}, but its rows have "
                f"{self.n_features_in_} columns."
                if reset
                else f"X has {blocks.n_features} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input."
            )
        return read_block_table(
            blocks,
            TableReader.of(self),
            weight=vector_of_blocks(sample_weight, blocks.n_rows),
            any_scale=any_scale,
            placement=placement_of(blocks),
        )

    def _read_rows(self, X: Any, *, reset: bool = False) -> Any:
        """Rows to fit (`reset`), or later rows with the same columns.

        NaN is allowed if the estimator's tags allow it. A subclass can read with other
        options of `emlearn.data.read_table`.
        """
        return read_table(self, X, reset=reset, allow_nan=get_tags(self).input_tags.allow_nan)

    @with_callbacks
    def _run_em(
        self,
        model: LatentVariableModel[Any, Any, Any],
        data: Any,
        *,
        start: Any = None,
        plan: SearchPlan | RacePlan | None = None,
        dtype: Any = np.float64,
        total_weight: float | None = None,
        advice: str = "Try more starts (n_init), or other rows.",
    ) -> Fit:
        """Run EM from all starts and publish how it went.

        Parameters
        ----------
        model : LatentVariableModel
            The model.
        data : object
            What `model.prepare` returned.
        start : object, default=None
            Parameters to start from, the only start; None draws `n_init` starts.
        plan : SearchPlan or RacePlan, default=None
            How each start is searched for, or how starts are raced; None takes what
            `model.initialize` returns.
        dtype : dtype, default=float64
            Precision of the rows.
        total_weight : float, default=None
            Weight that `lower_bound_` is a mean over; None is that of the model.
        advice : str
            What to do where every start fails; ends the message.

        Returns
        -------
        fit : Fit
            The best run. The attributes named in the class's docstring are set.

        Raises
        ------
        ValueError
            If every start failed.
        """
        inner, fixed = model, {}
        if self._setting("fixed"):
            try:
                with blas_limited():
                    fixed = self._fixed(model, model.example(data) if start is None else start)
            except DegenerateModelError as error:
                raise ValueError(
                    f"{type(self).__name__} cannot be fitted: {error}. {advice}"
                ) from None
        if fixed:
            model = FixedParameters(inner, fixed)
            start = self._held_start(model, data, start)
        # A race has one source of random numbers, and a given start needs none.
        if start is not None:
            plan = None
        single = isinstance(plan, RacePlan) or start is not None
        seeds = self._seeds(1 if single else int(self._setting("n_init")))
        # A fit that continues the last one also continues its convergence test.
        continues = start is not None and self._resumes()
        previous = getattr(self, "_last_lines", ()) if continues else ()
        with blas_limited():
            weight = total_weight or model.total_weight(data)
            root = self._open_task(len(seeds))
            observers = [
                Observers(self._observers(root, run, len(seeds), weight))
                for run in range(len(seeds))
            ]
            settings: dict[str, Any] = {
                "convergence": self._convergence(dtype),
                "max_iter": self._setting("max_iter"),
                "accelerator": self._accelerator(model),
            }
            if isinstance(plan, RacePlan):
                rng, (observer,) = np.random.default_rng(seeds[0]), observers
                found = race(model, data, plan, rng, observer=observer, **settings)
            else:
                found = search(
                    model,
                    data,
                    seeds=seeds,
                    observers=observers,
                    n_jobs=self._setting("n_jobs"),
                    plan=plan,
                    start=start,
                    previous=previous,
                    **settings,
                )
            if root is not None:
                root.call_on_fit_task_end(estimator=self)
        self._require_success(found, advice)
        self._publish_run(found, weight)
        best = found.best
        begin = best.history[0].objective
        rounding = settings["convergence"].rounding(begin, model.total_weight(data))
        earlier = continued(previous, begin, rounding)
        self._last_lines = (*earlier, *best.history)[-_REMEMBERED:]
        if not self._likelihood_of_published:
            self.log_likelihood_ = float(model.log_likelihood(data, best.params, best.objective))
        return Fit(model, data, best, fixed)

    def _report(self, fit: Fit, advice: str = "") -> Self:
        """Warn if the best run did not converge or is not sound; return the estimator.

        Parameters
        ----------
        fit : Fit
            What `_run_em` returned.
        advice : str
            What to do about parameters at the edge of what is possible, such as a nearly
            singular covariance.
        """
        best = fit.best
        for message in fit.model.unsound(best.statistics, best.params):
            warn_user(message, ConvergenceWarning)
        message = self._unconverged(best, advice)
        if message:
            warn_user(message, ConvergenceWarning)
        return self

    def _unconverged(self, best: EMResult, advice: str) -> str:
        """Why a run did not converge and what to do; empty if it did, or was stopped on request."""
        max_iter = self._setting("max_iter")
        if best.converged or best.status is Status.STOPPED or max_iter == 0:
            return ""
        if best.status is not Status.MAX_ITER:
            return f"EM did not converge: {best.message}. {advice}".rstrip()
        remaining = best.history[-1].remaining
        left = ""
        if np.isfinite(remaining):
            errors = np.sqrt(2.0 * remaining)
            left = (
                f"; about {remaining:.3g} nats are left to gain, so estimates may be off by "
                f"{errors:.2g} standard errors"
            )
        return (
            f"EM did not converge: max_iter={max_iter} iterations were not enough{left}. Increase "
            "max_iter, or increase tol if that accuracy is not needed."
        )

    # ---- standard errors --------------------------------------------------------------------

    def inference(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        information: Kind = "observed",
    ) -> Inference:
        """Standard errors, intervals and tests of the published parameters.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The rows of the fit.
        y : array-like of shape (n_samples,), default=None
            As for `fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            As for `fit`.
        information : {"observed", "empirical", "sandwich"}, default="observed"
            Where standard errors come from. "observed": minus the second derivatives of the
            objective (log-likelihood plus log prior). "empirical": the sum of squares of the
            scores of the rows (without the prior). "sandwich": from both, valid also if the
            model is wrong.

        Returns
        -------
        inference : Inference
            The parameters with standard errors, covariance, intervals, tests and a table.

        Raises
        ------
        ValueError
            If `information` is unknown, or the rows are invalid.
        """
        return infer(self._fitted_problem(X, y, sample_weight), information)

    def _fitted_problem(self, X: Any, *arguments: Any) -> FittedProblem:
        """The model at the published parameters, with the rows of the fit."""
        raise NotImplementedError(
            f"{type(self).__name__} does not say what its model is; define _fitted_problem, or "
            "call emlearn.inference.infer."
        )

    def _axis_labels(self) -> dict[str, Any]:
        """Labels of the axes of the published parameters."""
        names = getattr(self, "feature_names_in_", None)
        return {} if names is None else {"feature": names}

    # ---- what they are made of ----------------------------------------------------------

    def _setting(self, name: str) -> Any:
        """A shared hyperparameter; its default where the constructor does not have it."""
        return getattr(self, name) if hasattr(self, name) else _DEFAULTS[name]

    def _parameter_names(self, public: Mapping[str, Any]) -> dict[str, str]:
        """Names of the model's parameters, by those that a user may give; by default the same."""
        return {name: name for name in public}

    def _fixed(self, model: LatentVariableModel[Any, Any, Any], params: Any) -> Public:
        """The entries that the hyperparameter `fixed` holds, by the names of the model.

        Parameters
        ----------
        model : LatentVariableModel
            The model.
        params : object
            Any parameters, for the shapes.

        Returns
        -------
        fixed : dict of str to ndarray
            NaN where free; empty if nothing is held.

        Raises
        ------
        ValueError
            If a name is unknown, a shape is wrong, or the entries are impossible. It is named.
        """
        fixed = self._setting("fixed")
        if not fixed:
            return {}
        public = model.public(params)
        return read_fixed(fixed, model.space(params), public, self._parameter_names(public))

    def _held_start(self, model: FixedParameters, data: Any, start: Any) -> Any:
        """The given start, or the only one if nothing is free, with the entries that are held."""
        try:
            if start is not None:
                return model.impose(start, {})
            only = model.example(data)
        except DegenerateModelError as error:
            raise ValueError(f"fixed does not go with the other parameters: {error}.") from None
        space, public = model.space(only), model.public(only)
        return None if space.n_free(public, model.fixed) else only

    def _resumes(self) -> bool:
        """Whether `fit` starts from the parameters of the last fit."""
        return bool(self._setting("warm_start")) and hasattr(self, "converged_")

    def _accelerator(self, model: LatentVariableModel[Any, Any, Any]) -> Accelerator | None:
        """The accelerator. "auto" is Newton's for a model with a curvature."""
        name: str | None = self._setting("accelerate")
        if name == "auto" and model.has_curvature:
            return Newton()
        if name is None or model.has_vector:
            return find_accelerator(name)
        if name != "auto":
            raise ValueError(
                f"accelerate={name!r} needs a vector form of the parameters, and {model!r} "
                "has none. Use accelerate='auto' or None."
            )
        return None

    def _seeds(self, n_starts: int) -> list[np.random.SeedSequence]:
        root = check_random_state(self._setting("random_state")).randint(np.iinfo(np.int32).max)
        return np.random.SeedSequence(root).spawn(n_starts)

    def _convergence(self, dtype: Any) -> RemainingGain | StatisticalGain:
        """Test of convergence that does not take noise for a gain or a fall.

        `RemainingGain.rounding` is at least 256 times the precision for each row.
        """
        tol, eps = self._setting("tol"), float(np.finfo(dtype).eps)
        if tol == "auto":
            return StatisticalGain(max(eps, ACCEPTED_LOSS / 256.0))
        return RemainingGain(tol, max(eps, min(tol, ACCEPTED_LOSS) / 256.0))

    def _open_task(self, n_runs: int) -> Any:
        """Context of the fit for scikit-learn's callbacks; None where there are none."""
        if not hasattr(self, "_skl_callbacks"):
            return None
        root = self._init_callback_context(max_subtasks=n_runs, sequential_subtasks=False)
        return root.call_on_fit_task_begin(estimator=self)

    def _observers(self, root: Any, run: int, n_runs: int, weight: float) -> list[Observer]:
        observers: list[Observer] = []
        verbose = int(self._setting("verbose"))
        if verbose:
            interval = self._setting("verbose_interval") if verbose > 1 else None
            observers.append(Printer(type(self).__name__, run, n_runs, weight, interval))
        if root is not None:
            context = root.subcontext("run", task_id=run, max_subtasks=self._setting("max_iter"))
            observers.append(CallbackTask(self, context))
        return observers

    def _require_success(self, found: SearchResult, advice: str) -> None:
        best = found.best
        if best.status.usable and best.params is not None:
            return
        name = type(self).__name__
        if best.status is Status.STOPPED:
            raise ValueError(f"{name} was stopped before its first E-step ended.")
        n_starts = len(found.restarts)
        which = "" if n_starts == 1 else f"each of the {n_starts} starts failed, the first one as "
        raise ValueError(f"{name} cannot be fitted: {which}{best.message}. {advice}")

    def _publish_run(self, found: SearchResult, total_weight: float) -> None:
        best = found.best
        self.converged_ = best.converged
        self.n_iter_ = best.n_iter
        self.history_ = best.history.as_arrays()
        objectives = self.history_["objective"] / total_weight
        self.lower_bounds_ = [float(value) for value in objectives[1:]]
        self.lower_bound_ = float(objectives[-1])
        self.restarts_ = found.restarts


complete_docstring(EMEstimator)
# An estimator without `random_state` gives the same fit each time.
_DEFAULTS = {**vars(EMEstimator()), "random_state": 0}
