"""Rows prepared for the E-step of a Gaussian mixture."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.blocks import RowBlock, Scaling, column_scaling
from emlearn.distributions.gaussian.forms import compiled_pays, moment_features
from emlearn.distributions.gaussian.structures import CovarianceStructure
from emlearn.engine.workspace import Workspace

Array = NDArray[Any]

# Largest scaled copy of the data, and of their features, that is kept besides the data.
_RESIDENT_BYTES = 64 * 2**20
_FEATURE_BYTES = 8 * 2**20
# Blocks are as long as the cache allows: threads meet at the interpreter's lock between
# the operations on a block, so that these should take long.
_BLOCK_NUMBERS = 2**20
_BLOCK_ROWS = (1024, 16384)
_BLOCK_NANOSECONDS = 3e5
_COMPILED_NANOSECONDS = 2e5
_COMPILED_BLOCKS = 32
# Rows on which starts are compared, where there are more than twice as many.
_SUBSET_ROWS = 5000


@dataclass(frozen=True)
class MixtureData:
    """Rows prepared for the E-step.

    Attributes
    ----------
    X : ndarray of shape (n_rows, n_features)
        Rows of positive weight, in the units of the data.
    weight : ndarray of shape (n_rows,) or None
        Their weights.
    kept : ndarray of shape (n_rows,) or None
        Their positions among the rows given; None if all were kept.
    scaling : Scaling
        The coordinates of the arithmetic.
    variance : ndarray of shape (n_features,)
        Variances of the scaled columns.
    metric : ndarray of shape (n_features,)
        Factors that bring scaled columns to unit variance, where the structure of the
        covariances lets each column have a scale of its own; else ones.
    blocks : tuple of RowBlock
        The rows, cut into blocks.
    total_weight : float
        Sum of the weights.
    """

    X: Array
    weight: Array | None
    kept: Array | None
    scaling: Scaling
    variance: Array
    metric: Array
    blocks: tuple[RowBlock, ...]
    total_weight: float


def beyond_range(columns: Array, deviation: Array, dtype: Any) -> ValueError:
    """The error for columns whose variances cannot be represented."""
    return ValueError(
        f"The variances of columns {columns.tolist()} of X, or their inverses, are beyond the "
        f"range of {np.dtype(dtype)}: the standard deviations are about "
        f"{', '.join(f'{value:.0e}' for value in deviation)}. Bring X to other units, for "
        "example with StandardScaler, or pass it as float64."
    )


def prepare_rows(
    X: Array, weight: Array | None, structure: CovarianceStructure, n_components: int
) -> MixtureData:
    """Drop rows of weight zero, find the scaling, cut into blocks."""
    kept = None
    if weight is not None and not weight.all():
        kept = np.flatnonzero(weight)
        X, weight = X[kept], weight[kept]
    scaling, variance = column_scaling(X, weight, by_column=structure.scales_by_column)
    # Variances and their inverses are to be published in the precision of the data.
    within = np.abs(np.log2(scaling.scale)) < np.finfo(X.dtype).maxexp / 2
    if not within.all():
        raise beyond_range(np.flatnonzero(~within), scaling.scale[~within], X.dtype)
    spread = variance > 0.0 if structure.scales_by_column else np.zeros(len(variance), bool)
    metric = 1.0 / np.sqrt(np.where(spread, variance, 1.0))
    total = float(len(X)) if weight is None else float(weight.sum())
    blocks = _cut_rows(X, weight, structure, n_components, scaling)
    return MixtureData(X, weight, kept, scaling, variance, metric, blocks, total)


def subset_rows(
    data: MixtureData,
    structure: CovarianceStructure,
    n_components: int,
    rng: np.random.Generator,
) -> MixtureData | None:
    """Random rows of large data, in the same coordinates; None if the data are not large."""
    n_rows, n_features = data.X.shape
    size = max(_SUBSET_ROWS, n_components * max(100, 10 * n_features))
    if n_rows <= 2 * size:
        return None
    chosen = np.sort(rng.choice(n_rows, size, replace=False, shuffle=False))
    X = data.X[chosen]
    weight = None if data.weight is None else data.weight[chosen]
    kept = chosen if data.kept is None else data.kept[chosen]
    blocks = _cut_rows(X, weight, structure, n_components, data.scaling)
    total = float(size) if weight is None else float(weight.sum())
    return replace(data, X=X, weight=weight, kept=kept, blocks=blocks, total_weight=total)


def _cut_rows(
    X: Array,
    weight: Array | None,
    structure: CovarianceStructure,
    n_components: int,
    scaling: Scaling,
) -> tuple[RowBlock, ...]:
    """Blocks of rows; of small data, what an E-step derives from them is kept."""
    n_rows, n_features = X.shape
    width, by_moments = _width(structure, n_components, n_features)
    resident = X.nbytes <= _RESIDENT_BYTES and not _compiled(structure, n_features)
    with_features = resident and by_moments and width * n_rows * X.itemsize <= _FEATURE_BYTES
    workspace = Workspace()
    blocks = []
    for rows in row_slices(X, structure, n_components):
        part = None if weight is None else weight[rows]
        block = RowBlock(X[rows], scaling, part, workspace)
        if resident:
            x = np.empty((1 + n_features, block.n_rows), X.dtype)
            block = replace(block, resident=block.augment(x))
        if with_features:
            block = replace(block, features=moment_features(block, structure).copy())
        if by_moments and structure.n_moments(n_features) == 0:
            x = block.scaled().astype(np.float64, copy=False)
            block = replace(block, scatter=(x if part is None else x * part) @ x.T)
        blocks.append(block)
    return tuple(blocks)


def row_slices(X: Array, structure: CovarianceStructure, n_components: int) -> list[slice]:
    """Where to cut the rows: a function of the shape of the problem alone."""
    n_rows, n_features = X.shape
    if _compiled(structure, n_features):
        # Measured. Threads meet at no lock here, but a block needs memory of its own.
        row = 2.2 + 0.25 * n_features + 0.044 * structure.n_moments(n_features)
        most = min(_COMPILED_BLOCKS, int(n_rows * n_components * row / _COMPILED_NANOSECONDS))
        n_blocks = max(-(-n_rows // _BLOCK_ROWS[1]), most, 1)
        return _slices(n_rows, min(n_blocks, n_rows))
    width, _ = _width(structure, n_components, n_features)
    fewest, most = _BLOCK_ROWS
    rows = min(max(_BLOCK_NUMBERS // width, fewest), most)
    # Measured: about 12 ns for an exponential and 0.3 ns for a feature.
    nanoseconds = n_rows * n_components * (12.0 + 0.3 * width)
    n_blocks = max(-(-n_rows // rows), min(8, int(nanoseconds / _BLOCK_NANOSECONDS)), 1)
    return _slices(n_rows, n_blocks)


def _compiled(structure: CovarianceStructure, n_features: int) -> bool:
    """Whether the E-step reads the rows as they are."""
    return compiled_pays(structure, n_features) and structure.n_moments(n_features) > 0


def _slices(n_rows: int, n_blocks: int) -> list[slice]:
    edges = [int(edge) for edge in np.linspace(0, n_rows, n_blocks + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def _width(structure: CovarianceStructure, n_components: int, n_features: int) -> tuple[int, bool]:
    """Numbers per row that a kernel works on, and whether it is the moment form."""
    if structure.prefers_whitening(n_components, n_features):
        return 5 * n_features, False
    return 1 + n_features + structure.n_moments(n_features), True
