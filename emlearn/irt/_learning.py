"""What a fit learns of persons before EM: groups, and means of covariates."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.irt._latent import LatentLaw
from emlearn.irt._persons import Codes, Persons
from emlearn.irt._reading import check_covariates, index_groups, read_covariates, read_groups

Array = NDArray[np.float64]


class LearnedPersons(NamedTuple):
    """Persons as the model reads them, and what later persons are read with.

    Attributes
    ----------
    persons : Persons
        Codes, indices of groups, and centered covariates.
    groups : ndarray or None
        Labels of the groups, the reference group first.
    covariate_means : ndarray of shape (n_covariates,)
        Means of the covariates.
    """

    persons: Persons
    groups: NDArray[Any] | None
    covariate_means: Array


def learn_persons(
    codes: Codes, weight: Array | None, groups: Any, covariates: Any, reference: Any
) -> LearnedPersons:
    """Read groups or covariates of the persons of a fit.

    Raises
    ------
    ValueError
        If both are given, or one of them is invalid.
    """
    if groups is not None and covariates is not None:
        raise ValueError(
            "Pass groups or covariates, not both: a column of covariates that is 0 or 1 for "
            "each group but one stands for the groups."
        )
    counts = np.ones(len(codes)) if weight is None else weight
    if groups is not None:
        labels = read_groups(groups, len(codes))
        known = _sorted_groups(labels[counts > 0.0], reference)
        # Persons of weight 0 may be of any group.
        labels = np.where(counts > 0.0, labels, known[0])
        return LearnedPersons(Persons(codes, index_groups(labels, known)), known, np.empty(0))
    if covariates is not None:
        values = read_covariates(covariates, len(codes))
        means: Array = counts @ values / counts.sum()
        values = values - means
        check_covariates(values, counts)
        return LearnedPersons(Persons(codes, None, values), None, means)
    return LearnedPersons(Persons(codes), None, np.empty(0))


def _sorted_groups(labels: NDArray[Any], reference: Any) -> NDArray[Any]:
    """Groups, the reference group first."""
    found = np.unique(labels)
    if reference is None:
        return found
    is_reference = found == reference
    if not np.any(is_reference):
        raise ValueError(
            f"reference_group={reference!r} is not among the groups: {found.tolist()}."
        )
    return np.concatenate([found[is_reference], found[~is_reference]])


def check_size(codes: Codes) -> None:
    """Raise ValueError if there are not at least two persons and two items."""
    n_persons, n_items = codes.shape
    if n_persons < 2:
        raise ValueError(
            f"X has n_samples = {n_persons} persons of positive weight, but items cannot be "
            "compared with fewer than two."
        )
    if n_items < 2:
        raise ValueError(
            "X has n_features = 1, 1 feature(s): one item tells nothing of a discrimination. "
            "Pass the responses to at least two items."
        )


def check_latent_is_identified(fixed: Any, law: LatentLaw) -> None:
    """Raise ValueError if nothing that is held fixes the origin and the unit of the trait."""
    if law.n_covariates:
        raise ValueError(
            "estimate_latent=True does not go with covariates, whose trait has mean 0 and variance "
            "1 about the regression. Leave one of them out."
        )
    held = {
        name
        for name, values in (fixed or {}).items()
        if not np.isnan(np.asarray(values, dtype=np.float64)).all()
    }
    location = {"difficulty", "thresholds", "intercept", "latent_mean"}
    unit = {"discrimination", "latent_covariance"}
    for names, what, example in (
        (location, "mean", "difficulty"),
        (unit, "variance", "discrimination"),
    ):
        if not held & names:
            raise ValueError(
                f"estimate_latent=True: nothing is held that the {what} of the trait could be told "
                f"from. Hold entries of {sorted(names)}, for example fixed={{{example!r}: ...}} "
                "with the values of known items."
            )
