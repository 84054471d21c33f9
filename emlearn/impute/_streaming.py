"""`partial_fit` of the imputer."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.metaestimators import available_if

from emlearn._warnings import warn_user
from emlearn.engine.block_table import RowPart
from emlearn.engine.partial_fit import PartialFit
from emlearn.engine.stepwise import Stream
from emlearn.impute._base import ImputerFitting
from emlearn.impute._fitting import fitted_at


def _takes_streams(imputer: Any) -> bool:
    """Whether the model is one Gaussian, or a mixture, of numbers."""
    return imputer.n_factors is None and imputer.model in ("auto", "gaussian")


class ImputerStreaming(ImputerFitting, PartialFit):
    """Learns from tables of numbers that come batch by batch.

    Columns that are constant in the first rows stay constants.
    """

    @available_if(_takes_streams)  # type: ignore[untyped-decorator]  # scikit-learn has no types
    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn from more rows, which are then forgotten: stepwise EM.

        The first rows are kept until there are enough of them for a fit to start from; see
        `StepwisePlan`. After `fit`, learning goes on from its result. Tables of numbers only, and
        no factors.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows, with the columns of the first call. Of blocks of rows, one after the other.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; weight w means w copies.

        Returns
        -------
        self : MissingDataImputerEM
            The estimator. `n_iter_` is the number of steps after the first rows, and
            `lower_bound_` the mean log-likelihood of the last batch before its step;
            `converged_` is False, because nobody knows the rows to come.

        Raises
        ------
        ValueError
            If the columns are not those of the first call, or as `fit`.
        """
        return super().partial_fit(X, None, sample_weight)

    def _fit_part(self, part: RowPart) -> None:
        if self._is_mixed():
            raise ValueError(
                "partial_fit takes numbers only. Use fit for tables with categories, or set "
                "model='gaussian' to take codes for numbers."
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
