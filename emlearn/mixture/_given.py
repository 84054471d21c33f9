"""Starting parameters from the user, which replace some of those of an initializer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.latent import LabelData, LabelModel, LabelParams, MixtureParams
from emlearn.latent.starts import Initializer

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

    def __call__(self, model: LabelModel, data: LabelData, rng: np.random.Generator) -> LabelParams:
        """See `Initializer`."""
        family, spec = model.family, data.column_spec
        weights, public = self.weights, {}
        if weights is None or self.means is None or self.covariances is None:
            drawn = self.others(model, data, rng)
            weights = drawn.law.weights if weights is None else weights
            public = family.to_public(drawn.components, spec)
        if self.means is not None:
            public["mean"] = self.means
        if self.covariances is not None:
            public["covariance"] = self.covariances
        components = family.from_public(public, spec)
        return LabelParams(MixtureParams(weights), components, spec)
