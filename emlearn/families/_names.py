"""Families by name."""

from __future__ import annotations

from typing import Any

from emlearn.families._bernoulli import Bernoulli
from emlearn.families._categorical import Categorical
from emlearn.families._contract import Family
from emlearn.families._gaussian import Gaussian
from emlearn.families._poisson import Poisson

FAMILIES: dict[str, Family] = {
    "categorical": Categorical(),
    "bernoulli": Bernoulli(),
    "poisson": Poisson(),
    "gaussian": Gaussian(),
}


def find_family(family: Any) -> Family:
    """The family of a name; a family itself is returned as it is.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    if isinstance(family, Family):
        return family
    if isinstance(family, str) and family in FAMILIES:
        return FAMILIES[family]
    raise ValueError(
        f"family must be one of {sorted(FAMILIES)} or an emlearn.families.Family, got {family!r}."
    )
