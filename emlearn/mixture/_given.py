"""Starting parameters from the user, which replace some of those of an initializer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from emlearn._warnings import warn_user
from emlearn.latent import LabelData, LabelModel, LabelParams, MixtureParams
from emlearn.latent.starts import Initializer, nearest, sample_points

Array = NDArray[Any]


@dataclass(frozen=True)
class GivenParameters:
    """Given weights, means and covariances. Another initializer supplies the rest.

    Parameters
    ----------
    others : Initializer
        Source of the parameters that are not given.
    weights, means, covariances : ndarray or None
        Given parameters, in the units of the data.
    """

    others: Initializer
    weights: Array | None
    means: Array | None
    covariances: Array | None

    numbered: ClassVar[bool] = True

    @property
    def needs_all_rows(self) -> bool:
        """Whether the other initializer does."""
        return getattr(self.others, "needs_all_rows", False)

    def __call__(self, model: LabelModel, data: LabelData, rng: np.random.Generator) -> LabelParams:
        """See `Initializer`."""
        family, spec = model.family, data.column_spec
        weights, means, public = self.weights, self.means, {}
        unreached = np.zeros(0, np.intp) if means is None else _unreached(model, data, means, rng)
        if weights is None or means is None or self.covariances is None or unreached.size:
            drawn = self.others(model, data, rng)
            weights = drawn.law.weights if weights is None else weights
            public = family.to_public(drawn.components, spec)
            public = {name: public[name] for name in ("mean", "covariance")}
        if means is not None:
            if unreached.size:
                means = means.copy()
                means[unreached] = public["mean"][unreached]
                warn_user(
                    f"No row is nearest to means_init{unreached.tolist()}, so EM would give these "
                    "components no rows. They start at the mean of other rows instead.",
                    UserWarning,
                )
            public["mean"] = means
        if self.covariances is not None:
            public["covariance"] = self.covariances
        components = family.from_public(public, spec)
        return LabelParams(MixtureParams(weights), components, spec)


def _unreached(
    model: LabelModel, data: LabelData, means: Array, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Means that are farther from every row than another mean is, and equal to none."""
    centers = model.family.points(means, data.column_spec)
    _, _, points = sample_points(model, data, rng)
    reached = np.zeros(len(centers), bool)
    reached[nearest(points, centers)] = True
    copies = np.array(
        [(centers[:k] == center).all(axis=1).any() for k, center in enumerate(centers)]
    )
    return np.flatnonzero(~reached & ~copies)
