"""The reader and writer of mixed tables: numbers and codes of categories, and back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import check_array

from emlearn._compat import validate_data
from emlearn.data.columns import Table
from emlearn.data.frames import require_distinct_names
from emlearn.data.learning import learn_schema, may_be_mixed
from emlearn.data.markers import read_markers
from emlearn.data.schema import MixedSchema
from emlearn.data.selection import read_selection
from emlearn.data.table import check_entries, read_table
from emlearn.data.tables import table_of

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


class MixedTable(NamedTuple):
    """A table that was read.

    Attributes
    ----------
    table : ndarray of shape (n_rows, n_columns)
        Numbers and codes of levels, with NaN for missing entries; float64, or float32 where all
        columns are such numbers.
    schema : MixedSchema or None
        What the columns are. None if all are numbers that are returned as they are.
    unseen : ndarray of bool of shape (n_rows, n_columns), or None
        Where a level was never seen in fit, so that the table has NaN. None if nowhere.
    """

    table: Any
    schema: MixedSchema | None
    unseen: Mask | None

    @property
    def missing(self) -> Mask:
        """Which entries are to be imputed: those of unseen levels are not."""
        missing = np.isnan(self.table)
        return missing if self.unseen is None else missing & ~self.unseen


def read_mixed(
    estimator: Any,
    X: Any,
    *,
    reset: bool,
    schema: MixedSchema | None = None,
    categorical_features: Any = "from_dtype",
    ordinal_features: Any = None,
    missing_values: Any = np.nan,
    unseen: str = "missing",
    min_rows: int = 1,
) -> MixedTable:
    """Numbers and codes of a table whose columns can be of several types.

    In fit, the columns are taken for:

    - categories: text, booleans and dtypes of categories, or the columns that are listed. Text
      that `float` reads is a number, unless its dtype is one of categories or it is listed.
      Levels are sorted, or in the order that the dtype declares. Levels that a dtype declares
      but no row has are kept, with count 0: a model should never impute them.
    - ordered categories: those whose dtype or `ordinal_features` says so; and columns of
      integers with 2 to 8 distinct values, each in 3 rows on average. These are integers by
      dtype in a DataFrame, or any whole numbers if another column has categories.
    - integers: other columns of an integer dtype. Their imputed values are rounded.
    - numbers: all others. Times are days since the day of the earliest one.

    A table of numbers only is read by `read_table`, and has no schema.

    Parameters
    ----------
    estimator : estimator
        The estimator that reads the table. `n_features_in_` and `feature_names_in_` are set or
        checked.
    X : array-like or DataFrame of shape (n_rows, n_columns)
        The table.
    reset : bool
        Whether this is the table of a fit.
    schema : MixedSchema, default=None
        The schema of the fit; if `reset` is False.
    categorical_features : "from_dtype", array-like of str, int or bool, or None
        Columns of categories: by dtype, or names, positions or a mask. None for none.
    ordinal_features : array-like of str, int or bool, default=None
        Columns of ordered categories, whatever their dtype.
    missing_values : number, str, pandas.NA, None or list of these, default=NaN
        What marks a missing entry, as in `read_table`.
    unseen : {"missing", "error"}, default="missing"
        What a level is that was not seen in fit.
    min_rows : int, default=1
        The smallest number of rows.

    Returns
    -------
    found : MixedTable
        The table, its schema, and where levels are unseen.

    Raises
    ------
    ValueError
        If an entry is invalid (the message names its column and row), a column of text has so
        many levels that it looks like identifiers, or a parameter is invalid. Also what
        `read_table` raises.
    """
    settings: dict[str, Any] = {"missing_values": missing_values, "min_rows": min_rows}
    numeric = issparse(X) or (schema is None and not reset)
    source = None if numeric else table_of(X)
    if source is not None:
        _check_shape(estimator, source.X.shape, min_rows)
    if source is not None and reset:
        schema = _learn(source, categorical_features, ordinal_features, missing_values)
    if source is None or schema is None:
        table = read_table(estimator, X, reset=reset, copy=True, **settings)
        return MixedTable(table, None, None)
    if source.names is not None:
        require_distinct_names(source.X)
    validate_data(estimator, source.X, reset=reset, skip_check_array=True)
    table, strange = schema.encode_table(source, read_markers(missing_values), unseen=unseen)
    check_entries(table, schema.names, True, type(estimator).__name__)
    return MixedTable(table, schema, strange)


def _learn(
    source: Table, categorical_features: Any, ordinal_features: Any, missing_values: Any
) -> MixedSchema | None:
    """Schema of a table; None if it has numbers only."""
    n_columns = source.X.shape[1]
    by_dtype = isinstance(categorical_features, str)
    if by_dtype and categorical_features != "from_dtype":
        raise ValueError(
            "categorical_features must be 'from_dtype', None, a list of names, a list of "
            f"positions or a boolean mask. Got {categorical_features!r}."
        )
    listed = read_selection(
        None if by_dtype else categorical_features, source.names, n_columns, "categorical_features"
    )
    ordinal = read_selection(ordinal_features, source.names, n_columns, "ordinal_features")
    if not (listed.any() or ordinal.any() or may_be_mixed(source)):
        return None
    if source.names is not None:
        require_distinct_names(source.X)
    markers = read_markers(missing_values)
    schema = learn_schema(
        source,
        markers,
        listed,
        ordinal,
        by_dtype=by_dtype,
        count_integers=categorical_features is not None,
    )
    return None if schema.plain else schema


def _check_shape(estimator: Any, shape: tuple[int, int], min_rows: int) -> None:
    empty = np.broadcast_to(0.0, shape)
    check_array(empty, ensure_min_samples=min_rows, estimator=estimator, input_name="X")
