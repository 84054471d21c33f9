"""Reads estimates and variances from several imputations, with their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.data import as_numbers

Array = NDArray[np.float64]
Names = tuple[str, ...]


def read_estimates(values: Any, name: str) -> tuple[Array, Names | None]:
    """Estimates as an array (n_imputations, n_estimates), and their names if they have any.

    Parameters
    ----------
    values : array-like, DataFrame, dict, or sequence of dict or Series
        A table of one row per imputation; or a dict from names to columns of it; or one dict or
        Series from names to numbers per imputation.
    name : str
        What errors call them.
    """
    names, rows = _split(values, name)
    table = as_numbers(rows, name)
    if table.ndim == 1:
        table = table[:, None]
    if table.ndim != 2:
        raise ValueError(f"{name} must have shape (n_imputations, n_estimates), got {table.shape}.")
    return _finite(table, name), names


def read_variances(
    values: Any, like: Array, names: Names | None, name: str = "variances"
) -> tuple[Array, Array | None]:
    """Variances of estimates, in their order, and covariance matrices if these are given.

    Parameters
    ----------
    values : object
        As for `read_estimates`, or covariance matrices: an array (n_imputations, n_estimates,
        n_estimates), or a sequence of DataFrames.
    like : ndarray of shape (n_imputations, n_estimates)
        The estimates.
    names : tuple of str or None
        Names of the estimates.
    name : str, default="variances"
        What errors call them.
    """
    if _are_frames(values):
        values = [_by_names(_by_names(frame, names, name).T, names, name).T for frame in values]
        values = [np.asarray(frame) for frame in values]
    elif not _are_matrices(values):
        squares, given = read_estimates(values, name)
        if given is not None and names is not None:
            _require_names(given, names, name)
            squares = squares[:, [given.index(label) for label in names]]
        _check_shape(squares.shape, like.shape, name)
        if (squares < 0.0).any():
            raise ValueError(f"{name} must not be negative; they are squared standard errors.")
        return squares, None
    matrices = _finite(as_numbers(values, name), name)
    _check_shape(matrices.shape, (*like.shape, like.shape[1]), name)
    squares = np.einsum("mii->mi", matrices)
    scale = np.sqrt(np.abs(squares))
    limit = 1e-8 * scale[:, :, None] * scale[:, None, :]
    if (squares < 0.0).any() or (np.abs(matrices - matrices.swapaxes(1, 2)) > limit).any():
        raise ValueError(f"{name} must be symmetric covariance matrices.")
    return squares, matrices


def _split(values: Any, name: str) -> tuple[Names | None, Any]:
    """Names of the estimates, and rows of numbers."""
    if np.ma.isMA(values):
        return None, np.ma.filled(values, np.nan)
    if hasattr(values, "columns"):
        return tuple(map(str, values.columns)), np.asarray(values)
    if isinstance(values, Mapping):
        lengths = {np.size(column) for column in values.values()}
        if len(lengths) > 1:
            raise ValueError(f"{name} has different numbers of imputations: {sorted(lengths)}.")
        return tuple(map(str, values)), np.array([np.ravel(v) for v in values.values()]).T
    if isinstance(values, Sequence) and values and _is_named(values[0]):
        names = tuple(map(str, values[0].keys()))
        rows = []
        for row in values:
            if not _is_named(row):
                raise ValueError(f"Some of {name} have names, and some do not.")
            given = dict(zip(map(str, row.keys()), np.asarray(_numbers_of(row)), strict=True))
            _require_names(tuple(given), names, name)
            rows.append([given[label] for label in names])
        return names, rows
    return None, values


def _is_named(row: Any) -> bool:
    """Whether a row of estimates is a dict or a Series."""
    return isinstance(row, Mapping) or (hasattr(row, "index") and hasattr(row, "to_frame"))


def _numbers_of(row: Any) -> Any:
    return list(row.values()) if isinstance(row, Mapping) else row


def _are_frames(values: Any) -> bool:
    return isinstance(values, Sequence) and len(values) > 0 and hasattr(values[0], "columns")


def _are_matrices(values: Any) -> bool:
    if isinstance(values, Sequence):
        return len(values) > 0 and np.ndim(values[0]) == 2
    return np.ndim(values) == 3


def _by_names(frame: Any, names: Names | None, name: str) -> Any:
    """A DataFrame whose rows are in the order of the names."""
    if names is None:
        return frame
    given = tuple(map(str, frame.index))
    _require_names(given, names, name)
    return frame.iloc[[given.index(label) for label in names]]


def _require_names(given: Names, names: Names, name: str) -> None:
    if set(given) != set(names) or len(given) != len(names):
        raise ValueError(
            f"{name} are named {list(given)}, but estimates of other imputations, or the "
            f"estimates, are named {list(names)}."
        )


def _check_shape(shape: tuple[int, ...], wanted: tuple[int, ...], name: str) -> None:
    if shape != wanted:
        raise ValueError(
            f"estimates and {name} differ in shape: {wanted} is expected, got {shape}."
        )


def _finite(table: Array, name: str) -> Array:
    if not np.isfinite(table).all():
        raise ValueError(f"{name} contains NaN or infinity.")
    return table
