"""A component that is a mixture itself, as in hidden Markov models of Gaussian mixtures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from emlearn.families._contract import Array, Family
from emlearn.families._exponential import log_of


class MixtureParams(NamedTuple):
    """Parameters.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_parts)
        Proportions of the parts; rows add up to one.
    parts : object
        Parameters of the family for n_components x n_parts components.
    """

    weight: Array
    parts: Any


class MixtureStatistics(NamedTuple):
    """Sums of the responsibilities of the parts, and the statistics of their family."""

    weight: Array
    parts: Any


class MixtureBound(NamedTuple):
    """Logarithms of the proportions, and the family bound to its parameters."""

    log_weight: Array
    parts: Any


@dataclass(frozen=True)
class Mixture(Family):
    """Each component is a mixture of `n_parts` distributions of another family.

    Published are ``"weight"``, of shape (n_components, n_parts), and the parameters of the
    family, with shapes (n_components, n_parts, ...).

    Parameters
    ----------
    family : Family
        The family of the parts.
    n_parts : int, default=2
        Number of parts of each component.
    alpha : float, default=0.01
        Pseudo-rows of each part in the estimate of the proportions.

    Examples
    --------
    Two classes, each of two kinds of rows, where the classes of the rows are known:

    >>> import numpy as np
    >>> from emlearn import FiniteMixtureEM
    >>> from emlearn.families import Mixture, Poisson
    >>> counts = np.array([[1], [20], [2], [21], [9], [40], [8], [41]] * 5)
    >>> side = np.array([0, 0, 0, 0, 1, 1, 1, 1] * 5)
    >>> family = Mixture(Poisson(), n_parts=2)
    >>> classes = FiniteMixtureEM(family=family, random_state=0).fit(counts, side)
    >>> np.sort(classes.component_params_["rate"][:, :, 0]).round(1)
    array([[ 1.5, 20.5],
           [ 8.5, 40.5]])
    """

    family: Family
    n_parts: int = 2
    alpha: float = 0.01

    @property
    def accepts_sparse(self) -> bool:  # type: ignore[override]
        """Whether the family of the parts does."""
        return self.family.accepts_sparse

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        """Whether the family of the parts is."""
        return self.family.is_discrete

    @property
    def has_vector(self) -> bool:
        """Whether the family of the parts has one."""
        return self.family.has_vector

    def at_columns(self, names: Sequence[str] | None, n_features: int) -> Mixture:
        """See `Family`."""
        return replace(self, family=self.family.at_columns(names, n_features))

    def frame(self, X: Any, weight: Array | None = None) -> Any:
        """See `Family`."""
        return self.family.frame(X, weight)

    def encode(self, X: Any, frame: Any) -> Any:
        """See `Family`."""
        return self.family.encode(X, frame)

    def take(self, rows: Any, index: slice | Array) -> Any:
        """See `Family`."""
        return self.family.take(rows, index)

    def neutral(self, n_components: int, frame: Any) -> MixtureParams:
        """See `Family`."""
        weight = np.full((n_components, self.n_parts), 1.0 / self.n_parts)
        return MixtureParams(weight, self.family.neutral(weight.size, frame))

    def bind(self, params: MixtureParams, frame: Any) -> MixtureBound:
        """See `Family`."""
        return MixtureBound(log_of(params.weight), self.family.bind(params.parts, frame))

    def _joint(self, rows: Any, bound: MixtureBound, n_rows: int) -> Array:
        """Log-joint densities (n_components, n_parts, n_rows)."""
        joint = np.repeat(bound.log_weight.reshape(-1, 1), n_rows, axis=1)
        self.family.log_density(rows, bound.parts, joint)
        return joint.reshape(*bound.log_weight.shape, n_rows)

    def log_density(self, rows: Any, bound: MixtureBound, out: Array) -> None:
        """See `Family`."""
        joint = self._joint(rows, bound, out.shape[1])
        largest = joint.max(axis=1)
        joint -= largest[:, None]
        out += largest
        out += np.log(np.exp(joint, out=joint).sum(axis=1))

    def statistics(
        self, rows: Any, responsibilities: Array, bound: MixtureBound
    ) -> MixtureStatistics:
        """See `Family`."""
        joint = self._joint(rows, bound, responsibilities.shape[1])
        joint -= joint.max(axis=1, keepdims=True)
        np.exp(joint, out=joint)
        joint *= (responsibilities / joint.sum(axis=1))[:, None]
        parts = joint.reshape(-1, responsibilities.shape[1])
        return MixtureStatistics(
            joint.sum(axis=2), self.family.statistics(rows, parts, bound.parts)
        )

    def estimate(
        self, statistics: MixtureStatistics, params: MixtureParams, frame: Any
    ) -> MixtureParams:
        """See `Family`."""
        weight = statistics.weight + self.alpha
        total = weight.sum(axis=1, keepdims=True)
        known = total > 0.0
        weight = np.where(known, weight / np.where(known, total, 1.0), params.weight)
        return MixtureParams(weight, self.family.estimate(statistics.parts, params.parts, frame))

    def log_prior(self, params: MixtureParams, frame: Any) -> float:
        """See `Family`."""
        own = self.alpha * float(log_of(params.weight).sum())
        return own + self.family.log_prior(params.parts, frame)

    def start(
        self, rows: Any, responsibilities: Array, frame: Any, rng: np.random.Generator
    ) -> MixtureParams:
        """Each part starts by half around a row of its component, drawn at random."""
        shares = np.repeat(responsibilities / self.n_parts, self.n_parts, axis=0)
        for share in shares:
            total = share.sum()
            if total > 0.0:
                seed = rng.choice(len(share), p=share / total)
                share *= 0.5
                share[seed] += 0.5 * total
        parts = self.family.start(rows, shares, frame, rng)
        weight = np.full((len(responsibilities), self.n_parts), 1.0 / self.n_parts)
        return MixtureParams(weight, parts)

    def n_parameters(self, params: MixtureParams, frame: Any) -> int:
        """See `Family`."""
        n_components, n_parts = params.weight.shape
        return n_components * (n_parts - 1) + self.family.n_parameters(params.parts, frame)

    def publish(self, params: MixtureParams, frame: Any) -> dict[str, Array]:
        """See `Family`."""
        shape = params.weight.shape
        parts = self.family.publish(params.parts, frame)
        named = {name: value.reshape(*shape, *value.shape[1:]) for name, value in parts.items()}
        return {"weight": params.weight, **named}

    def sample(
        self, params: MixtureParams, frame: Any, labels: Array, rng: np.random.Generator
    ) -> Array:
        """See `Family`."""
        below = params.weight.cumsum(axis=1)[labels, :-1]
        part = (rng.random((len(labels), 1)) >= below).sum(axis=1)
        return self.family.sample(params.parts, frame, labels * self.n_parts + part, rng)

    def to_vector(self, params: MixtureParams, frame: Any) -> Array:
        """Logarithms of the proportions, and the vector of the family."""
        own = log_of(params.weight).ravel()
        return np.concatenate([own, self.family.to_vector(params.parts, frame)])

    def from_vector(self, vector: Array, like: MixtureParams, frame: Any) -> MixtureParams:
        """See `Family`."""
        own, parts = np.split(vector, [like.weight.size])
        logarithm = own.reshape(like.weight.shape)
        weight = np.exp(logarithm - logarithm.max(axis=1, keepdims=True))
        weight /= weight.sum(axis=1, keepdims=True)
        return MixtureParams(weight, self.family.from_vector(parts, like.parts, frame))
