"""The mixture of Gaussians that imputes: its prior and its start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from emlearn.distributions import Gaussian
from emlearn.distributions._gaussian import GaussianSpec
from emlearn.distributions.gaussian.incomplete import ConditionalGaussians, find_patterns
from emlearn.distributions.gaussian.incomplete.available import AvailableMoments, start_covariance
from emlearn.engine import DegenerateModelError
from emlearn.latent import LabelData, LabelModel, LabelParams, MixtureLaw, MixtureParams

Array = NDArray[Any]

_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class ClusterGaussian(Gaussian):
    """Gaussian components whose prior expects K clusters that share out the space.

    The variances of the pseudo-rows are those of the columns times ``K**(-2 / n_features)``: as
    wide as K cells of equal volume.

    Parameters
    ----------
    n_clusters : int, default=1
        Number of clusters, K.
    """

    n_clusters: int = 1

    def column_spec(self, X: Array, weight: Array | None = None) -> GaussianSpec:
        """See `Gaussian`."""
        spec = super().column_spec(X, weight)
        target = spec.variance * self.n_clusters ** (-2.0 / len(spec.variance))
        return spec._replace(prior=spec.prior._replace(target=target))


@dataclass(frozen=True)
class FilledClusters:
    """Start from the clusters of rows that are filled under one Gaussian.

    Parameters
    ----------
    available : AvailableMoments
        Moments of the available pairs of columns.
    strength : float
        Pseudo-rows of the prior.
    """

    available: AvailableMoments
    strength: float

    def __call__(self, model: LabelModel, data: LabelData, rng: np.random.Generator) -> LabelParams:
        """See `emlearn.latent.starts.Initializer`."""
        K, spec, total = model.n_components, data.column_spec, data.total_weight
        covariance = start_covariance(self.available, self.strength / (self.strength + total), rng)
        d = len(covariance)
        if total < K:
            raise DegenerateModelError("there are fewer rows than components")
        if data.n_rows < K:
            raise DegenerateModelError("there are fewer distinct rows than components")
        overall = ConditionalGaussians.at(
            np.ones(1), np.zeros((1, d)), covariance[None], spec.scaling
        )
        order = find_patterns(np.isnan(data.X)).order
        filled = data.X[order]
        overall.fill_means(filled.copy(), filled)
        filled, weight = spec.scaling.to_scaled(filled), data.row_weight[order]
        clusters = KMeans(K, n_init=1, random_state=int(rng.integers(2**31 - 1)))
        labels = clusters.fit(filled, sample_weight=weight).labels_
        member = (labels[:, None] == np.arange(K)) * weight[:, None]
        size = np.maximum(member.sum(axis=0), _TINY)
        means = (member.T @ filled) / size[:, None]
        rest = filled - means[labels]
        within = (rest * weight[:, None]).T @ rest / total
        # Filling shrinks the spread of the missing entries; half of the whole restores it.
        within = 0.5 * within + 0.5 * covariance / K ** (2.0 / d)
        scale = spec.scaling.scale
        public = {
            "mean": spec.scaling.to_units(means),
            "covariance": np.repeat((within * scale[:, None] * scale)[None], K, axis=0),
        }
        components = model.family.from_public(public, spec)
        return LabelParams(MixtureParams(size / size.sum()), components, spec)


def mixture_model(n_components: int, strength: float, available: AvailableMoments) -> LabelModel:
    """The mixture with full covariances."""
    family = ClusterGaussian("full", alpha=strength, n_clusters=n_components)
    return LabelModel(MixtureLaw(n_components), family, FilledClusters(available, strength))
