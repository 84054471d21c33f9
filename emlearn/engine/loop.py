"""The EM loop, the only one in the package."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.engine.acceleration import Accelerator
from emlearn.engine.blocks import ONE_THREAD, BlockMapper, Mapper
from emlearn.engine.convergence import Convergence, Trace
from emlearn.engine.model import DegenerateModelError, LatentVariableModel
from emlearn.engine.result import Callback, EMResult, History, Iteration, Status
from emlearn.engine.threads import blas_limited


class _State(NamedTuple):
    """Parameters, and the statistics and objective at these parameters."""

    params: Any
    statistics: Any
    objective: float


# Part of the largest rounding error of an objective that is none of a change of it.
_INVISIBLE = 1.0 / 256.0

_Vectors = tuple[NDArray[np.float64], NDArray[np.float64]] | None


def run_em(
    model: LatentVariableModel[Any, Any, Any],
    data: Any,
    params: Any,
    *,
    convergence: Convergence,
    max_iter: int,
    accelerator: Accelerator | None = None,
    callback: Callback | None = None,
    previous: Sequence[Iteration] = (),
    mapper: Mapper = ONE_THREAD,
    resume: EMResult | None = None,
    measure_steps: bool = True,
) -> EMResult:
    """Run EM from given parameters until it converges.

    Parameters
    ----------
    model : LatentVariableModel
        The model.
    data : object
        What `model.prepare` returned.
    params : object
        Parameters to start from.
    convergence : Convergence
        Convergence test.
    max_iter : int
        Largest number of iterations (M-steps), those of `resume` included.
    accelerator : Accelerator, default=None
        Proposes longer steps than EM. None means plain EM.
    callback : callable, default=None
        Called as ``callback(n_iter, iteration)`` at the start and after each iteration.
        The run stops if it returns a true value.
    previous : sequence of Iteration, default=()
        History of a run that ended at `params`. If the objective at `params` is its last one,
        the convergence test continues from there.
    mapper : Mapper, default=Threads(1)
        Where the blocks of the data are worked on. The result does not depend on it.
    resume : EMResult, default=None
        A run of the same model on the same data, to continue from where it ended without an
        E-step. `params` is then ignored.
    measure_steps : bool, default=True
        Whether the history has the lengths of the steps, which cost a good part of the time on
        small data. An accelerator needs them.

    Returns
    -------
    result : EMResult
        The best parameters of the run, and the objective at these parameters.
    """
    weight = model.total_weight(data)
    run = accelerator.start() if accelerator is not None else None
    wants_em_step = getattr(run, "wants_em_step", None)
    newton = getattr(run, "propose_newton", None)
    vectorize = _Vectorizer(model, required=run is not None, wanted=measure_steps)
    history: list[Iteration] = []
    trace = Trace(lambda: model.n_parameters(params if resume is None else resume.params))
    state: _State | None = None
    n_e_steps = 0
    if resume is not None:
        state = _State(resume.params, resume.statistics, resume.objective)
        history.extend(resume.history)
        for past in history:
            trace.add(past.objective, past.step)
        n_e_steps = resume.n_e_steps

    def record(objective: float, step: str, norm: float = float("nan")) -> bool:
        gain = objective - trace[-1] if history else float("nan")
        trace.add(objective, step)
        check = convergence.check(trace, weight)
        history.append(
            Iteration(objective, gain, check.rate, check.remaining, n_e_steps, step, norm)
        )
        return check.converged

    def stop_asked() -> bool:
        return callback is not None and bool(callback(len(history) - 1, history[-1]))

    def end(status: Status, message: str = "") -> EMResult:
        params, statistics, objective = (None, None, -np.inf) if state is None else state
        return EMResult(params, objective, status, message, History(history), n_e_steps, statistics)

    with blas_limited(), BlockMapper(model, data, mapper) as e_step:

        def evaluate(params: Any) -> _State:
            nonlocal n_e_steps
            n_e_steps += 1
            statistics, log_likelihood = e_step(params)
            objective = log_likelihood + model.log_prior(params)
            if not math.isfinite(objective):
                raise DegenerateModelError(f"the objective is {objective}")
            return _State(params, statistics, objective)

        def is_negligible(state: _State, gradient: Any, vector: Any, point: Any) -> bool:
            """Whether the gain that a Newton step predicts cannot be told from rounding errors."""
            with suppress(DegenerateModelError):
                # Where parameters end, a step may lead nowhere.
                vector = model.to_vector(model.from_vector(vector, state.params))
            gain = 0.5 * abs(float(gradient @ (vector - point)))
            return gain <= _INVISIBLE * convergence.rounding(state.objective, weight)

        def propose(state: _State, image: Any, vectors: _Vectors) -> tuple[_State | None, str]:
            """Accepted proposal of the accelerator, or None; and the kind of step."""
            if run is None or vectors is None:
                return None, "em"
            curvature = None if newton is None else model.curvature(state.statistics, state.params)
            if newton is None or curvature is None:
                vector = run.propose(*vectors)
            else:
                vector = newton(vectors[0], *curvature)
                if vector is not None and is_negligible(state, curvature[0], vector, vectors[0]):
                    return state, "kept"
            if vector is None:
                return None, "em"
            trial = None
            if np.isfinite(vector).all():
                with suppress(DegenerateModelError):
                    trial = evaluate(model.from_vector(vector, image))
                    loss = state.objective - trial.objective
                    if wants_em_step is not None and wants_em_step(loss):
                        trial = evaluate(model.m_step(trial.statistics, trial.params))
            accepted = trial is not None and trial.objective > state.objective
            run.update(accepted)
            return (trial, "accepted") if accepted else (None, "rejected")

        try:
            if state is None:
                state = evaluate(params)
                rounding = convergence.rounding(state.objective, weight)
                for past in continued(previous, state.objective, rounding):
                    trace.add(past.objective, "em")
                record(state.objective, "start")
                if stop_asked():
                    return end(Status.STOPPED)
            for _ in range(len(history) - 1, max_iter):
                image = model.m_step(state.statistics, state.params)
                vectors = vectorize(state.params, image)
                norm = float("nan") if vectors is None else _distance(*vectors)
                new, step = propose(state, image, vectors)
                if new is None:
                    new = evaluate(image)
                loss = state.objective - new.objective
                if loss > 0.0:
                    record(state.objective, "kept", norm)
                    rounding = convergence.rounding(state.objective, weight)
                    if loss <= rounding:
                        return end(Status.CONVERGED)
                    return end(
                        Status.STALLED,
                        f"the objective fell by {loss:.3g}, which is more than rounding explains "
                        f"({rounding:.3g}); the parameters before the fall are kept",
                    )
                state = new
                converged = record(state.objective, step, norm)
                if stop_asked():
                    return end(Status.STOPPED)
                if converged:
                    return end(Status.CONVERGED)
        except DegenerateModelError as error:
            return end(Status.FAILED, str(error))
    return end(Status.MAX_ITER)


def continued(
    previous: Sequence[Iteration], objective: float, rounding: float
) -> Sequence[Iteration]:
    """The iterations before the end of another run that a run from its end continues.

    These are its last plain EM steps: the gains of accelerated ones do not bound later gains.
    There are none if the objective differs from that at the end, because the data differ.
    """
    if not previous or abs(previous[-1].objective - objective) > rounding:
        return ()
    last = max((i for i, line in enumerate(previous) if line.step == "accepted"), default=0)
    return previous[last:-1]


class _Vectorizer:
    """Vector forms of parameters and of their image under the EM map.

    The image of one step usually becomes the parameters of the next, so its vector is
    kept.
    """

    def __init__(
        self, model: LatentVariableModel[Any, Any, Any], required: bool, wanted: bool = True
    ):
        self._model = model
        self._last: tuple[Any, Any] = (None, None)
        self._required = required
        self._absent = not (required or wanted)

    def __call__(self, params: Any, image: Any) -> _Vectors:
        """Both vectors, or None if the model has no vector form and none is required."""
        if self._absent:
            return None
        known, vector = self._last
        try:
            point = vector if known is params else self._model.to_vector(params)
        except NotImplementedError:
            if self._required:
                raise
            self._absent = True
            return None
        self._last = (image, self._model.to_vector(image))
        return point, self._last[1]


def _distance(point: NDArray[np.float64], image: NDArray[np.float64]) -> float:
    step = image - point
    return math.sqrt(step.dot(step))
