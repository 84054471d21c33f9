"""Raters whose errors are spread evenly over the wrong labels: one coin, or one for each class.

A rater is right with probability a, and gives each wrong label with (1 - a) / (K - 1). With c of
n labels right, pseudo-counts included, the M-step is a = c / n.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emlearn.engine.parameters import Entries, Part
from emlearn.raters._confusion import Confusion, Public

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ClassConditional(Confusion):
    """An accuracy for each rater and class."""

    def start(self) -> Array:
        """Even rows."""
        return np.full((self.n_raters, self.n_classes), 1.0 / self.n_classes)

    def _right(self, counts: Array) -> tuple[Array, Array]:
        """Numbers of right labels and of all, in the shape of the accuracies."""
        return np.diagonal(counts, axis1=1, axis2=2), counts.sum(axis=2)

    def maximize(self, counts: Array, params: Array, fixed: Mapping[str, Array]) -> Array:
        """See `Confusion`."""
        right, total = self._right(counts)
        accuracy = np.divide(right, total, out=params.copy(), where=total > 0.0)
        found: Array = self.imposed(accuracy, fixed)
        return found

    def matrices(self, params: Array) -> Array:
        """See `Confusion`."""
        K = self.n_classes
        right = np.broadcast_to(params if params.ndim == 2 else params[:, None], (len(params), K))
        wrong = (1.0 - right) / (K - 1)
        return np.where(np.eye(K, dtype=bool), right[:, :, None], wrong[:, :, None])

    def public(self, params: Array) -> Public:
        """See `Confusion`."""
        return {"accuracies": params}

    def from_public(self, public: Mapping[str, Array]) -> Array:
        """See `Confusion`."""
        return np.asarray(public["accuracies"], np.float64)

    def space(self) -> dict[str, Part]:
        """See `Confusion`."""
        return {"accuracies": Entries(("rater", "class"), lower=0.0, upper=1.0)}

    def score(self, counts: Array, params: Array) -> Public:
        """See `Confusion`."""
        right, total = self._right(counts)
        tiny = np.finfo(np.float64).tiny
        gradient = right / np.maximum(params, tiny)
        gradient = gradient - (total - right) / np.maximum(1.0 - params, tiny)
        return {"accuracies": gradient}

    def to_vector(self, params: Array) -> Array:
        """See `Confusion`: angles, whose squared sine is the accuracy."""
        return np.arcsin(np.sqrt(params)).ravel()

    def from_vector(self, vector: Array, like: Array) -> Array:
        """See `Confusion`."""
        return np.square(np.sin(vector)).reshape(like.shape)


@dataclass(frozen=True)
class OneCoin(ClassConditional):
    """An accuracy for each rater."""

    def pseudo_counts(self, strength: float, accuracy: float) -> Array:
        """See `Confusion`."""
        return super().pseudo_counts(strength / self.n_classes, accuracy)

    def start(self) -> Array:
        """Even rows."""
        return np.full(self.n_raters, 1.0 / self.n_classes)

    def _right(self, counts: Array) -> tuple[Array, Array]:
        return np.trace(counts, axis1=1, axis2=2), counts.sum(axis=(1, 2))

    def space(self) -> dict[str, Part]:
        """See `Confusion`."""
        return {"accuracies": Entries(("rater",), lower=0.0, upper=1.0)}
