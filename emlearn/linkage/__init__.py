"""Record linkage: comparison vectors of tables, and the Fellegi-Sunter model."""

from emlearn.linkage._comparator import RecordComparator, compare_records, estimate_u
from emlearn.linkage._comparisons import (
    Comparison,
    DateDifference,
    Exact,
    JaroWinkler,
    NumericDifference,
)
from emlearn.linkage._pairs import RecordPairs
from emlearn.linkage._precision import PrecisionThreshold
from emlearn.linkage._record_linkage import RecordLinkageEM

__all__ = [
    "Comparison",
    "DateDifference",
    "Exact",
    "JaroWinkler",
    "NumericDifference",
    "PrecisionThreshold",
    "RecordComparator",
    "RecordLinkageEM",
    "RecordPairs",
    "compare_records",
    "estimate_u",
]
