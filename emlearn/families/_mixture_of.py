"""Components that are mixtures themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.engine import DegenerateModelError
from emlearn.families._contract import Array, Family
from emlearn.families._gaussian import Gaussian

_EPS = float(np.finfo(np.float64).eps)
_TINY = float(np.finfo(np.float64).tiny)


class MixtureOfParams(NamedTuple):
    """Parameters.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_parts)
        Mixing proportions of the parts of each component.
    parts : object
        Parameters of the family of all parts: those of the first component first.
    """

    weight: Array
    parts: Any


class MixtureOfBound(NamedTuple):
    """Logarithms of the weights (n_components, n_parts), and the family bound."""

    log_weight: Array
    parts: Any


class MixtureOfStatistics(NamedTuple):
    """Expected numbers of rows of the parts, and the statistics of their family."""

    weight: Array
    parts: Any


@dataclass(frozen=True)
class MixtureOf(Family):
    """Each component is a mixture of parts of another family: ``"part_weight"``.

    Hidden Markov models with Gaussian-mixture emissions are the best known use. The
    parameters of the parts have the names they have in their family, and two axes first:
    the component, then the part.

    Parameters
    ----------
    family : Family, default=Gaussian()
        Family of the parts.
    n_parts : int, default=2
        Number of parts of each component.
    alpha : float, default=0.01
        Pseudo-rows of each part in the estimate of the weights: their prior is
        Dirichlet(1 + alpha, ...). 0 is maximum likelihood.
    """

    family: Family = field(default_factory=Gaussian)
    n_parts: int = 2
    alpha: float = 0.01

    def __post_init__(self) -> None:
        if self.n_parts < 1:
            raise ValueError(f"n_parts must be >= 1, got {self.n_parts}.")

    @property
    def accepts_sparse(self) -> bool:  # type: ignore[override]
        """As the family of the parts."""
        return self.family.accepts_sparse

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        """As the family of the parts."""
        return self.family.is_discrete

    @property
    def has_vector(self) -> bool:
        """As the family of the parts."""
        return self.family.has_vector

    def frame(self, X: Any, weight: Array | None = None) -> Any:
        """See `Family`."""
        return self.family.frame(X, weight)

    def encode(self, X: Any, frame: Any) -> Any:
        """See `Family`."""
        return self.family.encode(X, frame)

    def take(self, rows: Any, index: slice | Array) -> Any:
        """See `Family`."""
        return self.family.take(rows, index)

    def neutral(self, n_components: int, frame: Any) -> MixtureOfParams:
        """Equal parts."""
        weight = np.full((n_components, self.n_parts), 1.0 / self.n_parts)
        return MixtureOfParams(weight, self.family.neutral(weight.size, frame))

    def bind(self, params: MixtureOfParams, frame: Any) -> MixtureOfBound:
        """See `Family`."""
        log_weight = np.log(np.maximum(params.weight, _TINY))
        return MixtureOfBound(log_weight, self.family.bind(params.parts, frame))

    def _joint(self, rows: Any, bound: MixtureOfBound, n_rows: int) -> Array:
        """Log-densities times weights: (n_components, n_parts, n_rows)."""
        joint = np.repeat(bound.log_weight.reshape(-1, 1), n_rows, axis=1)
        self.family.log_density(rows, bound.parts, joint)
        return joint.reshape(*bound.log_weight.shape, n_rows)

    def log_density(self, rows: Any, bound: MixtureOfBound, out: Array) -> None:
        """See `Family`."""
        joint = self._joint(rows, bound, out.shape[1])
        largest = joint.max(axis=1)
        out += largest + np.log(np.exp(joint - largest[:, None]).sum(axis=1))

    def statistics(
        self, rows: Any, responsibilities: Array, bound: MixtureOfBound
    ) -> MixtureOfStatistics:
        """See `Family`."""
        joint = self._joint(rows, bound, responsibilities.shape[1])
        joint -= joint.max(axis=1, keepdims=True)
        np.exp(joint, out=joint)
        joint *= (responsibilities / joint.sum(axis=1))[:, None]
        shares = joint.reshape(-1, joint.shape[2])
        parts = self.family.statistics(rows, shares, bound.parts)
        return MixtureOfStatistics(joint.sum(axis=2), parts)

    def estimate(
        self, statistics: MixtureOfStatistics, params: MixtureOfParams, frame: Any
    ) -> MixtureOfParams:
        """See `Family`."""
        found = statistics.weight
        weight = np.where(found > 10.0 * _EPS * found.sum(), found, 0.0) + self.alpha
        total = weight.sum(axis=1, keepdims=True)
        weight = np.where(total > 0.0, weight / np.where(total > 0.0, total, 1.0), params.weight)
        return MixtureOfParams(weight, self.family.estimate(statistics.parts, params.parts, frame))

    def log_prior(self, params: MixtureOfParams, frame: Any) -> float:
        """See `Family`."""
        logs = np.log(np.maximum(params.weight, _TINY))
        return self.alpha * float(logs.sum()) + self.family.log_prior(params.parts, frame)

    def start(
        self, rows: Any, responsibilities: Array, frame: Any, rng: np.random.Generator
    ) -> MixtureOfParams:
        """The rows of a component are divided at random, each row mostly to one part."""
        shape = (len(responsibilities), self.n_parts, responsibilities.shape[1])
        shares = rng.dirichlet(np.full(self.n_parts, 0.2), size=(shape[0], shape[2]))
        shares = shares.transpose(0, 2, 1) * responsibilities[:, None]
        parts = self.family.start(rows, shares.reshape(-1, shape[2]), frame, rng)
        weight = shares.sum(axis=2) + _TINY
        return MixtureOfParams(weight / weight.sum(axis=1, keepdims=True), parts)

    def n_parameters(self, params: MixtureOfParams, frame: Any) -> int:
        """See `Family`."""
        n_components, n_parts = params.weight.shape
        return n_components * (n_parts - 1) + self.family.n_parameters(params.parts, frame)

    def publish(self, params: MixtureOfParams, frame: Any) -> dict[str, Array]:
        """See `Family`."""
        shape = params.weight.shape
        parts = self.family.publish(params.parts, frame)
        divided = {name: value.reshape(*shape, *value.shape[1:]) for name, value in parts.items()}
        return {"part_weight": params.weight, **divided}

    def sample(
        self, params: MixtureOfParams, frame: Any, labels: Array, rng: np.random.Generator
    ) -> Array:
        """See `Family`."""
        bounds = np.cumsum(params.weight, axis=1)
        bounds /= bounds[:, -1:]
        drawn = (rng.random((len(labels), 1)) >= bounds[labels, :-1]).sum(axis=1)
        return self.family.sample(params.parts, frame, labels * self.n_parts + drawn, rng)

    def to_vector(self, params: MixtureOfParams, frame: Any) -> NDArray[np.float64]:
        """Log-ratios of the weights, and the vector of the parts."""
        logs = np.log(np.maximum(params.weight, _TINY))
        ratios = logs[:, :-1] - logs[:, -1:]
        return np.concatenate([ratios.ravel(), self.family.to_vector(params.parts, frame)])

    def from_vector(
        self, vector: NDArray[np.float64], like: MixtureOfParams, frame: Any
    ) -> MixtureOfParams:
        """See `to_vector`."""
        n_components, n_parts = like.weight.shape
        ratios, parts = np.split(vector, [n_components * (n_parts - 1)])
        if not np.isfinite(ratios).all():
            raise DegenerateModelError("the weights of the parts are not finite")
        logs = np.zeros((n_components, n_parts))
        logs[:, :-1] = ratios.reshape(n_components, n_parts - 1)
        weight = np.exp(logs - logs.max(axis=1, keepdims=True))
        weight /= weight.sum(axis=1, keepdims=True)
        return MixtureOfParams(weight, self.family.from_vector(parts, like.parts, frame))
