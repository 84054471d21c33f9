"""Two comparisons that depend on each other: any joint distribution of their levels.

It is the log-linear model of one interaction, which has no restriction. So it is published as the
probabilities of the cells, which may be 0: a level of one comparison can exclude one of the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emlearn.distributions import Family
from emlearn.distributions._published import read_probabilities, shape_of_parameter
from emlearn.engine.parameters import Part, Simplex, per_probability
from emlearn.linkage._log_linear import LogLinear, LogLinearParams

Array = NDArray[Any]


@dataclass(frozen=True)
class PairTable(LogLinear):
    """Two items with their interaction.

    Published: ``"table"``, of shape (n_components, n_cells), the cells in the order of the levels
    of the first item. Parameters are those of `LogLinear`.
    """

    public_names: ClassVar[tuple[str, ...]] = ("table",)

    def constrained_m_step(
        self,
        statistics: Array,
        params: LogLinearParams,
        fixed: Mapping[str, Array],
        column_spec: Array,
    ) -> LogLinearParams:
        """See `Family`: free cells keep their proportions."""
        return Family.constrained_m_step(self, statistics, params, fixed, column_spec)

    def to_public(self, params: LogLinearParams, column_spec: Array) -> dict[str, Array]:
        """See `Family`."""
        return {"table": params.table.reshape(len(params.table), -1)}

    def from_public(
        self, public: Mapping[str, ArrayLike], column_spec: Array, fitted: Any = None
    ) -> LogLinearParams:
        """See `Family`."""
        table = read_probabilities(public, "table", ("n_components", len(column_spec)))
        return LogLinearParams(table.reshape(-1, *self.n_levels))

    def shape_of(self, public: Mapping[str, Any]) -> tuple[int, int]:
        """See `Family`."""
        return shape_of_parameter(public, "table")[0], len(self.n_levels)

    def space(self, params: LogLinearParams, column_spec: Array) -> dict[str, Part]:
        """See `Family`."""
        return {"table": Simplex(("component", "cell"))}

    def score(
        self, statistics: Array, params: LogLinearParams, column_spec: Array
    ) -> dict[str, Array]:
        """See `Family`."""
        counts = self._completed(statistics, params).reshape(len(params.table), -1)
        return {"table": per_probability(counts, params.table.reshape(counts.shape))}

    def n_parameters(self, params: LogLinearParams, column_spec: Array) -> int:
        """See `Family`."""
        return len(params.table) * (len(column_spec) - 1)

    def to_vector(self, params: LogLinearParams, column_spec: Array) -> NDArray[np.float64]:
        """See `Family`: the coefficients."""
        return super().to_public(params, column_spec)["coefficient"].ravel()

    def from_vector(
        self, vector: NDArray[np.float64], like: LogLinearParams, column_spec: Array
    ) -> LogLinearParams:
        """See `Family`."""
        coefficient = vector.reshape(len(like.table), -1)
        return super().from_public({"coefficient": coefficient}, column_spec)
