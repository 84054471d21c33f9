"""Log-densities of new rows under a fitted mixture of any family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions import Family
from emlearn.mixture._finite_data import row_slices
from emlearn.mixture._finite_model import FiniteMixtureParams, log_weights

Array = NDArray[Any]


@dataclass(frozen=True)
class FiniteScorer:
    """Log-joint densities of new rows at fitted parameters; see `Scorer`."""

    family: Family
    column_spec: Any
    log_weights: Array
    precomputed: Any

    @classmethod
    def at(cls, family: Family, params: FiniteMixtureParams) -> FiniteScorer:
        """Scorer at parameters."""
        precomputed = family.precompute(params.components, params.column_spec)
        return cls(family, params.column_spec, log_weights(params), precomputed)

    def blocks(self, X: Array) -> list[slice]:
        """Rows to be taken together."""
        return row_slices(X, len(self.log_weights))

    def log_joint(self, X: Array, *, common: bool = True) -> Array:
        """log(weight_k) + log-density, shape (n_components, n_rows)."""
        out = np.repeat(self.log_weights[:, None], X.shape[0], axis=1)
        rows = self.family.encode(X, self.column_spec)
        self.family.log_density(rows, self.precomputed, out)
        return out
