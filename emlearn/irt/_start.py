"""Starting parameters of items, from their shares and correlations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from emlearn.irt._persons import ABSENT, PersonData
from emlearn.irt._responses import ItemParams, ResponseModel

Array = NDArray[np.float64]

# Scale of the logistic function beside the normal one.
_LOGISTIC = 1.7
_STEEPEST, _FLATTEST = 2.5, 0.2
_N_POWERS = 50
# Persons that correlations are taken from; more hardly change them.
_MAX_PERSONS = 4_000


def start(
    responses: ResponseModel, loads: NDArray[np.bool_], data: PersonData, rng: np.random.Generator
) -> ItemParams:
    """Intercepts from the shares of categories, slopes from the first factor of the items.

    Parameters
    ----------
    responses : ResponseModel
        The response model.
    loads : ndarray of shape (n_items, n_dims)
        Which items have a slope on which dimension.
    data : PersonData
        Responses.
    rng : Generator
        Moves the slopes a little, so that several starts differ.
    """
    codes, weight = data.persons.codes, data.weight
    chosen = slice(None, None, -(-len(codes) // _MAX_PERSONS))
    slopes = np.zeros(loads.shape)
    for dim in range(loads.shape[1]):
        items = np.flatnonzero(loads[:, dim])
        loading = _first_factor(codes[chosen][:, items], weight[chosen])
        steepness = _LOGISTIC * np.abs(loading) / np.sqrt(1.0 - loading**2)
        slopes[items, dim] = np.where(loading < 0.0, -1.0, 1.0) * steepness.clip(
            _FLATTEST, _STEEPEST
        )
    # Items of several dimensions share what they have in common.
    slopes /= np.sqrt(np.maximum(loads.sum(axis=1, keepdims=True), 1.0))
    slopes *= np.exp(0.05 * rng.standard_normal(slopes.shape))
    if responses.has_common_slope:
        mean = np.array([slopes[loads[:, d], d].mean() for d in range(loads.shape[1])])
        slopes = np.where(loads, np.maximum(mean, _FLATTEST), 0.0)
    counts = np.stack([weight @ (codes == category) for category in range(responses.width)], axis=1)
    counts = np.where(responses.is_category, counts + 0.5, 0.0)
    guessing = np.zeros(len(slopes))
    if responses.has_guessing:
        guessing[:] = 0.15
        # Shares of those who know, where a part of the others guesses.
        total = counts.sum(axis=1)
        knows = ((counts[:, 1] / total - 0.15) / 0.85).clip(0.05, 0.999)
        counts = np.stack([1.0 - knows, knows], axis=1)
    shares = counts / counts.sum(axis=1, keepdims=True)
    # The slopes pull shares toward one half, so intercepts have to be larger.
    length = np.sqrt(1.0 + (slopes**2).sum(axis=1, keepdims=True) / _LOGISTIC**2)
    return ItemParams(slopes, length * responses.intercepts_of_shares(shares), guessing)


def _first_factor(codes: NDArray[np.int8], weight: Array) -> Array:
    """Correlation of each item with the first principal component; mostly positive."""
    present = codes != ABSENT
    n_present = np.maximum(weight @ present, 1e-300)
    values = np.where(present, codes, 0.0)
    values -= (weight @ values) / n_present
    values[~present] = 0.0
    deviation = np.sqrt((weight @ values**2) / n_present)
    values /= np.where(deviation > 0.0, deviation, 1.0)
    weighted = values * weight[:, None]
    if present.all():
        together: Array = np.full((codes.shape[1],) * 2, weight.sum())
    else:
        seen = present.astype(np.float64)
        together = np.maximum((weight[:, None] * seen).T @ seen, 1e-300)
    correlation: Array = (weighted.T @ values) / together
    vector = np.full(len(correlation), 1.0 / np.sqrt(len(correlation)))
    for _ in range(_N_POWERS):
        image = correlation @ vector
        norm = np.linalg.norm(image)
        if norm < 1e-10:
            break
        vector = image / norm
    if vector.sum() < 0.0:
        vector = -vector
    size = max(float(vector @ correlation @ vector), 0.0)
    # What an item adds to its own component is no correlation with the others.
    own = vector**2
    strength = np.sqrt(max(size - 1.0, 0.0) / max(1.0 - float(own @ own), 1e-3))
    return (vector * strength / _attenuation(codes, present, weight, deviation)).clip(-0.9, 0.9)


def _attenuation(
    codes: NDArray[np.int8], present: NDArray[np.bool_], weight: Array, deviation: Array
) -> Array:
    """How much smaller correlations of categories are than those of the normal number behind them.

    The correlation with a category is that with the number times the sum of the normal density at
    the thresholds over the standard deviation of the category (biserial, polyserial correlation).
    """
    total = np.maximum(weight @ present, 1e-300)
    density = np.zeros(codes.shape[1])
    for category in range(1, int(codes.max()) + 1):
        share = (weight @ (codes >= category)) / total
        inside = (share > 0.0) & (share < 1.0)
        density += np.where(inside, norm.pdf(norm.ppf(np.where(inside, share, 0.5))), 0.0)
    return np.asarray(np.where(density > 0.0, density / np.maximum(deviation, 1e-10), 1.0))
