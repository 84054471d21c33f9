"""Columns of different families, independent within a component."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from emlearn.distributions._contract import Array, Family
from emlearn.distributions._domain import DomainError


@dataclass(frozen=True)
class Product(Family):
    """Families of parts of the columns: mixed-type data.

    Parameters are published under the names that the families give them; where several
    give the same, the position of the part is appended: ``"rate_0"``, ``"rate_2"``.

    Parameters
    ----------
    parts : tuple of (Family, columns)
        The families, each with the columns that it describes: a name or position, a list
        of these, or a slice of positions. Columns of no part are ignored.
    n_features : int, default=None
        Number of columns of the rows, which estimators find out.

    Examples
    --------
    Estimators make one of a list:

    >>> from emlearn.distributions import Gaussian, find_family
    >>> product = find_family([("poisson", ["visits"]), (Gaussian("diag"), slice(1, 3))])
    >>> product.at_columns(["visits", "age", "height"], 3).parts  # doctest: +ELLIPSIS
    ((Poisson(alpha=0.01), (0,)), (Gaussian(covariance_type='diag', ...), (1, 2)))
    """

    parts: tuple[tuple[Family, Any], ...]
    n_features: int | None = None

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        """Whether all parts are."""
        return all(family.is_discrete for family, _ in self.parts)

    @property
    def draws_rows(self) -> bool:  # type: ignore[override]
        """Whether a part does."""
        return any(family.draws_rows for family, _ in self.parts)

    @property
    def has_vector(self) -> bool:
        """Whether all parts have one."""
        return all(family.has_vector for family, _ in self.parts)

    def at_columns(self, names: Sequence[str] | None, n_features: int) -> Product:
        """See `Family`: with the positions of the columns."""
        parts = []
        for family, columns in self.parts:
            positions = _positions(columns, names, n_features)
            own_names = None if names is None else [names[j] for j in positions]
            parts.append((family.at_columns(own_names, len(positions)), positions))
        taken = [j for _, positions in parts for j in positions]
        twice = sorted({j for j in taken if taken.count(j) > 1})
        if twice:
            raise ValueError(f"Columns {twice} of X belong to more than one family.")
        return Product(tuple(parts), n_features)

    def _each(self, method: str, *values: Any) -> tuple[Any, ...]:
        """Results of a method of the families at their parts of the values."""
        return tuple(
            getattr(family, method)(*own)
            for (family, _), *own in zip(self.parts, *values, strict=True)
        )

    def _all(self, value: Any) -> tuple[Any, ...]:
        return (value,) * len(self.parts)

    def column_spec(self, X: Array, weight: Array | None = None) -> tuple[Any, ...]:
        """See `Family`."""
        return tuple(
            _at(columns, X, partial(family.column_spec, weight=weight))
            for family, columns in self.parts
        )

    def encode(self, X: Array, column_spec: tuple[Any, ...]) -> tuple[Any, ...]:
        """See `Family`."""
        return tuple(
            _at(columns, X, partial(family.encode, column_spec=own))
            for (family, columns), own in zip(self.parts, column_spec, strict=True)
        )

    def take(self, rows: tuple[Any, ...], index: slice | Array) -> tuple[Any, ...]:
        """See `Family`."""
        return self._each("take", rows, self._all(index))

    def pooled(self, n_components: int, column_spec: tuple[Any, ...]) -> tuple[Any, ...]:
        """See `Family`."""
        return self._each("pooled", self._all(n_components), column_spec)

    def precompute(self, params: tuple[Any, ...], column_spec: tuple[Any, ...]) -> tuple[Any, ...]:
        """See `Family`."""
        return self._each("precompute", params, column_spec)

    def log_density(self, rows: tuple[Any, ...], precomputed: tuple[Any, ...], out: Array) -> None:
        """See `Family`."""
        self._each("log_density", rows, precomputed, self._all(out))

    def sufficient_statistics(
        self, rows: tuple[Any, ...], responsibilities: Array, precomputed: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """See `Family`."""
        return self._each("sufficient_statistics", rows, self._all(responsibilities), precomputed)

    def m_step(
        self, statistics: tuple[Any, ...], params: tuple[Any, ...], column_spec: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """See `Family`."""
        return self._each("m_step", statistics, params, column_spec)

    def log_prior(self, params: tuple[Any, ...], column_spec: tuple[Any, ...]) -> float:
        """See `Family`."""
        return float(sum(self._each("log_prior", params, column_spec)))

    def start(
        self,
        rows: tuple[Any, ...],
        responsibilities: Array,
        column_spec: tuple[Any, ...],
        rng: np.random.Generator,
    ) -> tuple[Any, ...]:
        """See `Family`."""
        return self._each("start", rows, self._all(responsibilities), column_spec, self._all(rng))

    def n_parameters(self, params: tuple[Any, ...], column_spec: tuple[Any, ...]) -> int:
        """See `Family`."""
        return sum(self._each("n_parameters", params, column_spec))

    def to_public(self, params: tuple[Any, ...], column_spec: tuple[Any, ...]) -> dict[str, Array]:
        """See `Family`."""
        parts: tuple[dict[str, Array], ...] = self._each("to_public", params, column_spec)
        names = [name for part in parts for name in part]
        return {
            name if names.count(name) == 1 else f"{name}_{i}": value
            for i, part in enumerate(parts)
            for name, value in part.items()
        }

    def _names(self) -> tuple[tuple[str, ...], ...]:
        """Published names of the parameters of each part."""
        own = [family.public_names for family, _ in self.parts]
        every = [name for names in own for name in names]
        return tuple(
            tuple(name if every.count(name) == 1 else f"{name}_{i}" for name in names)
            for i, names in enumerate(own)
        )

    @property
    def public_names(self) -> tuple[str, ...]:
        """See `Family`."""
        return tuple(name for names in self._names() for name in names)

    def public_parts(self, public: Mapping[str, ArrayLike]) -> tuple[dict[str, ArrayLike], ...]:
        """The parameters of each part, by their own names."""
        missing = [name for name in self.public_names if name not in public]
        if missing:
            raise ValueError(f"The parameters of the components need {missing[0]!r}.")
        return tuple(
            {name: public[key] for name, key in zip(family.public_names, keys, strict=True)}
            for (family, _), keys in zip(self.parts, self._names(), strict=True)
        )

    def shape_of(self, public: Mapping[str, ArrayLike]) -> tuple[int, int]:
        """See `Family`."""
        if self.n_features is None:
            raise ValueError(
                "the parameters of a list of families do not tell the number of features; pass "
                "n_features."
            )
        shapes: tuple[tuple[int, int], ...] = self._each("shape_of", self.public_parts(public))
        for (family, columns), (_, width) in zip(self.parts, shapes, strict=True):
            if len(columns) != width:
                raise ValueError(
                    f"the parameters of {family!r} describe {width} columns, but it is for "
                    f"{len(columns)}."
                )
        n_components = sorted({n for n, _ in shapes})
        if len(n_components) > 1:
            raise ValueError(f"the parameters of the parts describe {n_components} components.")
        return n_components[0], self.n_features

    def from_public(
        self, public: Mapping[str, ArrayLike], column_spec: tuple[Any, ...], fitted: Any = None
    ) -> tuple[Any, ...]:
        """See `Family`."""
        fitted = self._all(None) if fitted is None else fitted
        return self._each("from_public", self.public_parts(public), column_spec, fitted)

    def spec_of(self, public: Mapping[str, ArrayLike], fitted: Any = None) -> tuple[Any, ...]:
        """See `Family`."""
        fitted = self._all(None) if fitted is None else fitted
        return self._each("spec_of", self.public_parts(public), fitted)

    def sample(
        self,
        params: tuple[Any, ...],
        column_spec: tuple[Any, ...],
        labels: Array,
        rng: np.random.Generator,
    ) -> Array:
        """See `Family`. Columns of no part are NaN."""
        drawn = self._each("sample", params, column_spec, self._all(labels), self._all(rng))
        width = self.n_features or 1 + max(j for _, columns in self.parts for j in columns)
        rows = np.full((len(labels), width), np.nan)
        for (_, columns), values in zip(self.parts, drawn, strict=True):
            rows[:, list(columns)] = values
        return rows

    def to_vector(self, params: tuple[Any, ...], column_spec: tuple[Any, ...]) -> Array:
        """See `Family`."""
        return np.concatenate(self._each("to_vector", params, column_spec))

    def from_vector(
        self, vector: Array, like: tuple[Any, ...], column_spec: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """See `Family`."""
        sizes = [len(part) for part in self._each("to_vector", like, column_spec)]
        vectors = np.split(vector, np.cumsum(sizes)[:-1])
        return self._each("from_vector", vectors, like, column_spec)


def _positions(columns: Any, names: Sequence[str] | None, n_features: int) -> tuple[int, ...]:
    if isinstance(columns, slice):
        return tuple(range(*columns.indices(n_features)))
    if isinstance(columns, str) or np.ndim(columns) == 0:
        columns = [columns]
    positions = []
    for column in columns:
        if isinstance(column, str):
            if names is None or column not in list(names):
                known = "none" if names is None else ", ".join(map(str, names))
                raise ValueError(f"X has no column named {column!r}; its names are: {known}.")
            positions.append(list(names).index(column))
        elif -n_features <= column < n_features:
            positions.append(int(column) % n_features)
        else:
            raise ValueError(f"X has {n_features} columns and no column {column}.")
    if not positions:
        raise ValueError("A family of a list needs at least one column.")
    return tuple(positions)


def _at(columns: tuple[int, ...], X: Array, call: Callable[[Array], Any]) -> Any:
    """Result for some columns of X; errors name those of X."""
    try:
        return call(X[:, list(columns)])
    except DomainError as error:
        raise error.at(columns=columns) from None
