"""What a model of the errors of raters is, and models whose rows of matrices are free.

The confusion matrix of rater r has the probabilities ``theta[r, j, l]`` that the rater gives label
l to an item of class j. A `Confusion` says which matrices are possible. Its M-step maximizes

    sum_r sum_jl (n[r, j, l] + alpha[j, l]) log theta[r, j, l]  +  log_density(theta)

with the expected counts n, and pseudo-counts alpha that are the same for all raters: a prior of
any of these models is a set of further labels. Free rows have the maximum (n + alpha) / total.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions._exponential import log_of
from emlearn.engine import DegenerateModelError
from emlearn.engine.parameters import ParameterSpace, Part, Repeated, Simplex, per_probability

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Public = dict[str, Array]

# Sweeps of the M-step over the matrices of the raters and the common one. More have no effect on
# where EM ends, and hardly any on its speed.
_SWEEPS = 5


@dataclass(frozen=True)
class Confusion(ABC):
    """A model of the confusion matrices of all raters.

    Parameters
    ----------
    n_raters, n_classes : int
        Their numbers.
    """

    n_raters: int
    n_classes: int

    #: Whether the order of the classes matters.
    is_ordinal: ClassVar[bool] = False

    def pseudo_counts(self, strength: float, accuracy: float) -> Array:
        """Pseudo-counts alpha of each rater, of shape (n_classes, n_classes).

        Parameters
        ----------
        strength : float
            Number of further labels in each free row.
        accuracy : float
            Part of these that is right; the rest is spread evenly.
        """
        K = self.n_classes
        off = (1.0 - accuracy) / max(K - 1, 1)
        return strength * (off + (accuracy - off) * np.eye(K))

    @abstractmethod
    def start(self) -> Any:
        """Parameters that stay where there are no counts."""

    @abstractmethod
    def maximize(self, counts: Array, params: Any, fixed: Mapping[str, Array]) -> Any:
        """Parameters that maximize the expected objective, or raise it.

        Parameters
        ----------
        counts : ndarray of shape (n_raters, n_classes, n_classes)
            Expected counts with pseudo-counts, by rater, class and label.
        params : object
            The parameters at which they were taken.
        fixed : mapping of str to ndarray
            Published entries to hold, NaN where free; may be empty.
        """

    @abstractmethod
    def matrices(self, params: Any) -> Array:
        """Confusion matrices, (n_raters, n_classes, n_classes)."""

    def log_matrices(self, params: Any) -> Array:
        """Their logarithms; finite, so that no product with a count is NaN."""
        return log_of(self.matrices(params))

    def log_density(self, params: Any) -> float:
        """Log-density of the parameters beyond that of the pseudo-counts."""
        return 0.0

    @abstractmethod
    def public(self, params: Any) -> Public:
        """Published parameters by name."""

    @abstractmethod
    def from_public(self, public: Mapping[str, Array]) -> Any:
        """Inverse of `public`."""

    @abstractmethod
    def space(self) -> dict[str, Part]:
        """What the arrays of `public` are."""

    @abstractmethod
    def score(self, counts: Array, params: Any) -> Public:
        """Gradient of the expected objective with respect to `public`."""

    @abstractmethod
    def to_vector(self, params: Any) -> Array:
        """Parameters as a vector."""

    @abstractmethod
    def from_vector(self, vector: Array, like: Any) -> Any:
        """Inverse of `to_vector`.

        Raises
        ------
        DegenerateModelError
            If there are no such parameters.
        """

    def imposed(self, params: Any, fixed: Mapping[str, Array]) -> Any:
        """Parameters with entries put in."""
        public = self.public(params)
        own = {name: fixed[name] for name in public if name in fixed}
        if not own:
            return params
        return self.from_public(ParameterSpace(self.space()).impose(public, own))


def shares(counts: Array, otherwise: Array) -> Array:
    """Counts divided by their sums over the last axis; those of `otherwise` where these are 0."""
    total = counts.sum(axis=-1, keepdims=True)
    known = total > 0.0
    return np.where(known, counts / np.where(known, total, 1.0), otherwise)


def to_roots(probability: Array) -> Array:
    """Square roots of probabilities: coordinates without bounds, in which EM steps are even."""
    return np.sqrt(probability).ravel()


def from_roots(vector: Array, shape: tuple[int, ...]) -> Array:
    """Probabilities along the last axis from any numbers; inverse of `to_roots`."""
    square = np.square(vector.reshape(shape))
    total = square.sum(axis=-1, keepdims=True)
    if not (np.isfinite(total) & (total > 0.0)).all():
        raise DegenerateModelError("probabilities do not have a sum")
    return square / total


@dataclass(frozen=True)
class FullConfusion(Confusion):
    """A matrix of its own for each rater, as Dawid and Skene have it."""

    def start(self) -> Array:
        """Even rows."""
        return np.full((self.n_raters, self.n_classes, self.n_classes), 1.0 / self.n_classes)

    def maximize(self, counts: Array, params: Array, fixed: Mapping[str, Array]) -> Array:
        """See `Confusion`."""
        found: Array = self.imposed(shares(counts, params), fixed)
        return found

    def matrices(self, params: Array) -> Array:
        """See `Confusion`."""
        return params

    def public(self, params: Array) -> Public:
        """See `Confusion`."""
        return {"confusion_matrices": params}

    def from_public(self, public: Mapping[str, Array]) -> Array:
        """See `Confusion`."""
        return np.asarray(public["confusion_matrices"], np.float64)

    def space(self) -> dict[str, Part]:
        """See `Confusion`."""
        return {"confusion_matrices": Simplex(("rater", "class", "label"))}

    def score(self, counts: Array, params: Array) -> Public:
        """See `Confusion`."""
        return {"confusion_matrices": per_probability(counts, params)}

    def to_vector(self, params: Array) -> Array:
        """See `Confusion`."""
        return to_roots(params)

    def from_vector(self, vector: Array, like: Array) -> Array:
        """See `Confusion`."""
        return from_roots(vector, like.shape)


class _OfAllRaters(Repeated):
    """An array that all raters have in common."""

    @property
    def axes(self) -> tuple[str, ...]:  # type: ignore[override]  # of each instance
        """What each axis counts."""
        return ("rater", *self.part.axes)

    def impose(self, found: Array, fixed: Array) -> Array:
        """See `Part`."""
        return self.part.impose(found, fixed)

    def at_boundary(self, at: Array, one_row: float, gradient: Array | None) -> Mask:
        """See `Part`: the gradient is that of all raters together."""
        total = None if gradient is None else np.broadcast_to(gradient.sum(axis=0), at.shape)
        return self.part.at_boundary(at, one_row, total)


@dataclass(frozen=True)
class HomogeneousConfusion(FullConfusion):
    """One matrix for all raters; parameters are the matrix, published once for each rater."""

    def start(self) -> Array:
        """Even rows."""
        return np.full((self.n_classes, self.n_classes), 1.0 / self.n_classes)

    def pseudo_counts(self, strength: float, accuracy: float) -> Array:
        """See `Confusion`: the labels are those of all raters together."""
        return super().pseudo_counts(strength / self.n_raters, accuracy)

    def maximize(self, counts: Array, params: Array, fixed: Mapping[str, Array]) -> Array:
        """See `Confusion`."""
        found: Array = self.imposed(shares(counts.sum(axis=0), params), fixed)
        return found

    def matrices(self, params: Array) -> Array:
        """See `Confusion`."""
        return np.repeat(params[None], self.n_raters, axis=0)

    def public(self, params: Array) -> Public:
        """See `Confusion`."""
        return {"confusion_matrices": self.matrices(params)}

    def from_public(self, public: Mapping[str, Array]) -> Array:
        """See `Confusion`."""
        return np.asarray(public["confusion_matrices"], np.float64)[0]

    def space(self) -> dict[str, Part]:
        """See `Confusion`."""
        return {"confusion_matrices": _OfAllRaters(Simplex(("class", "label")))}

    def score(self, counts: Array, params: Array) -> Public:
        """See `Confusion`."""
        return {"confusion_matrices": per_probability(counts, self.matrices(params))}


class PooledParams(NamedTuple):
    """Matrices of the raters, and what they have in common.

    Attributes
    ----------
    own : ndarray of shape (n_raters, n_classes, n_classes)
        Confusion matrices.
    common : ndarray of shape (n_classes, n_classes)
        The matrix to which they are pulled.
    """

    own: Array
    common: Array


@dataclass(frozen=True)
class PooledConfusion(Confusion):
    """A matrix for each rater, each row of which is pulled to that of all raters.

    The log-density is ``-pooling * sum_rj KL(common[j] || own[r, j])``. It is that of a Dirichlet
    distribution with the parameters ``1 + pooling * common[j]``, with Stirling's formula for its
    constant. Given the common row, the row of a rater has ``pooling * common[j]`` further labels;
    given those of the raters, the common row is their normalized geometric mean. The objective is
    concave in both, so alternating between them leads to the maximum.

    Parameters
    ----------
    pooling : float
        Number of labels that the common row counts as.
    """

    pooling: float = 10.0

    def pseudo_counts(self, strength: float, accuracy: float) -> Array:
        """See `Confusion`: the labels are those of all raters together."""
        return super().pseudo_counts(strength / self.n_raters, accuracy)

    def start(self) -> PooledParams:
        """Even rows."""
        K = self.n_classes
        return PooledParams(np.full((self.n_raters, K, K), 1.0 / K), np.full((K, K), 1.0 / K))

    def maximize(
        self, counts: Array, params: PooledParams, fixed: Mapping[str, Array]
    ) -> PooledParams:
        """See `Confusion`."""
        own, common = params
        for _ in range(_SWEEPS):
            own = shares(counts + self.pooling * common, own)
            own = self.imposed(PooledParams(own, common), fixed).own
            mean = log_of(own).mean(axis=0)
            geometric = np.exp(mean - mean.max(axis=-1, keepdims=True))
            common = geometric / geometric.sum(axis=-1, keepdims=True)
            common = self.imposed(PooledParams(own, common), fixed).common
        return PooledParams(own, common)

    def matrices(self, params: PooledParams) -> Array:
        """See `Confusion`."""
        return params.own

    def log_density(self, params: PooledParams) -> float:
        """See `Confusion`."""
        ratio = log_of(params.own) - log_of(params.common)
        return self.pooling * float((params.common * ratio).sum())

    def public(self, params: PooledParams) -> Public:
        """See `Confusion`."""
        return {"confusion_matrices": params.own, "common_confusion": params.common}

    def from_public(self, public: Mapping[str, Array]) -> PooledParams:
        """See `Confusion`."""
        return PooledParams(
            np.asarray(public["confusion_matrices"], np.float64),
            np.asarray(public["common_confusion"], np.float64),
        )

    def space(self) -> dict[str, Part]:
        """See `Confusion`."""
        return {
            "confusion_matrices": Simplex(("rater", "class", "label")),
            "common_confusion": Simplex(("class", "label")),
        }

    def score(self, counts: Array, params: PooledParams) -> Public:
        """See `Confusion`."""
        own, common = params
        ratio = log_of(own) - log_of(common) - 1.0
        return {
            "confusion_matrices": per_probability(counts + self.pooling * common, own),
            "common_confusion": self.pooling * ratio.sum(axis=0),
        }

    def to_vector(self, params: PooledParams) -> Array:
        """See `Confusion`."""
        return np.concatenate([to_roots(params.own), to_roots(params.common)])

    def from_vector(self, vector: Array, like: PooledParams) -> PooledParams:
        """See `Confusion`."""
        size = like.own.size
        return PooledParams(
            from_roots(vector[:size], like.own.shape), from_roots(vector[size:], like.common.shape)
        )
