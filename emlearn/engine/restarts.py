"""Several runs of EM, in parallel; the best is kept."""

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
    """Record of the run from one start.

    Attributes
    ----------
    objective : float
        Log-likelihood + log prior at the end of the run; -inf if it did not begin.
    status : str
        Value of the run's `Status`.
    n_iter : int
        Number of iterations.
    n_e_steps : int
        Number of E-steps.
    seed : tuple of int
        `spawn_key` of the run's seed: with the seed of the search it gives the random numbers.
    message : str
        Why the run failed or stalled; empty otherwise.
    n_short_runs : int
        Number of short runs in the search for the start; `n_e_steps` includes theirs.
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
    """The best of several runs, and a record of each.

    Attributes
    ----------
    best : EMResult
        The best run.
    best_index : int
        Its position in `restarts`.
    restarts : tuple of Restart
        One record for each seed.
    """

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
    """Run EM from one start for each seed and keep the run with the highest objective.

    A failed run is recorded and the others continue. With a `plan`, the run from the best
    start is finished first. Later runs that approach the same optimum are stopped and have
    the status `Status.MERGED`. The result does not depend on `n_jobs`, the joblib backend,
    or the number of threads.

    Parameters
    ----------
    model : LatentVariableModel
        The model.
    data : object
        What `model.prepare` returned.
    seeds : sequence of SeedSequence
        One for each start.
    convergence : Convergence
        Convergence test.
    max_iter : int
        Largest number of iterations of each run.
    accelerator : Accelerator, default=None
        See `run_em`.
    callback : callable, default=None
        See `run_em`.
    n_jobs : int, default=None
        Number of runs at the same time, as in joblib; in threads unless
        `joblib.parallel_config` selects another backend. Data of one block are run without
        threads, because threads would take longer.
    plan : SearchPlan, default=None
        How to search for each start. None means one call of `model.initialize`.
    start : object, default=None
        Parameters that every run starts from, instead of a search.

    Returns
    -------
    result : SearchResult
        `best` is the run with the highest objective among those that did not fail, and
        the first of several equal ones. If all failed, it is the first run.

    Raises
    ------
    ValueError
        If there are no seeds.
    """
    if not seeds:
        raise ValueError("search needs at least one seed; it runs EM once for each")
    n_workers = min(effective_n_jobs(n_jobs), len(seeds))
    if n_workers > 1 and len(model.blocks(data)) == 1 and _uses_threads():
        # Steps on small data are mostly Python code, which threads cannot run in parallel.
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
            # Alone, so that the others have the same objective to compare with for any n_jobs.
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


def _uses_threads() -> bool:
    """Whether joblib would use threads; `parallel_config` can select processes instead."""
    backend, _ = get_active_backend(prefer="threads")
    return bool(getattr(backend, "uses_threads", False))


class _Start(NamedTuple):
    """Start of a run and the cost of finding it; `failure` if there is none."""

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
    """The long run; it stops if it approaches an optimum whose objective is known."""
    if start.failure is not None:
        return replace(start.failure, n_e_steps=start.n_e_steps)
    same_optimum = None
    if known is not None:
        same_optimum = SameOptimum(known, model.total_weight(data), settings["callback"])
        settings = {**settings, "callback": same_optimum}
    with blas_limited():
        run = run_em(model, data, start.params, **settings)
    merged = same_optimum is not None and same_optimum.reached
    stopped = run.status is Status.STOPPED
    status = Status.MERGED if merged and stopped else run.status
    return replace(run, status=status, n_e_steps=run.n_e_steps + start.n_e_steps)


class SameOptimum:
    """Callback that stops a run when it approaches an optimum already found.

    The objective that the run is estimated to end at then agrees with the known one in
    several iterations in a row. Estimates count only when little gain remains, because
    far from an optimum they are unreliable.
    """

    max_remaining = 1e-4  # nats per unit of weight
    tolerance = 0.1  # as a fraction of the remaining gain
    n_required = 3

    def __init__(self, known: float, total_weight: float, callback: Callback | None):
        self.known = known
        self.limit = self.max_remaining * total_weight
        self.callback = callback
        self.n_agreed = 0

    @property
    def reached(self) -> bool:
        """Whether the run approached the known optimum."""
        return self.n_agreed >= self.n_required

    def __call__(self, n_iter: int, iteration: Iteration) -> bool:
        """Whether to stop: the run approaches the known optimum, or `callback` says so."""
        remaining = iteration.remaining
        agrees = remaining <= self.limit and (
            abs(iteration.objective + remaining - self.known) <= self.tolerance * remaining
        )
        self.n_agreed = self.n_agreed + 1 if agrees else 0
        stop_asked = self.callback is not None and bool(self.callback(n_iter, iteration))
        return stop_asked or self.reached
