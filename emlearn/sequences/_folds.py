"""Cross-validation that leaves out whole sequences."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import BaseCrossValidator, KFold

from emlearn.data.sequences import as_parts, lengths_of_ids

Index = NDArray[np.intp]


class SequenceKFold(BaseCrossValidator):
    """Folds of whole sequences, for `GridSearchCV` and `cross_val_score`.

    The sequences are divided as `sklearn.model_selection.KFold` divides rows. The rows of a
    sequence stay together and in their order, so that the training and the test rows are again
    sequences one after another.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    shuffle : bool, default=False
        Whether to divide the sequences at random. Otherwise a fold consists of consecutive
        sequences. The order of the rows never changes.
    random_state : int, RandomState or None, default=None
        Source of randomness with ``shuffle=True``.

    See Also
    --------
    sklearn.model_selection.GroupKFold : Balances the numbers of rows; works here as well.
    emlearn.sequences.split_rows : Results of all rows, by sequence.

    Notes
    -----
    The identifiers come as `groups`, or by metadata routing as `sequence_ids`, the name that
    they have in `fit` and `score` of the estimators; both are requested. If X is a list of
    sequences or an array of three dimensions, scikit-learn's splitters of rows split whole
    sequences already, and no identifiers are needed.

    Examples
    --------
    >>> from emlearn.sequences import SequenceKFold
    >>> sequence_ids = ["a", "a", "a", "b", "b", "c"]
    >>> X = [[0.0]] * 6
    >>> for train, test in SequenceKFold(3).split(X, groups=sequence_ids):
    ...     print(train, test)
    [3 4 5] [0 1 2]
    [0 1 2 5] [3 4]
    [0 1 2 3 4] [5]
    """

    __metadata_request__split: ClassVar[dict[str, bool]] = {"groups": True, "sequence_ids": True}

    n_splits: int
    shuffle: bool
    random_state: int | np.random.RandomState | None

    def __init__(
        self,
        n_splits: int = 5,
        *,
        shuffle: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ):
        if not isinstance(n_splits, Integral) or n_splits < 2:
            raise ValueError(f"n_splits must be an int >= 2, got {n_splits!r}.")
        if not isinstance(shuffle, (bool, np.bool_)):
            raise TypeError(f"shuffle must be True or False, got {shuffle!r}.")
        if not shuffle and random_state is not None:
            raise ValueError("random_state has no effect without shuffle=True. Set it to None.")
        self.n_splits = n_splits
        self.shuffle = shuffle
        self.random_state = random_state

    def split(
        self,
        X: Any,
        y: object = None,
        groups: ArrayLike | None = None,
        sequence_ids: ArrayLike | None = None,
    ) -> Iterator[tuple[Index, Index]]:
        """Rows of training and test, one fold after another.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of sequences
            The rows; only their number is read. Of a list of sequences, the entries are split.
        y : Ignored
            Present for the interface of scikit-learn.
        groups : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row; numbers or strings.
        sequence_ids : array-like of shape (n_samples,), default=None
            The same by another name. Give one of the two.

        Yields
        ------
        train, test : ndarray
            Positions of rows, increasing.

        Raises
        ------
        ValueError
            If there are no identifiers, they are of the wrong number or come back after another
            sequence, or there are fewer sequences than folds.
        """
        lengths = _lengths(X, groups, sequence_ids)
        if len(lengths) < self.n_splits:
            raise ValueError(
                f"n_splits={self.n_splits} folds need as many sequences, but there are "
                f"{len(lengths)}. Use fewer folds."
            )
        folds = KFold(int(self.n_splits), shuffle=self.shuffle, random_state=self.random_state)
        owner = np.repeat(np.arange(len(lengths)), lengths)
        for _, chosen in folds.split(lengths):
            held_out = np.isin(owner, chosen)
            yield np.flatnonzero(~held_out), np.flatnonzero(held_out)

    def get_n_splits(
        self, X: object = None, y: object = None, groups: object = None, sequence_ids: object = None
    ) -> int:
        """Number of folds.

        Parameters
        ----------
        X, y, groups, sequence_ids : Ignored
            Present for the interface of scikit-learn.

        Returns
        -------
        n_splits : int
            The number.
        """
        return int(self.n_splits)


def _lengths(X: Any, groups: Any, sequence_ids: Any) -> NDArray[np.int64]:
    parts = as_parts(X)
    n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
    if groups is not None and sequence_ids is not None:
        raise ValueError("groups and sequence_ids are the same. Give one of them.")
    ids = sequence_ids if groups is None else groups
    if ids is not None:
        return lengths_of_ids(ids, n_rows)
    if parts is None:
        raise ValueError(
            "SequenceKFold needs to know which rows form a sequence: pass groups=sequence_ids, or "
            "X as a list of sequences."
        )
    return np.ones(n_rows, np.int64)
