"""A model under test, with data and the first EM steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from emlearn.engine import (
    BlockMapper,
    DegenerateModelError,
    LatentVariableModel,
    RemainingGain,
    Threads,
)

Model = LatentVariableModel[Any, Any, Any]
Score = Callable[[Model, Any, Any, "NDArray[Any] | None"], float]
Take = Callable[[Any, "NDArray[np.intp]"], Any]


class Point(NamedTuple):
    """Parameters, and the result of an E-step at them."""

    params: Any
    statistics: Any
    log_likelihood: float
    objective: float


@dataclass(frozen=True)
class ModelCase:
    """A model, data to test it on, and the first EM steps, used by all checks."""

    model: Model
    X: Any
    sample_weight: NDArray[Any] | None
    score: Score | None
    take: Take
    random_state: int
    n_iter: int
    max_iter: int
    rtol: float
    precision: float

    @cached_property
    def n_rows(self) -> int:
        """Number of observations."""
        if self.sample_weight is not None:
            return len(self.sample_weight)
        return int(self.X.shape[0]) if hasattr(self.X, "shape") else len(self.X)

    @cached_property
    def weight(self) -> NDArray[Any]:
        """Weights of the observations."""
        return np.ones(self.n_rows) if self.sample_weight is None else self.sample_weight

    @cached_property
    def data(self) -> Any:
        """All observations, prepared by the model."""
        return self.model.prepare(self.X, self.sample_weight)

    @cached_property
    def start(self) -> Any:
        """Starting parameters."""
        try:
            return self.model.initialize(self.data, self.rng())
        except DegenerateModelError as error:
            self.fail(
                f"DegenerateModelError at the start: {error}",
                "initialize, or choose another X or random_state",
            )

    @cached_property
    def path(self) -> tuple[Point, ...]:
        """The start and the points after each EM step."""
        return self.run(self.data, self.start)

    @property
    def ends(self) -> tuple[Point, Point]:
        """The first and the last point of the path."""
        return self.path[0], self.path[-1]

    @property
    def convergence(self) -> RemainingGain:
        """A strict test of convergence."""
        return RemainingGain(1e-12, self.precision)

    def rng(self) -> np.random.Generator:
        """A new generator, with the same random numbers at each call."""
        return np.random.default_rng(self.random_state)

    def rows(self, index: NDArray[np.intp], weight: NDArray[Any]) -> Any:
        """The observations at the given positions with the given weights, prepared."""
        return self.model.prepare(self.take(self.X, index), weight)

    def evaluate(self, data: Any, params: Any) -> Point:
        """E-step over all blocks, one after another."""
        return evaluate(self.model, data, params)

    def run(self, data: Any, params: Any) -> tuple[Point, ...]:
        """EM without acceleration."""
        points: list[Point] = []
        try:
            for _ in range(self.n_iter + 1):
                point = self.evaluate(data, params)
                if not np.isfinite(point.objective):
                    self.fail(
                        f"the objective is {point.objective} after {len(points)} EM steps",
                        "e_step and log_prior; if the parameters are degenerate, they should "
                        "raise DegenerateModelError",
                    )
                points.append(point)
                params = self.model.m_step(point.statistics, params)
        except DegenerateModelError as error:
            self.fail(
                f"DegenerateModelError after {len(points)} EM steps: {error}",
                "m_step, or choose another X or random_state",
            )
        return tuple(points)

    def fail(self, found: str, look_at: str) -> NoReturn:
        """Raise an AssertionError."""
        raise AssertionError(f"{type(self.model).__name__}: {found}. Look at {look_at}.")


def evaluate(model: Model, data: Any, params: Any, n_threads: int = 1) -> Point:
    """E-step over all blocks."""
    with BlockMapper(model, data, Threads(n_threads)) as expect:
        statistics, log_likelihood = expect(params)
    return Point(params, statistics, log_likelihood, log_likelihood + model.log_prior(params))
