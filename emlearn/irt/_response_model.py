"""Response models: the probability of each category of each item, given the latent trait.

A response model is a frozen dataclass that knows the number of categories of each item, and works
on all items at once; the models themselves are in `emlearn.irt._responses`. Every
model is a function of the predictors

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

"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Log-probability of a category that an item does not have. Unlike -inf, 0 times it is 0.
NEVER = -1e6

# Beyond these, probabilities are 0 or 1 at every node, and predictors stay far from overflow.
LARGEST_SLOPE = 30.0
LARGEST_INTERCEPT = 200.0
SMALLEST_GUESSING = 1e-7


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
