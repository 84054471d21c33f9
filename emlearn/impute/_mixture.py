"""The mixture of Gaussians of the imputer: its prior and its starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions import Gaussian
from emlearn.distributions._passes import RowPasses
from emlearn.distributions.gaussian.forms import GaussianStatistics
from emlearn.distributions.gaussian.spec import GaussianParams, GaussianSpec
from emlearn.impute._prior import Shape
from emlearn.latent import LabelData, LabelModel, LabelParams, MixtureLaw
from emlearn.latent.candidates import MixedStarts

Array = NDArray[Any]


@dataclass(frozen=True)
class ClusterGaussian(Gaussian):
    """Gaussian components with a given prior.

    Parameters
    ----------
    shape : Shape, default=None
        Shape of the pseudo-rows, in the units of the scaling. None means that of `Gaussian`.
    """

    shape: Shape | None = None

    _simpler: ClassVar[str] = "a (smaller) n_factors"

    def spec_of_passes(self, passes: RowPasses) -> GaussianSpec:
        """See `Gaussian`."""
        spec = super().spec_of_passes(passes)
        return spec if self.shape is None else spec._replace(prior=self.shape.common(self.alpha))

    def unsound(
        self, statistics: GaussianStatistics, params: GaussianParams, column_spec: GaussianSpec
    ) -> dict[str, Array]:
        """Components with too few rows: the prior of the imputer is meant to hold them up."""
        return self._starved(statistics, column_spec)


@dataclass(frozen=True)
class ObedientStarts(MixedStarts):
    """Starts of several kinds, moved to where the exact relations of the columns hold.

    The first M-step fills missing entries without them.

    Parameters
    ----------
    shape : Shape
        Shape of the pseudo-rows, which has the relations.
    """

    shape: Shape = field(kw_only=True)

    def _start(self, model: LabelModel, data: LabelData, *clusters: Any) -> LabelParams:
        params = super()._start(model, data, *clusters)
        if self.shape.relations is None:
            return params
        spec, scale = params.column_spec, params.column_spec.scaling.scale
        mean, covariance, _ = params.components
        moved = [
            self.shape.attract(*own, data.total_weight)
            for own in zip(mean, covariance, strict=True)
        ]
        public = {
            "mean": spec.scaling.to_units(np.array([mean for mean, _ in moved])),
            "covariance": np.array([matrix * scale[:, None] * scale for _, matrix in moved]),
        }
        return params._replace(components=model.family.from_public(public, spec))


def mixture_model(
    n_components: int, strength: float, shape: Shape, n_factors: int | None = None
) -> LabelModel:
    """The mixture with `strength` pseudo-rows for each component.

    Covariances are full, or those of `n_factors` factors.
    """
    structure = "full" if n_factors is None else "factor"
    family = ClusterGaussian(
        structure, alpha=strength, reg_covar=0.0, n_factors=n_factors, shape=shape
    )
    return LabelModel(MixtureLaw(n_components), family, ObedientStarts(shape=shape))
