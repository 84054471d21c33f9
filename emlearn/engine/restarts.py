"""Several runs of EM, in parallel; the best is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from joblib.parallel import get_active_backend

from emlearn.engine.acceleration import Accelerator
from emlearn.engine.blocks import Mapper, current_mapper
from emlearn.engine.convergence import Convergence
from emlearn.engine.exploration import SearchPlan, explore
from emlearn.engine.loop import run_em
from emlearn.engine.model import DegenerateModelError, LatentVariableModel
from emlearn.engine.progress import Observer, Observers, StopSignal
from emlearn.engine.result import EMResult, History, Iteration, Status
from emlearn.engine.threads import blas_limited

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

    A failed run is recorded and the others continue. Every run is finished, also if it comes near
    the optimum of another: there may be a better one close by. The result does not depend on
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
    shared = mapper or current_mapper(n_workers)
    stop = stop or StopSignal()
    observers = observers or [Observers(())] * len(seeds)
    settings: dict[str, Any] = {
        "convergence": convergence,
        "max_iter": max_iter,
        "accelerator": accelerator,
        "previous": previous,
        "mapper": shared,
    }
    common: tuple[Any, ...] = (model, data, plan, start, settings, stop)
    with blas_limited(), _stopping_on_error(stop):
        pairs = list(zip(seeds, observers, strict=True))
        if n_workers == 1:
            found = [_run(*pair, *common) for pair in pairs]
        else:
            pool = Parallel(n_jobs=n_jobs, prefer="threads")
            found = pool(delayed(_run)(*pair, *common) for pair in pairs)
    runs = [run for run, _ in found]
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
            n_short_runs,
        )
        for (run, n_short_runs), seed in zip(found, seeds, strict=True)
    )
    return SearchResult(runs[best], best, records)


def _uses_threads() -> bool:
    """Whether joblib would use threads; `parallel_config` can select processes instead."""
    backend, _ = get_active_backend(prefer="threads")
    return bool(getattr(backend, "uses_threads", False))


@contextmanager
def _stopping_on_error(stop: StopSignal) -> Iterator[None]:
    """Whatever ends the search, such as Ctrl-C, ends the runs in other threads too."""
    try:
        yield
    except BaseException:
        stop.set()
        stop.wait()
        raise


def _run(
    seed: np.random.SeedSequence,
    observer: Observer,
    model: Model,
    data: Any,
    plan: SearchPlan | None,
    start: Any,
    settings: dict[str, Any],
    stop: StopSignal,
) -> tuple[EMResult, int]:
    """The run from the start of one seed, and the number of short runs that found this start."""
    rng = np.random.default_rng(seed)
    n_e_steps = n_short_runs = 0
    with blas_limited(), stop.running():
        if stop():
            return _without_start(Status.STOPPED), 0
        if start is None and plan is None:
            try:
                start = model.initialize(data, rng)
            except DegenerateModelError as error:
                return _without_start(Status.FAILED, str(error)), 0
        elif start is None and plan is not None:
            test, mapper = settings["convergence"], settings["mapper"]
            found = explore(model, data, plan, rng, convergence=test, mapper=mapper, stop=stop)
            start, n_e_steps, n_short_runs = found.best.params, found.n_e_steps, found.n_runs
            failure = None if found.best.status.usable else found.best
            if failure is None and stop():
                failure = _without_start(Status.STOPPED)
            if failure is not None:
                return replace(failure, n_e_steps=n_e_steps), n_short_runs
        observer.begin()
        run = run_em(model, data, start, callback=stop.following(observer), **settings)
        run = replace(run, n_e_steps=run.n_e_steps + n_e_steps)
        observer.end(run)
    return run, n_short_runs


def _without_start(status: Status, message: str = "") -> EMResult:
    return EMResult(None, -np.inf, status, message, History(), 0)
