"""A race of starts: all make a few EM steps, the best ones more, and one is finished.

EM ends at the optimum whose basin it starts in, and a few steps usually show whether a basin is
good. Decisions are made after all runs of a round, or for one run after the other in an order
fixed by the round before. Threads work on the blocks of one run, never on several runs. So the
result has the same bits for any number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from emlearn.engine.acceleration import Accelerator
from emlearn.engine.blocks import Mapper, current_mapper
from emlearn.engine.convergence import Convergence
from emlearn.engine.loop import run_em
from emlearn.engine.model import DegenerateModelError, LatentVariableModel, Penalty
from emlearn.engine.progress import Observer, Observers, StopSignal
from emlearn.engine.race_plan import Heat, RacePlan
from emlearn.engine.restarts import Restart, SearchResult
from emlearn.engine.result import Callback, EMResult, History, Iteration, Status

Model = LatentVariableModel[Any, Any, Any]

# Runs whose objectives agree to this relative precision are copies.
_SAME = 1e-9


class Entrant(NamedTuple):
    """A start and its run so far.

    Attributes
    ----------
    number : int
        Number of the start.
    run : EMResult
        Its run so far.
    penalty : Penalty
        Penalty of its parameters.
    """

    number: int
    run: EMResult
    penalty: Penalty

    @property
    def rank(self) -> tuple[int, float, int]:
        """Larger is better. Among equal runs, the earlier start is better."""
        return -self.penalty.starved, self.run.objective - self.penalty.optimism, -self.number


def race(
    model: Model,
    data: Any,
    plan: RacePlan,
    rng: np.random.Generator,
    *,
    convergence: Convergence,
    max_iter: int,
    accelerator: Accelerator | None = None,
    observer: Observer | None = None,
    mapper: Mapper | None = None,
    stop: StopSignal | None = None,
) -> SearchResult:
    """Race the starts that the model offers, and finish the best run.

    After the first steps, copies are dropped. If only one run is left, it is finished at once.
    Otherwise the runs continue one after the other, the best one first. A run stops if its last
    gain, repeated in all remaining steps, would not make it the best.

    Parameters
    ----------
    model : LatentVariableModel
        The model.
    data : object
        What `model.prepare` returned.
    plan : RacePlan
        Numbers of starts and steps.
    rng : Generator
        Source of all randomness.
    convergence : Convergence
        Convergence test.
    max_iter : int
        Largest number of iterations of a run.
    accelerator : Accelerator, default=None
        See `run_em`; for the last run.
    observer : Observer, default=None
        Follows the last run.
    mapper : Mapper, default=None
        See `run_em`; None means all threads that BLAS may use.
    stop : StopSignal, default=None
        Stops the race when it is set.

    Returns
    -------
    result : SearchResult
        `best` is the run that was finished; it has `Status.FAILED` only if every run failed.
        `restarts` has a record of each start that was run on all data; those that were left
        behind have the status "outrun".

    References
    ----------
    K. Jamieson and A. Talwalkar (2016). "Non-stochastic best arm identification and
    hyperparameter optimization". Proceedings of AISTATS 51, 240-248.
    """
    runner = _Race(
        model,
        data,
        plan,
        convergence,
        max_iter,
        mapper or current_mapper(),
        stop or StopSignal(),
    )
    observer = observer or Observers(())
    observer.begin()
    found = _run(runner, rng, accelerator, observer)
    observer.end(found.best)
    return found


def _run(
    runner: _Race, rng: np.random.Generator, accelerator: Accelerator | None, observer: Observer
) -> SearchResult:
    runner.first(_starts(runner, rng))
    field_ = runner.distinct()
    if not field_:
        return runner.result(runner.failure(rng))
    if len(field_) > 1:
        field_ = runner.in_turn(field_)
        field_ = runner.moved(field_, rng)
    return runner.result(runner.finish(field_, accelerator, observer))


def _starts(runner: _Race, rng: np.random.Generator) -> Iterator[Any]:
    """The starts. For large data, the best ones after rounds on nested random parts."""
    model, data, plan = runner.model, runner.data, runner.plan
    found = iter(model.candidates(data, rng, plan.n_candidates))
    first = next(found, None)
    if first is None:
        return
    n_parameters = model.n_parameters(first)
    parts = _parts(runner, n_parameters, rng)
    if not parts:
        yield first
        yield from found
        return
    starts = [first, *islice(found, plan.n_large - 1)]
    is_clear = len(starts) == 1
    for repeat in range(1 if is_clear else plan.n_repeats):
        if repeat:
            # Of more starts, the best on one part are more often best by chance.
            parts, starts = _parts(runner, n_parameters, rng), []
        if not is_clear and plan.n_large > len(starts):
            # The most promising kinds again, from other rows, are better than further kinds.
            starts.extend(model.candidates(data, rng, plan.n_large - len(starts)))
        for heat, part in parts:
            starts = runner.heat(heat, part, starts)
        yield from starts


def _parts(runner: _Race, n_parameters: int, rng: np.random.Generator) -> list[tuple[Heat, Any]]:
    """Nested random parts of large data, the smallest first."""
    parts: list[tuple[Heat, Any]] = []
    for heat in reversed(runner.plan.heats if n_parameters else ()):
        size = max(heat.rows_per_parameter * n_parameters, heat.least_rows)
        part = runner.model.subset(parts[-1][1] if parts else runner.data, rng, size)
        if part is not None:
            parts.append((heat, part))
    return parts[::-1]


@dataclass
class _Race:
    """The runs of a race, and their cost."""

    model: Model
    data: Any
    plan: RacePlan
    convergence: Convergence
    max_iter: int
    mapper: Mapper
    stop: StopSignal
    all: dict[int, Entrant] = field(default_factory=dict)
    failed: dict[int, EMResult] = field(default_factory=dict)

    def run(self, data: Any, params: Any, steps: int, **settings: Any) -> EMResult:
        settings.setdefault("measure_steps", False)
        return run_em(
            self.model,
            data,
            params,
            convergence=self.convergence,
            max_iter=min(steps, self.max_iter),
            mapper=self.mapper,
            **settings,
        )

    def enter(self, index: int, run: EMResult) -> Entrant | None:
        """The entrant with its new run, or None if the run failed."""
        if not run.status.usable:
            self.failed[index] = run
            self.all.pop(index, None)
            return None
        penalty = self.model.ranking_penalty(run.statistics, run.params)
        entrant = self.all[index] = Entrant(index, run, penalty)
        return entrant

    def heat(self, heat: Heat, part: Any, starts: Sequence[Any]) -> list[Any]:
        """Parameters of the starts that stay in the race after a round on a part of the data.

        If all fail on the part, all of them stay, as far as there is room.
        """
        entrants: list[Entrant] = []
        for index, params in enumerate(starts):
            if self.stop() and entrants:
                break
            run = self.run(part, params, heat.steps)
            if run.status.usable:
                penalty = self.model.ranking_penalty(run.statistics, run.params)
                entrants.append(Entrant(index, run, penalty))
        left = [entrant.run.params for entrant in _without_copies(entrants)] or list(starts)
        return left[: heat.kept]

    def first(self, starts: Iterator[Any]) -> None:
        """Let every start make its first steps on all data."""
        for index, params in enumerate(starts):
            if self.stop() and self.all:
                break
            self.enter(index, self.run(self.data, params, self.plan.first_steps))

    def distinct(self) -> list[Entrant]:
        """The entrants without copies, the best one first."""
        return _without_copies(self.all.values())

    def in_turn(self, field_: Sequence[Entrant]) -> list[Entrant]:
        """The entrants, after each has continued as long as it can become the best."""
        best: Entrant | None = None
        after = []
        for entrant in field_:
            # More steps do not help a start with too few observations.
            if best is None or entrant.penalty.starved <= best.penalty.starved:
                gone = self.go_on(entrant, best, self.plan.steps)
                if gone is None:
                    continue
                entrant = gone
            after.append(entrant)
            if best is None or entrant.rank > best.rank:
                best = entrant
        return _without_copies(after)

    def go_on(self, entrant: Entrant, best: Entrant | None, steps: int) -> Entrant | None:
        if entrant.run.status is not Status.MAX_ITER:
            return entrant
        callback = self.cannot_win(entrant.penalty, best, steps)
        run = self.run(self.data, None, steps, resume=entrant.run, callback=callback)
        return self.enter(entrant.number, run)

    def cannot_win(self, penalty: Penalty, best: Entrant | None, steps: int) -> Callback:
        """Callback that stops a run that cannot become the best within its steps."""
        target = -np.inf if best is None else best.run.objective - best.penalty.optimism

        def callback(n_iter: int, iteration: Iteration) -> bool:
            reachable = iteration.reachable(steps - n_iter)
            return self.stop() or reachable - penalty.optimism <= target

        return callback

    def moved(self, field_: list[Entrant], rng: np.random.Generator) -> list[Entrant]:
        """The entrants, with those perturbations of the best one that improved it."""
        for _ in range(self.plan.n_moves):
            if not field_ or self.stop():
                break
            best = field_[0]
            changed = self.model.perturb(self.data, best.run.params, rng)
            if changed is None:
                break
            steps = self.plan.move_steps
            callback = self.cannot_win(best.penalty, best, steps)
            run = self.run(self.data, changed, steps, callback=callback)
            number = max(self.all | self.failed) + 1
            moved = self.enter(number, run)
            if moved is not None and moved.rank > best.rank:
                field_ = [moved, *field_]
            else:
                self.all.pop(number, None)
                self.failed.pop(number, None)
        return field_

    def finish(
        self, field_: Sequence[Entrant], accelerator: Accelerator | None, observer: Observer
    ) -> Entrant:
        """Finish the best run, and then a reserve that already has a better rank."""
        finished: Entrant | None = None
        for entrant in field_[: 1 + self.plan.n_reserves]:
            if finished is not None and finished.rank >= entrant.rank:
                break
            own: Entrant | None = entrant
            if entrant.run.status in (Status.MAX_ITER, Status.STOPPED) and not self.stop():
                run = self.run(
                    self.data,
                    None,
                    self.max_iter,
                    resume=entrant.run,
                    accelerator=accelerator,
                    callback=self.stop.following(observer),
                    measure_steps=True,
                )
                own = self.enter(entrant.number, run)
            if own is not None and (finished is None or own.rank > finished.rank):
                finished = own
        if finished is None:
            return self.first_failure()
        if self.stop() and finished.run.status is Status.MAX_ITER:
            finished = finished._replace(run=replace(finished.run, status=Status.STOPPED))
        return finished

    def failure(self, rng: np.random.Generator) -> Entrant:
        if self.failed:
            return self.first_failure()
        message = "no start was found"
        try:
            self.model.initialize(self.data, rng)
        except DegenerateModelError as error:
            message = str(error)
        failed = EMResult(None, -np.inf, Status.FAILED, message, History(), 0)
        return Entrant(0, failed, Penalty())

    def first_failure(self) -> Entrant:
        number = min(self.failed)
        return Entrant(number, self.failed[number], Penalty())

    def result(self, best: Entrant) -> SearchResult:
        runs = {number: entrant.run for number, entrant in self.all.items()}
        runs |= self.failed | {best.number: best.run}
        numbers = sorted(runs)
        records = tuple(self.record(number, runs[number], best) for number in numbers)
        return SearchResult(best.run, numbers.index(best.number), records)

    def record(self, number: int, run: EMResult, best: Entrant) -> Restart:
        status = run.status
        unfinished = status in (Status.MAX_ITER, Status.STOPPED) and run.n_iter < self.max_iter
        if number != best.number and unfinished:
            status = Status.OUTRUN
        counts = run.n_iter, run.n_e_steps
        return Restart(run.objective, status.value, *counts, (number,), run.message)


def _without_copies(entrants: Any) -> list[Entrant]:
    """The best one first, without those whose objective equals that of a better one."""
    kept: list[Entrant] = []
    for entrant in sorted(entrants, key=lambda entrant: entrant.rank, reverse=True):
        near = _SAME * abs(entrant.run.objective)
        if all(abs(entrant.run.objective - other.run.objective) > near for other in kept):
            kept.append(entrant)
    return kept
