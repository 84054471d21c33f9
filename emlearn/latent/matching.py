"""Which component of a start is which, if entries of the parameters are held.

The components of a start have no names, but with entries held they are no longer exchangeable:
the mean of component 0 is held, not that of any other. Component l of the start, with its
responsibilities r_l, can take any place k. The complete-data log-likelihood of the start is a sum
over components,

    sum_k Q(k, l_k) + log-probability of the labels,    Q(k, l) = sum_i r_il log f(x_i; theta_kl),

where theta_kl are the best parameters for r_l with the entries of place k. The first term alone is
an assignment problem. The second, in which transitions depend on pairs of states, is taken into
account by exchanges of two components as long as they help, or by trying all orders of few.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations, permutations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from emlearn.data.labels import UNKNOWN
from emlearn.engine import BlockMapper, DegenerateModelError, Threads
from emlearn.engine.parameters import Curved, Part, Repeated
from emlearn.engine.threads import available_threads
from emlearn.latent.data import LabelData

if TYPE_CHECKING:
    from emlearn.latent.model import LabelModel, LabelParams

Array = NDArray[Any]

# Number of components up to which all orders are tried.
_ALL_ORDERS = 5
# Relative differences of log-likelihoods that are rounding.
_ROUNDING = 1e-9
# Log-likelihood of what is impossible.
_IMPOSSIBLE = -1e200


def held_components(
    model: LabelModel, params: LabelParams, fixed: Mapping[str, Array]
) -> NDArray[np.bool_]:
    """Components all of whose own parameters are held; (n_components,)."""
    held = np.full(model.n_components, bool(fixed))
    if fixed:
        for name, part in model.family.space(params.components, params.column_spec).items():
            known = ~np.isnan(fixed[name]) if name in fixed else np.zeros(1, bool)
            if name in fixed and _by_component(part):
                held &= known.reshape(len(held), -1).all(axis=1)
            else:
                held &= known.all()
    return held


def renumbered_start(
    model: LabelModel,
    data: LabelData,
    params: LabelParams,
    fixed: Mapping[str, Array],
    rng: np.random.Generator,
) -> LabelParams:
    """The start with its components in the order that goes best with the entries held.

    Components with known labels stay where they are.

    Parameters
    ----------
    model : LabelModel
        The model.
    data : LabelData
        The rows.
    params : LabelParams
        The start.
    fixed : mapping of str to ndarray
        Entries that are held; NaN where free.
    rng : Generator
        Source of randomness, for a part of large data.
    """
    K = model.n_components
    space = model.family.space(params.components, params.column_spec)
    if K == 1:
        return params
    part = model.law.subset(data, model.family, rng, None)
    data = data if part is None else part
    movable = np.arange(K)
    if data.labels is not None:
        movable = np.setdiff1d(movable, data.labels[data.labels != UNKNOWN])
    with BlockMapper(model, data, Threads(available_threads())) as e_step:
        statistics, _ = e_step(params)
    gains = _gains(model, data, params, statistics, fixed, space)

    def value(order: Array) -> float:
        counts = model.law.renumbered(statistics.law, order)
        own = model.law.renumbered_params(params.law, order)
        law = model.law.impose(model.law.m_step(counts, own), fixed)
        return float(gains[range(K), order].sum()) + model.law.expected(counts, law)

    order = _best_order(gains, movable, value)
    if (order == np.arange(K)).all():
        return params
    public = model.family.parameters(params.components, params.column_spec)
    moved = {
        name: value[order] if space[name].axes[:1] == ("component",) else value
        for name, value in public.items()
    }
    try:
        components = model.family.from_public(moved, params.column_spec)
    except ValueError as error:
        raise DegenerateModelError(str(error)) from None
    law = model.law.renumbered_params(params.law, order)
    return params._replace(law=law, components=components)


def _by_component(part: Part) -> bool:
    """Whether each component has entries of its own, which the others do not depend on."""
    inner = getattr(part, "part", part)
    return part.axes[:1] == ("component",) and not isinstance(inner, Curved | Repeated)


def _gains(
    model: LabelModel,
    data: LabelData,
    params: LabelParams,
    statistics: Any,
    fixed: Mapping[str, Array],
    space: Mapping[str, Part],
) -> Array:
    """Expected log-densities Q(k, l), (n_components, n_components)."""
    family, spec, K = model.family, params.column_spec, model.n_components
    known = {name: fixed[name] for name in space if name in fixed}
    # What components share cannot tell them apart, and stays as it is at the start.
    shared = {
        name: value
        for name, value in family.parameters(params.components, spec).items()
        if not _by_component(space[name])
    }
    patterns: dict[bytes, list[int]] = {}
    own = {name: value for name, value in known.items() if name not in shared}
    for k in range(K):
        key = b"".join(value[k].tobytes() for value in own.values())
        patterns.setdefault(key, []).append(k)
    gains = np.zeros((K, K))
    if len(patterns) < 2:
        return gains
    precomputed = model.precompute(params)
    posterior = [model.posterior(b, precomputed)[0].copy() for b in data.blocks]
    for places in patterns.values():
        here = {name: np.repeat(value[places[:1]], K, axis=0) for name, value in own.items()}
        try:
            found = family.constrained_m_step(
                statistics.components, params.components, {**here, **shared}, spec
            )
            density = precomputed._replace(components=family.precompute(found, spec))
            total = np.zeros(K)
            for block, responsibilities in zip(data.blocks, posterior, strict=True):
                joint = model.emission_log_density(block, density)
                total += (responsibilities * joint).sum(axis=1)
        except (DegenerateModelError, ValueError):
            total = np.full(K, _IMPOSSIBLE)
        gains[places] = np.maximum(total, _IMPOSSIBLE)
    return gains


def _best_order(gains: Array, movable: Array, value: Any) -> Array:
    """For each place, the component of the start that takes it."""
    best = np.arange(len(gains))
    best[movable] = movable[linear_sum_assignment(-gains[np.ix_(movable, movable)])[1]]
    highest = value(best)
    if len(movable) <= _ALL_ORDERS:
        for order in _orders(movable, len(gains)):
            found = value(order)
            if found > highest + _ROUNDING * abs(highest):
                best, highest = order, found
        return best
    improved = True
    while improved:
        improved = False
        for i, j in combinations(movable, 2):
            order = best.copy()
            order[[i, j]] = order[[j, i]]
            found = value(order)
            if found > highest + _ROUNDING * abs(highest):
                best, highest, improved = order, found, True
    return best


def _orders(movable: Array, n: int) -> Iterator[Array]:
    for some in permutations(movable):
        order = np.arange(n)
        order[movable] = some
        yield order
