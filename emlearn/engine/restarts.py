"""Several starts of EM, in parallel, of which the best is kept."""

from __future__ import annotations

from collections.abc import Sequence
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
from emlearn.engine.result import EMResult, History, Status
from emlearn.engine.threads import available_threads, blas_limited


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
    model: LatentVariableModel[Any, Any, Any],
    data: Any,
    *,
    seeds: Sequence[np.random.SeedSequence],
    convergence: Convergence,
    max_iter: int,
    accelerator: Accelerator | None = None,
    callback: Callback | None = None,
    n_jobs: int | None = None,
    plan: SearchPlan | None = None,
) -> SearchResult:
    """Run EM from one start for each seed and keep the highest objective.

    A run that fails is recorded and the others go on. The result does not depend on
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
    with blas_limited():
        if n_workers == 1:
            found = [_start(model, data, seed, plan, settings) for seed in seeds]
        else:
            found = Parallel(n_jobs=n_jobs, prefer="threads")(
                delayed(_start)(model, data, seed, plan, settings) for seed in seeds
            )
    runs = [run for run, _ in found]
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
            n_short_runs,
        )
        for (run, n_short_runs), seed in zip(found, seeds, strict=True)
    )
    return SearchResult(runs[best], best, records)


def _threads_are_meant() -> bool:
    """Whether joblib would use threads; not if `parallel_config` has chosen processes."""
    backend, _ = get_active_backend(prefer="threads")
    return bool(getattr(backend, "uses_threads", False))


def _start(
    model: LatentVariableModel[Any, Any, Any],
    data: Any,
    seed: np.random.SeedSequence,
    plan: SearchPlan | None,
    settings: dict[str, Any],
) -> tuple[EMResult, int]:
    """One run, and the number of short runs that its start was chosen from."""
    rng = np.random.default_rng(seed)
    with blas_limited():
        if plan is None:
            try:
                params = model.initialize(data, rng)
            except DegenerateModelError as error:
                return EMResult(None, -np.inf, Status.FAILED, str(error), History(), 0), 0
            return run_em(model, data, params, **settings), 0
        convergence, n_threads = settings["convergence"], settings["n_threads"]
        found = explore(model, data, plan, rng, convergence=convergence, n_threads=n_threads)
        if not found.best.status.usable:
            return replace(found.best, n_e_steps=found.n_e_steps), found.n_runs
        run = run_em(model, data, found.best.params, **settings)
        return replace(run, n_e_steps=run.n_e_steps + found.n_e_steps), found.n_runs
