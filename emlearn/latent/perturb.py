"""A change to a model with latent labels that may lead EM to a better optimum.

A poor optimum typically has one component where two are needed and two where one is enough. So
this removes a light component and splits a heavy one in two.
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

# Fraction of each row that goes to its own side of a split. Less than 1, because with maximum
# likelihood a component excludes forever whatever it has never seen.
_OWN_SIDE = 0.9
# Components with a smaller fraction of the rows count as having this one.
_SMALLEST_FRACTION = 1e-3


def split_component(
    model: LabelModel, data: LabelData, params: LabelParams, rng: np.random.Generator
) -> Array | None:
    """Responsibilities, times weight, after removing one component and splitting another.

    Light components are removed with higher probability. The component to split is that of a
    row drawn at random. A seed component starts at this row. The half of the rows that the
    seed explains best goes to the removed component.

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
        None if there is nothing to move, or if a row has density zero under all components
        but the one to remove.
    """
    n_components = model.n_components
    labels = data.labels
    if n_components == 1 or (labels is not None and np.isin(range(n_components), labels).all()):
        return None
    precomputed = model.precompute(params)
    # Copies, because the next block overwrites the same memory.
    density = np.concatenate(
        [model.emission_log_density(b, precomputed).copy() for b in data.blocks], axis=1
    )
    posterior = np.concatenate(
        [model.posterior(b, precomputed)[0].copy() for b in data.blocks], axis=1
    )
    visits = posterior.sum(axis=1)
    visits = np.maximum(visits, _SMALLEST_FRACTION * visits.sum())
    removed = int(rng.choice(n_components, p=(1.0 / visits) / (1.0 / visits).sum()))
    # The rows of the removed component go to the others, by their responsibilities.
    others = density + np.log(visits)[:, None]
    others[removed] = -np.inf
    if not np.isfinite(others.max(axis=0)).all():
        return None
    to_responsibilities(others, np.ascontiguousarray(posterior[removed]))
    changed = posterior + others
    changed[removed] = 0.0
    first, _, weight = data.distinct
    component = changed.argmax(axis=0)
    size = np.bincount(component, data.row_weight, n_components)
    chance = weight * size[component[first]]
    row = int(first[rng.choice(len(first), p=chance / chance.sum())])
    split = component[row]
    responsibilities = seed_responsibilities(row, data, 1) * data.row_weight
    seed = model.start_components(data, responsibilities[None], rng)
    seed_density = np.zeros((1, data.n_rows))
    precomputed_seed = model.family.precompute(seed, data.column_spec)
    model.family.log_density(data.rows, precomputed_seed, seed_density)
    upper = _in_upper_half(seed_density[0] - density[split], changed[split])
    changed[removed] = changed[split] * np.where(upper, _OWN_SIDE, 1.0 - _OWN_SIDE)
    changed[split] -= changed[removed]
    return changed


def _in_upper_half(values: Array, weight: Array) -> NDArray[np.bool_]:
    """Which values are at or above their weighted median."""
    order = np.argsort(values)
    below = np.cumsum(weight[order])
    half = np.searchsorted(below, 0.5 * below[-1])
    upper: NDArray[np.bool_] = values >= values[order[min(half, len(order) - 1)]]
    return upper
