"""`check_covariance_structure`."""

from __future__ import annotations

import numpy as np

from emlearn.distributions.gaussian.structures import CovarianceStructure
from emlearn.engine.threads import blas_limited
from emlearn.testing._structure_case import StructureCase
from emlearn.testing._structure_checks import STRUCTURE_CHECKS


def check_covariance_structure(
    structure: CovarianceStructure,
    *,
    n_components: int = 3,
    n_features: int = 4,
    random_state: int = 0,
    rtol: float = 1e-8,
) -> None:
    """Check that a covariance structure keeps its contract.

    A structure is a set of covariances: those that it allows. Fits it to moments of random
    rows and raises at the first property that does not hold:

    - sums of squares agree however they are made, and add up;
    - covariances have their layout, and are symmetric and positive definite;
    - factors, precisions, distances and roots are those of the full matrices;
    - the M-step maximizes the expected log-likelihood: neither a small step in the vector
      form nor other covariances of the set have a higher one;
    - the M-step returns covariances of the set, where these are exactly those of the rows;
    - components without rows do not disturb the others;
    - units: `rescale` keeps to the set, and commutes with the M-step (columns have units
      of their own unless ``scales_by_column`` is false);
    - the vector form leads back, and moves covariances in as many independent directions
      as there are free parameters (the number of coordinates may be larger);
    - whatever the vector, on a line through two fits or far off, `from_vector` leads into
      the set or raises DegenerateModelError;
    - no method changes its arguments.

    Parameters
    ----------
    structure : CovarianceStructure
        The structure.
    n_components : int, default=3
        Number of components.
    n_features : int, default=4
        Number of features.
    random_state : int, default=0
        Seed of all that is drawn.
    rtol : float, default=1e-8
        Relative tolerance where only rounding may differ. An M-step that iterates needs as
        much as it leaves to be gained.

    Raises
    ------
    AssertionError
        If a property does not hold. The message says what was found and where to look.

    Examples
    --------
    >>> from emlearn.distributions.gaussian.structures import FullCovariance
    >>> from emlearn.testing import check_covariance_structure
    >>> check_covariance_structure(FullCovariance())

    Coordinates that lead out of the structure are found:

    >>> from emlearn.distributions.gaussian.structures import RotatedCovariance
    >>> class Loose(RotatedCovariance):
    ...     to_vector = FullCovariance.to_vector
    ...     from_vector = FullCovariance.from_vector
    >>> check_covariance_structure(Loose())  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    AssertionError: Loose: covariances move in 30 independent directions ...
    """
    case = StructureCase(structure, n_components, n_features, random_state, rtol)
    with blas_limited(), np.errstate(all="ignore"):
        for check in STRUCTURE_CHECKS:
            check(case)
