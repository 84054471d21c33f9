"""Gaussian classes with a Potts prior of their labels: the model of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions import Gaussian
from emlearn.distributions.gaussian.forms import GaussianStatistics
from emlearn.distributions.gaussian.rows import GaussianRows
from emlearn.distributions.gaussian.spec import GaussianParams, GaussianSpec
from emlearn.engine import LatentVariableModel
from emlearn.engine.blocks import add_statistics
from emlearn.image._bias import FieldBasis, FieldMoments, field_step
from emlearn.kernels.potts import sweep

Array = NDArray[Any]

# Voxels whose densities are computed at a time.
_SLAB = 1 << 16
# Classes with less than this share of the voxels are reported.
_EMPTY = 1e-9


class ImageData(NamedTuple):
    """An image as the E-step reads it.

    Attributes
    ----------
    values : ndarray of shape (n_voxels, n_channels)
        Intensities, or their logarithms where there is a field; inside the box of the mask.
    spec : GaussianSpec
        What the Gaussians learned of the intensities.
    shape : tuple of int
        Numbers of planes, of lines and of voxels of a line.
    mask : ndarray of shape `shape` or None
        Voxels that belong to the image; None means all.
    log_atlas : ndarray of shape (n_classes, n_voxels) or None
        Logarithms of the prior probabilities of the classes in each voxel.
    basis : FieldBasis or None
        Basis of the field.
    n_inside : int
        Number of voxels of the mask.
    axis_weights : ndarray of shape (3,)
        Weights of neighbors along each axis.
    edges : ndarray of shape (3,)
        Number of pairs of neighbors along each axis.
    """

    values: Array
    spec: GaussianSpec
    shape: tuple[int, int, int]
    mask: NDArray[np.bool_] | None
    log_atlas: Array | None
    basis: FieldBasis | None
    n_inside: int
    axis_weights: Array
    edges: Array


class PottsParams(NamedTuple):
    """Parameters, and the mean field that the E-step starts from.

    Attributes
    ----------
    weights : ndarray of shape (n_classes,)
        Prior probabilities of the classes.
    component : GaussianParams
        The Gaussians.
    field : ndarray of shape (n_channels, n_basis) or None
        Coefficients of the field, in scaled coordinates.
    q : ndarray of shape (n_classes, n_planes, n_lines, length)
        Probabilities of the labels.
    """

    weights: Array
    component: GaussianParams
    field: Array | None
    q: Array


class PottsStatistics(NamedTuple):
    """Statistics under the mean field, which is one of them: the next E-step starts from it.

    Attributes
    ----------
    gaussian : GaussianStatistics
        Statistics of the Gaussians.
    field : FieldMoments or empty tuple
        Moments of the field, if there is one.
    q : ndarray of shape (n_classes, n_planes, n_lines, length)
        Probabilities of the labels.
    """

    gaussian: GaussianStatistics
    field: FieldMoments | tuple[()]
    q: Array


@dataclass(frozen=True)
class PottsModel(LatentVariableModel[ImageData, PottsParams, PottsStatistics]):
    """Gaussian classes whose labels are a Potts field.

    The E-step updates the mean field once, from where the last one ended. The objective is
    a lower bound on the log-likelihood; see ``docs/segmentation.md``.

    Parameters
    ----------
    family : Gaussian
        Distribution of the intensities of a class.
    spec : GaussianSpec
        What the Gaussians learned of the intensities.
    beta : float
        Coupling of neighbors.
    estimate_weights : bool, default=False
        Whether the M-step estimates the prior probabilities of the classes, as in a mixture.
    held : bool, default=False
        Whether the classes are known, and only the field is estimated.
    """

    family: Gaussian
    spec: GaussianSpec
    beta: float
    estimate_weights: bool = False
    held: bool = False

    def prepare(self, X: ImageData, sample_weight: Array | None = None) -> ImageData:
        """The image, which is read by `emlearn.image._reading`."""
        return X

    def initialize(self, data: ImageData, rng: np.random.Generator) -> PottsParams:
        """Not used: the start is given; see `emlearn.image._starting`."""
        raise NotImplementedError("The segmentation of an image starts where it is told to.")

    def total_weight(self, data: ImageData) -> float:
        """Number of voxels inside the mask."""
        return float(data.n_inside)

    def n_parameters(self, params: PottsParams) -> int:
        """Parameters of the classes and of the field."""
        classes = params.component.mean.size + params.component.covariance.size
        return (
            classes + len(params.weights) - 1 + (0 if params.field is None else params.field.size)
        )

    def e_step(self, block: ImageData, params: PottsParams) -> tuple[PottsStatistics, float]:
        """Update the mean field; statistics under it, and the bound."""
        q = params.q.copy()
        precomputed = self.family.precompute(params.component, block.spec)
        rows = self.rows(block, params.field)
        joint = _log_prior(block, params)
        for part, own in rows:
            # A slice of the columns is not contiguous, but this adds to it.
            self.family.log_density(own, precomputed, joint[:, part])
        coupling = self.beta * block.axis_weights
        value = sweep(joint.reshape(q.shape), q, block.mask, coupling)
        del joint
        flat = q.reshape(len(q), -1)
        gaussian: Any = None
        for part, own in rows:
            found = self.family.sufficient_statistics(
                own, np.ascontiguousarray(flat[:, part]), precomputed
            )
            gaussian = found if gaussian is None else add_statistics(gaussian, found)
        moments: FieldMoments | tuple[()] = ()
        if params.field is not None:
            values = np.concatenate([own.X for _, own in rows])
            moments = _field_moments(block, params.component, values, q)
        return PottsStatistics(gaussian, moments, q), value - float(block.edges @ coupling)

    def rows(self, block: ImageData, field: Array | None) -> list[tuple[slice, GaussianRows]]:
        """Voxels without the field, in slabs."""
        values = block.values
        if field is not None:
            values = values - log_field(block, field).reshape(values.shape[1], -1).T
        edges = range(0, len(values), _SLAB)
        slices = [slice(start, min(start + _SLAB, len(values))) for start in edges]
        return [(part, self.family.encode(values[part], block.spec)) for part in slices]

    def m_step(self, statistics: PottsStatistics, params: PottsParams) -> PottsParams:
        """Field, Gaussians and prior probabilities.

        The field is the best at the last covariances, together with the means.
        """
        gaussian, moments, q = statistics
        field, component, weights = params.field, params.component, params.weights
        if field is not None and isinstance(moments, FieldMoments):
            structure = self.family.structure
            root = structure.kernel_cholesky(component.factor, component.mean.shape)
            if root.ndim == 2:
                root = root[:, :, None] * np.eye(root.shape[1])
            precisions = root @ root.transpose(0, 2, 1)
            change, gaussian = field_step(
                gaussian, moments, precisions, structure, means_are_held=self.held
            )
            field = field + change
        if not self.held:
            component = self.family.m_step(gaussian, component, self.spec)
            if self.estimate_weights:
                weights = gaussian.weight / gaussian.weight.sum()
        return PottsParams(weights, component, field, q)

    def unsound(self, statistics: PottsStatistics, params: PottsParams) -> list[str]:
        """Classes that no voxel belongs to."""
        share = statistics.gaussian.weight / statistics.gaussian.weight.sum()
        if self.held or (share > _EMPTY).all():
            return []
        return [
            f"{int((share <= _EMPTY).sum())} of the n_classes={len(share)} classes are empty: no "
            "voxel belongs to them. Use fewer classes, or a smaller beta."
        ]


def first_params(weights: Array, component: GaussianParams, data: ImageData) -> PottsParams:
    """Parameters without a field; the first update of the mean field sees no neighbors."""
    field = None
    if data.basis is not None:
        field = np.zeros((data.values.shape[1], data.basis.n_basis))
    q = np.zeros((len(weights), *data.shape), data.values.dtype)
    return PottsParams(weights, component, field, q)


def _log_prior(block: ImageData, params: PottsParams) -> Array:
    """Logarithms of the prior probabilities, (n_classes, n_voxels)."""
    if block.log_atlas is not None:
        return block.log_atlas.copy()
    shape = (len(params.weights), len(block.values))
    with np.errstate(divide="ignore"):
        return np.full(shape, np.log(params.weights)[:, None], block.values.dtype)


def log_field(block: ImageData, field: Array) -> Array:
    """Logarithm of the field, (n_channels, n_planes, n_lines, length), in the units of the data."""
    assert block.basis is not None
    scaled = [
        scale * block.basis.field(own)
        for scale, own in zip(block.spec.scaling.scale, field, strict=True)
    ]
    return np.array(scaled, block.values.dtype)


def _field_moments(
    block: ImageData, component: GaussianParams, values: Array, q: Array
) -> FieldMoments:
    """Moments of the field, class by class, in scaled coordinates."""
    assert block.basis is not None
    scaled = block.spec.scaling.apply(values, np.empty(values.shape[::-1], values.dtype))
    grid = scaled.reshape(-1, *block.shape)
    residuals = (grid - mean.astype(grid.dtype)[:, None, None, None] for mean in component.mean)
    return block.basis.moments(q, residuals)
