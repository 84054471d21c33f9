"""Parameters as an estimator publishes them, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.irt._latent import LatentParams
from emlearn.irt._model import IRTParams
from emlearn.irt._responses import ItemParams, ResponseModel, from_thresholds, thresholds

Array = NDArray[np.float64]


def item_attributes(responses: ResponseModel, items: ItemParams) -> dict[str, Array]:
    """Published parameters of the items, by name with underscore."""
    exists = responses.is_category
    one_dimension = items.slopes.shape[1] == 1
    values = thresholds(items, exists)
    intercepts = np.where(exists[:, 1:], items.intercepts, np.nan)
    return {
        "discrimination_": items.slopes[:, 0].copy() if one_dimension else items.slopes.copy(),
        "difficulty_": np.nanmean(values, axis=1),
        "intercept_": intercepts[:, 0] if responses.is_binary else intercepts,
        "thresholds_": values,
        "guessing_": items.guessing.copy(),
    }


def published_items(estimator: Any, responses: ResponseModel) -> ItemParams:
    """Parameters of items of the attributes `discrimination_`, `intercept_` and `guessing_`."""
    slopes = np.asarray(estimator.discrimination_, dtype=np.float64)
    intercepts = np.asarray(estimator.intercept_, dtype=np.float64)
    return ItemParams(
        slopes.reshape(responses.n_items, -1),
        np.nan_to_num(intercepts.reshape(responses.n_items, -1)),
        np.asarray(estimator.guessing_, dtype=np.float64),
    )


def published_params(estimator: Any, responses: ResponseModel) -> IRTParams:
    """Parameters of a fitted estimator."""
    latent = LatentParams(
        np.asarray(estimator.latent_mean_, dtype=np.float64),
        np.asarray(estimator.latent_covariance_, dtype=np.float64),
        np.asarray(estimator.coefficients_, dtype=np.float64),
    )
    return IRTParams(published_items(estimator, responses), latent)


def bank_of(
    responses: ResponseModel, discrimination: Any, difficulties: Any, guessing: Any
) -> ItemParams:
    """Parameters of items that a user gives.

    Raises
    ------
    ValueError
        If shapes do not agree, a number is not finite, or thresholds are not in order.
    """
    slopes = np.asarray(discrimination, dtype=np.float64)
    values = np.asarray(difficulties, dtype=np.float64).reshape(responses.n_items, -1)
    asymptotes = np.asarray(0.0 if guessing is None else guessing, dtype=np.float64)
    for name, given in (("discrimination", slopes), ("guessing", asymptotes)):
        if given.shape not in ((), (responses.n_items,)):
            raise ValueError(
                f"{name} must be a number or have shape ({responses.n_items},), one for each item "
                f"of difficulty, but has shape {given.shape}."
            )
    slopes = np.broadcast_to(slopes.reshape(-1, 1), (responses.n_items, 1)).copy()
    asymptotes = np.broadcast_to(asymptotes, (responses.n_items,)).copy()
    gaps = np.flatnonzero((np.isnan(values) == responses.is_category[:, 1:]).any(axis=1))
    if gaps.size:
        raise ValueError(
            f"difficulty of item {gaps[0]} has NaN before a number: NaN is only for the highest "
            "categories, which the item does not have."
        )
    if not np.isfinite(slopes).all() or not np.isfinite(asymptotes).all():
        raise ValueError("discrimination and guessing must be finite.")
    if np.isinf(values).any():
        raise ValueError("difficulty must be finite, or NaN where an item has fewer categories.")
    if ((asymptotes < 0.0) | (asymptotes >= 1.0)).any():
        raise ValueError("guessing must be at least 0 and below 1.")
    items = ItemParams(slopes, from_thresholds(slopes, values), asymptotes)
    wrong = np.flatnonzero(~responses.is_valid(items))
    if wrong.size:
        raise ValueError(
            f"The thresholds of item {wrong[0]} are not in order: with a positive discrimination, "
            "they must increase."
        )
    return items
