"""Several starts of EM, in parallel, of which the best is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs

from emlearn.engine.acceleration import Accelerator
from emlearn.engine.convergence import Convergence
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
    """

    objective: float
    status: str
    n_iter: int
    n_e_steps: int
    seed: tuple[int, ...]
    message: str


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
        `joblib.parallel_config` says otherwise.

    Returns
    -------
    result : SearchResult
        `best` is the run with the highest objective among those that did not fail, the
        earliest of equals; if all failed, the first of them.
    """
    n_workers = min(effective_n_jobs(n_jobs), len(seeds))
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
            runs = [_start(model, data, seed, settings) for seed in seeds]
        else:
            runs = Parallel(n_jobs=n_jobs, prefer="threads")(
                delayed(_start)(model, data, seed, settings) for seed in seeds
            )
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
        )
        for run, seed in zip(runs, seeds, strict=True)
    )
    return SearchResult(runs[best], best, records)


def _start(
    model: LatentVariableModel[Any, Any, Any],
    data: Any,
    seed: np.random.SeedSequence,
    settings: dict[str, Any],
) -> EMResult:
    with blas_limited():
        try:
            params = model.initialize(data, np.random.default_rng(seed))
        except DegenerateModelError as error:
            return EMResult(None, -np.inf, Status.FAILED, str(error), History(), 0)
        return run_em(model, data, params, **settings)
