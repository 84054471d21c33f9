"""The mixture of Gaussians of the imputer: its prior and its start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions import Gaussian
from emlearn.distributions._gaussian import GaussianParams, GaussianSpec
from emlearn.distributions.gaussian.forms import GaussianStatistics
from emlearn.distributions.gaussian.incomplete import ConditionalGaussians, find_patterns
from emlearn.distributions.gaussian.incomplete.available import AvailableMoments, start_covariance
from emlearn.engine import DegenerateModelError
from emlearn.impute._prior import Shape
from emlearn.latent import LabelData, LabelModel, LabelParams, MixtureLaw, MixtureParams
from emlearn.latent.starts import kmeans_centers, nearest

Array = NDArray[Any]

_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class ClusterGaussian(Gaussian):
    """Gaussian components with a given prior.

    Parameters
    ----------
    shape : Shape, default=None
        Shape of the pseudo-rows, in the units of the scaling. None means that of `Gaussian`.
    """

    shape: Shape | None = None

    _simpler: ClassVar[str] = "n_factors"

    def column_spec(self, X: Array, weight: Array | None = None) -> GaussianSpec:
        """See `Gaussian`."""
        spec = super().column_spec(X, weight)
        return spec if self.shape is None else spec._replace(prior=self.shape.common(self.alpha))

    def unsound(
        self, statistics: GaussianStatistics, params: GaussianParams, column_spec: GaussianSpec
    ) -> dict[str, Array]:
        """Components with too few rows: the prior of the imputer is meant to hold them up."""
        return self._starved(statistics, column_spec)


@dataclass(frozen=True)
class FilledClusters:
    """Start from clusters of the rows after one Gaussian has filled them.

    Parameters
    ----------
    available : AvailableMoments
        Moments of the available pairs of columns.
    strength : float
        Pseudo-rows of the prior.
    shape : Shape
        Their shape.
    """

    available: AvailableMoments
    strength: float
    shape: Shape

    def __call__(self, model: LabelModel, data: LabelData, rng: np.random.Generator) -> LabelParams:
        """See `emlearn.latent.starts.Initializer`."""
        K, spec, total = model.n_components, data.column_spec, data.total_weight
        covariance = start_covariance(self.available, self.strength / (self.strength + total), rng)
        d = len(covariance)
        if data.n_rows < K:
            raise DegenerateModelError("there are fewer distinct rows than components")
        overall = ConditionalGaussians.at(
            np.ones(1), np.zeros((1, d)), covariance[None], spec.scaling
        )
        order = find_patterns(np.isnan(data.X)).order
        filled = data.X[order]
        overall.fill_means(filled.copy(), filled)
        filled, weight = spec.scaling.to_scaled(filled), data.row_weight[order]
        labels = nearest(filled, kmeans_centers(filled, weight, K, rng))
        member = (labels[:, None] == np.arange(K)) * weight[:, None]
        size = np.maximum(member.sum(axis=0), _TINY)
        means = (member.T @ filled) / size[:, None]
        rest = filled - means[labels]
        within = (rest * weight[:, None]).T @ rest / total
        # Filled entries vary too little; half of the overall covariance compensates.
        within = 0.5 * within + 0.5 * covariance / K ** (2.0 / d)
        starts = [self.shape.attract(mean, within, total) for mean in means]
        scale = spec.scaling.scale
        public = {
            "mean": spec.scaling.to_units(np.array([mean for mean, _ in starts])),
            "covariance": np.array([matrix * scale[:, None] * scale for _, matrix in starts]),
        }
        components = model.family.from_public(public, spec)
        return LabelParams(MixtureParams(size / size.sum()), components, spec)


def mixture_model(
    n_components: int, strength: float, available: AvailableMoments, shape: Shape
) -> LabelModel:
    """The mixture with full covariances, and `strength` pseudo-rows for each component."""
    family = ClusterGaussian("full", alpha=strength, reg_covar=0.0, shape=shape)
    return LabelModel(MixtureLaw(n_components), family, FilledClusters(available, strength, shape))
