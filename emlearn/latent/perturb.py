"""A change of a model with latent labels from which EM may reach a better optimum.

What a poor optimum has wrong mostly is one component where two are needed, and two where one
would do. So a light component is taken away, and a heavy one is split in two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emlearn.kernels.softmax import to_responsibilities
from emlearn.latent.data import LabelData
from emlearn.latent.starts import seed_responsibilities

if TYPE_CHECKING:
    from emlearn.latent.model import LabelModel, LabelParams

Array = NDArray[Any]

# Of a row, what goes to one side of a split. Not all of it: with maximum likelihood what a
# component has never seen it excludes for ever.
_MOST = 0.9
# Least share of the rows by which a component counts as heavy or light.
_LIGHTEST = 1e-3


def split_component(
    model: LabelModel, data: LabelData, params: LabelParams, rng: np.random.Generator
) -> Array | None:
    """Responsibilities, times weight, after one component was taken away and another split.

    The one is a light component by preference, the other a heavy one. It is split by a row
    of its own, drawn at random: the half of its rows that a component around that row
    explains best is given to the component that was taken away.

    Parameters
    ----------
    model : LabelModel
        The model.
    data : LabelData
        The rows.
    params : LabelParams
        Parameters to change.
    rng : Generator
        Source of all randomness.

    Returns
    -------
    changed : ndarray of shape (n_components, n_rows) or None
        None if there is nothing to move, or a row has no density without the component that
        was to be taken away.
    """
    n_components = model.n_components
    labels = data.labels
    if n_components == 1 or (labels is not None and np.isin(range(n_components), labels).all()):
        return None
    precomputed = model.precompute(params)
    # The next block is worked on in the same memory, so what it holds is copied.
    density = np.concatenate(
        [model.emission_log_density(b, precomputed).copy() for b in data.blocks], axis=1
    )
    posterior = np.concatenate(
        [model.posterior(b, precomputed)[0].copy() for b in data.blocks], axis=1
    )
    visits = posterior.sum(axis=1)
    visits = np.maximum(visits, _LIGHTEST * visits.sum())
    moved = int(rng.choice(n_components, p=(1.0 / visits) / (1.0 / visits).sum()))
    # What the component had goes to the others, by what they would make of it as a mixture.
    others = density + np.log(visits)[:, None]
    others[moved] = -np.inf
    if not np.isfinite(others.max(axis=0)).all():
        return None
    to_responsibilities(others, np.ascontiguousarray(posterior[moved]))
    changed = posterior + others
    changed[moved] = 0.0
    first, _, weight = data.distinct
    home = changed.argmax(axis=0)
    chance = weight * np.bincount(home, data.row_weight, n_components)[home[first]]
    center = int(first[rng.choice(len(first), p=chance / chance.sum())])
    split = home[center]
    seed = seed_responsibilities(center, data, 1) * data.row_weight
    around = model.start_components(data, seed[None], rng)
    near = np.zeros((1, data.n_rows))
    model.family.log_density(data.rows, model.family.precompute(around, data.column_spec), near)
    upper = _in_upper_half(near[0] - density[split], changed[split])
    changed[moved] = changed[split] * np.where(upper, _MOST, 1.0 - _MOST)
    changed[split] -= changed[moved]
    return changed


def _in_upper_half(values: Array, weight: Array) -> NDArray[np.bool_]:
    """Which values are not below their weighted median."""
    order = np.argsort(values)
    below = np.cumsum(weight[order])
    half = np.searchsorted(below, 0.5 * below[-1])
    upper: NDArray[np.bool_] = values >= values[order[min(half, len(order) - 1)]]
    return upper
