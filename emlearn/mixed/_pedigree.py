"""Relationships of animals or plants by their pedigree."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_array, diags, eye

from emlearn.data.frames import eager, is_pandas, is_polars
from emlearn.mixed._gene_flow import GeneFlow, inbreeding_of, mendelian_variances
from emlearn.mixed._kinship import Kinship, as_levels, is_missing, listed, read_only

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# Below this Mendelian sampling variance the precision has entries so large that they drown what
# the data say about parents: half of the digits of float64.
_SMALLEST_VARIANCE = 1e-8
# What files write for an unknown parent.
UNKNOWN = (0, "0", "", ".", "*", "NA", "nan")


class Pedigree(Kinship):
    """Additive genetic relationships of individuals whose parents are known.

    The relationship of two individuals is twice the probability that two genes at one locus,
    one drawn from each, are identical by descent. Individuals with unknown parents come from a
    base population whose members are unrelated and not inbred. The inverse of the matrix of
    relationships is sparse, so pedigrees of hundreds of thousands of individuals can be used.

    Parameters
    ----------
    animal : array-like of shape (n,)
        Identifiers of the individuals, all text or all numbers, in any order.
    sire, dam : array-like of shape (n,)
        Identifiers of their parents. Parents without a row of their own are founders: their
        parents are unknown. The same individual may be sire of some and dam of others, and sire
        and dam of the same one (selfing).
    unknown : sequence, default=(0, "0", "", ".", "*", "NA", "nan")
        Values that mark an unknown parent, as is usual in files; text is compared without spaces
        around it. None, NaN and pandas.NA always do. An individual cannot have such an
        identifier.

    Attributes
    ----------
    inbreeding : ndarray of shape (n_levels,)
        Coefficients of inbreeding: half the relationships of the parents.
    has_precision : bool
        Whether the inverse exists. It does not if both parents of an individual are completely
        inbred, as in lines selfed for more than 25 generations.

    Raises
    ------
    ValueError
        If an individual is its own ancestor or is listed twice with different parents, if an
        identifier in `animal` is missing, if text and numbers are mixed, or if lengths differ.

    See Also
    --------
    Genotypes : Relationships by markers.

    Notes
    -----
    ``levels`` has the identifiers: those of `animal` in the order of their first rows, then those
    of parents without a row.

    With T the matrix of gene flow from ancestors to descendants and D the diagonal matrix of the
    variances of Mendelian sampling, the relationships are T D T' [1]_; inv(T) and D are known
    from parents and their coefficients of inbreeding [2]_. These are found for one generation
    after the other from products of T D T' with the indicators of its sires or dams [3]_.

    References
    ----------
    .. [1] Henderson, C. R. (1976). A simple method for computing the inverse of a numerator
       relationship matrix used in prediction of breeding values. Biometrics, 32(1), 69-83.
    .. [2] Quaas, R. L. (1976). Computing the diagonal elements and inverse of a large numerator
       relationship matrix. Biometrics, 32(4), 949-953.
    .. [3] Colleau, J.-J. (2002). An indirect approach to the extensive calculation of
       relationship coefficients. Genetics Selection Evolution, 34(4), 409-421.

    Examples
    --------
    >>> from emlearn.mixed import Pedigree
    >>> pedigree = Pedigree(
    ...     animal=["calf", "cow", "bull"],
    ...     sire=["bull", "bull", None],
    ...     dam=["cow", None, None],
    ... )
    >>> pedigree
    Pedigree(n_levels=3)
    >>> pedigree.inbreeding.tolist()
    [0.25, 0.0, 0.0]
    >>> pedigree.precision().toarray().round(2).tolist()
    [[2.0, -1.0, -1.0], [-1.0, 1.83, -0.17], [-1.0, -0.17, 1.83]]
    """

    def __init__(self, animal: Any, sire: Any, dam: Any, *, unknown: Sequence[Any] = UNKNOWN):
        rows = _read_rows(animal, sire, dam, unknown)
        identifiers, parents = _families(rows)
        self._levels = as_levels(identifiers)
        self._half = _halves(parents)
        self._generations = _generations(self._half, parents, identifiers)
        self.inbreeding = read_only(inbreeding_of(parents, self._half, self._generations))
        self._variances = mendelian_variances(parents, self.inbreeding)
        self.has_precision = bool(self._variances.min() >= _SMALLEST_VARIANCE)

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        animal: Any = "animal",
        sire: Any = "sire",
        dam: Any = "dam",
        *,
        unknown: Sequence[Any] = UNKNOWN,
    ) -> Pedigree:
        """Pedigree in three columns of a DataFrame of pandas or polars.

        Parameters
        ----------
        frame : DataFrame
            One row for each individual.
        animal, sire, dam : str
            Names of the columns.
        unknown : sequence, default=(0, "0", "", ".", "*", "NA", "nan")
            Values that mark an unknown parent.

        Returns
        -------
        pedigree : Pedigree
            The pedigree.

        Raises
        ------
        ValueError
            If a column does not exist, or as the constructor does.
        """
        frame = eager(frame)
        if not (is_pandas(frame) or is_polars(frame)):
            raise TypeError(
                f"frame must be a DataFrame, not {type(frame).__name__}. For arrays use "
                "Pedigree(animal, sire, dam)."
            )
        for parameter, name in (("animal", animal), ("sire", sire), ("dam", dam)):
            if name not in list(frame.columns):
                raise ValueError(
                    f"There is no column {name!r} in frame, which has {list(frame.columns)}. Name "
                    f"the right one: {parameter}=..."
                )
        return cls(frame[animal], frame[sire], frame[dam], unknown=unknown)

    @property
    def levels(self) -> NDArray[Any]:
        """Identifiers of all individuals, (n_levels,)."""
        return self._levels

    def square_root(self) -> Array:
        """F with ``F @ F.T`` the relationships.

        Returns
        -------
        root : ndarray of shape (n_levels, n_levels)
            F, a dense matrix.
        """
        flow = GeneFlow(self._half, self._generations)
        root = np.diag(np.sqrt(self._variances[flow.order]))
        flow.descend(root)
        found = np.empty_like(root)
        found[flow.order] = root
        return found

    def diagonal(self) -> Array:
        """Relationships of individuals with themselves.

        Returns
        -------
        diagonal : ndarray of shape (n_levels,)
            1 + inbreeding.
        """
        return 1.0 + self.inbreeding

    def precision(self) -> Any:
        """Inverse of the relationships.

        Returns
        -------
        precision : sparse CSC matrix of shape (n_levels, n_levels)
            The inverse.

        Raises
        ------
        ValueError
            If an individual has completely inbred parents; see `has_precision`.
        """
        self._require_precision()
        return self._precision

    def log_det_precision(self) -> float:
        """Logarithm of the determinant of the precision.

        Returns
        -------
        log_det : float
            The logarithm.

        Raises
        ------
        ValueError
            If an individual has completely inbred parents; see `has_precision`.
        """
        self._require_precision()
        return -float(np.log(self._variances).sum())

    @cached_property
    def _precision(self) -> Any:
        inverse = csc_matrix(eye(len(self._levels)) - self._half)
        return csc_matrix(inverse.T @ diags(1.0 / self._variances) @ inverse)

    def _require_precision(self) -> None:
        if not self.has_precision:
            first = self._levels.tolist()[int(np.argmin(self._variances))]
            raise ValueError(
                f"The parents of {first!r} are completely inbred, so the matrix of relationships "
                "has no inverse. Use square_root() or relationship()."
            )


# ---- reading ---------------------------------------------------------------------------


def _read_rows(
    animal: Any, sire: Any, dam: Any, unknown: Sequence[Any]
) -> list[tuple[Any, Any, Any]]:
    """Identifiers of individual, sire and dam; None for an unknown parent."""
    if isinstance(unknown, (str, bytes)) or not hasattr(unknown, "__iter__"):
        raise TypeError(f"unknown must be a list of values, such as [{unknown!r}].")
    for name, column in (("animal", animal), ("sire", sire), ("dam", dam)):
        if isinstance(column, (str, bytes)) or np.ndim(column) != 1:
            raise TypeError(
                f"{name} must be a column of identifiers. Pedigree.from_frame takes a DataFrame "
                "and the names of its columns."
            )
    columns = {"animal": listed(animal), "sire": listed(sire), "dam": listed(dam)}
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"animal, sire and dam must have the same length, not {lengths}.")
    if not columns["animal"]:
        raise ValueError("The pedigree is empty.")
    codes = set(unknown)
    cleaned = {
        name: [None if is_missing(v) or _stripped(v) in codes else v for v in values]
        for name, values in columns.items()
    }
    if None in cleaned["animal"]:
        row = cleaned["animal"].index(None)
        raise ValueError(
            f"animal in row {row} is {columns['animal'][row]!r}, which stands for an unknown "
            "parent. Give each individual an identifier, or other values of unknown=."
        )
    _require_one_kind(cleaned)
    _require_no_padding(cleaned)
    whole = {name: list(map(_whole, values)) for name, values in cleaned.items()}
    return list(zip(whole["animal"], whole["sire"], whole["dam"], strict=True))


def _require_one_kind(columns: dict[str, list[Any]]) -> None:
    """Raise ValueError if identifiers of text and of numbers are mixed: they never match."""
    seen: dict[str, str] = {}
    for name, values in columns.items():
        for row, value in enumerate(values):
            if value is None:
                continue
            kind = "text" if isinstance(value, str) else "a number"
            if kind == "a number" and not isinstance(value, (int, float)):
                raise TypeError(
                    f"{name} in row {row} is {value!r}. Identifiers are text or numbers."
                )
            seen.setdefault(kind, f"{name} in row {row} is {value!r}")
    if len(seen) > 1:
        raise ValueError(
            f"Identifiers must be all text or all numbers, but {seen['text']} and "
            f"{seen['a number']}. Convert them to one type."
        )


def _require_no_padding(columns: dict[str, list[Any]]) -> None:
    """Raise ValueError if identifiers differ only by spaces around them, as in padded columns."""
    seen: dict[Any, Any] = {}
    for name, values in columns.items():
        for row, value in enumerate(values):
            other = seen.setdefault(_stripped(value), value)
            if other != value:
                raise ValueError(
                    f"{name} in row {row} is {value!r}, which differs from {other!r} only by "
                    "spaces. Remove them: .str.strip() of a column."
                )


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _whole(value: Any) -> Any:
    """Integers that are stored as floats, as in columns with NaN, become integers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _families(rows: list[tuple[Any, Any, Any]]) -> tuple[list[Any], Index]:
    """Identifiers, and positions of sires and dams, (n_levels, 2); -1 for unknown ones."""
    known: dict[Any, tuple[Any, Any]] = {}
    for animal, sire, dam in rows:
        if known.setdefault(animal, (sire, dam)) != (sire, dam):
            raise ValueError(
                f"{animal!r} is listed twice with different parents: {known[animal]} and "
                f"{(sire, dam)}. Keep one row."
            )
    positions = {animal: i for i, animal in enumerate(known)}
    pairs = list(known.values())
    for pair in pairs:
        for parent in pair:
            if parent is not None:
                positions.setdefault(parent, len(positions))
    parents = np.full((len(positions), 2), -1, np.intp)
    positions[None] = -1
    parents[: len(pairs)] = [(positions[sire], positions[dam]) for sire, dam in pairs]
    del positions[None]
    return list(positions), parents


