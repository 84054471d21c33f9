"""`partial_fit`: estimators that learn from rows that come batch by batch."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

import numpy as np
from scipy.sparse import vstack

from emlearn._compat import validate_params
from emlearn.data import read_weight
from emlearn.data.blocks.finding import find_blocks
from emlearn.engine.block_table import RowPart
from emlearn.engine.errors import DegenerateModelError
from emlearn.engine.stepwise import StepwisePlan, Stream, advance

# Growth of the rows of the burn-in at which they are fitted again.
_GROWTH = 2.0
# What describes a fit to rows that are all known.
_OF_A_FIT = ("log_likelihood_", "lower_bounds_", "history_", "restarts_", "_last_lines")


class PartialFit:
    """A method `partial_fit` for estimators that say how they fit, and publish, a stream."""

    stepwise: StepwisePlan | None
    _stream: Stream | None = None
    _waiting: RowPart | None = None
    _n_fitted: int = 0
    _n_needed: int = 0

    @abstractmethod
    def _fit_part(self, part: RowPart) -> None:
        """Fit to rows that were read, publish the result, and set `_stream`."""

    @abstractmethod
    def _publish_stream(self, stream: Stream, params: Any) -> None:
        """Publish the parameters of a stream."""

    @abstractmethod
    def _read_rows(self, X: Any, *, reset: bool = False) -> Any:
        """The rows, as an array."""

    def _labels_of_batch(self, y: Any, n_rows: int, *, reset: bool) -> Any:
        """Labels of the rows; by default there are none."""
        return None

    def _naming(self) -> AbstractContextManager[None]:
        """Context in which errors name the columns; by default they say what the model says."""
        return nullcontext()

    def _rows_of_stream(self, part: RowPart) -> RowPart:
        """The rows as the model of the stream reads them; by default as they are."""
        return part

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn from more rows, which are then forgotten: stepwise EM.

        The first rows are kept until there are enough of them for a fit to start from, and are
        fitted again and again until then; see `StepwisePlan`. After `fit`, learning goes on from
        its result. One pass over the rows is less accurate than `fit`, which reads them many times.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, with the columns of the first call. NaN means a missing entry. Of blocks of rows,
            one after the other.
        y : object, default=None
            As for `fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows. None means 1 each.

        Returns
        -------
        self : object
            The estimator. `n_iter_` is the number of steps after the first rows, and
            `lower_bound_` the mean log-likelihood of the last batch before its step; `converged_`
            is False, because nobody knows the rows to come.

        Raises
        ------
        ValueError
            If the columns are not those of the first call, or as `fit`.
        """
        blocks = find_blocks(X)
        if blocks is not None:
            if y is not None or sample_weight is not None:
                raise ValueError(
                    "partial_fit of blocks takes no y and no sample_weight: pass block by block."
                )
            for index in range(len(blocks)):
                block = blocks[index]
                if block.shape[0] if hasattr(block, "shape") else len(block):
                    self.partial_fit(block)
            return self
        validate_params(self)
        is_new = self._stream is None and self._waiting is None
        rows = self._read_rows(X, reset=is_new)
        weight = read_weight(sample_weight, rows.shape[0])
        labels = self._labels_of_batch(y, rows.shape[0], reset=is_new)
        part = RowPart(rows, weight, labels, np.arange(rows.shape[0]))
        if self._stream is None:
            self._collect(part)
        else:
            self._go_on(part)
        return self

    def _collect(self, part: RowPart) -> None:
        """Keep rows of the burn-in, and fit to them."""
        waiting = part if self._waiting is None else _joined(self._waiting, part)
        n_rows = waiting.X.shape[0]
        n_needed = self._n_needed if self._waiting is not None else 0
        if n_rows >= min(n_needed, _GROWTH * self._n_fitted):
            self._fit_part(waiting)
            stream = self._stream
            assert stream is not None
            self._n_fitted = n_rows
            n_parameters = stream.model.n_parameters(stream.params)
            self._n_needed = (self.stepwise or StepwisePlan()).n_burn_in(n_parameters)
            self.n_iter_, self.converged_ = 0, False
            if n_rows >= self._n_needed:
                self._waiting = None
                return
            self._stream = None
        self._waiting = waiting

    def _go_on(self, part: RowPart) -> None:
        """Steps from rows after the burn-in."""
        plan = self.stepwise or StepwisePlan()
        assert self._stream is not None
        try:
            with self._naming():
                stream = advance(self._stream, self._rows_of_stream(part), plan)
            params = stream.public_params(plan)
        except DegenerateModelError as error:
            raise ValueError(
                f"partial_fit led to parameters that are impossible: {error}. The rows of this "
                "call were left out. Use a stronger prior, larger batches or a longer burn-in."
            ) from None
        self._stream = stream
        self._publish_stream(stream, params)
        self.n_iter_, self.converged_ = stream.n_steps, False
        self.lower_bound_ = stream.predicted
        for name in _OF_A_FIT:
            self.__dict__.pop(name, None)


def _joined(first: RowPart, second: RowPart) -> RowPart:
    rows = [first.X, second.X]
    X = vstack(rows, format="csr") if hasattr(first.X, "indptr") else np.concatenate(rows)
    weight = labels = None
    if first.weight is not None or second.weight is not None:
        weight = np.concatenate([_weight(first), _weight(second)])
    if first.labels is not None or second.labels is not None:
        labels = np.concatenate([_labels(first), _labels(second)])
    return RowPart(X, weight, labels, np.arange(X.shape[0]))


def _weight(part: RowPart) -> Any:
    return np.ones(part.X.shape[0]) if part.weight is None else part.weight


def _labels(part: RowPart) -> Any:
    unknown = np.full(part.X.shape[0], -1)
    return unknown if part.labels is None else part.labels
