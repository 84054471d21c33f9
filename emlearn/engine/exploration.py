"""The search for a start of the long run: short runs, then perturbations of the best.

EM ends at an optimum close to its start. Short runs from many starts tell good starts
from bad ones at a small part of the cost of full runs. The errors of the best short run
are mostly local: two components where one is enough, and one where two are needed. A
model that has `perturb` can correct them without starting again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from emlearn.engine.blocks import ONE_THREAD, Mapper
from emlearn.engine.convergence import Convergence
from emlearn.engine.loop import run_em
from emlearn.engine.model import DegenerateModelError, LatentVariableModel
from emlearn.engine.progress import StopSignal
from emlearn.engine.result import EMResult, History, Iteration, Status

Model = LatentVariableModel[Any, Any, Any]


@dataclass(frozen=True)
class SearchPlan:
    """How long to search for the global optimum before the long run.

    Parameters
    ----------
    n_starts : int, default=10
        Short runs.
    start_steps : int, default=10
        EM steps of each short run.
    n_perturbations : int, default=60
        Perturbations of the best short run, for models that have them.
    perturbation_steps : int, default=12
        EM steps after each perturbation.
    patience : int, default=15
        The search ends after this many perturbations in a row without improvement.
    budget : int or None, default=None
        The search begins no run after this many E-steps. None means no limit.

    References
    ----------
    C. Biernacki, G. Celeux and G. Govaert (2003). "Choosing starting values for the EM
    algorithm for getting the highest likelihood in multivariate Gaussian mixture models".
    Computational Statistics & Data Analysis 41(3-4), 561-575.

    P. Fränti (2018). "Efficiency of random swap clustering". Journal of Big Data 5, 13.
    """

    n_starts: int = 10
    start_steps: int = 10
    n_perturbations: int = 60
    perturbation_steps: int = 12
    patience: int = 15
    budget: int | None = None

    def within(self, budget: int) -> SearchPlan:
        """Plan for a budget of E-steps: a quarter for the starts, the rest for perturbations."""
        n_starts = int(np.clip(budget / (4 * self.start_steps), 1, 4 * self.n_starts))
        return replace(
            self, n_starts=n_starts, n_perturbations=budget, patience=budget, budget=budget
        )


PLANS: dict[str, SearchPlan] = {
    "fast": SearchPlan(n_starts=5, start_steps=5, n_perturbations=5, patience=5),
    "default": SearchPlan(),
    "thorough": SearchPlan(n_starts=60, start_steps=10, n_perturbations=1000, patience=100),
}


def find_plan(search: str | int | SearchPlan) -> SearchPlan:
    """Plan with the given name or for the given budget of E-steps.

    Parameters
    ----------
    search : {"fast", "default", "thorough"}, int or SearchPlan
        Name of a plan, budget of E-steps, or a plan, which is returned unchanged.

    Returns
    -------
    plan : SearchPlan
        The plan.

    Raises
    ------
    ValueError
        If no plan has that name, or if the budget is below 1.
    """
    if isinstance(search, SearchPlan):
        return search
    if isinstance(search, str):
        if search in PLANS:
            return PLANS[search]
    elif search >= 1:
        return PLANS["default"].within(int(search))
    raise ValueError(f"search must be one of {sorted(PLANS)} or an int >= 1, got {search!r}.")


class Exploration(NamedTuple):
    """Result of the search before the long run.

    Attributes
    ----------
    best : EMResult
        The best run.
    n_e_steps : int
        E-steps spent.
    n_runs : int
        Number of runs, from starts and from perturbations.
    """

    best: EMResult
    n_e_steps: int
    n_runs: int


def explore(
    model: Model,
    data: Any,
    plan: SearchPlan,
    rng: np.random.Generator,
    *,
    convergence: Convergence,
    mapper: Mapper = ONE_THREAD,
    stop: StopSignal | None = None,
) -> Exploration:
    """Run EM briefly from many starts, then perturb the best run while that improves it.

    A short run ends early when it cannot win: when its last gain, repeated in all its
    remaining steps, would not take it above the best run. This also ends runs that
    approach an optimum already found, because they come from below with ever smaller
    gains.

    If the model offers a part of large data (`subset`), the search uses that part.

    Parameters
    ----------
    model : LatentVariableModel
        The model.
    data : object
        What `model.prepare` returned.
    plan : SearchPlan
        How long to search.
    rng : Generator
        Source of all randomness.
    convergence : Convergence
        Convergence test of the runs.
    mapper : Mapper, default=Threads(1)
        See `run_em`.
    stop : StopSignal, default=None
        Ends the exploration when it is set.

    Returns
    -------
    found : Exploration
        Its best run has `Status.FAILED` only if every run failed.
    """
    part = model.subset(data, rng)
    data = data if part is None else part
    search = _Search(model, data, plan, convergence, mapper, stop or StopSignal())
    for _ in range(plan.n_starts):
        if search.is_over():
            break
        search.attempt(lambda: model.initialize(data, rng), plan.start_steps)
    failures = 0
    for _ in range(plan.n_perturbations):
        best = search.best
        if search.is_over() or not best.status.usable or failures >= plan.patience:
            break
        changed = model.perturb(data, best.params, rng)
        if changed is None:
            break
        improved = search.attempt(lambda changed=changed: changed, plan.perturbation_steps)
        failures = 0 if improved else failures + 1
    return Exploration(search.best, search.n_e_steps, search.n_runs)


def _failed(message: str) -> EMResult:
    return EMResult(None, -np.inf, Status.FAILED, message, History(), 0)


@dataclass
class _Search:
    """The best run so far, and the cost of the search."""

    model: Model
    data: Any
    plan: SearchPlan
    convergence: Convergence
    mapper: Mapper
    stop: StopSignal
    best: EMResult = field(default_factory=lambda: _failed("no run was begun"))
    n_e_steps: int = 0
    n_runs: int = 0

    def is_over(self) -> bool:
        spent = self.plan.budget is not None and self.n_e_steps >= self.plan.budget
        return spent or self.stop()

    def attempt(self, start: Any, n_steps: int) -> bool:
        """Run EM from a start for `n_steps`; whether this is the best run so far."""
        target = self.best.objective

        def cannot_win(n_iter: int, iteration: Iteration) -> bool:
            return iteration.reachable(n_steps - n_iter) <= target or self.stop()

        try:
            params = start()
        except DegenerateModelError as error:
            run = _failed(str(error))
        else:
            run = run_em(
                self.model,
                self.data,
                params,
                convergence=self.convergence,
                max_iter=n_steps,
                callback=cannot_win,
                mapper=self.mapper,
            )
        self.n_e_steps += run.n_e_steps
        self.n_runs += 1
        improved = run.status.usable and run.objective > target
        if improved or self.n_runs == 1:
            self.best = run
        return improved
