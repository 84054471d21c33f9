"""The response models: one, two and three parameters, graded responses, partial credit.

Their interface is that of `emlearn.irt._response_model`, whose names are here, too.

References
----------
A. Birnbaum (1968). "Some latent trait models and their use in inferring an examinee's ability".
In F. M. Lord and M. R. Novick, Statistical Theories of Mental Test Scores. Addison-Wesley.

F. Samejima (1969). "Estimation of latent ability using a response pattern of graded scores".
Psychometrika Monograph 17.

E. Muraki (1992). "A generalized partial credit model: application of an EM algorithm". Applied
Psychological Measurement 16(2), 159-176.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from emlearn.irt._response_model import (
    LARGEST_INTERCEPT,
    LARGEST_SLOPE,
    NEVER,
    SMALLEST_GUESSING,
    Array,
    ItemParams,
    Newton,
    ProbabilityDerivatives,
    ResponseModel,
    as_nodes,
    expit,
    from_thresholds,
    log_expit,
    logit,
    thresholds,
)

__all__ = [
    "LARGEST_INTERCEPT",
    "LARGEST_SLOPE",
    "NEVER",
    "RESPONSE_MODELS",
    "SMALLEST_GUESSING",
    "Array",
    "Graded",
    "ItemParams",
    "Newton",
    "OneParameter",
    "PartialCredit",
    "ProbabilityDerivatives",
    "ResponseModel",
    "ThreeParameter",
    "TwoParameter",
    "as_nodes",
    "expit",
    "from_thresholds",
    "log_expit",
    "logit",
    "thresholds",
]

_TINY = 1e-290


@dataclass(frozen=True)
class TwoParameter(ResponseModel):
    """Two-parameter logistic model, ``P(1) = 1 / (1 + exp(-(a theta + c)))``."""

    name: ClassVar[str] = "2pl"
    is_binary: ClassVar[bool] = True

    def log_probabilities(self, params: ItemParams, theta: Array) -> Array:
        """See `ResponseModel.log_probabilities`."""
        u = self.predictors(params, theta)
        solved = log_expit(u)
        return np.concatenate([solved - u, solved], axis=1)

    def probability_derivatives(self, params: ItemParams, theta: Array) -> ProbabilityDerivatives:
        """See `ResponseModel.probability_derivatives`."""
        u = self.predictors(params, theta)
        solved, failed = expit(u), expit(-u)
        first = solved * failed
        return _of_solved(failed, solved, first, first * (failed - solved))

    def _expected(self, params: ItemParams, theta: Array, counts: Array) -> tuple[Array, Array]:
        u = self.predictors(params, theta)
        solved = expit(u)
        total = counts.sum(axis=1, keepdims=True)
        gradient = counts[:, 1:] - total * solved
        return gradient, (total * solved * (1.0 - solved))[:, None]


@dataclass(frozen=True)
class OneParameter(TwoParameter):
    """Two-parameter logistic model with one slope for all items."""

    name: ClassVar[str] = "1pl"
    has_common_slope: ClassVar[bool] = True


@dataclass(frozen=True)
class ThreeParameter(ResponseModel):
    """Three-parameter logistic model, ``P(1) = g + (1 - g) / (1 + exp(-(a theta + c)))``."""

    name: ClassVar[str] = "3pl"
    is_binary: ClassVar[bool] = True
    has_guessing: ClassVar[bool] = True

    def log_probabilities(self, params: ItemParams, theta: Array) -> Array:
        """See `ResponseModel.log_probabilities`."""
        u = self.predictors(params, theta)
        guessing = params.guessing[:, None, None]
        knows = np.log1p(-guessing)
        with np.errstate(divide="ignore"):
            solved = np.logaddexp(np.log(guessing), knows + log_expit(u))
        return np.concatenate([knows + log_expit(-u), solved], axis=1)

    def probability_derivatives(self, params: ItemParams, theta: Array) -> ProbabilityDerivatives:
        """See `ResponseModel.probability_derivatives`."""
        u = self.predictors(params, theta)
        knows = 1.0 - params.guessing[:, None, None]
        high, low = expit(u), expit(-u)
        first = knows * high * low
        failed = knows * low
        solved = params.guessing[:, None, None] + knows * high
        return _of_solved(failed, solved, first, first * (low - high))

    def _expected(self, params: ItemParams, theta: Array, counts: Array) -> tuple[Array, Array]:
        u = self.predictors(params, theta)[:, 0]
        guessing = params.guessing[:, None]
        high, low = expit(u), expit(-u)
        failed = np.maximum((1.0 - guessing) * low, _TINY)
        solved = guessing + (1.0 - guessing) * high
        # Derivatives of the probability, each divided by that of a failure.
        slopes = np.stack([high, np.broadcast_to(guessing, high.shape)], axis=1)
        total = counts.sum(axis=1)
        residual = (counts[:, 1] - total * solved) / solved
        gradient = residual[:, None] * slopes
        weight = total * failed / solved
        return gradient, weight[:, None, None] * slopes[:, :, None] * slopes[:, None, :]


@dataclass(frozen=True)
class Graded(ResponseModel):
    """Graded response model, ``P(x >= k) = 1 / (1 + exp(-(a theta + c_k)))``, c decreasing."""

    name: ClassVar[str] = "grm"

    def _bounds(self, params: ItemParams, theta: Array) -> tuple[Array, Array]:
        """Predictors of ``x >= k`` and of ``x >= k + 1`` for each category k."""
        u = self.predictors(params, theta)
        exists = self.is_category[:, 1:, None]
        edge = np.full((u.shape[0], 1, u.shape[2]), np.inf)
        return (
            np.concatenate([edge, np.where(exists, u, -np.inf)], axis=1),
            np.concatenate([np.where(exists, u, -np.inf), -edge], axis=1),
        )

    def log_probabilities(self, params: ItemParams, theta: Array) -> Array:
        """See `ResponseModel.log_probabilities`."""
        lower, upper = self._bounds(params, theta)
        exists = self.is_category[:, :, None]
        lower = np.where(exists, lower, np.inf)
        # The difference of two logistic functions, without cancellation.
        gap = np.log(-np.expm1(np.minimum(upper - lower, -1e-12)))
        values = log_expit(lower) + log_expit(-upper) + gap
        return np.where(exists, values, NEVER)

    def probability_derivatives(self, params: ItemParams, theta: Array) -> ProbabilityDerivatives:
        """See `ResponseModel.probability_derivatives`."""
        lower, upper = self._bounds(params, theta)
        high, low = expit(lower), expit(upper)
        first = high * expit(-lower), low * expit(-upper)
        second = first[0] * (1.0 - 2.0 * high), first[1] * (1.0 - 2.0 * low)
        return ProbabilityDerivatives(
            np.exp(self.log_probabilities(params, theta)),
            first[0] - first[1],
            second[0] - second[1],
        )

    def _expected(self, params: ItemParams, theta: Array, counts: Array) -> tuple[Array, Array]:
        u = self.predictors(params, theta)
        exists = self.is_category[:, :, None]
        slope = np.where(exists[:, 1:], expit(u) * expit(-u), 0.0)
        probability = np.maximum(np.exp(self.log_probabilities(params, theta)), _TINY)
        probability = np.where(exists, probability, 1.0)
        ratio = counts / probability
        gradient = slope * (ratio[:, 1:] - ratio[:, :-1])
        total = counts.sum(axis=1)
        inverse = 1.0 / probability
        size = self.width - 1
        information = np.zeros((len(u), size, size, u.shape[2]))
        index = np.arange(size)
        # In this order, slopes that underflow meet no probability that does first.
        information[:, index, index] = (
            total[:, None] * slope * (slope * inverse[:, 1:] + slope * inverse[:, :-1])
        )
        beside = -total[:, None] * slope[:, :-1] * (slope[:, 1:] * inverse[:, 1:-1])
        information[:, index[:-1], index[1:]] = beside
        information[:, index[1:], index[:-1]] = beside
        return gradient, information

    def is_valid(self, params: ItemParams) -> NDArray[np.bool_]:
        """Whether the intercepts of each item decrease."""
        falls = np.diff(params.intercepts, axis=1) < -1e-9
        return np.all(falls | ~self.is_category[:, 2:], axis=1)


@dataclass(frozen=True)
class PartialCredit(ResponseModel):
    """Generalized partial credit model, ``log P(x = k) / P(x = k - 1) = a theta + c_k``."""

    name: ClassVar[str] = "gpcm"

    def log_probabilities(self, params: ItemParams, theta: Array) -> Array:
        """See `ResponseModel.log_probabilities`."""
        u = self.predictors(params, theta)
        edge = np.zeros((u.shape[0], 1, u.shape[2]))
        exponents = np.concatenate([edge, u.cumsum(axis=1)], axis=1)
        exponents = np.where(self.is_category[:, :, None], exponents, -np.inf)
        values: Array = exponents - logsumexp(exponents, axis=1, keepdims=True)
        return np.maximum(values, NEVER)

    def probability_derivatives(self, params: ItemParams, theta: Array) -> ProbabilityDerivatives:
        """See `ResponseModel.probability_derivatives`."""
        probability = np.exp(self.log_probabilities(params, theta))
        grade = np.arange(self.width)[:, None]
        centered = grade - (grade * probability).sum(axis=1, keepdims=True)
        variance = (centered**2 * probability).sum(axis=1, keepdims=True)
        return ProbabilityDerivatives(
            probability, probability * centered, probability * (centered**2 - variance)
        )

    def _expected(self, params: ItemParams, theta: Array, counts: Array) -> tuple[Array, Array]:
        probability = np.exp(self.log_probabilities(params, theta))
        total = counts.sum(axis=1, keepdims=True)
        # A response of k has taken the steps 1 to k.
        taken = _from_above(probability)
        gradient = _from_above(counts) - total * taken
        index = np.arange(self.width - 1)
        both = taken[:, np.maximum(index[:, None], index)]
        information = total[:, None] * (both - taken[:, :, None] * taken[:, None, :])
        return gradient, information

    def intercepts_of_shares(self, shares: Array) -> Array:
        """See `ResponseModel.intercepts_of_shares`."""
        exists = self.is_category
        logs = np.log(np.where(exists, shares, 1.0))
        return np.where(exists[:, 1:], np.diff(logs, axis=1), 0.0)


RESPONSE_MODELS: dict[str, type[ResponseModel]] = {
    kind.name: kind for kind in (OneParameter, TwoParameter, ThreeParameter, Graded, PartialCredit)
}


def _of_solved(failed: Array, solved: Array, first: Array, second: Array) -> ProbabilityDerivatives:
    return ProbabilityDerivatives(
        np.concatenate([failed, solved], axis=1),
        np.concatenate([-first, first], axis=1),
        np.concatenate([-second, second], axis=1),
    )


def _from_above(values: Array) -> Array:
    """Sums over the categories from each on, without the first."""
    return values[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
