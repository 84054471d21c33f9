"""Where to start the long run: many short runs, then changes of the best of them.

EM ends at the optimum whose basin it starts in. Short runs from many starts tell good
basins from bad ones at a small part of the cost of full runs. What the best of them
still has wrong mostly is local, such as two components where one would do and one where
two are needed; a model that offers `perturb` can mend that from where it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from emlearn.engine.convergence import Convergence
from emlearn.engine.loop import run_em
from emlearn.engine.model import DegenerateModelError, LatentVariableModel
from emlearn.engine.result import EMResult, History, Iteration, Status

Model = LatentVariableModel[Any, Any, Any]


@dataclass(frozen=True)
class SearchPlan:
    """How much to search for the global optimum before the long run.

    Parameters
    ----------
    n_starts : int, default=10
        Short runs.
    start_steps : int, default=10
        EM steps of each.
    n_perturbations : int, default=60
        Perturbations of the best, for models that offer them.
    perturbation_steps : int, default=12
        EM steps of each.
    patience : int, default=15
        Perturbations in a row without a success after which no more are tried.
    budget : int or None, default=None
        E-steps after which the search ends, whatever is left to do. None is no limit.

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
        """The same proportions of short runs and perturbations, for another budget."""
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
    """Plan of a name, or for a budget in E-steps; a plan itself is returned as it is.

    Parameters
    ----------
    search : {"fast", "default", "thorough"}, int or SearchPlan
        What an estimator was given.

    Raises
    ------
    ValueError
        If there is no plan of that name, or the budget is not positive.
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
    """What the search before the long run found.

    Attributes
    ----------
    best : EMResult
        The best short run.
    n_e_steps : int
        E-steps spent.
    n_runs : int
        Short runs begun, perturbations included.
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
    n_threads: int = 1,
) -> Exploration:
    """Short runs from many starts, then perturbations of the best as long as they pay.

    A short run is stopped early once it is hopeless: if even its last gain, repeated in
    all its remaining steps, would not lift it above the best. This also ends the runs
    that repeat another or return to an optimum already found, since they come to it from
    below with ever smaller gains.

    Large data of which the model offers a part are explored on that part.

    Parameters
    ----------
    model : LatentVariableModel
        The model.
    data : object
        What `model.prepare` returned.
    plan : SearchPlan
        How much to search.
    rng : Generator
        Source of all randomness.
    convergence : Convergence
        When a short run has converged.
    n_threads : int, default=1
        Threads over the blocks of the data.

    Returns
    -------
    found : Exploration
        The best run has `Status.FAILED` only if every run failed.
    """
    part = model.subset(data, rng)
    data = data if part is None else part
    search = _Search(model, data, plan, convergence, n_threads)
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
    """The best so far, and what it has cost."""

    model: Model
    data: Any
    plan: SearchPlan
    convergence: Convergence
    n_threads: int
    best: EMResult = field(default_factory=lambda: _failed("no run was begun"))
    n_e_steps: int = 0
    n_runs: int = 0

    def is_over(self) -> bool:
        return self.plan.budget is not None and self.n_e_steps >= self.plan.budget

    def attempt(self, start: Any, n_steps: int) -> bool:
        """One short run; whether it is the best so far."""
        target = self.best.objective

        def hopeless(n_iter: int, iteration: Iteration) -> bool:
            # Gains that still grow say nothing yet.
            left = n_steps - n_iter
            shrinks = n_iter >= 2 and iteration.rate < 1.0
            return shrinks and iteration.objective + left * iteration.gain <= target

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
                callback=hopeless,
                n_threads=self.n_threads,
            )
        self.n_e_steps += run.n_e_steps
        self.n_runs += 1
        improved = run.status.usable and run.objective > target
        if improved or self.n_runs == 1:
            self.best = run
        return improved
