"""Several runs of EM, in parallel; the best is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from joblib.parallel import get_active_backend

from emlearn.engine.acceleration import Accelerator
from emlearn.engine.blocks import Mapper, Threads
from emlearn.engine.convergence import Convergence
from emlearn.engine.exploration import SearchPlan, explore
from emlearn.engine.loop import run_em
from emlearn.engine.model import DegenerateModelError, LatentVariableModel
from emlearn.engine.progress import Observer, Observers, StopSignal
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

    def __repr__(self) -> str:
        """How the run ended, short enough for a list of many."""
        reason = f": {self.message}" if self.message else ""
        return f"<{self.status} after {self.n_iter} iterations at {self.objective:.8g}{reason}>"


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
    observers: Sequence[Observer] | None = None,
    stop: StopSignal | None = None,
    mapper: Mapper | None = None,
    n_jobs: int | None = None,
    plan: SearchPlan | None = None,
    start: Any = None,
    previous: Sequence[Iteration] = (),
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
    observers : sequence of Observer, default=None
        One for each run. It is called at the beginning, after each iteration and at the end of
        the run, and can stop the search.
    stop : StopSignal, default=None
        Stops all runs when it is set. An interruption, such as Ctrl-C, sets it.
    mapper : Mapper, default=None
        Where each run works on the blocks of the data. None divides the threads that BLAS
        may use among the runs.
    n_jobs : int, default=None
        Number of runs at the same time, as in joblib; in threads unless
        `joblib.parallel_config` selects another backend. Data of one block are run without
        threads, because threads would take longer.
    plan : SearchPlan, default=None
        How to search for each start. None means one call of `model.initialize`.
    start : object, default=None
        Parameters that every run starts from, instead of a search.
    previous : sequence of Iteration, default=()
        History of the run that ended at `start`; see `run_em`.

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
    alone = mapper or Threads(available_threads())
    shared = mapper or Threads(max(1, available_threads() // max(1, n_workers)))
    stop = stop or StopSignal()
    observers = observers or [Observers(())] * len(seeds)
    pool = None if n_workers == 1 else Parallel(n_jobs=n_jobs, prefer="threads")

    def each(function: Callable[..., Any], items: Sequence[Any], *common: Any) -> list[Any]:
        if pool is None or len(items) < 2:
            return [function(item, *common) for item in items]
        found: list[Any] = pool(delayed(function)(item, *common) for item in items)
        return found

    settings = {
        "convergence": convergence,
        "max_iter": max_iter,
        "accelerator": accelerator,
        "previous": previous,
    }
    with blas_limited(), _stopping_on_error(stop):
        if start is not None:
            starts = [_Start(start, -np.inf, 0, 0) for _ in seeds]
        else:
            starts = each(_begin, seeds, model, data, plan, convergence, shared, stop)
        pairs = list(zip(starts, observers, strict=True))
        leader = None if plan is None else max(pairs, key=lambda pair: pair[0].objective)
        if leader is None or len(seeds) == 1:
            runs = each(_finish, pairs, model, data, {**settings, "mapper": shared}, stop)
        else:
            # Alone, so that the others have the same objective to compare with for any n_jobs.
            first = _finish(leader, model, data, {**settings, "mapper": alone}, stop)
            others = [pair for pair in pairs if pair is not leader]
            known = first.objective if first.converged else None
            settings["mapper"] = shared
            ends = iter(each(_finish, others, model, data, settings, stop, known))
            runs = [first if pair is leader else next(ends) for pair in pairs]
    usable = [i for i, run in enumerate(runs) if run.status.usable and run.params is not None]
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


@contextmanager
def _stopping_on_error(stop: StopSignal) -> Iterator[None]:
    """Whatever ends the search, such as Ctrl-C, ends the runs in other threads too."""
    try:
        yield
    except BaseException:
        stop.set()
        stop.wait()
        raise


def _without_start(status: Status, message: str = "") -> _Start:
    failure = EMResult(None, -np.inf, status, message, History(), 0)
    return _Start(None, -np.inf, 0, 0, failure)


def _begin(
    seed: np.random.SeedSequence,
    model: Model,
    data: Any,
    plan: SearchPlan | None,
    convergence: Convergence,
    mapper: Mapper,
    stop: StopSignal,
) -> _Start:
    rng = np.random.default_rng(seed)
    with blas_limited(), stop.running():
        if stop():
            return _without_start(Status.STOPPED)
        if plan is None:
            try:
                return _Start(model.initialize(data, rng), -np.inf, 0, 0)
            except DegenerateModelError as error:
                return _without_start(Status.FAILED, str(error))
        found = explore(model, data, plan, rng, convergence=convergence, mapper=mapper, stop=stop)
    best = found.best
    failed = None if best.status.usable else best
    return _Start(best.params, best.objective, found.n_e_steps, found.n_runs, failed)


def _finish(
    pair: tuple[_Start, Observer],
    model: Model,
    data: Any,
    settings: dict[str, Any],
    stop: StopSignal,
    known: float | None = None,
) -> EMResult:
    """The long run; it stops if it approaches an optimum whose objective is known."""
    start, observer = pair
    with blas_limited(), stop.running():
        failure = start.failure
        if failure is None and stop():
            failure = EMResult(None, -np.inf, Status.STOPPED, "", History(), 0)
        if failure is not None:
            return replace(failure, n_e_steps=start.n_e_steps)
        same_optimum = SameOptimum(known, model.total_weight(data))

        following = stop.following(observer)

        def callback(n_iter: int, iteration: Iteration) -> bool:
            return following(n_iter, iteration) or same_optimum(iteration)

        observer.begin()
        run = run_em(model, data, start.params, callback=callback, **settings)
        merged = same_optimum.reached and run.status is Status.STOPPED and not stop()
        run = replace(run, n_e_steps=run.n_e_steps + start.n_e_steps, statistics=None)
        run = replace(run, status=Status.MERGED) if merged else run
        observer.end(run)
    return run


class SameOptimum:
    """Whether a run approaches an optimum already found.

    The objective that the run is estimated to end at then agrees with the known one in
    several iterations in a row. Estimates count only when little gain remains, because
    far from an optimum they are unreliable.

    Parameters
    ----------
    known : float or None
        Objective of the optimum; None if there is none.
    total_weight : float
        Number of observations, or the sum of their weights.
    """

    max_remaining = 1e-4  # nats per unit of weight
    tolerance = 0.1  # as a fraction of the remaining gain
    n_required = 3

    def __init__(self, known: float | None, total_weight: float):
        self.known = known
        self.limit = self.max_remaining * total_weight
        self.n_agreed = 0

    @property
    def reached(self) -> bool:
        """Whether the run approached the known optimum."""
        return self.n_agreed >= self.n_required

    def __call__(self, iteration: Iteration) -> bool:
        """Look at one more iteration."""
        if self.known is None:
            return False
        remaining = iteration.remaining
        agrees = remaining <= self.limit and (
            abs(iteration.objective + remaining - self.known) <= self.tolerance * remaining
        )
        self.n_agreed = self.n_agreed + 1 if agrees else 0
        return self.reached
