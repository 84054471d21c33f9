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
from emlearn.engine.blocks import Mapper, Threads
from emlearn.engine.convergence import Convergence
from emlearn.engine.loop import Callback, run_em
from emlearn.engine.model import DegenerateModelError, LatentVariableModel, Penalty
from emlearn.engine.progress import Observer, Observers, StopSignal
from emlearn.engine.restarts import Restart, SearchResult
from emlearn.engine.result import EMResult, History, Iteration, Status
from emlearn.engine.threads import available_threads

Model = LatentVariableModel[Any, Any, Any]

# Runs whose objectives agree to this relative precision are copies.
_SAME = 1e-9


@dataclass(frozen=True)
class Heat:
    """A round on a part of the data: all remaining starts make some EM steps.

    Parameters
    ----------
    rows_per_parameter, least_rows : int
        The part has `rows_per_parameter` rows for each free parameter, but at least
        `least_rows`.
    steps : int
        EM steps of each run.
    kept : int
        Number of starts that stay in the race.
    """

    rows_per_parameter: int
    least_rows: int
    steps: int
    kept: int


@dataclass(frozen=True)
class RacePlan:
    """How starts are raced.

    Parameters
    ----------
    n_candidates : int, default=10
        Number of starts.
    first_steps : int, default=3
        EM steps that every start makes on all data.
    steps : int, default=32
        Largest number of EM steps of a run, including the first steps, before the best run is
        chosen.
    n_reserves : int, default=2
        Number of other runs that are kept, in case one of them is better than the finished run.
    n_moves : int, default=0
        Perturbations of the best run, for models that have them.
    move_steps : int, default=8
        EM steps after each perturbation.
    n_large : int, default=16
        Number of starts if the data are large enough for rounds on parts of them.
    heats : tuple of Heat
        Rounds on parts of large data. A round is left out if its part is not much smaller than
        the data.
    """

    n_candidates: int = 10
    first_steps: int = 3
    steps: int = 32
    n_reserves: int = 2
    n_moves: int = 0
    move_steps: int = 8
    n_large: int = 16
    heats: tuple[Heat, ...] = (Heat(5, 2000, 6, 6), Heat(20, 10_000, 8, 3))

    def times(self, n_init: int) -> RacePlan:
        """The plan for `n_init` times the effort."""
        if n_init == 1:
            return self
        return RacePlan(
            n_candidates=max(self.n_candidates, round(self.n_candidates * (n_init + 1) / 4)),
            first_steps=self.first_steps,
            steps=self.steps,
            n_reserves=self.n_reserves,
            n_moves=round(2.4 * n_init),
            move_steps=self.move_steps,
            n_large=round(self.n_large * (n_init + 1) / 2),
            heats=self.heats,
        )


