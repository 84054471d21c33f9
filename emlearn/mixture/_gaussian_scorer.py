"""Log-joint densities of new rows at published parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.blocks import RowBlock, Scaling
from emlearn.distributions.gaussian.forms import CentredForm
from emlearn.distributions.gaussian.structures import CovarianceStructure
from emlearn.engine.workspace import Workspace
from emlearn.mixture._data import row_slices
from emlearn.mixture._gaussian_model import GaussianMixtureModel, GaussianMixtureParams
from emlearn.mixture._initialization import STARTS, Start

Array = NDArray[Any]

# In units of the spread of the mixture; its square is exact to a hundredth of a nat.
_FAR = 1e7


@dataclass(frozen=True)
class GaussianScorer:
    """The mixture with the parameters that an estimator publishes, and nothing else.

    See `emlearn.mixture._scoring.Scorer`.
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

    def log_joint(self, X: Array, *, common: bool = True) -> Array:
        """See `emlearn.mixture._scoring.Scorer`."""
        block = RowBlock(X, self.scaling, None, self.workspace)
        out = self.workspace.array("log_joint", (self.model.n_components, len(X)), X.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            self.bound.log_density(block, out, common=common)
        # So low that no sum over rows overflows.
        lowest = float(np.finfo(X.dtype).min) * float(np.finfo(X.dtype).eps)
        far = np.flatnonzero(~(np.abs(out.max(axis=0)) < -lowest))
        if far.size:
            self._far_away(X[far], out, far, lowest)
        out += X.dtype.type(self.scaling.log_jacobian)
        return out

    def _far_away(self, rows: Array, out: Array, where: Array, lowest: float) -> None:
        """Rows too far away to tell how far: what lies in their direction, at the lowest density.

        Far enough that the distances of the components from each other matter little.
        """
        direction = rows.astype(np.float64)
        direction /= np.abs(direction).max(axis=1, keepdims=True)
        direction /= self.scaling.scale
        direction *= _FAR / np.abs(direction).max(axis=1, keepdims=True)
        unit = Scaling(np.zeros_like(self.scaling.center), np.ones_like(self.scaling.scale))
        bound = CentredForm(self.model.structure).bind(
            self.params.means,
            self.params.factor,
            self.model.constants(self.params),
            direction.dtype,
        )
        joint = np.empty((len(out), len(rows)))
        bound.log_density(RowBlock(direction, unit, None, self.workspace), joint, common=True)
        with np.errstate(over="ignore"):
            out[:, where] = joint / joint.max(axis=0) * lowest
