"""Blocks of rows, features-major, centered and scaled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from emlearn.distributions.gaussian.scaling import ColumnScaling
from emlearn.engine.workspace import Workspace

Array = NDArray[Any]


@dataclass(frozen=True)
class RowBlock:
    """Some rows of the data.

    Attributes
    ----------
    rows : ndarray of shape (n_rows, n_features)
        The rows in their own units.
    scaling : ColumnScaling
        How they are brought into scaled coordinates.
    weight : ndarray of shape (n_rows,) or None
        Weights of the rows; None means 1 each.
    workspace : Workspace
        Scratch memory shared by the blocks of a data set.
    resident : ndarray of shape (1 + n_features, n_rows) or None
        What `augmented` returns, where the data are small enough to keep them twice.
    features : ndarray of shape (1 + n_features + n_moments, n_rows) or None
        Their features in the moment form, where those are small enough to keep.
    scatter : ndarray of shape (n_features, n_features) or None
        Weighted sum of x x', for structures that need the total scatter only.
    """

    rows: Array
    scaling: ColumnScaling
    weight: Array | None
    workspace: Workspace = field(repr=False)
    resident: Array | None = field(default=None, repr=False)
    features: Array | None = field(default=None, repr=False)
    scatter: Array | None = field(default=None, repr=False)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.rows)

    @property
    def total_weight(self) -> float:
        """Sum of the weights of the rows."""
        return float(self.n_rows) if self.weight is None else float(self.weight.sum())

    @property
    def dtype(self) -> Any:
        """Precision of the rows, and of the arithmetic within the block."""
        return self.rows.dtype

    def augmented(self) -> Array:
        """A row of ones above the block in scaled coordinates; not to be written to."""
        if self.resident is not None:
            return self.resident
        n_rows, n_features = self.rows.shape
        return self.augment(self.workspace.array("augmented", (1 + n_features, n_rows), self.dtype))

    def augment(self, out: Array) -> Array:
        """`augmented`, written to an array."""
        out[0] = 1.0
        self.scaling.apply(self.rows, out[1:])
        return out

    def scaled(self) -> Array:
        """The block in scaled coordinates; not to be written to."""
        return self.augmented()[1:]
