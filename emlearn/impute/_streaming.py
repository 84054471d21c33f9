"""`partial_fit` of the imputer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn._warnings import warn_user
from emlearn.engine.block_table import RowPart
from emlearn.engine.partial_fit import PartialFit
from emlearn.engine.stepwise import Stream
from emlearn.impute._base import ImputerFitting
from emlearn.impute._fitting import fitted_at


class ImputerStreaming(ImputerFitting, PartialFit):
    """Learns from tables of numbers that come batch by batch.

    Columns that are constant in the first rows stay constants.
    """

    def _fit_part(self, part: RowPart) -> None:
        if self._is_mixed() or self.n_factors is not None:
            raise ValueError(
                "partial_fit takes numbers only, and no factors: use fit, or set "
                "categorical_features=None, model='gaussian' and n_factors=None."
            )
        for notice in self._fit_table(part.X, part.weight):
            warn_user(notice.message, notice.category)
        if self._stream is None:
            raise ValueError("All columns are constant in the first rows: pass more of them.")

    def _rows_of_stream(self, part: RowPart) -> RowPart:
        return part._replace(X=part.X[:, self._stream_columns])

    def _publish_stream(self, stream: Stream, params: Any) -> None:
        varying: NDArray[np.intp] = self._stream_columns
        center = np.zeros(self._kept.max(initial=0) + 1)
        center[self._kept] = self.means_[0]
        self._determined = None
        self._publish_parameters(center, varying, fitted_at(params, stream.learned))
