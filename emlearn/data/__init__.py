"""Readers of user input: tables, weights, labels and lengths, each in one place."""

from emlearn.data.labels import (
    ClassLabels,
    check_one_for_each_row,
    classes_of,
    read_labels,
)
from emlearn.data.markers import Markers, check_marker, is_na, is_nan, read_markers
from emlearn.data.mixed import MixedTable, read_mixed
from emlearn.data.names import column_label, input_names
from emlearn.data.parameters import as_numbers, check_proportions, check_responsibilities
from emlearn.data.schema import MixedColumn, MixedSchema
from emlearn.data.sequences import read_sequences
from emlearn.data.table import read_table
from emlearn.data.weights import outweighed, read_lengths, read_weight

__all__ = [
    "ClassLabels",
    "Markers",
    "MixedColumn",
    "MixedSchema",
    "MixedTable",
    "as_numbers",
    "check_marker",
    "check_one_for_each_row",
    "check_proportions",
    "check_responsibilities",
    "classes_of",
    "column_label",
    "input_names",
    "is_na",
    "is_nan",
    "outweighed",
    "read_labels",
    "read_lengths",
    "read_markers",
    "read_mixed",
    "read_sequences",
    "read_table",
    "read_weight",
]
