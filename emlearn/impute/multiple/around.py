"""What surrounds the imputer: steps of a pipeline, and columns that follow from others."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from emlearn._warnings import warn_user
from emlearn.data.frames import columns_of, eager, is_pandas, is_polars
from emlearn.impute._imputer import MissingDataImputerEM
from emlearn.impute.multiple.augmentation import check_imputer

Derived = Mapping[Any, Callable[[Any], Any]]

# Deviation of observed values of a derived column from its function, in standard deviations, that
# is more than rounding; and the fraction of such values from which the function is doubted.
_ROUNDING, _DOUBTFUL = 0.1, 0.5


class Surroundings:
    """Brings a table to the imputer, and imputations of it back.

    Parameters
    ----------
    estimator : MissingDataImputerEM or Pipeline
        The imputer, or a pipeline with it as one step.
    X : array-like or DataFrame
        The table.
    inverse : bool or None
        Whether imputations are brought back through the steps before the imputer.
    derived : dict or None
        Columns that are functions of others.

    Attributes
    ----------
    imputer : MissingDataImputerEM
        The imputer.
    X : array-like or DataFrame
        The table that the imputer gets.
    """

    def __init__(self, estimator: Any, X: Any, inverse: bool | None, derived: Derived | None):
        before, self.imputer, self.after = _split(estimator)
        self.before = [clone(step) for step in before]
        self.derived = dict(derived or {})
        self.inverse = self._read_inverse(inverse)
        self.original = X = eager(X)
        self.left_out: list[Any] = []
        if self.inverse or self.derived:
            if self.imputer.add_indicator:
                raise ValueError(
                    "add_indicator=True is not possible with derived columns or inverse=True."
                )
            table = _numbers(self.imputer, X)
            self.original = X if _is_frame(X) else table
            self._read_derived(table)
            X = _without(self.original, self.left_out)
            self._missing = np.isnan(_numbers(self.imputer, X))
        with warnings.catch_warnings():
            # It takes NaN for a difference; what was observed is compared below.
            warnings.filterwarnings("ignore", "The provided functions are not strictly inverse")
            for step in self.before:
                X = step.fit_transform(X)
        self.X = X
        if self.inverse:
            self._check_inverse()

    def leave(self, imputed: Any) -> Any:
        """An imputation of `X` as the caller gets it."""
        if self.inverse:
            imputed = self._restore(imputed)
        if self.derived:
            imputed = self._derive(imputed)
        for step in self.after:
            imputed = clone(step).fit_transform(imputed)
        return imputed

    def names(self, imputed: Any) -> list[str]:
        """Names of the columns of an array that `leave` returned."""
        n_columns = imputed.shape[1]
        if not self.after:
            for table in (self.original, self.X):
                if _is_frame(table) and table.shape[1] == n_columns:
                    return [str(name) for name in table.columns]
        return [f"x{i}" for i in range(n_columns)]

    def _read_inverse(self, inverse: bool | None) -> bool:
        possible = bool(self.before) and all(_has(s, "inverse_transform") for s in self.before)
        if inverse is None:
            return possible and not self.after
        if inverse and self.after:
            raise ValueError("inverse=True needs the imputer to be the last step of the pipeline.")
        if inverse and self.before and not possible:
            raise ValueError(
                "inverse=True needs inverse_transform in all steps before the imputer (for "
                "FunctionTransformer, set inverse_func)."
            )
        return bool(inverse) and possible

    def _read_derived(self, table: NDArray[np.floating]) -> None:
        """Check derived columns, and choose those that the model can do without."""
        if self.derived and self.before and not self.inverse:
            raise ValueError(
                "Derived columns are functions of the original columns, so all steps before the "
                "imputer need inverse_transform (and inverse must not be False)."
            )
        known = list(self.original.columns) if _is_frame(self.original) else range(table.shape[1])
        for name, function in self.derived.items():
            if name not in known:
                raise ValueError(f"derived: {name!r} is no column; the columns are {list(known)}.")
            if not callable(function):
                raise ValueError(f"derived: the value for column {name!r} must be a function.")
            given = table[:, list(known).index(name)]
            computed = _evaluate(name, function, self.original)
            both = ~np.isnan(given) & ~np.isnan(computed)
            # Where the column is observed and cannot be computed, it says what others do not.
            if not (np.isnan(computed) & ~np.isnan(given)).any():
                self.left_out.append(name)
            gap = np.abs(given[both] - computed[both])
            if gap.size and np.mean(gap > _ROUNDING * given[both].std()) > _DOUBTFUL:
                row = int(np.flatnonzero(both)[gap.argmax()])
                warn_user(
                    f"derived: most observed values of column {name!r} are not what its function "
                    f"gives (row {row}: {given[row]:g} and {computed[row]:g}). Check the function "
                    "and its units.",
                    UserWarning,
                )

    def _check_inverse(self) -> None:
        """Check that the steps before the imputer bring back what was observed."""
        before = _numbers(self.imputer, _without(self.original, self.left_out))
        after = _numbers(self.imputer, self._back(self.X))
        seen = ~np.isnan(before)
        if before.shape != after.shape or not np.allclose(before[seen], after[seen], 1e-4):
            raise ValueError(
                "The inverse_transform of the steps before the imputer does not bring back the "
                "observed entries. Set inverse=False, or correct the steps."
            )

    def _back(self, X: Any) -> Any:
        for step in reversed(self.before):
            X = step.inverse_transform(X)
        return X

    def _restore(self, imputed: Any) -> Any:
        """An imputation in the original space; what was observed keeps its bits."""
        imputed = self._back(imputed)
        original = _without(self.original, self.left_out)
        if np.shape(imputed) != np.shape(original):
            raise ValueError(
                f"The steps before the imputer bring imputations back in shape "
                f"{np.shape(imputed)}, not {np.shape(original)}: keep_empty_features=True keeps "
                "columns without observed values; or set inverse=False."
            )
        if not (_is_frame(imputed) and _is_frame(original)):
            columns = _columns(original) if _is_frame(original) else original.T
            values = _columns(imputed) if _is_frame(imputed) else np.asarray(imputed).T
            pairs = zip(columns, values, self._missing.T, strict=True)
            return np.column_stack([np.where(gone, new, old) for old, new, gone in pairs])
        pairs = zip(_series(original), _series(imputed), self._missing.T, strict=True)
        for name, (old, new, gone) in zip(original.columns, pairs, strict=True):
            original = _with(original, name, _filled(old, new, gone))
        return original

    def _derive(self, imputed: Any) -> Any:
        """An imputation with its derived columns."""
        frame = _is_frame(self.original)
        known = list(self.original.columns) if frame else list(range(self.original.shape[1]))
        inner = [name for name in known if name not in self.left_out]
        values = _series(imputed) if _is_frame(imputed) else list(np.asarray(imputed).T)
        if len(values) != len(inner):
            raise ValueError(
                "Columns without observed values cannot be left out beside derived columns: drop "
                "them, or set keep_empty_features=True."
            )
        complete = self.original if frame else self.original.copy()
        for name, column in zip(inner, values, strict=True):
            complete = _with(complete, name, column)
        missing = np.isnan(_numbers(self.imputer, self.original))
        for name, function in self.derived.items():
            place = known.index(name)
            old = _columns(self.original)[place] if frame else self.original[:, place]
            found = _evaluate(name, function, complete)
            wrong = missing[:, place] & ~np.isfinite(found)
            if wrong.any():
                row = int(np.flatnonzero(wrong)[0])
                raise ValueError(
                    f"derived: the function of column {name!r} gives {found[row]} for the "
                    f"imputed row {row}. Use bounds for the columns it depends on."
                )
            complete = _with(complete, name, np.where(missing[:, place], found, old))
        return complete if _is_frame(imputed) or not frame else complete.to_numpy()


def _split(estimator: Any) -> tuple[list[Any], MissingDataImputerEM, list[Any]]:
    """Steps before the imputer, the imputer, and steps after it."""
    if not isinstance(estimator, Pipeline):
        check_imputer(estimator)
        return [], estimator, []
    steps = [step for _, step in estimator.steps if step not in (None, "passthrough")]
    places = [i for i, step in enumerate(steps) if isinstance(step, MissingDataImputerEM)]
    if len(places) != 1:
        raise TypeError(
            f"The pipeline must have one MissingDataImputerEM as a step, got {len(places)}."
        )
    before, after = steps[: places[0]], steps[places[0] + 1 :]
    for step in after:
        if not _has(step, "transform"):
            raise TypeError(
                f"{type(step).__name__} is no transformer: leave it out of the pipeline, and fit "
                "it to each imputation with fit_each."
            )
    return before, steps[places[0]], after


def _has(step: Any, method: str) -> bool:
    """Whether a step has a method that does something."""
    if method == "inverse_transform" and getattr(step, "inverse_func", True) is None:
        return getattr(step, "func", None) is None
    return hasattr(step, method)


def _numbers(imputer: MissingDataImputerEM, X: Any) -> NDArray[np.floating]:
    """A table as the imputer reads it, with NaN for missing entries."""
    table: NDArray[np.floating] = clone(imputer)._read_rows(X, reset=True)
    return table


def _evaluate(name: Any, function: Callable[[Any], Any], table: Any) -> NDArray[np.float64]:
    with np.errstate(all="ignore"):
        column = np.asarray(function(table), dtype=np.float64)
    n_rows = table.shape[0]
    if column.shape not in {(n_rows,), (n_rows, 1)}:
        raise ValueError(
            f"derived: the function of column {name!r} must return one number for each of "
            f"{n_rows} rows, got shape {column.shape}."
        )
    return column.ravel()


def _is_frame(X: Any) -> bool:
    return is_pandas(X) or is_polars(X)


def _columns(frame: Any) -> list[Any]:
    return columns_of(frame)


def _series(frame: Any) -> list[Any]:
    """Columns of a frame in their own dtypes."""
    if is_polars(frame):
        return list(frame.get_columns())
    return [frame.iloc[:, i] for i in range(frame.shape[1])]


def _filled(old: Any, new: Any, holes: NDArray[np.bool_]) -> Any:
    """A column with the entries of another in its holes, in its dtype if both have it."""
    if old.dtype != new.dtype:
        return np.where(holes, new, old)
    if hasattr(old, "zip_with"):
        return new.zip_with(type(old)(holes), old)
    filled = old.array.copy()
    filled[holes] = new.array[holes]
    return filled


def _without(X: Any, names: list[Any]) -> Any:
    """A table without some of its columns."""
    if not names:
        return X
    if _is_frame(X):
        return X[[name for name in X.columns if name not in names]]
    return np.delete(X, names, axis=1)


def _with(X: Any, name: Any, values: Any) -> Any:
    """A table with other values in a column."""
    if is_polars(X):
        return X.with_columns(sys.modules["polars"].Series(name, values))
    if is_pandas(X):
        changed = X.copy()
        changed[name] = getattr(values, "array", values)
        return changed
    X[:, name] = values
    return X


def as_long(imputations: list[Any], surroundings: Surroundings, X: Any) -> Any:
    """All imputations in one DataFrame of pandas, with columns .imp and .id."""
    import pandas

    X = eager(X)
    parts = []
    for number, imputed in enumerate(imputations, 1):
        if is_pandas(imputed):
            part = imputed.reset_index(drop=True)
        elif is_polars(imputed):
            part = pandas.DataFrame({name: imputed[name].to_numpy() for name in imputed.columns})
        else:
            part = pandas.DataFrame(np.asarray(imputed), columns=surroundings.names(imputed))
        index = X.index if is_pandas(X) else np.arange(len(part))
        part.insert(0, ".imp", number)
        part.insert(1, ".id", np.asarray(index))
        parts.append(part)
    return pandas.concat(parts, ignore_index=True)
