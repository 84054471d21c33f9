"""Entries of m, u and the prevalence that are held, as a user gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.linkage._model import MATCH, NON_MATCH
from emlearn.linkage._structure import Structure

Array = NDArray[np.float64]

_NAMES = ("prevalence", "m", "u")
_ROUNDING = 1e-6


def read_held(
    fixed: Any, names: Sequence[str], structure: Structure, *, ordered: bool
) -> dict[str, Array]:
    """Entries by the names of the model; NaN where free.

    Parameters
    ----------
    fixed : mapping
        "prevalence": a number. "m" and "u": a mapping of names of comparisons to arrays of
        n_levels, or a list with an array, or None, for each comparison.
    names : sequence of str
        Names of the comparisons.
    structure : Structure
        Levels and interactions.
    ordered : bool
        Whether match weights are kept in order; entries of a comparison are then held all or none.

    Returns
    -------
    held : dict of str to ndarray
        "weights" and "probability", those of which something is held.

    Raises
    ------
    ValueError
        If a name, a shape or a probability is invalid.
    """
    if not isinstance(fixed, Mapping):
        raise ValueError(f"fixed must be a dict with 'prevalence', 'm' or 'u'; got {fixed!r}.")
    unknown = [name for name in fixed if name not in _NAMES]
    if unknown:
        raise ValueError(
            f"fixed has the unknown parameter {unknown[0]!r}; the parameters are "
            f"{', '.join(_NAMES)}."
        )
    found: dict[str, Array] = {}
    prevalence = fixed.get("prevalence")
    if prevalence is not None and not _is_nan(prevalence):
        if not isinstance(prevalence, Real) or not 0.0 < float(prevalence) < 1.0:
            raise ValueError(
                f"fixed['prevalence'] must be a number between 0 and 1, got {prevalence!r}."
            )
        found["weights"] = np.array([1.0 - float(prevalence), float(prevalence)])
    place = {j: k for k, j in enumerate(structure.free)}
    most = max((structure.n_levels[j] for j in structure.free), default=0)
    held = np.full((2, len(place), most), np.nan)
    for name, k in (("u", NON_MATCH), ("m", MATCH)):
        for j, own in _by_comparison(fixed.get(name), name, names).items():
            if j not in place:
                raise ValueError(
                    f"fixed[{name!r}] holds the comparison {names[j]!r}, which has interactions; "
                    "only comparisons without interactions can be held."
                )
            n = structure.n_levels[j]
            held[k, place[j], :n] = _probabilities(own, n, f"fixed[{name!r}] of {names[j]!r}")
    for j, k in place.items():
        own = held[:, k, : structure.n_levels[j]]
        partly = np.isnan(own).any(axis=1) & ~np.isnan(own).all(axis=1)
        if ordered and partly.any():
            raise ValueError(
                f"With ordered=True, m or u of the comparison {names[j]!r} can be held as a whole "
                "only, not some of its levels."
            )
        held[~np.isnan(own).all(axis=1), k, structure.n_levels[j] :] = 0.0
    if not np.isnan(held).all():
        found["probability"] = held
    return found


def held_comparisons(structure: Structure, probability: Array | None) -> list[bool]:
    """Of which comparisons some of m or u is held."""
    found = [False] * len(structure.n_levels)
    if probability is not None:
        for k, j in enumerate(structure.free):
            found[j] = not bool(np.isnan(probability[:, k, : structure.n_levels[j]]).all())
    return found


def _by_comparison(given: Any, name: str, names: Sequence[str]) -> dict[int, Any]:
    """What is given for each comparison, by position."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        unknown = [own for own in given if own not in names]
        if unknown:
            raise ValueError(
                f"fixed[{name!r}] names the comparison {unknown[0]!r}; there are "
                f"{', '.join(names)}."
            )
        return {list(names).index(own): value for own, value in given.items() if value is not None}
    try:
        each = list(given)
    except TypeError:
        each = []
    if len(each) != len(names):
        raise ValueError(
            f"fixed[{name!r}] must be a dict of arrays by comparison, or a list with an array or "
            f"None for each of the {len(names)} comparisons; got {given!r}."
        )
    return {j: value for j, value in enumerate(each) if value is not None}


def _probabilities(given: Any, n: int, where: str) -> Array:
    """Probabilities of the levels of a comparison; NaN where free."""
    try:
        values = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{where} must hold numbers, and NaN where free.") from None
    if values.shape != (n,):
        raise ValueError(
            f"{where} must have {n} probabilities, one for each level; got shape {values.shape}."
        )
    free = np.isnan(values)
    if not ((values >= 0.0) & (values <= 1.0) | free).all():
        raise ValueError(f"{where} must hold probabilities from 0 to 1; got {values.tolist()}.")
    total = float(values[~free].sum())
    if total > 1.0 + _ROUNDING or (not free.any() and abs(total - 1.0) > _ROUNDING):
        need = "at most 1" if free.any() else "1"
        raise ValueError(f"{where} has probabilities that sum to {total:g}; it must be {need}.")
    if not free.any():
        return values / total
    if free.sum() == 1:
        # What the others leave.
        return np.where(free, max(1.0 - total, 0.0), values)
    return values


def _is_nan(value: Any) -> bool:
    return isinstance(value, Real) and bool(np.isnan(float(value)))
