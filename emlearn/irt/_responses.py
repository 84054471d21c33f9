"""Response models: the probability of each category of each item, given the latent trait.

A response model is a frozen dataclass that knows the number of categories of each item, and works
on all items at once. Every model is a function of the predictors

    u[j, m] = slopes[j] @ theta + intercepts[j, m],

so its parameters are `ItemParams`, whatever the model. What code outside needs:

- ``log_probabilities(params, theta) -> (n_items, n_categories, n_nodes)``
- ``probability_derivatives(params, theta)``: probabilities with their first and second derivatives
  with respect to ``t = slopes[j] @ theta``, each of this shape. The derivative with respect to
  theta[d] is slopes[j, d] times the first of them.
- ``newton(params, theta, counts)``: gradient and Fisher information of the expected
  log-likelihood, per item, in the coordinates [slopes, intercepts, logit of guessing]
- ``moved(params, step)``: parameters after a step in these coordinates
- ``is_valid(params) -> (n_items,)``: whether the parameters of each item are inside the domain
- ``thresholds(params)``, ``from_thresholds``: the published form

`theta` has shape (n_nodes, n_dims), or (n_nodes,) for one dimension. Items with fewer categories
than others are padded: `is_category` says which cells exist, their log-probability is `NEVER`, and
their intercepts are 0.

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

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

Array = NDArray[np.float64]

#: Log-probability of a category that an item does not have. Unlike -inf, 0 times it is 0.
NEVER = -1e6

# Beyond these, probabilities are 0 or 1 at every node, and predictors stay far from overflow.
LARGEST_SLOPE = 30.0
LARGEST_INTERCEPT = 200.0
SMALLEST_GUESSING = 1e-7
_TINY = 1e-290


class ItemParams(NamedTuple):
    """Parameters of items.

    Attributes
    ----------
    slopes : ndarray of shape (n_items, n_dims)
        Discriminations a.
    intercepts : ndarray of shape (n_items, n_categories - 1)
        Intercepts c, of ``a @ theta + c``; 0 where an item has fewer categories.
    guessing : ndarray of shape (n_items,)
        Lower asymptotes; 0 in models without guessing.
    """

    slopes: Array
    intercepts: Array
    guessing: Array


class ProbabilityDerivatives(NamedTuple):
    """Probabilities of categories and their derivatives with respect to ``slopes @ theta``.

    Attributes
    ----------
    value, first, second : ndarray of shape (n_items, n_categories, n_nodes)
        Probabilities, and their first and second derivatives; 0 for categories that an item does
        not have.
    """

    value: Array
    first: Array
    second: Array


class Newton(NamedTuple):
    """Derivatives of the expected log-likelihood of each item.

    Attributes
    ----------
    gradient : ndarray of shape (n_items, n_coordinates)
        Gradient in the coordinates [slopes, intercepts, logit of guessing].
    information : ndarray of shape (n_items, n_coordinates, n_coordinates)
        Fisher information at the expected counts of the nodes; positive semi-definite.
    """

    gradient: Array
    information: Array


@dataclass(frozen=True)
class ResponseModel(ABC):
    """Probability of each category of each item, given the latent trait.

    Parameters
    ----------
    n_categories : tuple of int
        Number of categories of each item, from 2 on.
    """

    n_categories: tuple[int, ...]

    #: Name of the model, as in the hyperparameter of the estimator.
    name: ClassVar[str]
    #: Whether there is a lower asymptote.
    has_guessing: ClassVar[bool] = False
    #: Whether all items have the same slopes.
    has_common_slope: ClassVar[bool] = False
    #: Whether items must have two categories.
    is_binary: ClassVar[bool] = False

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.n_categories)

    @property
    def width(self) -> int:
        """Largest number of categories of an item."""
        return max(self.n_categories)

    @property
    def is_category(self) -> NDArray[np.bool_]:
        """Which items have which categories, of shape (n_items, width)."""
        return np.arange(self.width) < np.array(self.n_categories)[:, None]

    def predictors(self, params: ItemParams, theta: Array) -> Array:
        """Predictors u of shape (n_items, width - 1, n_nodes)."""
        common = params.slopes @ as_nodes(theta).T
        return common[:, None, :] + params.intercepts[:, :, None]

    @abstractmethod
    def log_probabilities(self, params: ItemParams, theta: Array) -> Array:
        """Log-probabilities of shape (n_items, width, n_nodes).

        Parameters
        ----------
        params : ItemParams
            Parameters of the items.
        theta : ndarray of shape (n_nodes, n_dims) or (n_nodes,)
            Values of the latent trait.
        """

    @abstractmethod
    def probability_derivatives(self, params: ItemParams, theta: Array) -> ProbabilityDerivatives:
        """Probabilities and their derivatives with respect to ``slopes @ theta``."""

    @abstractmethod
    def _expected(self, params: ItemParams, theta: Array, counts: Array) -> tuple[Array, Array]:
        """Gradient (items, M, nodes) and information (items, M, M, nodes) of the M predictors."""

    def newton(self, params: ItemParams, theta: Array, counts: Array) -> Newton:
        """Gradient and Fisher information of the expected log-likelihood of each item.

        Parameters
        ----------
        params : ItemParams
            Parameters of the items.
        theta : ndarray of shape (n_nodes, n_dims) or (n_nodes,)
            Nodes.
        counts : ndarray of shape (n_items, width, n_nodes)
            Expected number of responses in each category at each node.

        Returns
        -------
        derivatives : Newton
            Derivatives in the coordinates [slopes, intercepts, logit of guessing]; the rows of
            coordinates that an item does not have are 0.
        """
        nodes = as_nodes(theta)
        gradient, information = self._expected(params, nodes, counts)
        # The slopes enter every predictor but that of the guessing.
        n_slopes, n_loading = nodes.shape[1], self.width - 1
        n_items, n_predictors, n_nodes = gradient.shape
        products = (nodes[:, :, None] * nodes[:, None, :]).reshape(n_nodes, -1)
        basis = np.hstack([np.ones((n_nodes, 1)), nodes, products])
        first = gradient @ basis[:, : 1 + n_slopes]
        second = information @ basis
        size = n_slopes + n_predictors
        total = np.empty((n_items, size))
        total[:, :n_slopes] = first[:, :n_loading, 1:].sum(axis=1)
        total[:, n_slopes:] = first[:, :, 0]
        matrix = np.empty((n_items, size, size))
        slopes = second[:, :n_loading, :n_loading, 1 + n_slopes :].sum(axis=(1, 2))
        matrix[:, :n_slopes, :n_slopes] = slopes.reshape(n_items, n_slopes, n_slopes)
        cross = second[:, :n_loading, :, 1 : 1 + n_slopes].sum(axis=1)
        matrix[:, n_slopes:, :n_slopes] = cross
        matrix[:, :n_slopes, n_slopes:] = cross.transpose(0, 2, 1)
        matrix[:, n_slopes:, n_slopes:] = second[..., 0]
        return Newton(total, matrix)

    def moved(self, params: ItemParams, step: Array) -> ItemParams:
        """Parameters after a step, of shape (n_items, n_coordinates), as those of `newton`."""
        n_slopes, n_intercepts = params.slopes.shape[1], self.width - 1
        slopes = params.slopes + step[:, :n_slopes]
        intercepts = params.intercepts + step[:, n_slopes : n_slopes + n_intercepts]
        guessing = params.guessing
        if self.has_guessing:
            guessing = expit(logit(guessing) + step[:, -1])
        return ItemParams(
            np.clip(slopes, -LARGEST_SLOPE, LARGEST_SLOPE),
            np.clip(intercepts, -LARGEST_INTERCEPT, LARGEST_INTERCEPT),
            guessing.clip(SMALLEST_GUESSING, 1.0 - 1e-3) if self.has_guessing else guessing,
        )

    def is_valid(self, params: ItemParams) -> NDArray[np.bool_]:
        """Whether the parameters of each item are in the domain, of shape (n_items,)."""
        return np.ones(len(params.slopes), dtype=bool)

    def intercepts_of_shares(self, shares: Array) -> Array:
        """Intercepts at which an item without slopes has these shares of its categories.

        Parameters
        ----------
        shares : ndarray of shape (n_items, width)
            Positive shares; 0 for categories that an item does not have.
        """
        above = shares[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
        exists = self.is_category[:, 1:]
        return np.where(exists, logit(np.where(exists, above, 0.5)), 0.0)


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


def expit(u: Array) -> Array:
    """Logistic function. Predictors are bounded, so the exponential does not overflow."""
    result: Array = 1.0 / (1.0 + np.exp(-u.clip(-700.0, 700.0)))
    return result


def log_expit(u: Array) -> Array:
    """Logarithm of the logistic function; several times as fast as that of scipy."""
    result: Array = np.minimum(u, 0.0) - np.log1p(np.exp(-np.abs(u)))
    return result


def as_nodes(theta: Array) -> Array:
    """Values of the trait as an array of shape (n_nodes, n_dims)."""
    nodes = np.asarray(theta, dtype=np.float64)
    return nodes[:, None] if nodes.ndim == 1 else nodes


def logit(p: Any) -> Array:
    """Log-odds."""
    p = np.asarray(p, dtype=np.float64)
    result: Array = np.log(p) - np.log1p(-p)
    return result


def thresholds(params: ItemParams, exists: NDArray[np.bool_]) -> Array:
    """Thresholds b of ``|a| (theta - b)``, NaN where an item has no such category.

    With one dimension, b is ``-c / a``. With several, it is ``-c`` over the length of the slopes:
    the distance of the threshold from the origin, along the slopes.

    Parameters
    ----------
    params : ItemParams
        Parameters of the items.
    exists : ndarray of shape (n_items, n_categories)
        Which items have which categories.
    """
    slopes = params.slopes
    length = slopes[:, 0] if slopes.shape[1] == 1 else np.linalg.norm(slopes, axis=1)
    length = np.where(np.abs(length) < 1e-10, np.where(length < 0.0, -1e-10, 1e-10), length)
    return np.where(exists[:, 1:], -params.intercepts / length[:, None], np.nan)


def from_thresholds(slopes: Array, values: Array) -> Array:
    """Intercepts of thresholds: the inverse of `thresholds`, with 0 for NaN."""
    length = slopes[:, 0] if slopes.shape[1] == 1 else np.linalg.norm(slopes, axis=1)
    return np.where(np.isnan(values), 0.0, -length[:, None] * np.nan_to_num(values))


def _of_solved(failed: Array, solved: Array, first: Array, second: Array) -> ProbabilityDerivatives:
    return ProbabilityDerivatives(
        np.concatenate([failed, solved], axis=1),
        np.concatenate([-first, first], axis=1),
        np.concatenate([-second, second], axis=1),
    )


def _from_above(values: Array) -> Array:
    """Sums over the categories from each on, without the first."""
    return values[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
