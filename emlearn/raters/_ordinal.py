"""Raters of ordered classes: signal detection on a logistic scale.

An item of class j = 0, 1, ..., K - 1 is perceived by rater r at ``d[r] j`` plus logistic noise. The
rater gives label l or a higher one if this exceeds the criterion c[r, l]:

    P(label >= l | class j) = 1 / (1 + exp(-(d[r] j - c[r, l]))),   c[r, 1] < ... < c[r, K - 1].

The discrimination d says how well the rater tells classes apart, and the criteria how severe the
rater is; labels far from the class are less probable than near ones. It is an item response model
of graded responses, with raters as items and classes as nodes, and has its M-step: Newton steps
with a line search, for all raters at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.engine import DegenerateModelError
from emlearn.engine.parameters import Entries, Part
from emlearn.irt._items import maximize
from emlearn.irt._prior import ItemPrior
from emlearn.irt._responses import LARGEST_INTERCEPT, LARGEST_SLOPE, Graded, ItemParams
from emlearn.raters._confusion import Confusion, Public

Array = NDArray[np.float64]

# Discrimination at the start: neighboring classes are confused in a fifth of the cases.
_START = 3.0
# Part of the wrong labels of the prior that is left at each step away from the class.
_DECAY = 0.25


class OrdinalParams(NamedTuple):
    """Parameters of the raters.

    Attributes
    ----------
    discrimination : ndarray of shape (n_raters,)
        Distance of neighboring classes, in units of the noise.
    criteria : ndarray of shape (n_raters, n_classes - 1)
        Criteria between labels, increasing.
    """

    discrimination: Array
    criteria: Array


@dataclass(frozen=True)
class OrdinalConfusion(Confusion):
    """A discrimination and criteria for each rater."""

    is_ordinal: ClassVar[bool] = True

    @property
    def _responses(self) -> Graded:
        return Graded((self.n_classes,) * self.n_raters)

    @property
    def _nodes(self) -> Array:
        return np.arange(float(self.n_classes))[:, None]

    def pseudo_counts(self, strength: float, accuracy: float) -> Array:
        """See `Confusion`: wrong labels become fewer with their distance from the class."""
        K = self.n_classes
        distance = np.abs(np.subtract.outer(np.arange(K), np.arange(K)))
        wrong = np.where(distance > 0, _DECAY**distance, 0.0)
        wrong = wrong / wrong.sum(axis=1, keepdims=True)
        return strength / K * (accuracy * np.eye(K) + (1.0 - accuracy) * wrong)

    def start(self) -> OrdinalParams:
        """The same for all raters, with criteria in the middle between classes."""
        between = _START * (np.arange(self.n_classes - 1.0) + 0.5)
        return OrdinalParams(
            np.full(self.n_raters, _START), np.repeat(between[None], self.n_raters, axis=0)
        )

    def maximize(
        self, counts: Array, params: OrdinalParams, fixed: Mapping[str, Array]
    ) -> OrdinalParams:
        """See `Confusion`."""
        free = np.ones((self.n_raters, self.n_classes), dtype=bool)
        if "discrimination" in fixed:
            free[:, 0] = np.isnan(fixed["discrimination"])
        if "criteria" in fixed:
            free[:, 1:] = np.isnan(fixed["criteria"])
        found = maximize(
            self._responses,
            ItemPrior(),
            _as_items(params),
            self._nodes,
            counts.transpose(0, 2, 1),
            free[:, :, None] * np.eye(self.n_classes),
            np.ones((self.n_raters, 1), dtype=bool),
        )
        ordinal = OrdinalParams(found.slopes[:, 0], -found.intercepts)
        held: OrdinalParams = self.imposed(ordinal, fixed)
        return held

    def log_matrices(self, params: OrdinalParams) -> Array:
        """See `Confusion`."""
        found = self._responses.log_probabilities(_as_items(params), self._nodes)
        return found.transpose(0, 2, 1)

    def matrices(self, params: OrdinalParams) -> Array:
        """See `Confusion`."""
        return np.exp(self.log_matrices(params))

    def public(self, params: OrdinalParams) -> Public:
        """See `Confusion`."""
        return {"discrimination": params.discrimination, "criteria": params.criteria}

    def from_public(self, public: Mapping[str, Array]) -> OrdinalParams:
        """See `Confusion`."""
        return self._checked(
            np.asarray(public["discrimination"], np.float64),
            np.asarray(public["criteria"], np.float64),
        )

    def space(self) -> dict[str, Part]:
        """See `Confusion`."""
        R, K = self.n_raters, self.n_classes
        return {
            "discrimination": Entries(("rater",), scale=np.ones(R)),
            "criteria": Entries(("rater", "criterion"), scale=np.ones((R, K - 1))),
        }

    def score(self, counts: Array, params: OrdinalParams) -> Public:
        """See `Confusion`."""
        gradient = self._responses.newton(
            _as_items(params), self._nodes, counts.transpose(0, 2, 1)
        ).gradient
        return {"discrimination": gradient[:, 0], "criteria": -gradient[:, 1:]}

    def to_vector(self, params: OrdinalParams) -> Array:
        """See `Confusion`."""
        return np.concatenate([params.discrimination, params.criteria.ravel()])

    def from_vector(self, vector: Array, like: OrdinalParams) -> OrdinalParams:
        """See `Confusion`."""
        R = self.n_raters
        return self._checked(vector[:R], vector[R:].reshape(like.criteria.shape))

    def _checked(self, discrimination: Array, criteria: Array) -> OrdinalParams:
        params = OrdinalParams(
            discrimination.clip(-LARGEST_SLOPE, LARGEST_SLOPE),
            criteria.clip(-LARGEST_INTERCEPT, LARGEST_INTERCEPT),
        )
        if not self._responses.is_valid(_as_items(params)).all():
            raise DegenerateModelError("criteria of a rater are not in order")
        return params


def _as_items(params: OrdinalParams) -> ItemParams:
    return ItemParams(params.discrimination[:, None], -params.criteria, np.zeros(len(params[0])))
