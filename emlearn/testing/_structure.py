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
    """Check that a covariance structure fulfills its contract.

    A structure defines a set of covariances. Its M-step is run on moments of random rows. The
    first property that does not hold raises an error:

    - all ways to compute sums of squares agree, and the sums add up;
    - covariances have the layout of the structure, and are symmetric and positive definite;
    - factors, precisions and distances are those of the full matrices;
    - the M-step maximizes the expected log-likelihood: neither a small step in the vector
      form nor other covariances of the set give a higher one;
    - the M-step from rows with covariances in the set returns exactly these covariances;
    - within EM, no M-step lowers the expected log-likelihood;
    - components without rows do not affect the others;
    - what is published determines the covariances;
    - `rescale` stays in the set and commutes with the M-step (each column may have its own
      units unless ``scales_by_column`` is false);
    - `from_vector` undoes `to_vector`, and the vector moves covariances in as many
      independent directions as there are free parameters (it may have more coordinates);
    - for any vector, on a line through two fits or far away, `from_vector` returns
      covariances in the set or raises DegenerateModelError;
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
        Seed of all random numbers.
    rtol : float, default=1e-8
        Relative tolerance for differences by rounding. An iterative M-step needs a tolerance
        above its own.

    Raises
    ------
    AssertionError
        If a property does not hold. The message says what is wrong and where to look.

    Examples
    --------
    >>> from emlearn.distributions.gaussian.structures import FullCovariance
    >>> from emlearn.testing import check_covariance_structure
    >>> check_covariance_structure(FullCovariance())

    The check finds coordinates that leave the structure:

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