def _halves(parents: Index) -> Any:
    """Matrix of the shares of genes that individuals have from their parents."""
    child, side = np.nonzero(parents >= 0)
    shares = np.full(len(child), 0.5)
    # Both shares of a parent of both sides are added.
    return csr_array((shares, (child, parents[child, side])), shape=(len(parents),) * 2)


def _generations(half: Any, parents: Index, identifiers: list[Any]) -> list[Index]:
    """Individuals of each generation: one more than the later one of the parents."""
    offspring = half.T.tocsr()
    waiting = np.count_nonzero(parents >= 0, axis=1)
    ready = np.flatnonzero(waiting == 0)
    generations = []
    while ready.size:
        generations.append(ready)
        born = offspring[ready]
        np.subtract.at(waiting, born.indices, np.rint(2 * born.data).astype(int))
        children = np.unique(born.indices)
        ready = children[waiting[children] == 0]
    if waiting.any():
        raise ValueError(_loop(waiting > 0, parents, identifiers))
    return generations


def _loop(left: NDArray[np.bool_], parents: Index, identifiers: list[Any]) -> str:
    """What is wrong with individuals that are their own ancestors, or descend from such."""
    path = [int(np.argmax(left))]
    while path[-1] not in path[:-1]:
        path.append(next(int(p) for p in parents[path[-1]] if p >= 0 and left[p]))
    names = [repr(identifiers[i]) for i in path[path.index(path[-1]) :]]
    if len(names) == 2:
        return f"{names[0]} is its own parent. Correct its row, or set the parent to None."
    names = names if len(names) <= 12 else [*names[:6], "...", *names[-5:]]
    return (
        f"{names[0]} is its own ancestor: the pedigree has the loop {' <- '.join(names)}, each the "
        "offspring of the next. Correct one of these rows."
    )