@dataclass(frozen=True)
class ManyStarts(RacePlan):
    """A race in which more effort means more starts, and no perturbations.

    It is for models whose starts differ enough to find the best optimum by themselves.

    Parameters
    ----------
    most_candidates : int, default=60
        Starts beyond which more effort makes no more.
    """

    most_candidates: int = 60

    def times(self, n_init: int) -> ManyStarts:
        """The plan for so many times the starts."""

        def more(n: int) -> int:
            return max(n, min(n * n_init, self.most_candidates))

        return replace(self, n_candidates=more(self.n_candidates), n_large=more(self.n_large))


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
        mapper or Threads(available_threads()),
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
    found = iter(model.candidates(data, rng, max(plan.n_candidates, plan.n_large)))
    first = next(found, None)
    if first is None:
        return
    n_parameters = model.n_parameters(first)
    parts: list[tuple[Heat, Any]] = []
    for heat in reversed(plan.heats if n_parameters else ()):
        size = max(heat.rows_per_parameter * n_parameters, heat.least_rows)
        part = model.subset(parts[-1][1] if parts else data, rng, size)
        if part is not None:
            parts.append((heat, part))
    if not parts:
        yield first
        yield from islice(found, plan.n_candidates - 1)
        return
    starts = [first, *islice(found, plan.n_large - 1)]
    for heat, part in reversed(parts):
        starts = runner.heat(heat, part, starts)
    yield from starts


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
    failed: EMResult | None = None
    n_e_steps: int = 0

    def run(self, data: Any, params: Any, steps: int, **settings: Any) -> EMResult:
        before = settings.get("resume")
        settings.setdefault("measure_steps", False)
        run = run_em(
            self.model,
            data,
            params,
            convergence=self.convergence,
            max_iter=min(steps, self.max_iter),
            mapper=self.mapper,
            **settings,
        )
        if data is self.data:
            self.n_e_steps += run.n_e_steps - (before.n_e_steps if before is not None else 0)
        return run

    def enter(self, index: int, run: EMResult) -> Entrant | None:
        """The entrant with its new run, or None if the run failed."""
        if not run.status.usable:
            self.failed = self.failed or run
            self.all.pop(index, None)
            return None
        penalty = self.model.ranking_penalty(run.statistics, run.params)
        entrant = self.all[index] = Entrant(index, run, penalty)
        return entrant

    def heat(self, heat: Heat, part: Any, starts: Sequence[Any]) -> list[Any]:
        """Parameters of the starts that stay in the race after a round on a part of the data."""
        entrants = []
        for index, params in enumerate(starts):
            run = self.run(part, params, heat.steps)
            if run.status.usable:
                penalty = self.model.ranking_penalty(run.statistics, run.params)
                entrants.append(Entrant(index, run, penalty))
        return [entrant.run.params for entrant in _without_copies(entrants)[: heat.kept]]

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
        cannot_win = None if best is None else _CannotWin(entrant.penalty, best, steps, self.stop)
        run = self.run(self.data, None, steps, resume=entrant.run, callback=cannot_win)
        return self.enter(entrant.number, run)

    def moved(self, field_: list[Entrant], rng: np.random.Generator) -> list[Entrant]:
        """The entrants, with those perturbations of the best one that improved it."""
        for _ in range(self.plan.n_moves):
            if not field_ or self.stop():
                break
            best = field_[0]
            changed = self.model.perturb(self.data, best.run.params, rng)
            if changed is None:
                break
            cannot_win = _CannotWin(best.penalty, best, self.plan.move_steps, self.stop)
            run = self.run(self.data, changed, self.plan.move_steps, callback=cannot_win)
            moved = self.enter(max(self.all) + 1, run)
            if moved is not None and moved.rank > best.rank:
                field_ = [moved, *field_]
            elif moved is not None:
                del self.all[moved.number]
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
                    callback=self.followed(observer),
                    measure_steps=True,
                )
                own = self.enter(entrant.number, run)
            if own is not None and (finished is None or own.rank > finished.rank):
                finished = own
        return finished or Entrant(0, self.failed or field_[0].run, Penalty())

    def followed(self, observer: Observer) -> Callback:
        def callback(n_iter: int, iteration: Iteration) -> bool:
            if observer(n_iter, iteration):
                self.stop.set()
            return self.stop()

        return callback

    def failure(self, rng: np.random.Generator) -> Entrant:
        failed = self.failed
        if failed is None:
            message = "no start was found"
            try:
                self.model.initialize(self.data, rng)
            except DegenerateModelError as error:
                message = str(error)
            failed = EMResult(None, -np.inf, Status.FAILED, message, History(), 0)
        return Entrant(0, failed, Penalty())

    def result(self, best: Entrant) -> SearchResult:
        records = [self.record(self.all[number], best) for number in sorted(self.all)]
        if not records:
            records = [_record(best.run, best.number, best.run.status)]
        index = next((i for i, r in enumerate(records) if r.seed == (best.number,)), 0)
        return SearchResult(replace(best.run, statistics=None), index, tuple(records))

    def record(self, entrant: Entrant, best: Entrant) -> Restart:
        run, status = entrant.run, entrant.run.status
        unfinished = status in (Status.MAX_ITER, Status.STOPPED) and run.n_iter < self.max_iter
        if entrant.number != best.number and unfinished:
            status = Status.OUTRUN
        return _record(run, entrant.number, status)


def _record(run: EMResult, number: int, status: Status) -> Restart:
    return Restart(run.objective, status.value, run.n_iter, run.n_e_steps, (number,), run.message)


@dataclass(frozen=True)
class _CannotWin:
    """Callback that stops a run that cannot become the best in its remaining steps."""

    penalty: Penalty
    best: Entrant
    steps: int
    stop: StopSignal

    def __call__(self, n_iter: int, iteration: Iteration) -> bool:
        # Gains that still grow do not bound later ones.
        shrinks = n_iter >= 2 and iteration.rate < 1.0
        end = iteration.objective + (self.steps - n_iter) * iteration.gain
        _, target, _ = self.best.rank
        return self.stop() or (shrinks and end - self.penalty.optimism <= target)


def _without_copies(entrants: Any) -> list[Entrant]:
    """The best one first, without those whose objective equals that of a better one."""
    kept: list[Entrant] = []
    for entrant in sorted(entrants, key=lambda entrant: entrant.rank, reverse=True):
        near = _SAME * abs(entrant.run.objective)
        if all(abs(entrant.run.objective - other.run.objective) > near for other in kept):
            kept.append(entrant)
    return kept
