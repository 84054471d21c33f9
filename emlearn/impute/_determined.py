"""Missing entries that exact relations between columns determine."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.incomplete.relations import LinearRelations
from emlearn.distributions.gaussian.scaling import ColumnScaling

Array = NDArray[np.float64]

# Singular values, relative to the largest, that count as zero; and how close to 1 the part of a
# coordinate is that the relations fix, if they determine it.
_INDEPENDENT = 1e-8
# Variance across a relation, relative to that of independent columns, and distance of a mean from
# it in standard deviations, with which a model still obeys the relation.
_LARGEST_VARIANCE = 1e-6
_LARGEST_GAP = 1e-3


class DeterminedEntries(NamedTuple):
    """Relations of a fit, which later give entries exactly that the model only estimates.

    The model has a small variance across each relation, without which its likelihood would be
    infinite.

    Attributes
    ----------
    relations : LinearRelations
        The relations, in the units of the scaling.
    scaling : ColumnScaling
        Its center and scale.
    columns : ndarray of shape (n_columns,)
        Their positions in the output.
    """

    relations: LinearRelations
    scaling: ColumnScaling
    columns: NDArray[np.intp]

    def agree_with(self, means: Array, covariances: Array) -> bool:
        """Whether the components of a model obey the relations."""
        coefficients, constants = self.relations
        unit = np.outer(self.scaling.scale, self.scaling.scale)
        for mean, covariance in zip(means, covariances, strict=True):
            matrix = covariance[np.ix_(self.columns, self.columns)] / unit
            across = np.einsum("ij,jk,ik->i", coefficients, matrix, coefficients)
            size = np.square(coefficients) @ np.diagonal(matrix)
            gap = coefficients @ self.scaling.to_scaled(mean[self.columns]) - constants
            if (across > _LARGEST_VARIANCE * size).any() or (
                np.square(gap) > _LARGEST_GAP**2 * size
            ).any():
                return False
        return True

    def fill(self, out: NDArray[np.floating], missing: NDArray[np.bool_]) -> None:
        """Put entries into a filled table that follow from what was observed of their rows.

        Parameters
        ----------
        out : ndarray of shape (n_rows, n_columns_out)
            The table.
        missing : ndarray of shape (n_rows, n_columns_out), dtype bool
            What was missing in it.
        """
        coefficients, constants = self.relations
        involved = coefficients.any(axis=0)
        coefficients, columns = coefficients[:, involved], self.columns[involved]
        center, scale = (part[involved] for part in self.scaling)
        absent = missing[:, columns]
        rows = np.flatnonzero(absent.any(axis=1))
        if not rows.size:
            return
        patterns, group = np.unique(absent[rows], axis=0, return_inverse=True)
        order = np.argsort(group.ravel(), kind="stable")
        edges = np.cumsum(np.bincount(group.ravel(), minlength=len(patterns)))[:-1]
        for pattern, own in zip(patterns, np.split(rows[order], edges), strict=True):
            unknown = coefficients[:, pattern]
            inverse = np.linalg.pinv(unknown, rcond=_INDEPENDENT)
            fixed = np.einsum("ij,ji->i", inverse, unknown) > 1.0 - _INDEPENDENT
            if not fixed.any():
                continue
            seen = ~pattern
            known = (out[np.ix_(own, columns[seen])] - center[seen]) / scale[seen]
            found = (constants - known @ coefficients[:, seen].T) @ inverse[fixed].T
            place = np.flatnonzero(pattern)[fixed]
            out[np.ix_(own, columns[place])] = found * scale[place] + center[place]
