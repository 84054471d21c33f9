"""A model around another one, which it follows in all that it does not change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.engine.model import LatentVariableModel, Penalty
from emlearn.engine.parameters import Array, ParameterSpace, Public


@dataclass(frozen=True, eq=False)
class ModelWrapper(LatentVariableModel[Any, Any, Any]):
    """A model that does what the model inside does; a subclass changes some of it.

    Parameters
    ----------
    model : LatentVariableModel
        The model inside.
    """

    model: LatentVariableModel[Any, Any, Any]

    def initialize(self, data: Any, rng: np.random.Generator) -> Any:
        """See `LatentVariableModel`."""
        return self.model.initialize(data, rng)

    def candidates(self, data: Any, rng: np.random.Generator, n: int) -> Iterator[Any]:
        """See `LatentVariableModel`."""
        return self.model.candidates(data, rng, n)

    def perturb(self, data: Any, params: Any, rng: np.random.Generator) -> Any:
        """See `LatentVariableModel`."""
        return self.model.perturb(data, params, rng)

    def example(self, data: Any) -> Any:
        """See `LatentVariableModel`."""
        return self.model.example(data)

    def with_fixed(
        self, data: Any, params: Any, fixed: Mapping[str, Array], rng: np.random.Generator
    ) -> Any:
        """See `LatentVariableModel`."""
        return self.model.with_fixed(data, params, fixed, rng)

    def m_step(self, statistics: Any, params: Any) -> Any:
        """See `LatentVariableModel`."""
        return self.model.m_step(statistics, params)

    def constrained_m_step(self, statistics: Any, params: Any, fixed: Mapping[str, Array]) -> Any:
        """See `LatentVariableModel`."""
        return self.model.constrained_m_step(statistics, params, fixed)

    def impose(self, params: Any, fixed: Mapping[str, Array]) -> Any:
        """See `LatentVariableModel`."""
        return self.model.impose(params, fixed)

    def from_vector(self, vector: NDArray[np.float64], like: Any) -> Any:
        """See `LatentVariableModel`."""
        return self.model.from_vector(vector, like)

    @property
    def has_curvature(self) -> bool:
        """Whether the model has a curvature."""
        return self.model.has_curvature

    def curvature(self, statistics: Any, params: Any) -> tuple[Array, Array] | None:
        """See `LatentVariableModel`."""
        return self.model.curvature(statistics, params)

    def n_parameters(self, params: Any) -> int:
        """See `LatentVariableModel`."""
        return self.model.n_parameters(params)

    def ranking_penalty(self, statistics: Any, params: Any) -> Penalty:
        """See `LatentVariableModel`."""
        return self.model.ranking_penalty(statistics, params)

    def unsound(self, statistics: Any, params: Any) -> list[str]:
        """See `LatentVariableModel`."""
        return self.model.unsound(statistics, params)

    def constrained_penalty(
        self, statistics: Any, params: Any, fixed: Mapping[str, Array]
    ) -> Penalty:
        """See `LatentVariableModel`."""
        return self.model.constrained_penalty(statistics, params, fixed)

    def constrained_unsound(
        self, statistics: Any, params: Any, fixed: Mapping[str, Array]
    ) -> list[str]:
        """See `LatentVariableModel`."""
        return self.model.constrained_unsound(statistics, params, fixed)

    def prepare(self, X: Any, sample_weight: NDArray[Any] | None = None) -> Any:
        """See `LatentVariableModel`."""
        return self.model.prepare(X, sample_weight)

    def precompute(self, params: Any) -> Any:
        """See `LatentVariableModel`."""
        return self.model.precompute(params)

    def e_step(self, block: Any, params: Any) -> tuple[Any, float]:
        """See `LatentVariableModel`."""
        return self.model.e_step(block, params)

    def log_prior(self, params: Any) -> float:
        """See `LatentVariableModel`."""
        return self.model.log_prior(params)

    def log_likelihood(self, data: Any, params: Any, objective: float) -> float:
        """See `LatentVariableModel`."""
        return self.model.log_likelihood(data, params, objective)

    def blocks(self, data: Any) -> Sequence[Any]:
        """See `LatentVariableModel`."""
        return self.model.blocks(data)

    def open(self, block: Any) -> Any:
        """See `LatentVariableModel`."""
        return self.model.open(block)

    def learn(self, table: Any) -> Any:
        """See `LatentVariableModel`."""
        return self.model.learn(table)

    def prepare_part(self, part: Any, learned: Any) -> Any:
        """See `LatentVariableModel`."""
        return self.model.prepare_part(part, learned)

    def open_part(self, part: Any, learned: Any) -> Sequence[Any]:
        """See `LatentVariableModel`."""
        return self.model.open_part(part, learned)

    def weight_of_table(self, table: Any) -> float:
        """See `LatentVariableModel`."""
        return self.model.weight_of_table(table)

    def widened(self, learned: Any, part: Any) -> Any:
        """See `LatentVariableModel`."""
        return self.model.widened(learned, part)

    def carried(self, params: Any, statistics: Any, learned: Any) -> tuple[Any, Any]:
        """See `LatentVariableModel`."""
        return self.model.carried(params, statistics, learned)

    def recentered(self, statistics: Any, params: Any, moved: Any) -> Any:
        """See `LatentVariableModel`."""
        return self.model.recentered(statistics, params, moved)

    def mapper(self, data: Any) -> Any:
        """See `LatentVariableModel`."""
        return self.model.mapper(data)

    def total_weight(self, data: Any) -> float:
        """See `LatentVariableModel`."""
        return self.model.total_weight(data)

    def subset(self, data: Any, rng: np.random.Generator, size: int | None = None) -> Any:
        """See `LatentVariableModel`."""
        return self.model.subset(data, rng, size)

    @property
    def has_vector(self) -> bool:
        """Whether the model has a vector form."""
        return self.model.has_vector

    def to_vector(self, params: Any) -> NDArray[np.float64]:
        """See `LatentVariableModel`."""
        return self.model.to_vector(params)

    def public(self, params: Any) -> Public:
        """See `LatentVariableModel`."""
        return self.model.public(params)

    def from_public(self, public: Mapping[str, Array], like: Any) -> Any:
        """See `LatentVariableModel`."""
        return self.model.from_public(public, like)

    def space(self, params: Any) -> ParameterSpace:
        """See `LatentVariableModel`."""
        return self.model.space(params)

    def score(self, statistics: Any, params: Any) -> Public:
        """See `LatentVariableModel`."""
        return self.model.score(statistics, params)

    @property
    def has_score(self) -> bool:
        """Whether the model defines `score`."""
        return self.model.has_score

    def log_likelihoods(self, data: Any, params: Any) -> tuple[Array, Array]:
        """See `LatentVariableModel`."""
        return self.model.log_likelihoods(data, params)
