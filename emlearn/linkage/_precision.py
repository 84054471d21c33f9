"""The threshold for a wanted precision, with the interval of the precision.

Let S be the pairs with a score of at least t, with weights w and probabilities p. The expected
precision is ``f = sum_S w p / sum_S w``. As t rises, every pair that leaves S has a lower p than
the mean of the others, so f never falls and the lowest threshold for a wanted f is unique. With the
covariance V of the parameters and the gradient g of logit f at fixed S, the variance of the
logit is

    g' V g  +  sum_S w p (1 - p) / (sum_S w  f (1 - f))^2.

The second term is the variance of the number of matches among the pairs of S at given parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import norm

from emlearn.engine.inference import Inference
from emlearn.linkage._tables import WeightTables, probability_of

Array = NDArray[np.float64]

# Logits are taken of precisions this far from 1.
_SURE = 1e-12


class PrecisionThreshold(NamedTuple):
    """A threshold and what is expected of the pairs above it.

    Attributes
    ----------
    threshold : float
        Probability from which on pairs are taken for matches; set it as the estimator's
        `threshold`.
    weight : float
        The same as a match weight, as from `decision_function`.
    precision : float
        Expected precision of these pairs.
    interval : tuple of float
        Interval of the precision of these pairs.
    recall : float
        Expected number of matches above the threshold, as a part of that of all pairs compared.
    n_pairs : float
        Number of pairs above the threshold.
    """

    threshold: float
    weight: float
    precision: float
    interval: tuple[float, float]
    recall: float
    n_pairs: float


def precision_threshold(
    estimator: Any,
    errors: Callable[[], Inference],
    levels: NDArray[np.int8],
    counts: Array,
    adjustment: Array,
    wanted: float,
    confidence: float,
) -> PrecisionThreshold:
    """See `RecordLinkageEM.threshold_for_precision`."""
    for name, value in (("precision", wanted), ("confidence", confidence)):
        if not isinstance(value, Real) or not 0.0 < value < 1.0:
            raise ValueError(f"{name} must be between 0 and 1, got {value!r}.")
    score = estimator._tables().score(levels, adjustment)
    chance = probability_of(score)
    order = np.argsort(-score, kind="stable")
    weight = counts[order]
    expected = np.cumsum(weight * chance[order])
    mean = expected / np.maximum(np.cumsum(weight), 1e-300)
    # Pairs with the same score go together.
    last = np.append(np.diff(score[order]) != 0.0, True) & (np.cumsum(weight) > 0.0)
    good = np.flatnonzero(last & (mean >= wanted))
    if not good.size:
        raise ValueError(
            f"No threshold has an expected precision of {wanted:g}: pairs have at most a "
            f"probability of {chance.max():.4g} of being matches. Add comparisons, or ask for less."
        )
    cut = int(good[-1])
    chosen = order[: cut + 1]
    size, inside = float(counts[chosen].sum()), float(mean[cut])
    own_weight, own_levels, own_adjustment = counts[chosen], levels[chosen], adjustment[chosen]

    def logit_precision(public: Mapping[str, Array]) -> Array:
        tables: WeightTables = estimator._tables_at(public)
        own = probability_of(tables.score(own_levels, own_adjustment))
        return np.asarray(_logit(float(own_weight @ own) / size))

    error = errors().function(logit_precision)
    variance = float(np.nan_to_num(error.covariance[0, 0], nan=np.inf))
    spread = max(inside * (1.0 - inside), _SURE)
    variance += float(own_weight @ (chance[chosen] * (1.0 - chance[chosen]))) / (size * spread) ** 2
    half = float(norm.ppf(0.5 + confidence / 2.0)) * np.sqrt(variance)
    ends = (
        (0.0, 1.0)
        if not np.isfinite(half)
        else tuple(float(expit(_logit(inside) + side * half)) for side in (-1.0, 1.0))
    )
    return PrecisionThreshold(
        float(chance[order[cut]]),
        float(score[order[cut]]),
        inside,
        (ends[0], ends[1]),
        float(expected[cut] / expected[-1]),
        size,
    )


def _logit(part: float) -> float:
    return float(logit(min(max(part, _SURE), 1.0 - _SURE)))
