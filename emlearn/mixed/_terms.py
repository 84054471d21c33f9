"""Random-effects terms, and the design of a fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.mixed._kinship import Kinship

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Term:
    """One random-effects term, such as ``(Days | Subject)``.

    Attributes
    ----------
    name : str
        Name of the term, such as "Subject"; a key of `variance_components_`.
    columns : tuple of str
        Names of its random effects: "intercept" or names of columns of X.
    levels : ndarray of shape (n_levels,)
        Identifiers of the levels, sorted; for a term with a kinship, those of the kinship.
    index : ndarray of int of shape (n_samples,)
        Level of each row; -1 for a level that is not among them (only after fit).
    basis : ndarray of shape (n_samples, n_columns)
        Values of the columns: 1 for the intercept.
    pattern : ndarray of bool of shape (n_columns, n_columns)
        Which pairs of effects may be correlated; symmetric, True on the diagonal, an
        equivalence relation (blocks). (1, 1) for a term of `Z`, which has one variance.
    kinship : Kinship or None
        How the levels are related; None: they are independent.
    grouped : bool
        Whether the rows are grouped by `index`. If False, the term is one of `Z`: each column of
        the basis has an effect of its own, all with the same variance, and `index` is 0.
    """

    name: str
    columns: tuple[str, ...]
    levels: NDArray[Any]
    index: NDArray[np.intp]
    basis: Array
    pattern: NDArray[np.bool_]
    kinship: Kinship | None = None
    grouped: bool = True


@dataclass(frozen=True, eq=False)
class Design:
    """What the rows are to a mixed model.

    Attributes
    ----------
    fixed : ndarray of shape (n_samples, n_fixed)
        Columns of the fixed effects, without the intercept.
    fixed_names : tuple of str
        Their names.
    terms : tuple of Term
        Random-effects terms.
    """

    fixed: Array
    fixed_names: tuple[str, ...]
    terms: tuple[Term, ...]
