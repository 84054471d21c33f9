"""Families by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emlearn.distributions._bernoulli import Bernoulli
from emlearn.distributions._categorical import Categorical
from emlearn.distributions._contract import Family
from emlearn.distributions._gaussian import Gaussian
from emlearn.distributions._multinomial import Multinomial
from emlearn.distributions._poisson import Poisson
from emlearn.distributions._product import Product

FAMILIES: dict[str, Family] = {
    "bernoulli": Bernoulli(),
    "categorical": Categorical(),
    "gaussian": Gaussian(),
    "multinomial": Multinomial(),
    "poisson": Poisson(),
}


def find_family(family: Any) -> Family:
    """The family of a name, or the product of a list; a family itself is returned as it is.

    Parameters
    ----------
    family : str, Family or list of (family, columns)
        What an estimator was given.

    Raises
    ------
    ValueError
        If there is none of that name, or the list is none of pairs.
    """
    if isinstance(family, Family):
        return family
    if isinstance(family, str) and family in FAMILIES:
        return FAMILIES[family]
    if isinstance(family, list | tuple) and family:
        if not all(isinstance(part, list | tuple) and len(part) == 2 for part in family):
            raise ValueError(
                "A list of families needs pairs (family, columns), as in "
                f"[('poisson', ['visits']), ('gaussian', [2, 3])]; got {family!r}."
            )
        return _product(family)
    raise ValueError(
        f"family must be one of {sorted(FAMILIES)}, an emlearn.distributions.Family, or a list of "
        f"(family, columns), got {family!r}."
    )


def _product(pairs: Sequence[tuple[Any, Any]]) -> Product:
    """The product of the families of a list; "ignore" stands for no family."""
    parts, ignored = [], []
    for part, columns in pairs:
        if isinstance(part, str) and part == "ignore":
            ignored.append(columns)
        else:
            parts.append((find_family(part), columns))
    if not parts or len(ignored) > 1:
        raise ValueError(
            "A list of families needs at least one of them, and names the columns to leave out in "
            f"one pair ('ignore', columns); got {list(pairs)!r}."
        )
    return Product(tuple(parts), *ignored)
