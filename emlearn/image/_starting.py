"""Where the segmentation of an image starts: the mixture of its intensities, or an atlas."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn._warnings import collected_warnings
from emlearn.distributions import Gaussian
from emlearn.distributions.gaussian.prior import in_layout
from emlearn.distributions.gaussian.spec import GaussianParams, GaussianSpec
from emlearn.engine.blocks import add_statistics
from emlearn.image._model import ImageData, PottsModel
from emlearn.mixture import GaussianMixtureEM

Array = NDArray[Any]

# Voxels that the mixture of the start is fitted to.
_SAMPLE = 1 << 16


def mixture_start(
    inside: Array,
    family: Gaussian,
    spec: GaussianSpec,
    n_classes: int,
    seed: int,
    *,
    logarithms: bool = False,
) -> tuple[Array, GaussianParams]:
    """Prior probabilities and Gaussians of a mixture of intensities without neighbors.

    Parameters
    ----------
    inside : ndarray of shape (n_inside, n_channels)
        Intensities of the voxels, or their logarithms.
    family : Gaussian
        Distribution of a class.
    spec : GaussianSpec
        What the Gaussians learned of the intensities.
    n_classes : int
        Number of classes.
    seed : int
        Seed of the random numbers.
    logarithms : bool, default=False
        Whether the intensities are logarithms. The mixture is then that of the intensities
        with one covariance: noise has the same size everywhere.
    """
    rng = np.random.default_rng(seed)
    sample = inside
    if len(inside) > _SAMPLE:
        sample = inside[rng.choice(len(inside), _SAMPLE, replace=False)]
    colors, count = np.unique(sample, axis=0, return_counts=True)
    if len(colors) < max(n_classes, 2):
        # Some values are too rare for a sample.
        colors, count = np.unique(inside, axis=0, return_counts=True)
    mixture = GaussianMixtureEM(
        n_classes,
        covariance_type="tied" if logarithms else family.covariance_type,
        reg_covar="auto" if logarithms else family.reg_covar,
        random_state=seed,
    )
    # What is wrong with the start need not be wrong with the fit.
    with collected_warnings():
        try:
            mixture.fit(np.exp(colors) if logarithms else colors, sample_weight=count)
        except ValueError:
            if family.reg_covar != 0.0:
                raise
            raise ValueError(
                "The intensities of a class do not vary, and reg_covar=0. Use reg_covar='auto' or "
                "a number above 0, or fewer classes."
            ) from None
    means, covariances = mixture.means_, mixture.covariances_
    if logarithms:
        # Means are positive, as all intensities are. To first order:
        relative = covariances / (means[:, :, None] * means[:, None, :])
        covariances = in_layout(family.structure, relative)
        means = np.log(means)
        if family.structure.is_shared:
            covariances = covariances / n_classes
        elif family.covariance_type == "spherical":
            covariances = covariances / means.shape[1]
    public = {"mean": means, "covariance": covariances}
    return mixture.weights_.astype(np.float64), family.from_public(public, spec)


def atlas_start(model: PottsModel, data: ImageData, atlas: Array) -> GaussianParams:
    """Gaussians of the voxels as the atlas (n_classes, n_voxels) divides them."""
    family = model.family
    pooled = family.pooled(len(atlas), data.spec)
    precomputed = family.precompute(pooled, data.spec)
    statistics: Any = None
    for part, rows in model.rows(data, None):
        own = np.ascontiguousarray(atlas[:, part])
        found = family.sufficient_statistics(rows, own, precomputed)
        statistics = found if statistics is None else add_statistics(statistics, found)
    component = family.m_step(statistics, pooled, data.spec)
    for first, second in combinations(range(len(atlas)), 2):
        if np.allclose(component.mean[first], component.mean[second]):
            _check_apart(atlas, first, second)
    return component


def _check_apart(atlas: Array, first: int, second: int) -> None:
    """Raise an error if two classes have one ratio in all voxels: EM would never part them."""
    one, other = atlas[first], atlas[second]
    if one.any() and other.any() and np.allclose(one * other.sum(), other * one.sum(), atol=0.0):
        raise ValueError(
            f"atlas does not tell classes {first} and {second} apart: the ratio of their "
            "probabilities is the same in all pixels, so both would start with the same mean. "
            "Change the atlas, or fit without it: predict takes an atlas too."
        )
