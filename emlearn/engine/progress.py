"""Progress of a fit: lines on standard output, and scikit-learn's callbacks."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from emlearn.engine.result import Callback, EMResult, Iteration


class Observer(Protocol):
    """Follows one run."""

    def begin(self) -> None:
        """The run begins."""
        ...

    def __call__(self, n_iter: int, iteration: Iteration) -> bool | None:
        """The start was evaluated, or an iteration ended; true asks the fit to stop."""
        ...

    def end(self, result: EMResult) -> None:
        """The run ended."""
        ...


class StopSignal:
    """A request to all runs of a fit in this process to stop at their next iteration.

    It knows which runs are under way, so that whoever sets it can wait for their end.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._change = threading.Condition()
        self._n_running = 0

    def __call__(self) -> bool:
        """Whether the runs are to stop."""
        return self._event.is_set()

    def set(self) -> None:
        """Ask the runs to stop."""
        self._event.set()

    def following(self, observer: Observer) -> Callback:
        """Callback of a run that calls an observer, and stops the run if there is a request."""

        def callback(n_iter: int, iteration: Iteration) -> bool:
            if observer(n_iter, iteration):
                self.set()
            return self()

        return callback

    def wait(self) -> None:
        """Wait until no run is under way."""
        with self._change:
            self._change.wait_for(lambda: self._n_running == 0)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Counts as a run under way."""
        with self._change:
            self._n_running += 1
        try:
            yield
        finally:
            with self._change:
                self._n_running -= 1
                self._change.notify_all()

    def __reduce__(self) -> tuple[type[StopSignal], tuple[()]]:
        # Runs in other processes are ended by the pool that started them.
        return StopSignal, ()


@dataclass(frozen=True)
class Printer:
    """Prints a line at the end of a run, and one every few iterations if asked.

    Parameters
    ----------
    name : str
        What is fitted.
    run, n_runs : int
        Position of the run, from 0, and number of runs.
    total_weight : float
        Sum of the weights, for the objective per unit of weight.
    interval : int or None
        Iterations between lines; None prints the end only.
    """

    name: str
    run: int
    n_runs: int
    total_weight: float
    interval: int | None = None

    def begin(self) -> None:
        """See `Observer`."""

    def __call__(self, n_iter: int, iteration: Iteration) -> None:
        """See `Observer`."""
        if self.interval is None or n_iter % self.interval:
            return
        parts = [self._objective(iteration.objective)]
        if math.isfinite(iteration.gain):
            parts.append(f"gain {iteration.gain:.2e}")
        if math.isfinite(iteration.remaining):
            parts.append(f"about {iteration.remaining:.2e} nats left to gain")
        self._print(f", iteration {n_iter}: {', '.join(parts)}")

    def end(self, result: EMResult) -> None:
        """See `Observer`."""
        how = result.status.value.replace("_", " ")
        if result.params is None:
            self._print(f": {how}: {result.message or 'it did not begin'}")
            return
        n_iter = result.n_iter
        iterations = "iteration" if n_iter == 1 else "iterations"
        why = f" ({result.message})" if result.message else ""
        end = f"{how} after {n_iter} {iterations}, {self._objective(result.objective)}{why}"
        self._print(f": {end}")

    def _objective(self, objective: float) -> str:
        return f"objective {objective:.6f} ({objective / self.total_weight:.6f} per unit of weight)"

    def _print(self, text: str) -> None:
        print(f"[{self.name}] run {self.run + 1} of {self.n_runs}{text}", flush=True)


@dataclass
class CallbackTask:
    """Tells scikit-learn's callbacks of a run and of its iterations.

    Parameters
    ----------
    estimator : object
        The estimator that is fitted.
    context : sklearn.callback.CallbackContext
        The context of the run. Made before joblib starts its workers.
    """

    estimator: Any
    context: Any

    def begin(self) -> None:
        """See `Observer`."""
        self.context.call_on_fit_task_begin(estimator=self.estimator)

    def __call__(self, n_iter: int, iteration: Iteration) -> bool:
        """See `Observer`."""
        if n_iter == 0:
            return False
        task = self.context.subcontext(task_name="iteration")
        task.call_on_fit_task_begin(estimator=self.estimator)
        return bool(task.call_on_fit_task_end(estimator=self.estimator))

    def end(self, result: EMResult) -> None:
        """See `Observer`."""
        self.context.call_on_fit_task_end(estimator=self.estimator)


@dataclass(frozen=True)
class Observers:
    """Several observers of one run as one; any of them can ask to stop."""

    each: Sequence[Observer]

    def begin(self) -> None:
        """See `Observer`."""
        for observer in self.each:
            observer.begin()

    def __call__(self, n_iter: int, iteration: Iteration) -> bool:
        """See `Observer`."""
        # Every observer is called, even after one has asked to stop.
        asked = [observer(n_iter, iteration) for observer in self.each]
        return any(asked)

    def end(self, result: EMResult) -> None:
        """See `Observer`."""
        for observer in self.each:
            observer.end(result)
