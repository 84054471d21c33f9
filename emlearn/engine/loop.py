"""The EM loop: the only one in the package."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from emlearn.engine.acceleration import Accelerator
from emlearn.engine.blocks import BlockMapper
from emlearn.engine.convergence import Convergence
from emlearn.engine.model import DegenerateModelError, LatentVariableModel
from emlearn.engine.result import EMResult, History, Iteration, Status
from emlearn.engine.threads import blas_limited

Callback = Callable[[int, Iteration], "bool | None"]


class _State(NamedTuple):
    """Parameters with the statistics and the objective taken at them."""

    params: Any
    statistics: Any
    objective: float


def run_em(
    model: LatentVariableModel[Any, Any, Any],
    data: Any,
    params: Any,
    *,
    convergence: Convergence,
    max_iter: int,
    accelerator: Accelerator | None = None,
    callback: Callback | None = None,
    n_threads: int = 1,
) -> EMResult:
    """Run EM from given parameters until the convergence test is met.

    Parameters
    ----------
    model : LatentVariableModel
        The model.
    data : object
        What `model.prepare` returned.
    params : object
        Where to start.
    convergence : Convergence
        When to stop.
    max_iter : int
        Largest number of iterations (M-steps).
    accelerator : Accelerator, default=None
        Proposes steps longer than EM's; None is plain EM.
    callback : callable, default=None
        Called as ``callback(n_iter, iteration)`` for the start and after each iteration;
        a true return value stops the run.
    n_threads : int, default=1
        Threads over the blocks of the data. The result has the same bits for any number.

    Returns
    -------
    result : EMResult
        Its parameters are the best seen, and its objective was evaluated at them.
    """
    weight = model.total_weight(data)
    run = accelerator.start() if accelerator is not None else None
    history: list[Iteration] = []
    objectives: list[float] = []
    state: _State | None = None
    n_e_steps = 0

    def record(objective: float, step: str) -> bool:
        gain = objective - objectives[-1] if objectives else float("nan")
        objectives.append(objective)
        check = convergence.check(objectives, weight)
        history.append(Iteration(objective, gain, check.rate, check.remaining, n_e_steps, step))
        return check.converged

    def stop_asked() -> bool:
        return callback is not None and bool(callback(len(history) - 1, history[-1]))

    def end(status: Status, message: str = "") -> EMResult:
        params, objective = (None, -np.inf) if state is None else (state.params, state.objective)
        return EMResult(params, objective, status, message, History(history), n_e_steps)

    with blas_limited(), BlockMapper(model, data, n_threads) as expect:

        def evaluate(params: Any) -> _State:
            nonlocal n_e_steps
            n_e_steps += 1
            statistics, log_likelihood = expect(params)
            objective = log_likelihood + model.log_prior(params)
            if not np.isfinite(objective):
                raise DegenerateModelError(f"the objective is {objective}")
            return _State(params, statistics, objective)

        def propose(state: _State, image: Any) -> tuple[_State | None, str]:
            """Ask the accelerator; its proposal is None if rejected or if there is none."""
            if run is None:
                return None, "em"
            vector = run.propose(model.to_vector(state.params), model.to_vector(image))
            if vector is None:
                return None, "em"
            trial = None
            if np.isfinite(vector).all():
                with suppress(DegenerateModelError):
                    trial = evaluate(model.from_vector(vector, image))
            accepted = trial is not None and trial.objective >= state.objective
            run.judge(accepted)
            return (trial, "accepted") if accepted else (None, "rejected")

        try:
            state = evaluate(params)
            record(state.objective, "start")
            if stop_asked():
                return end(Status.STOPPED)
            for _ in range(max_iter):
                image = model.m_step(state.statistics, state.params)
                new, step = propose(state, image)
                if new is None:
                    new = evaluate(image)
                loss = state.objective - new.objective
                if loss > 0.0:
                    record(state.objective, "kept")
                    rounding = convergence.rounding(state.objective, weight)
                    if loss <= rounding:
                        return end(Status.CONVERGED)
                    return end(
                        Status.STALLED,
                        f"the objective fell by {loss:.3g}, more than rounding explains "
                        f"({rounding:.3g}); the parameters before are kept",
                    )
                state = new
                converged = record(state.objective, step)
                if stop_asked():
                    return end(Status.STOPPED)
                if converged:
                    return end(Status.CONVERGED)
        except DegenerateModelError as error:
            return end(Status.FAILED, str(error))
    return end(Status.MAX_ITER)
