"""What to say about items and groups whose estimates should not be trusted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.data.names import label
from emlearn.irt._identified import loose_dimensions, unlinked_group
from emlearn.irt._model import IRTParams, ItemResponseModel
from emlearn.irt._persons import Codes, Persons

# Steeper items are a step function for all that a test can tell.
_STEEP = 10.0
# The rectangle rule errs by 1 percent for a posterior of half the spacing.
_COARSE = 0.5
_NAMED = 5
# Correlation of two dimensions that cannot be told apart.
_ONE = 0.97


def doubts(model: ItemResponseModel, params: IRTParams, codes: Codes, names: Any) -> list[str]:
    """Messages about estimates that have no finite maximum or are out of reach of the grid."""
    messages = []
    alone = _alone(codes)
    if alone.size:
        messages.append(
            f"All responses to {_list(names, alone)} are the same, so the difficulty has no finite "
            "estimate: it is far out, where the likelihood hardly rises any more. Leave such items "
            "out, or give a prior (prior=ItemPrior(intercepts=(0, 3)))."
        )
    steep = np.flatnonzero(np.abs(params.items.slopes).max(axis=1) > _STEEP)
    steep = np.setdiff1d(steep, alone)
    if steep.size:
        messages.append(
            f"The discrimination of {_list(names, steep)} is above {_STEEP:g} and may have no "
            "finite estimate. Give a prior (prior=ItemPrior(slopes=(0, 0.5))), or leave it out."
        )
    spacing, law = model.grid.spacing, model.law
    variances = np.diagonal(params.latent.covariances, axis1=1, axis2=2)
    if np.sqrt(variances.min()) <= 1.001 * spacing:
        messages.append(
            "The standard deviation of a group is not larger than the distance of the nodes, its "
            "bound. Increase n_quadrature, or merge groups that have few persons."
        )
    if law.has_correlations and np.abs(_correlations(params.latent.covariances)).max() > _ONE:
        messages.append(
            f"Two dimensions have a correlation above {_ONE:g}: they may be one. Use fewer columns "
            "of loadings."
        )
    if law.n_dims == 1:
        narrowest = _narrowest(model, params)
        if narrowest < _COARSE * spacing:
            needed = int(np.ceil(model.n_nodes * _COARSE * spacing / narrowest * 2.0)) | 1
            messages.append(
                f"Some posteriors of persons have a standard deviation of {narrowest:.2g}, but the "
                f"nodes are {spacing:.2g} apart. Use n_quadrature={needed}."
            )
        edge = float(np.abs(params.latent.means).max()) + 3.0 * float(np.sqrt(variances.max()))
        if law.moves and edge > np.abs(model.grid.nodes).max():
            messages.append(
                "The groups differ so much that the nodes do not reach to three standard "
                "deviations of each. Choose a reference group in the middle."
            )
    return messages


def not_identified(model: ItemResponseModel, persons: Persons, groups: Any) -> list[str]:
    """Messages about slopes and groups that the responses do not determine.

    They hold without entries that are held and without priors of the slopes.
    """
    law, messages = model.law, []
    if law.n_groups == 1 and law.n_covariates == 0:
        loose = loose_dimensions(
            model.loads, law.has_correlations, model.responses.has_common_slope
        )
        if loose and law.n_dims == 1:
            messages.append(
                "Two items have one correlation, which does not determine two discriminations: "
                "others fit as well. Use model='1pl', give a prior of the slopes "
                "(prior=ItemPrior(slopes=(0, 0.5))), or hold one of them by fixed."
            )
        elif loose:
            shown = ", ".join(map(str, loose))
            messages.append(
                f"The correlations of the items do not determine the discriminations on the "
                f"dimensions {shown}: others fit as well. Put more zeros or more items into these "
                "columns of loadings, give a prior of the slopes "
                "(prior=ItemPrior(slopes=(0, 0.5))), or hold entries by fixed."
            )
    if persons.groups is not None:
        group = unlinked_group(persons.codes, persons.groups)
        if group is not None:
            (name,) = groups[[group]].tolist()
            messages.append(
                f"The group {name!r} has no item in common with the reference group, nor with "
                "groups that do: its mean and variance cannot be told from its items. Fit it "
                "alone, or hold known items by fixed."
            )
    return messages


def _correlations(covariances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlations of different dimensions in each group; 0 on the diagonal."""
    size = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    found = covariances / size[:, :, None] / size[:, None, :]
    return np.asarray(found - np.eye(covariances.shape[1]), np.float64)


def reversed_items(params: IRTParams, codes: Codes, names: Any) -> str:
    """Message about items with a negative slope; empty if there are none."""
    if params.items.slopes.shape[1] > 1:
        return ""
    turned = np.setdiff1d(np.flatnonzero(params.items.slopes[:, 0] < 0.0), _alone(codes))
    if not turned.size:
        return ""
    return (
        f"The discrimination of {_list(names, turned)} is negative: persons with more of the trait "
        "score lower. Check whether it should be coded in the other direction."
    )


def _alone(codes: Codes) -> NDArray[np.intp]:
    """Items to which all responses are the same."""
    return np.flatnonzero(codes.max(axis=0) == np.where(codes < 0, 127, codes).min(axis=0))


def _narrowest(model: ItemResponseModel, params: IRTParams) -> float:
    """Smallest standard deviation of a posterior at the nodes that most persons are near."""
    nodes = model.grid.nodes
    near = nodes[np.abs(nodes[:, 0]) <= 2.0]
    value, first, _ = model.responses.probability_derivatives(params.items, near)
    terms = first**2 / np.where(value > 1e-12, value, np.inf)
    information = (params.items.slopes[:, 0] ** 2) @ terms.sum(axis=1)
    return float(1.0 / np.sqrt(1.0 + information.max()))


def _list(names: Any, columns: NDArray[np.intp]) -> str:
    """Columns by name, not more than five."""
    shown = ", ".join(label(names, column) for column in columns[:_NAMED].tolist())
    more = len(columns) - _NAMED
    return shown if more <= 0 else f"{shown} and {more} more"
