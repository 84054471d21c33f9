"""Data drawn from a fitted model, in the shape of the data of the fit."""

from __future__ import annotations

import copy
import importlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse
from sklearn.utils import get_tags

from emlearn.data import read_labels
from emlearn.data.frames import is_pandas, is_polars
from emlearn.data.labels import UNKNOWN
from emlearn.inference._units import Units

Array = NDArray[np.float64]


class Simulation(NamedTuple):
    """How data are drawn from a fitted model.

    Attributes
    ----------
    full : estimator
        The fit.
    n_rows : int
        Number of rows.
    lengths : ndarray of shape (n_sequences,) or None
        Lengths of the sequences.
    missing : ndarray of shape (n_rows, n_features) or None
        Where entries are missing; None if nowhere.
    known : ndarray of shape (n_rows,) or None
        Rows of known class; None if no class is known.
    names : ndarray of shape (n_features,) or None
        Names of the columns, if the rows have to have them.
    library : str
        What the rows are: "numpy", "pandas", "polars" or "scipy".
    """

    full: Any
    n_rows: int
    lengths: NDArray[np.int64] | None
    missing: NDArray[np.bool_] | None
    known: NDArray[np.bool_] | None
    names: Any
    library: str

    @classmethod
    def of(
        cls, full: Any, X: Any, y: Any, lengths: NDArray[np.int64] | None, units: Units
    ) -> Simulation:
        """How to draw data like these.

        Raises
        ------
        ValueError
            If the estimator cannot draw rows, or the weights are no numbers of copies.
        """
        if units.what == "group":
            raise ValueError(
                "groups are not part of the model, so rows drawn from it have none: use "
                "kind='nonparametric' with groups."
            )
        if not (hasattr(full, "sample") or hasattr(full, "_draw_rows")):
            raise ValueError(
                f"kind='parametric' draws rows with the method sample, which "
                f"{type(full).__name__} does not have: use kind='nonparametric'."
            )
        if y is not None and get_tags(full).target_tags.required:
            raise ValueError(
                f"kind='parametric' draws rows, but {type(full).__name__} models y given X: use "
                "kind='nonparametric'."
            )
        items = np.arange(units.n)
        if units.copies is not None:
            if (units.copies != np.floor(units.copies)).any():
                raise ValueError(
                    "kind='parametric' draws as many rows as there are copies, so sample_weight "
                    "must hold integers: use kind='nonparametric' or 'bayesian'."
                )
            items = np.repeat(items, units.copies.astype(np.intp))
        rows, drawn_lengths = items, None
        if lengths is not None:
            starts = np.cumsum(lengths) - lengths
            rows = np.concatenate([np.arange(starts[i], starts[i] + lengths[i]) for i in items])
            drawn_lengths = lengths[items]
        missing = None
        table = _numbers(full, X)
        if not issparse(table) and np.isnan(table).any():
            missing = np.isnan(table)[rows]
        known = None
        if getattr(full, "use_labels", False) and y is not None:
            labels = read_labels(y, units.n if lengths is None else int(lengths.sum()))
            known = None if labels is None else (labels.codes != UNKNOWN)[rows]
        names, library = getattr(full, "feature_names_in_", None), "numpy"
        if issparse(table):
            library = "scipy"
        elif names is not None:
            library = "polars" if is_polars(X) else "pandas"
        return cls(full, len(rows), drawn_lengths, missing, known, names, library)

    def fit(self, refit: Any, rng: np.random.Generator) -> Any:
        """Fit a copy of the fitted estimator to new data."""
        rows, labels = self._draw(int(rng.integers(2**31 - 1)))
        if self.lengths is None:
            # Rows that are sorted by component would give each its own missing entries.
            order = rng.permutation(self.n_rows)
            rows, labels = rows[order], None if labels is None else labels[order]
        if self.missing is not None:
            rows = np.where(self.missing, np.nan, rows)
        y = None
        if self.known is not None and labels is not None:
            y = np.array(labels, dtype=object)
            y[~self.known] = None
        if hasattr(refit, "_refit"):
            refit._refit(rows, y)
            return refit
        settings: dict[str, Any] = {} if self.lengths is None else {"lengths": self.lengths}
        refit.fit(self._as_given(rows), y, **settings)
        return refit

    def _draw(self, seed: int) -> tuple[Any, Any]:
        source = copy.deepcopy(self.full)
        if hasattr(source, "_draw_rows"):
            return source._draw_rows(self.n_rows, seed), None
        source.set_params(random_state=seed)
        if self.lengths is not None:
            drawn = source.sample(lengths=self.lengths)
        else:
            drawn = source.sample(self.n_rows)
        return drawn if isinstance(drawn, tuple) else (drawn, None)

    def _as_given(self, rows: Array) -> Any:
        if self.library == "numpy":
            return rows
        if self.library == "scipy":
            return csr_array(rows)
        frame = importlib.import_module(self.library).DataFrame
        if self.library == "polars":
            return frame(rows, schema=list(self.names))
        return frame(rows, columns=self.names)


def _numbers(full: Any, X: Any) -> Any:
    """X as an array with NaN, without changing what the estimator knows of its columns."""
    if hasattr(full, "_draw_rows"):
        return X
    return full._read_rows(X) if hasattr(full, "_read_rows") else np.asarray(X, np.float64)


def take_items(values: Any, index: NDArray[np.intp]) -> Any:
    """Rows of a table or entries of a vector, of any library."""
    if is_pandas(values) or hasattr(values, "iloc"):
        return values.iloc[index]
    if is_polars(values) or issparse(values):
        return values[index]
    return np.asarray(values)[index]
