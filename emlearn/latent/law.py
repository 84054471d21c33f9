"""The law of a latent label: how probable the labels are before the rows are observed.

A mixture draws the label of each row independently. A chain draws it given the label of the
previous row. Both share everything else: data, known labels, starts, perturbation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions import Family
from emlearn.distributions._contract import mean_width
from emlearn.distributions._exponential import log_of
from emlearn.engine import DegenerateModelError
from emlearn.engine.parameters import ParameterSpace, Part, Simplex, per_probability
from emlearn.kernels.softmax import row_log_density, to_responsibilities
from emlearn.latent.data import (
    LabelBlock,
    LabelData,
    Observations,
    prepare_rows,
    take_rows,
)

Array = NDArray[Any]

_EPS = float(np.finfo(np.float64).eps)
_TINY = float(np.finfo(np.float64).tiny)
# Number of rows on which starts are compared, if the data have more than twice as many.
SUBSET_ROWS = 5000
_SUBSET_ROWS_PER_COMPONENT = 100
_SUBSET_ROWS_PER_ENTRY = 10
# Smallest proportion of a component at a start, relative to equal proportions.
_SMALLEST = 1e-3

#: A label is empty if it has at most this fraction of the rows.
EMPTY = 10.0 * _EPS


class Law(ABC):
    """Distribution of the labels of all rows. Its parameters are immutable."""

    n_components: int

    #: What a label is called, and what is said of labels without rows.
    noun: ClassVar[str]
    emptied: ClassVar[str]

    @abstractmethod
    def prepare(self, observed: Observations, weight: Array | None, family: Family) -> LabelData:
        """The rows, in the order and the blocks that this law needs."""

    @abstractmethod
    def subset(
        self, data: LabelData, family: Family, rng: np.random.Generator, size: int | None
    ) -> LabelData | None:
        """A random part of large data; None if the data are small."""

    @abstractmethod
    def start(self, responsibilities: Array | None, data: LabelData) -> Any:
        """Starting parameters.

        Parameters
        ----------
        responsibilities : ndarray of shape (n_components, n_rows) or None
            Responsibilities times weight. None if a start says nothing about the law.
        data : LabelData
            The rows.
        """

    @abstractmethod
    def restart(self, responsibilities: Array, data: LabelData) -> Any:
        """Parameters to continue from after responsibilities have been changed by a guess."""

    def precompute(self, params: Any) -> Any:
        """What every block of one E-step needs. By default, the parameters."""
        return params

    @abstractmethod
    def posterior(self, joint: Array, block: LabelBlock, precomputed: Any) -> tuple[Any, float]:
        """Replace log-densities by posterior probabilities of the labels times weight.

        Parameters
        ----------
        joint : ndarray of shape (n_components, n_rows)
            Log-densities of the rows given each label, -inf where a label is excluded.
            Overwritten.
        block : LabelBlock
            The rows.
        precomputed : object
            Result of `precompute`.

        Returns
        -------
        statistics : object
            Expected counts, the input of `m_step`.
        log_likelihood : float
            Weighted log-likelihood of the block.
        """

    @abstractmethod
    def rows(self, statistics: Any) -> Array:
        """Expected rows of each label, in units of their weight."""

    @abstractmethod
    def m_step(self, statistics: Any, params: Any) -> Any:
        """Mode given the expected counts."""

    @abstractmethod
    def log_likelihoods(self, joint: Array, block: LabelBlock, precomputed: Any) -> Array:
        """Log-likelihoods of the rows, or sequences, of a block; `joint` as in `posterior`."""

    @abstractmethod
    def public(self, params: Any) -> dict[str, Array]:
        """Parameters by name."""

    @abstractmethod
    def from_public(self, public: Mapping[str, Array]) -> Any:
        """Inverse of `public`, for any mapping that has these names."""

    @abstractmethod
    def space(self, params: Any) -> dict[str, Part]:
        """What the arrays of `public` are."""

    @abstractmethod
    def score(self, statistics: Any, params: Any) -> dict[str, Array]:
        """Gradient of the expected log-probability of the labels plus the log prior."""

    def impose(self, params: Any, fixed: Mapping[str, Array]) -> Any:
        """Parameters with the entries of `fixed` put in; free ones keep their proportions."""
        public = self.public(params)
        own = {name: fixed[name] for name in public if name in fixed}
        if not own:
            return params
        return self.from_public(ParameterSpace(self.space(params)).impose(public, own))

    def constrained_m_step(self, statistics: Any, params: Any, fixed: Mapping[str, Array]) -> Any:
        """As `m_step`, with the entries of `fixed` held; by default they are put in."""
        return self.impose(self.m_step(statistics, params), fixed)

    @abstractmethod
    def expected(self, statistics: Any, params: Any) -> float:
        """Expected log-probability of the labels."""

    @abstractmethod
    def renumbered(self, statistics: Any, order: Array) -> Any:
        """Statistics after the labels `order` become 0, 1, ...."""

    @abstractmethod
    def renumbered_params(self, params: Any, order: Array) -> Any:
        """Parameters after that. Starting values from the user stay where they are."""

    @abstractmethod
    def log_prior(self, params: Any) -> float:
        """Log prior density up to a constant."""

    @abstractmethod
    def pseudo_rows(self) -> float:
        """Number of rows that the prior counts as."""

    @abstractmethod
    def n_parameters(self) -> int:
        """Number of free parameters."""

    @abstractmethod
    def to_vector(self, params: Any) -> NDArray[np.float64]:
        """Parameters as an unconstrained vector."""

    @abstractmethod
    def from_vector(
        self, vector: NDArray[np.float64], like: Any
    ) -> tuple[Any, NDArray[np.float64]]:
        """Parameters from the first entries of a vector, and the remaining entries."""


class MixtureParams(NamedTuple):
    """Parameters of a mixture.

    Attributes
    ----------
    weights : ndarray of shape (n_components,)
        Mixing proportions; 0 for an empty component.
    """

    weights: Array


def log_weights(weights: Array) -> Array:
    """Logarithms of the mixing proportions; -inf for an empty component."""
    if all(weights.tolist()):
        return np.log(weights)
    logarithms = np.full(len(weights), -np.inf)
    np.log(weights, out=logarithms, where=weights > 0.0)
    return logarithms


@dataclass(frozen=True)
class MixtureLaw(Law):
    """Independent labels.

    Parameters
    ----------
    n_components : int
        Number of components.
    alpha : float, default=0.0
        Pseudo-rows of each component. The prior of the weights is Dirichlet(1 + alpha, ...).
    unlabelled_weight : float, default=1.0
        Factor on the weights of the rows without a known label, if some labels are known.
    """

    n_components: int
    alpha: float = 0.0
    unlabelled_weight: float = 1.0

    noun: ClassVar[str] = "component"
    emptied: ClassVar[str] = "lost all rows and have weight 0"

    def prepare(self, observed: Observations, weight: Array | None, family: Family) -> LabelData:
        """Drop rows of weight zero, merge copies, encode the rows and cut them into blocks."""
        return prepare_rows(observed, weight, family, self.n_components, self.unlabelled_weight)

    def subset(
        self, data: LabelData, family: Family, rng: np.random.Generator, size: int | None
    ) -> LabelData | None:
        """Random rows."""
        if size is None:
            each = max(_SUBSET_ROWS_PER_COMPONENT, int(_SUBSET_ROWS_PER_ENTRY * mean_width(data.X)))
            size = max(SUBSET_ROWS, self.n_components * each)
        if data.n_rows <= 2 * size:
            return None
        chosen = np.sort(rng.choice(data.n_rows, size, replace=False, shuffle=False))
        return take_rows(data, chosen, family, self.n_components)

    def start(self, responsibilities: Array | None, data: LabelData) -> MixtureParams:
        """Proportions from the responsibilities. No component starts empty."""
        if responsibilities is None:
            return MixtureParams(np.full(self.n_components, 1.0 / self.n_components))
        weight = responsibilities.sum(axis=1)
        weight = np.maximum(weight, _SMALLEST * weight.sum() / len(weight))
        return MixtureParams(weight / weight.sum())

    def restart(self, responsibilities: Array, data: LabelData) -> MixtureParams:
        """See `Law`."""
        return self.start(responsibilities, data)

    def precompute(self, params: MixtureParams) -> Array:
        """Logarithms of the proportions."""
        return log_weights(params.weights)

    def posterior(self, joint: Array, block: LabelBlock, precomputed: Array) -> tuple[Any, float]:
        """See `Law`."""
        joint += precomputed[:, None]
        value = to_responsibilities(joint, block.weight)
        return joint.sum(axis=1), value

    def rows(self, statistics: Array) -> Array:
        """See `Law`."""
        return statistics

    def m_step(self, statistics: Array, params: MixtureParams) -> MixtureParams:
        """Proportions from the expected counts and the pseudo-rows."""
        total = statistics.sum()
        if self.alpha == 0.0 and min(statistics.tolist()) > EMPTY * total:
            return MixtureParams(statistics / total)
        filled = statistics > EMPTY * total
        weight = np.where(filled, statistics, 0.0) + self.alpha
        return MixtureParams(weight / weight.sum())

    def log_likelihoods(self, joint: Array, block: LabelBlock, precomputed: Array) -> Array:
        """See `Law`."""
        joint += precomputed[:, None]
        return row_log_density(joint)

    def public(self, params: MixtureParams) -> dict[str, Array]:
        """See `Law`."""
        return {"weights": params.weights}

    def from_public(self, public: Mapping[str, Array]) -> MixtureParams:
        """See `Law`."""
        return MixtureParams(np.asarray(public["weights"], np.float64))

    def space(self, params: MixtureParams) -> dict[str, Part]:
        """See `Law`."""
        return {"weights": Simplex(("component",))}

    def score(self, statistics: Array, params: MixtureParams) -> dict[str, Array]:
        """See `Law`."""
        return {"weights": per_probability(statistics + self.alpha, params.weights)}

    def expected(self, statistics: Array, params: MixtureParams) -> float:
        """See `Law`."""
        return float(statistics @ log_of(params.weights))

    def renumbered(self, statistics: Array, order: Array) -> Array:
        """See `Law`."""
        return statistics[order]

    def renumbered_params(self, params: MixtureParams, order: Array) -> MixtureParams:
        """See `Law`."""
        return MixtureParams(params.weights[order])

    def log_prior(self, params: MixtureParams) -> float:
        """Log density of the Dirichlet prior."""
        if self.alpha == 0.0:
            return 0.0
        return self.alpha * float(np.log(np.maximum(params.weights, _TINY)).sum())

    def pseudo_rows(self) -> float:
        """See `Law`."""
        return self.n_components * self.alpha

    def n_parameters(self) -> int:
        """Number of components minus one."""
        return self.n_components - 1

    def to_vector(self, params: MixtureParams) -> NDArray[np.float64]:
        """Log-ratios of the proportions to the last one."""
        logarithms = np.log(np.maximum(params.weights, _TINY))
        return logarithms[:-1] - logarithms[-1]

    def from_vector(
        self, vector: NDArray[np.float64], like: MixtureParams
    ) -> tuple[MixtureParams, NDArray[np.float64]]:
        """See `Law`. An empty component stays empty."""
        log_ratio, rest = np.split(vector, [self.n_components - 1])
        logarithms = np.append(log_ratio, 0.0)
        weights = np.exp(logarithms - logarithms.max()) * (like.weights > 0.0)
        if not np.isfinite(weights).all():
            raise DegenerateModelError("the weights are not finite")
        return MixtureParams(weights / weights.sum()), rest
