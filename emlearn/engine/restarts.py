"""Several starts of EM, in parallel, of which the best is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from joblib.parallel import get_active_backend

from emlearn.engine.acceleration import Accelerator
from emlearn.engine.convergence import Convergence
from emlearn.engine.exploration import SearchPlan, explore
from emlearn.engine.loop import Callback, run_em
from emlearn.engine.model import DegenerateModelError, LatentVariableModel
from emlearn.engine.result import EMResult, History, Iteration, Status
from emlearn.engine.threads import available_threads, blas_limited

Model = LatentVariableModel[Any, Any, Any]


class Restart(NamedTuple):
    """What became of one start.

    Attributes
    ----------
    objective : float
        Log-likelihood + log prior where the run ended; -inf if it never began.
    status : str
        Value of the run's `Status`.
    n_iter : int
        Number of iterations.
    n_e_steps : int
        Number of E-steps.
    seed : tuple of int
        Key of the run's stream of random numbers below the seed of the search.
    message : str
        Why it failed; empty otherwise.
    n_short_runs : int
        Short runs that the start was chosen from; their E-steps are counted above.
    """

    objective: float
    status: str
    n_iter: int
    n_e_steps: int
    seed: tuple[int, ...]
    message: str
    n_short_runs: int = 0


@dataclass(frozen=True)
class SearchResult:
    """The best of several runs, and a record of each."""

    best: EMResult
    best_index: int
    restarts: tuple[Restart, ...]


def search(
    model: Model,
    data: Any,
    *,
    seeds: Sequence[np.random.SeedSequence],
    convergence: Convergence,
    max_iter: int,
    accelerator: Accelerator | None = None,
    callback: Callback | None = None,
    n_jobs: int | None = None,
    plan: SearchPlan | None = None,
    start: Any = None,
) -> SearchResult:
    """Run EM from one start for each seed and keep the highest objective.

    A run that fails is recorded and the others go on. Of several searches (`plan`) the one
    that found the best start is finished first, and others that are seen to arrive at the
    same optimum are stopped: they have the status `Status.MERGED`. The result does not depend on
    `n_jobs`, the joblib backend, or the number of threads.

    Parameters
    ----------
    model : LatentVariableModel
        The model.
    data : object
        What `model.prepare` returned.
    seeds : sequence of SeedSequence
        One for each start.
    convergence : Convergence
        When to stop.
    max_iter : int
        Largest number of iterations of each run.
    accelerator : Accelerator, default=None
        See `run_em`.
    callback : callable, default=None
        See `run_em`.
    n_jobs : int, default=None
        Starts that run at the same time, as in joblib; threads unless
        `joblib.parallel_config` says otherwise. Threads are not used for data of one
        block, where they would take longer.
    plan : SearchPlan, default=None
        How each start is searched for; None takes what `model.initialize` returns.

    Returns
    -------
    result : SearchResult
        `best` is the run with the highest objective among those that did not fail, the
        earliest of equals; if all failed, the first of them.
    """
    if not seeds:
        raise ValueError("search needs at least one seed: there is one start for each")
    n_workers = min(effective_n_jobs(n_jobs), len(seeds))
    if n_workers > 1 and len(model.blocks(data)) == 1 and _threads_are_meant():
        # Steps on small data are mostly Python, for which threads would only queue.
        n_workers = 1
    n_threads = max(1, available_threads() // max(1, n_workers))
    settings: dict[str, Any] = {
        "convergence": convergence,
        "max_iter": max_iter,
        "accelerator": accelerator,
        "callback": callback,
        "n_threads": n_threads,
    }
    pool = None if n_workers == 1 else Parallel(n_jobs=n_jobs, prefer="threads")

    def each(function: Callable[..., Any], items: Sequence[Any], *shared: Any) -> list[Any]:
        if pool is None or len(items) < 2:
            return [function(item, *shared) for item in items]
        found: list[Any] = pool(delayed(function)(item, *shared) for item in items)
        return found

    with blas_limited():
        if start is not None:
            starts = [_Start(start, -np.inf, 0, 0) for _ in seeds]
        else:
            starts = each(_begin, seeds, model, data, plan, convergence, n_threads)
        leader = None if plan is None else max(starts, key=lambda start: start.objective)
        if leader is None or len(seeds) == 1:
            runs = each(_finish, starts, model, data, settings)
        else:
            # Alone, so that what the others are compared with does not depend on n_jobs.
            first = _finish(leader, model, data, {**settings, "n_threads": available_threads()})
            others = [start for start in starts if start is not leader]
            known = first.objective if first.converged else None
            ends = iter(each(_finish, others, model, data, settings, known))
            runs = [first if start is leader else next(ends) for start in starts]
    usable = [i for i, run in enumerate(runs) if run.status.usable]
    best = max(usable, key=lambda i: runs[i].objective, default=0)
    records = tuple(
        Restart(
            run.objective,
            run.status.value,
            run.n_iter,
            run.n_e_steps,
            tuple(seed.spawn_key),
            run.message,
            start.n_short_runs,
        )
        for run, start, seed in zip(runs, starts, seeds, strict=True)
    )
    return SearchResult(runs[best], best, records)


def _threads_are_meant() -> bool:
    """Whether joblib would use threads; not if `parallel_config` has chosen processes."""
    backend, _ = get_active_backend(prefer="threads")
    return bool(getattr(backend, "uses_threads", False))


class _Start(NamedTuple):
    """Where a run begins, and what it took to find out; `failure` if there is no start."""

    params: Any
    objective: float
    n_e_steps: int
    n_short_runs: int
    failure: EMResult | None = None


def _begin(
    seed: np.random.SeedSequence,
    model: Model,
    data: Any,
    plan: SearchPlan | None,
    convergence: Convergence,
    n_threads: int,
) -> _Start:
    rng = np.random.default_rng(seed)
    with blas_limited():
        if plan is None:
            try:
                return _Start(model.initialize(data, rng), -np.inf, 0, 0)
            except DegenerateModelError as error:
                failure = EMResult(None, -np.inf, Status.FAILED, str(error), History(), 0)
                return _Start(None, -np.inf, 0, 0, failure)
        found = explore(model, data, plan, rng, convergence=convergence, n_threads=n_threads)
    best = found.best
    failed = None if best.status.usable else best
    return _Start(best.params, best.objective, found.n_e_steps, found.n_runs, failed)


def _finish(
    start: _Start, model: Model, data: Any, settings: dict[str, Any], known: float | None = None
) -> EMResult:
    """The long run; stopped where it comes to an optimum whose objective is known."""
    if start.failure is not None:
        return replace(start.failure, n_e_steps=start.n_e_steps)
    arrival = None
    if known is not None:
        arrival = _Arrival(known, model.total_weight(data), settings["callback"])
        settings = {**settings, "callback": arrival}
    with blas_limited():
        run = run_em(model, data, start.params, **settings)
    merged = arrival is not None and arrival.seen and run.status is Status.STOPPED
    status = Status.MERGED if merged else run.status
    return replace(run, status=status, n_e_steps=run.n_e_steps + start.n_e_steps)


class _Arrival:
    """Callback that stops a run on its way to an optimum already found.

    That is where the objective it is estimated to end at has agreed with the known one
    several times. Estimates are looked at only where little is left to gain: far from an
    optimum they are not to be trusted.
    """

    little = 1e-4  # nats per unit of weight
    agreement = 0.1  # of what is left to gain
    times = 3

    def __init__(self, known: float, total_weight: float, callback: Callback | None):
        self.known = known
        self.limit = self.little * total_weight
        self.callback = callback
        self.n_agreed = 0

    @property
    def seen(self) -> bool:
        """Whether the run was on its way there."""
        return self.n_agreed >= self.times

    def __call__(self, n_iter: int, iteration: Iteration) -> bool:
        left = iteration.remaining
        agrees = left <= self.limit and (
            abs(iteration.objective + left - self.known) <= self.agreement * left
        )
        self.n_agreed = self.n_agreed + 1 if agrees else 0
        asked = self.callback is not None and bool(self.callback(n_iter, iteration))
        return asked or self.seen
