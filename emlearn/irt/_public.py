"""Published parameters of item response models: names, coordinates, and derivatives.

With one dimension they are discriminations and difficulties (or thresholds); with several,
discriminations and intercepts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.engine.parameters import Curved, Entries, ParameterSpace, Part, Repeated
from emlearn.irt._latent import LatentLaw, LatentMoments, LatentParams, residual_scatter
from emlearn.irt._quadrature import Grid
from emlearn.irt._responses import (
    LARGEST_INTERCEPT,
    LARGEST_SLOPE,
    SMALLEST_GUESSING,
    ItemParams,
    ResponseModel,
    from_thresholds,
    thresholds,
)

Array = NDArray[np.float64]
Public = dict[str, Array]


class Shape(NamedTuple):
    """What the published form depends on."""

    responses: ResponseModel
    law: LatentLaw
    loads: NDArray[np.bool_]
    grid: Grid


@dataclass(frozen=True, eq=False)
class _CommonSlope(Repeated):
    """Discriminations that are the same for all items."""

    @property
    def axes(self) -> tuple[str, ...]:  # type: ignore[override]  # of each instance
        """What each axis counts."""
        return ("feature", *self.part.axes)


def publish(shape: Shape, items: ItemParams, latent: LatentParams) -> Public:
    """Published parameters by name."""
    responses, law = shape.responses, shape.law
    exists = responses.is_category
    if law.n_dims == 1:
        # 0 rather than NaN where an item has fewer categories: these are no parameters.
        location = np.nan_to_num(thresholds(items, exists))
        found = {"discrimination": items.slopes[:, 0].copy()}
    else:
        location = np.where(exists[:, 1:], items.intercepts, 0.0)
        found = {"discrimination": items.slopes.copy()}
    found[_location(responses, law)] = location[:, 0] if responses.is_binary else location
    if responses.has_guessing:
        found["guessing"] = items.guessing.copy()
    if law.moves and not law.n_covariates:
        found["latent_mean"] = latent.means.copy()
    if law.estimates_covariances:
        found["latent_covariance"] = latent.covariances.copy()
    if law.n_covariates:
        found["coefficients"] = latent.coefficients.copy()
    return found


def _location(responses: ResponseModel, law: LatentLaw) -> str:
    if law.n_dims > 1:
        return "intercept"
    return "difficulty" if responses.is_binary else "thresholds"


def read_public(
    shape: Shape, public: Mapping[str, Array], like: LatentParams
) -> tuple[ItemParams, LatentParams]:
    """Inverse of `publish`."""
    responses, law = shape.responses, shape.law
    slopes = np.asarray(public["discrimination"]).reshape(responses.n_items, law.n_dims)
    slopes = np.where(shape.loads, slopes, 0.0).clip(-LARGEST_SLOPE, LARGEST_SLOPE)
    location = np.asarray(public[_location(responses, law)]).reshape(responses.n_items, -1)
    intercepts = from_thresholds(slopes, location) if law.n_dims == 1 else np.nan_to_num(location)
    guessing = np.zeros(responses.n_items)
    if responses.has_guessing:
        guessing = np.asarray(public["guessing"]).clip(SMALLEST_GUESSING, 1.0 - 1e-3)
    items = ItemParams(slopes, intercepts.clip(-LARGEST_INTERCEPT, LARGEST_INTERCEPT), guessing)
    latent = LatentParams(
        np.asarray(public.get("latent_mean", like.means)),
        np.asarray(public.get("latent_covariance", like.covariances)),
        np.asarray(public.get("coefficients", like.coefficients)),
    )
    return items, latent


def space_of(shape: Shape, latent: LatentParams) -> ParameterSpace:
    """Free coordinates of the published parameters."""
    responses, law, loads, grid = shape
    exists = responses.is_category[:, 1:]
    dims = ("dimension",) if law.n_dims > 1 else ()
    parts: dict[str, Part] = {}
    one = np.ones(law.n_dims if dims else ())
    if responses.has_common_slope and loads.all():
        parts["discrimination"] = _CommonSlope(Entries(dims, scale=one))
    else:
        own = loads if dims else loads[:, 0]
        parts["discrimination"] = Entries(("feature", *dims), scale=np.ones(own.shape), exists=own)
    axes = ("feature",) if responses.is_binary else ("feature", "threshold")
    which = exists[:, 0] if responses.is_binary else exists
    parts[_location(responses, law)] = Entries(axes, scale=np.ones(which.shape), exists=which)
    if responses.has_guessing:
        parts["guessing"] = Entries(
            ("feature",), lower=0.0, upper=1.0, floor=np.full(len(exists), 2.0 * SMALLEST_GUESSING)
        )
    free = np.arange(law.n_groups) >= (0 if law.free_first else 1)
    if law.moves and not law.n_covariates:
        own = np.broadcast_to(free[:, None], latent.means.shape)
        parts["latent_mean"] = Entries(("group", "dimension"), scale=np.ones(own.shape), exists=own)
    if law.estimates_covariances:
        parts["latent_covariance"] = _covariance_part(law, free, latent, grid)
    if law.n_covariates:
        parts["coefficients"] = Entries(
            ("covariate", "dimension"), scale=np.ones(latent.coefficients.shape)
        )
    return ParameterSpace(parts)


def _covariance_part(
    law: LatentLaw, free: NDArray[np.bool_], latent: LatentParams, grid: Grid
) -> Part:
    axes = ("group", "dimension", "dimension")
    if not law.has_correlations:
        exists = free[:, None, None] & np.eye(law.n_dims, dtype=bool)
        floor = np.full(exists.shape, grid.spacing**2)
        return Entries(axes, lower=0.0, floor=np.where(exists, floor, -1.0), exists=exists)

    def encode(covariances: Array) -> Array:
        return law.covariances_to_vector(covariances)

    def decode(vector: Array) -> Array:
        return law.covariances_from_vector(vector, latent.covariances, grid)

    size = law.covariances_to_vector(latent.covariances).size
    return Curved(encode, decode, size, axes, symmetric=True)


def score_of(
    shape: Shape,
    items: ItemParams,
    latent: LatentParams,
    gradient: Array,
    moments: LatentMoments,
) -> Public:
    """Gradient with respect to the published parameters.

    Parameters
    ----------
    shape : Shape
        What the published form depends on.
    items, latent : ItemParams, LatentParams
        The parameters.
    gradient : ndarray of shape (n_items, n_coordinates)
        Gradient in the coordinates of `ResponseModel.newton`, with the prior.
    moments : LatentMoments
        Moments of the trait at the parameters.
    """
    responses, law = shape.responses, shape.law
    n_dims, n_intercepts = law.n_dims, responses.width - 1
    slopes = np.where(shape.loads, gradient[:, :n_dims], 0.0)
    exists = responses.is_category[:, 1:]
    intercepts = np.where(exists, gradient[:, n_dims : n_dims + n_intercepts], 0.0)
    if n_dims == 1:
        # The intercepts are -a b.
        b = np.nan_to_num(thresholds(items, responses.is_category))
        slopes = slopes - (intercepts * b).sum(axis=1, keepdims=True)
        location = -items.slopes * intercepts
        found = {"discrimination": slopes[:, 0]}
    else:
        location = intercepts
        found = {"discrimination": slopes}
    found[_location(responses, law)] = location[:, 0] if responses.is_binary else location
    if responses.has_guessing:
        found["guessing"] = gradient[:, -1] / (items.guessing * (1.0 - items.guessing))
    precision = np.linalg.inv(latent.covariances)
    weight = moments.weight[:, None]
    if law.moves and not law.n_covariates:
        residual = moments.first - weight * latent.means
        found["latent_mean"] = np.einsum("gij,gj->gi", precision, residual)
    if law.estimates_covariances:
        scatter = residual_scatter(moments, latent)
        inner = precision @ scatter @ precision - weight[:, :, None] * precision
        found["latent_covariance"] = 0.5 * inner
    if law.n_covariates:
        residual = moments.cross - moments.gram @ latent.coefficients
        found["coefficients"] = residual @ precision[0]
    return found


def directions_of(shape: Shape, fixed: Mapping[str, Array] | None = None) -> Array:
    """Directions in which the coordinates of each item can move, as columns.

    Parameters
    ----------
    shape : Shape
        What the published form depends on.
    fixed : mapping of str to ndarray, default=None
        Published entries that are held; NaN where free.

    Returns
    -------
    directions : ndarray of shape (n_items, n_coordinates, n_coordinates)
        Columns of zeros stand for coordinates that are not free.
    """
    responses, law = shape.responses, shape.law
    n_items, n_dims = len(shape.loads), law.n_dims
    exists = responses.is_category[:, 1:]
    guesses = np.ones((n_items, int(responses.has_guessing)), dtype=bool)
    free = np.hstack([shape.loads, exists, guesses])
    if not fixed:
        return free[:, :, None] * np.eye(free.shape[1])
    held = np.full(free.shape, np.nan)
    for name, columns in (
        ("discrimination", slice(0, n_dims)),
        (_location(responses, law), slice(n_dims, n_dims + exists.shape[1])),
        ("guessing", slice(n_dims + exists.shape[1], None)),
    ):
        if name in fixed:
            held[:, columns] = np.reshape(fixed[name], (n_items, -1))
    is_held = ~np.isnan(held)
    found = (free & ~is_held)[:, :, None] * np.eye(free.shape[1])
    if n_dims == 1:
        # A threshold that is held ties the intercept to a slope that is free.
        tied = is_held[:, 1 : 1 + exists.shape[1]] & ~is_held[:, :1]
        found[:, 1 : 1 + exists.shape[1], 0] = np.where(
            tied, -np.nan_to_num(held[:, 1 : 1 + exists.shape[1]]), 0.0
        )
    return found
