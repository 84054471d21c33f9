"""The runs of a reconstruction, one for each row of counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray

from emlearn.engine import EMResult, History, Iteration, Status, Threads, run_em
from emlearn.engine.acceleration import Accelerator
from emlearn.engine.convergence import Convergence
from emlearn.engine.progress import Observer
from emlearn.engine.threads import available_threads, blas_limited
from emlearn.tomography._model import Counts, Part, PoissonReconstruction, Projections
from emlearn.tomography._subsets import one_pass

Array = NDArray[np.float64]


class Run(NamedTuple):
    """The run of a row: that of the engine, and the passes over subsets before it."""

    result: EMResult
    n_passes: int

    @property
    def n_iter(self) -> int:
        """Number of iterations of both kinds."""
        return self.n_passes + self.result.n_iter


@dataclass(frozen=True)
class Plan:
    """How each row is reconstructed.

    Parameters
    ----------
    model : PoissonReconstruction
        The model.
    whole : sequence of Part
        Parts of the system, for EM.
    passes : sequence of sequence of Part
        Subsets of each of the iterations that are passes over subsets, which come first.
    max_iter : int
        Largest number of iterations, passes included.
    convergence : Convergence
        Convergence test of EM.
    accelerator : Accelerator, default=None
        That of EM.
    """

    model: PoissonReconstruction
    whole: Sequence[Part]
    passes: Sequence[Sequence[Part]]
    max_iter: int
    convergence: Convergence
    accelerator: Accelerator | None = None

    def run_all(
        self,
        counts: Array,
        background: Array,
        *,
        n_jobs: int | None = None,
        observers: Sequence[Observer | None] | None = None,
    ) -> list[Run]:
        """Reconstruct all rows; rows do not depend on each other.

        Parameters
        ----------
        counts, background : ndarray of shape (n_samples, n_rays)
            Counts and expected background.
        n_jobs : int, default=None
            Number of rows at the same time.
        observers : sequence of Observer, default=None
            One for each row.

        Returns
        -------
        runs : list of Run
            One for each row.
        """
        n_rows = len(counts)
        n_workers = min(effective_n_jobs(n_jobs), n_rows)
        mapper = Threads(max(1, available_threads() // max(1, n_workers)))
        watching = observers or [None] * n_rows
        rows = list(zip(counts, background, watching, strict=True))
        with blas_limited():
            if n_workers == 1:
                return [self._run(*row, mapper) for row in rows]
            pool = Parallel(n_jobs=n_workers, backend="threading")
            found: list[Run] = pool(delayed(self._run)(*row, mapper) for row in rows)
        return found

    def _run(
        self, counts: Array, background: Array, observer: Observer | None, mapper: Threads
    ) -> Run:
        with blas_limited():
            data = self._data(self.whole, counts, background)
            *_, image = self._beginning(data, counts, background)
            if observer is not None:
                observer.begin()
            result = run_em(
                self.model,
                data,
                image,
                convergence=self.convergence,
                max_iter=self.max_iter - len(self.passes),
                accelerator=self.accelerator,
                mapper=mapper,
                callback=observer,
                measure_steps=False,
            )
            if observer is not None:
                observer.end(result)
        return Run(result, len(self.passes))

    def iterates(self, counts: Array, background: Array) -> Iterator[Array]:
        """The images of one row, from the start to the last iteration, without an accelerator."""
        data = self._data(self.whole, counts, background)
        for image in self._beginning(data, counts, background):
            yield image
        settings: dict[str, Any] = {"convergence": self.convergence, "measure_steps": False}
        result: EMResult | None = None
        for n in range(1, self.max_iter - len(self.passes) + 1):
            result = run_em(self.model, data, image, max_iter=n, resume=result, **settings)
            if result.params is None or result.n_iter < n:
                return
            yield result.params
            if result.status is not Status.MAX_ITER:
                return

    def _beginning(self, data: Counts, counts: Array, background: Array) -> Iterator[Array]:
        """The start, and the image after each pass over subsets."""
        image = self.model.initialize(data)
        yield image
        parts: Sequence[Part] | None = None
        for subsets in self.passes:
            if subsets is not parts:
                parts, data = subsets, self._data(subsets, counts, background)
            image = one_pass(self.model, data, image)
            yield image

    def _data(self, parts: Sequence[Part], counts: Array, background: Array) -> Counts:
        return self.model.prepare(Projections(parts, counts, background))


def joint_history(runs: Sequence[Run], weight: Array) -> dict[str, NDArray[Any]]:
    """The history of all rows together: a row that has ended keeps its last objective.

    Parameters
    ----------
    runs : sequence of Run
        One for each row.
    weight : ndarray of shape (n_samples,)
        Weights of the rows.

    Returns
    -------
    history : dict of str to ndarray
        As of a single run, with sums of the objectives.
    """
    histories = [run.result.history for run in runs]
    if len(runs) == 1 and weight[0] == 1.0:
        return histories[0].as_arrays()
    lines: list[Iteration] = []
    for n in range(max(len(history) for history in histories)):
        last = [history[min(n, len(history) - 1)] for history in histories]
        objective = float(weight @ [line.objective for line in last])
        gain = objective - lines[-1].objective if lines else float("nan")
        pairs = zip(weight, last, strict=True)
        remaining = float(sum(w * line.remaining for w, line in pairs if w > 0.0))
        e_steps = sum(line.e_steps for line in last)
        lines.append(Iteration(objective, gain, float("nan"), remaining, e_steps, last[0].step))
    return History(lines).as_arrays()
