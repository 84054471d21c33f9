"""Families by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from emlearn.distributions._bernoulli import Bernoulli
from emlearn.distributions._categorical import Categorical
from emlearn.distributions._contract import Family
from emlearn.distributions._dirichlet_multinomial import DirichletMultinomial
from emlearn.distributions._gamma import Gamma
from emlearn.distributions._gaussian import Gaussian
from emlearn.distributions._multinomial import Multinomial
from emlearn.distributions._negative_binomial import NegativeBinomial
from emlearn.distributions._poisson import Poisson
from emlearn.distributions._product import Product
from emlearn.distributions._von_mises import VonMises
from emlearn.distributions._zero_inflated import ZeroInflated

FAMILIES: dict[str, Family] = {
    "bernoulli": Bernoulli(),
    "categorical": Categorical(),
    "dirichlet_multinomial": DirichletMultinomial(),
    "gamma": Gamma(),
    "gaussian": Gaussian(),
    "multinomial": Multinomial(),
    "negative_binomial": NegativeBinomial(),
    "poisson": Poisson(),
    "von_mises": VonMises(),
    "zero_inflated": ZeroInflated(),
}


def find_family(family: Any) -> Family:
    """The family of a name, or the product of a list; a family is returned as it is.

    Parameters
    ----------
    family : str, Family or list of (family, columns)
        What an estimator was given. In a list, ``("ignore", columns)`` leaves columns out.

    Returns
    -------
    family : Family
        Not yet at the columns of X.

    Raises
    ------
    ValueError
        If there is no family of that name, or the list does not consist of pairs.
    """
    if isinstance(family, Family):
        return family
    if isinstance(family, str) and family in FAMILIES:
        return FAMILIES[family]
    if isinstance(family, list | tuple) and family:
        if not all(isinstance(part, list | tuple) and len(part) == 2 for part in family):
            raise ValueError(
                "A list of families consists of pairs (family, columns), as in "
                f"[('poisson', ['visits']), ('gaussian', [2, 3])]; got {family!r}."
            )
        return _product(family)
    is_class = isinstance(family, type) and issubclass(family, Family)
    raise ValueError(
        f"family must be one of {', '.join(map(repr, FAMILIES))}, a family from "
        "emlearn.distributions or of your own, or a list of pairs (family, columns); got "
        f"{family!r}." + (f" Pass an instance of it: {family.__name__}()." if is_class else "")
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
            "A list of families has at least one family, and at most one pair ('ignore', columns) "
            f"with all columns to leave out; got {list(pairs)!r}."
        )
    return Product(tuple(parts), *ignored)
