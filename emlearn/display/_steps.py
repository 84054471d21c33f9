"""What stands before a model: searches, pipelines, and linear steps to be undone."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from emlearn.data.frames import is_pandas, is_polars
from emlearn.display._columns import read_numbers

Array = NDArray[Any]
Steps = list[tuple[str, Any]]

# How far a step may be from linear, in standard deviations of its output: it may work in
# float32, and the rows may have an offset.
_TOLERANCE = 1e-3


def model_of(estimator: Any) -> tuple[Steps, Any]:
    """The steps before a model and the model, of a Pipeline, of a search, or of neither."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    if not isinstance(estimator, Pipeline):
        return [], estimator
    *before, (_, last) = estimator.steps
    steps, model = model_of(last)
    return [*steps_of(before), *steps], model


def steps_of(steps: Steps) -> Steps:
    """Steps, those of pipelines among them one by one, without those that do nothing."""
    flat: Steps = []
    for name, step in steps:
        if isinstance(step, Pipeline):
            flat += steps_of(step.steps)
        elif step is not None and step != "passthrough":
            flat.append((name, step))
    return flat


class Origin(NamedTuple):
    """Where points of the model lie in the table drawn: ``start + matrix (z - image)``.

    Attributes
    ----------
    start : ndarray of shape (n_drawn,)
        A point of the table.
    matrix : ndarray of shape (n_drawn, n_features)
        The way back, linear.
    image : ndarray of shape (n_features,)
        What the steps make of the point.
    """

    start: Array
    matrix: Array
    image: Array

    @classmethod
    def of_columns(cls, columns: list[int], n_features: int) -> Self:
        """Some columns of a table as they are."""
        return cls(np.zeros(len(columns)), np.eye(n_features)[columns], np.zeros(n_features))

    def after(self, step: Origin) -> Self:
        """The same columns, seen from behind one more step."""
        start = self.points(step.start)
        return type(self)(start, self.matrix @ step.matrix, step.image)

    def points(self, z: Array) -> Array:
        """Points (..., n_features) of the model in the table drawn."""
        return self.start + (z - self.image) @ self.matrix.T


def undo(steps: Steps, X: Any, numbers: Array, columns: list[int]) -> tuple[Any, Origin]:
    """The table that reaches the model, and the way back to columns of X.

    Raises
    ------
    ValueError
        If a step is not linear; names it.
    """
    table = X
    origin = Origin.of_columns(columns, numbers.shape[1])
    for name, step in steps:
        origin = origin.after(_inverse(name, step, table, numbers))
        table = step.transform(table)
        numbers = read_numbers(table)
    return table, origin


def _inverse(name: str, step: Any, table: Any, numbers: Array) -> Origin:
    """The inverse of a linear step, which need not have `inverse_transform`.

    It is found from what the step makes of the mean row, and of rows one standard deviation
    away in one column each. Where the step drops dimensions, it is the one that stays
    nearest to the mean row, as of `PCA`.
    """
    seen = ~np.isnan(numbers)
    n = np.maximum(seen.sum(axis=0), 1)
    mean = np.where(seen, numbers, 0.0).sum(axis=0) / n
    filled = np.where(seen, numbers, mean)
    spread = np.sqrt(np.square(filled - mean).sum(axis=0) / n)
    spread[spread == 0.0] = 1.0
    probes = np.vstack([mean, mean + np.diag(spread), filled])
    try:
        image, *moved = np.split(
            read_numbers(step.transform(_like(table, probes))), [1, 1 + len(mean)]
        )
    except (ValueError, TypeError) as error:
        raise _not_linear(name, step) from error
    slope = (moved[0] - image).T / spread
    distance = moved[1] - image - (filled - mean) @ slope.T
    if not np.all(np.abs(distance) <= _TOLERANCE * np.maximum(moved[1].std(axis=0), 1e-300)):
        raise _not_linear(name, step)
    return Origin(mean, _inverted(slope), image[0])


def _inverted(slope: Array) -> Array:
    """The inverse, or the pseudo-inverse where there is none."""
    if slope.shape[0] == slope.shape[1]:
        try:
            # No cutoff: units of the columns may be very different.
            return np.linalg.inv(slope)
        except np.linalg.LinAlgError:
            pass
    return np.linalg.pinv(slope)


def _like(table: Any, numbers: Array) -> Any:
    """Numbers in a table of the same kind."""
    if is_pandas(table):
        return type(table)(numbers, columns=table.columns)
    if is_polars(table):
        return type(table)(numbers, schema=table.columns)
    return numbers


def _not_linear(name: str, step: Any) -> ValueError:
    return ValueError(
        f"Ellipses are drawn through linear steps only, and {name!r} ({type(step).__name__}) is "
        "not linear in these rows. Draw in the features of the mixture itself: pass the "
        "last step of the Pipeline, and the rows that reach it, pipeline[:-1].transform(X)."
    )
