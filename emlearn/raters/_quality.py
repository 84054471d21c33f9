"""How good raters are: functions of prevalence and confusion matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.data import as_numbers

Array = NDArray[np.float64]

#: A measure: called with prevalence (K,), matrices (R, K, K) and costs (K, K); returns (R,).
Measure = Callable[[Array, Array, Array], Array]


class Metric(NamedTuple):
    """A measure of quality, with its smallest and largest value for K classes."""

    measure: Measure
    bounds: Callable[[int], tuple[float, float]]


def _accuracy(prevalence: Array, matrices: Array, cost: Array) -> Array:
    found: Array = np.diagonal(matrices, axis1=1, axis2=2) @ prevalence
    return found


def _balanced_accuracy(prevalence: Array, matrices: Array, cost: Array) -> Array:
    found: Array = np.diagonal(matrices, axis1=1, axis2=2).mean(axis=1)
    return found


def _informedness(prevalence: Array, matrices: Array, cost: Array) -> Array:
    K = len(prevalence)
    return (K * _balanced_accuracy(prevalence, matrices, cost) - 1.0) / (K - 1.0)


def _expected_cost(prevalence: Array, matrices: Array, cost: Array) -> Array:
    joint = prevalence[:, None] * matrices
    given = joint.sum(axis=1)
    loss = np.einsum("rjl,jk,rkl->rl", joint, cost, joint, optimize=True)
    found = np.divide(loss, given, out=np.zeros_like(given), where=given > 0.0).sum(axis=1)
    return found / float(prevalence @ cost @ prevalence)


METRICS: dict[str, Metric] = {
    "accuracy": Metric(_accuracy, lambda K: (0.0, 1.0)),
    "balanced_accuracy": Metric(_balanced_accuracy, lambda K: (0.0, 1.0)),
    "informedness": Metric(_informedness, lambda K: (-1.0 / (K - 1.0), 1.0)),
    "expected_cost": Metric(_expected_cost, lambda K: (0.0, np.inf)),
}


def read_cost(cost: Any, n_classes: int) -> Array:
    """Costs of errors; 1 for each error by default.

    Raises
    ------
    ValueError
        If it is no matrix of finite numbers >= 0 with zeros on the diagonal and others.
    """
    if cost is None:
        return 1.0 - np.eye(n_classes)
    array = as_numbers(cost, "cost")
    if array.shape != (n_classes, n_classes):
        raise ValueError(
            f"cost must have shape ({n_classes}, {n_classes}), a row for each class and a column "
            f"for each label; got {array.shape}."
        )
    if not (np.isfinite(array) & (array >= 0.0)).all() or np.diagonal(array).any():
        raise ValueError("cost must be finite numbers >= 0, with 0 where the label is right.")
    if not (array + np.eye(n_classes) > 0.0).all():
        raise ValueError("cost must be above 0 wherever the label is wrong.")
    return array
