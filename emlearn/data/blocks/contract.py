"""The contract of rows that are read block by block."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class RowBlocks(Protocol):
    """Rows in blocks, each of which can be read again and again.

    Estimators that read blocks take any object with these members in place of X, also one of a
    user's own class. They read each block once for each E-step, perhaps from another thread or
    process. So a block must not change between readings, and the object should be small when
    pickled: it refers to rows and does not hold them.

    Some megabytes each are a good size for blocks: large enough to keep a processor busy, small
    enough that a few of them do not fill the memory. A block may be empty.

    Attributes
    ----------
    n_rows : int
        Number of rows of all blocks.
    n_features : int
        Number of columns.

    See Also
    --------
    emlearn.data.blocks.ArrayBlocks : Blocks of anything that can be sliced like an array.
    emlearn.data.blocks.ParquetBlocks : Blocks of Parquet files.

    Examples
    --------
    Rows that are made again each time they are read:

    >>> import numpy as np
    >>> from emlearn import GaussianMixtureEM
    >>> class Simulated:
    ...     n_rows, n_features = 5000, 2
    ...     def __len__(self):
    ...         return 5
    ...     def __getitem__(self, index):
    ...         if not 0 <= index < len(self):
    ...             raise IndexError(index)
    ...         rng = np.random.default_rng(index)
    ...         return rng.normal(size=(1000, 2)) + [[3.0, 0.0]] * rng.choice(2, (1000, 1))
    >>> mixture = GaussianMixtureEM(2, random_state=0).fit(Simulated())
    >>> np.sort(mixture.means_[:, 0]).round(1) + 0.0
    array([0., 3.])
    """

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        ...

    @property
    def n_features(self) -> int:
        """Number of columns."""
        ...

    def __len__(self) -> int:
        """Number of blocks."""
        ...

    def __getitem__(self, index: int) -> Any:
        """Rows of a block: an array or a table of shape (n_rows_of_block, n_features)."""
        ...


def is_row_blocks(X: Any) -> bool:
    """Whether X has what `RowBlocks` needs."""
    needed = ("n_rows", "n_features", "__len__", "__getitem__")
    return all(hasattr(X, name) for name in needed)
