"""Log-joint densities of new rows at published parameters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.gaussian.blocks import RowBlock, Scaling, Workspace
from emlearn.gaussian.kernels import CentredForm
from emlearn.gaussian.structures import CovarianceStructure
from emlearn.mixture._data import row_slices
from emlearn.mixture._gaussian_model import GaussianMixtureModel, GaussianMixtureParams
from emlearn.mixture._initialization import STARTS, Start

Array = NDArray[Any]


@dataclass(frozen=True)
class GaussianScorer:
    """The mixture with the parameters that an estimator publishes, and nothing else.

    See `emlearn.mixture._base.Scorer`.
    """

    model: GaussianMixtureModel
    params: GaussianMixtureParams
    scaling: Scaling
    bound: Any
    workspace: Workspace

    @classmethod
    def at(
        cls,
        structure: CovarianceStructure,
        weights: Array,
        means: Array,
        precisions_cholesky: Array,
        dtype: Any,
    ) -> GaussianScorer:
        """Scorer for parameters in the units of the data, in coordinates of their own."""
        weights = np.asarray(weights, np.float64)
        means = np.asarray(means, np.float64)
        root = np.asarray(precisions_cholesky, np.float64)
        # Squares of precisions may be beyond the range of float64 before they are scaled.
        width = structure.conditional_deviation(root, means.shape)
        center = weights @ means / weights.sum()
        spread = np.maximum(np.abs(means - center), width).max(axis=0)
        if not structure.scales_by_column:
            spread = np.full_like(spread, spread.max())
        scaling = Scaling(center, np.exp2(np.round(np.log2(spread))))
        factor = structure.factor_from_cholesky(
            structure.rescale_cholesky(root, 1.0 / scaling.scale), means.shape
        )
        scaled = scaling.to_scaled(means)
        model = GaussianMixtureModel(
            len(weights), structure, Start(STARTS["kmeans"]), 0.0, np.dtype(dtype)
        )
        params = model.at_factor(weights, scaled, factor)
        constants = model.constants(params)
        bound = params.form.bind(params.means, factor, constants, model.dtype)
        return cls(model, params, scaling, bound, Workspace())

    def blocks(self, X: Array) -> list[slice]:
        """Rows to be taken together."""
        return row_slices(X, self.model.structure, self.model.n_components)

    def log_joint(self, X: Array) -> Array:
        """log(weight_k) + log-density, shape (n_components, n_rows), valid until asked again."""
        block = RowBlock(X, self.scaling, None, self.workspace)
        out = self.workspace.array("log_joint", (self.model.n_components, len(X)), X.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            self.bound.log_density(block, out, common=True)
        if not np.isfinite(out.max(axis=0)).all():
            self._far_away(block, out)
        out += X.dtype.type(self.scaling.log_jacobian)
        return out

    def _far_away(self, block: RowBlock, out: Array) -> None:
        """For rows whose squared distances overflow: as far away as can be told."""
        reach = float(np.finfo(block.dtype).max) ** 0.4
        near = np.clip(np.nan_to_num(block.scaled(), nan=0.0), -reach, reach)
        bound = CentredForm(self.model.structure).bind(
            self.params.means, self.params.factor, self.model.constants(self.params), block.dtype
        )
        with np.errstate(over="ignore"):
            bound.log_density(replace(block, resident=near), out, common=True)
        np.maximum(out, np.finfo(block.dtype).min / 4, out=out)
