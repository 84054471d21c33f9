"""Different families for different columns, independent within a component."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from emlearn.distributions._contract import Array, Family
from emlearn.distributions._domain import ColumnError, named_columns
from emlearn.distributions._passes import PassesOfColumns, RowPasses, at_columns
from emlearn.distributions._points import side_by_side
from emlearn.distributions._published import ParameterError, require_names
from emlearn.engine.model import Penalty
from emlearn.engine.parameters import Part


@dataclass(frozen=True)
class Product(Family):
    """Different families for different columns: data of mixed types.

    Published: the parameters of all parts, under their own names. If several parts have a
    name in common, the position of the part is appended: ``"rate_0"``, ``"rate_2"``.

    Parameters
    ----------
    parts : tuple of (Family, columns)
        The families, each with the columns that it describes: a name or position, a list
        of these, or a slice of positions. Each column is named once, here or in `ignored`;
        if not, `at_columns` raises a ValueError.
    ignored : columns, default=()
        Columns to leave out. They may hold any numbers and have no effect on the density.
        Rows that `sample` draws have NaN there. In the list that an estimator takes, they
        are the pair ``("ignore", columns)``.
    n_features : int, default=None
        Number of columns of the rows. Estimators set it.

    Examples
    --------
    Estimators make a product of a list:

    >>> from emlearn.distributions import Gaussian, find_family
    >>> product = find_family([("poisson", ["visits"]), (Gaussian("diag"), slice(1, 3))])
    >>> product.at_columns(["visits", "age", "height"], 3).parts  # doctest: +ELLIPSIS
    ((Poisson(alpha=0.01), (0,)), (Gaussian(covariance_type='diag', ...), (1, 2)))
    """

    parts: tuple[tuple[Family, Any], ...]
    ignored: Any = ()
    n_features: int | None = None

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]  # of each instance
        """Whether all parts are."""
        return all(family.is_discrete for family, _ in self.parts)

    @property
    def draws_rows(self) -> bool:  # type: ignore[override]  # of each instance
        """Whether a part does."""
        return any(family.draws_rows for family, _ in self.parts)

    @property
    def has_vector(self) -> bool:
        """Whether all parts have one."""
        return all(family.has_vector for family, _ in self.parts)

    def at_columns(self, names: Sequence[str] | None, n_features: int) -> Product:
        """See `Family`: the product with positions in place of names."""
        parts = []
        for family, columns in self.parts:
            positions = _positions(columns, names, n_features)
            if not positions:
                raise ValueError(f"{family!r} needs at least one column of X.")
            own_names = None if names is None else [names[j] for j in positions]
            parts.append((family.at_columns(own_names, len(positions)), positions))
        ignored = _positions(self.ignored, names, n_features)
        times = Counter(chain(ignored, *(positions for _, positions in parts)))
        with named_columns(names):
            _require_once([times[j] for j in range(n_features)])
        return Product(tuple(parts), ignored, n_features)

    def _each(self, method: str, *values: Any) -> tuple[Any, ...]:
        """Results of a method of each family for its part of the values."""
        return tuple(
            getattr(family, method)(*own)
            for (family, _), *own in zip(self.parts, *values, strict=True)
        )

    def _all(self, value: Any) -> tuple[Any, ...]:
        return (value,) * len(self.parts)

    def column_spec(self, X: Array, weight: Array | None = None) -> tuple[Any, ...]:
        """See `Family`."""
        return tuple(
            at_columns(columns, X, partial(family.column_spec, weight=weight))
            for family, columns in self.parts
        )

    def spec_of_passes(self, passes: RowPasses) -> tuple[Any, ...]:
        """See `Family`."""
        return tuple(
            family.spec_of_passes(PassesOfColumns(passes, columns))
            for family, columns in self.parts
        )

    @property
    def reads_blocks(self) -> bool:
        """Whether all parts do."""
        return all(family.reads_blocks for family, _ in self.parts)

    def encode(self, X: Array, column_spec: tuple[Any, ...]) -> tuple[Any, ...]:
        """See `Family`."""
        return tuple(
            at_columns(columns, X, partial(family.encode, column_spec=own))
            for (family, columns), own in zip(self.parts, column_spec, strict=True)
        )

    def take(self, rows: tuple[Any, ...], index: slice | Array) -> tuple[Any, ...]:
        """See `Family`."""
        return self._each("take", rows, self._all(index))

    def points(self, X: Array, column_spec: tuple[Any, ...]) -> Any:
        """See `Family`: the points of all parts, side by side."""
        return side_by_side(
            [
                family.points(X[:, list(columns)], own)
                for (family, columns), own in zip(self.parts, column_spec, strict=True)
            ]
        )

    def recentered(self, statistics: Any, params: Any, moved: Any) -> tuple[Any, ...]:
        """See `Family`."""
        return self._each("recentered", statistics, params, moved)

    def widened(self, column_spec: tuple[Any, ...], X: Array) -> tuple[Any, ...]:
        """See `Family`."""
        wider = tuple(
            at_columns(columns, X, partial(family.widened, own))
            for (family, columns), own in zip(self.parts, column_spec, strict=True)
        )
        is_same = all(new is own for new, own in zip(wider, column_spec, strict=True))
        return column_spec if is_same else wider

    def rearranged(self, statistics: Any, column_spec: Any, wider: Any) -> tuple[Any, ...]:
        """See `Family`."""
        return self._each("rearranged", statistics, column_spec, wider)

    def ranking_penalty(self, statistics: tuple[Any, ...], column_spec: tuple[Any, ...]) -> Penalty:
        """See `Family`: the optimism of all parts. A component has too few rows if a part has."""
        return _sum(self._each("ranking_penalty", statistics, column_spec))

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

    def unsound(
        self, statistics: tuple[Any, ...], params: tuple[Any, ...], column_spec: tuple[Any, ...]
    ) -> dict[str, Array]:
        """See `Family`."""
        doubted: dict[str, Array] = {}
        for part in self._each("unsound", statistics, params, column_spec):
            for reason, own in part.items():
                doubted[reason] = own | doubted.get(reason, False)
        return doubted

    def log_prior(self, params: tuple[Any, ...], column_spec: tuple[Any, ...]) -> float:
        """See `Family`."""
        return float(sum(self._each("log_prior", params, column_spec)))

    def pseudo_rows(self, column_spec: tuple[Any, ...]) -> float:
        """See `Family`: the most of any part."""
        return float(max(self._each("pseudo_rows", column_spec)))

    def unpenalized(self, column_spec: tuple[Any, ...]) -> tuple[Any, ...]:
        """See `Family`."""
        specs = self._each("unpenalized", column_spec)
        same = all(new is old for new, old in zip(specs, column_spec, strict=True))
        return column_spec if same else specs

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
        return {
            new: part[name]
            for part, names in zip(parts, _number(parts), strict=True)
            for name, new in names.items()
        }

    def _named(self, parts: tuple[dict[str, Any], ...]) -> dict[str, Any]:
        """The entries of all parts, by their published names."""
        return {
            new: part[name]
            for part, names in zip(parts, self._names(), strict=True)
            for name, new in names.items()
            if name in part
        }

    def parameters(self, params: tuple[Any, ...], column_spec: tuple[Any, ...]) -> dict[str, Array]:
        """See `Family`."""
        return self._named(self._each("parameters", params, column_spec))

    def space(self, params: tuple[Any, ...], column_spec: tuple[Any, ...]) -> dict[str, Part]:
        """See `Family`."""
        return self._named(self._each("space", params, column_spec))

    def score(
        self, statistics: tuple[Any, ...], params: tuple[Any, ...], column_spec: tuple[Any, ...]
    ) -> dict[str, Array]:
        """See `Family`."""
        return self._named(self._each("score", statistics, params, column_spec))

    @property
    def has_score(self) -> bool:
        """Whether all parts have one."""
        return all(family.has_score for family, _ in self.parts)

    def _fixed(self, fixed: Mapping[str, Array]) -> tuple[dict[str, Array], ...]:
        """The entries that are held of each part, by its own names."""
        return tuple(
            {name: fixed[new] for name, new in names.items() if new in fixed}
            for names in self._names()
        )

    def constrained_m_step(
        self,
        statistics: tuple[Any, ...],
        params: tuple[Any, ...],
        fixed: Mapping[str, Array],
        column_spec: tuple[Any, ...],
    ) -> tuple[Any, ...]:
        """See `Family`."""
        own = self._fixed(fixed)
        return self._each("constrained_m_step", statistics, params, own, column_spec)

    def impose(
        self, params: tuple[Any, ...], fixed: Mapping[str, Array], column_spec: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """See `Family`."""
        return self._each("impose", params, self._fixed(fixed), column_spec)

    def with_fixed(
        self, params: tuple[Any, ...], fixed: Mapping[str, Array], column_spec: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """See `Family`."""
        return self._each("with_fixed", params, self._fixed(fixed), column_spec)

    def constrained_penalty(
        self,
        statistics: tuple[Any, ...],
        fixed: Mapping[str, Array],
        column_spec: tuple[Any, ...],
    ) -> Penalty:
        """See `Family`."""
        return _sum(self._each("constrained_penalty", statistics, self._fixed(fixed), column_spec))

    def _names(self) -> list[dict[str, str]]:
        """Published names of the parameters of each part, by the names in the part."""
        return _number([family.public_names for family, _ in self.parts])

    @property
    def public_names(self) -> tuple[str, ...]:
        """See `Family`."""
        return tuple(new for names in self._names() for new in names.values())

    def public_parts(self, public: Mapping[str, ArrayLike]) -> tuple[dict[str, ArrayLike], ...]:
        """The published parameters of each part, by their own names."""
        require_names(public, self.public_names)
        return tuple({name: public[new] for name, new in names.items()} for names in self._names())

    def _each_public(
        self, method: str, public: Mapping[str, ArrayLike], *values: Any
    ) -> tuple[Any, ...]:
        """Results of a method of each family for its published parameters."""
        found = []
        parts = self.public_parts(public)
        for (family, columns), names, part, *own in zip(
            self.parts, self._names(), parts, *values, strict=True
        ):
            try:
                found.append(getattr(family, method)(part, *own))
            except ParameterError as error:
                raise error.at(rename=names.__getitem__, columns=columns) from None
        return tuple(found)

    def shape_of(self, public: Mapping[str, ArrayLike]) -> tuple[int, int]:
        """See `Family`."""
        if self.n_features is None:
            raise ValueError(
                "the parameters of a list of families do not determine the number of features; "
                "pass n_features."
            )
        shapes: tuple[tuple[int, int], ...] = self._each_public("shape_of", public)
        for (family, columns), (_, width) in zip(self.parts, shapes, strict=True):
            if len(columns) != width:
                raise ValueError(
                    f"the parameters of {family!r} describe {width} columns, but it has "
                    f"{len(columns)}."
                )
        n_components = sorted({n for n, _ in shapes})
        if len(n_components) > 1:
            raise ValueError(f"the parameters of the parts describe {n_components} components.")
        return n_components[0], self.n_features

    def from_public(
        self,
        public: Mapping[str, ArrayLike],
        column_spec: tuple[Any, ...],
        fitted: tuple[Any, ...] | None = None,
    ) -> tuple[Any, ...]:
        """See `Family`."""
        return self._each_public("from_public", public, column_spec, fitted or self._all(None))

    def spec_of(
        self, public: Mapping[str, ArrayLike], fitted: tuple[Any, ...] | None = None
    ) -> tuple[Any, ...]:
        """See `Family`."""
        return self._each_public("spec_of", public, fitted or self._all(None))

    def levels(self, column_spec: tuple[Any, ...]) -> list[Array | None] | None:
        """See `Family`."""
        own = self._each("levels", column_spec)
        if all(levels is None for levels in own):
            return None
        every: list[Array | None] = [None] * self._width
        for (_, columns), levels in zip(self.parts, own, strict=True):
            for j, values in zip(columns, levels or [None] * len(columns), strict=True):
                every[j] = values
        return every

    def level_columns(self, n_features: int) -> dict[int, str]:
        """See `Family`."""
        return {
            columns[j]: unseen
            for family, columns in self.parts
            for j, unseen in family.level_columns(len(columns)).items()
        }

    def moments(
        self, params: tuple[Any, ...], column_spec: tuple[Any, ...]
    ) -> tuple[Array, Array] | None:
        """See `Family`: NaN in columns that are ignored, or whose family has no means."""
        each = self._each("moments", params, column_spec)
        known = [found for found in each if found is not None]
        if not known:
            return None
        moments = np.full((2, len(known[0][0]), self._width), np.nan)
        for (_, columns), found in zip(self.parts, each, strict=True):
            if found is not None:
                moments[:, :, list(columns)] = found
        return moments[0], moments[1]

    def declared(self, column_spec: tuple[Any, ...]) -> Product:
        """See `Family`."""
        families = self._each("declared", column_spec)
        columns = [own for _, own in self.parts]
        return replace(self, parts=tuple(zip(families, columns, strict=True)))

    @property
    def _width(self) -> int:
        """Number of columns, or the smallest possible if it is not known."""
        return self.n_features or 1 + max(j for _, columns in self.parts for j in columns)

    def sample(
        self,
        params: tuple[Any, ...],
        column_spec: tuple[Any, ...],
        labels: Array,
        rng: np.random.Generator,
    ) -> Array:
        """See `Family`. Columns that are ignored are NaN."""
        drawn = self._each("sample", params, column_spec, self._all(labels), self._all(rng))
        rows = np.full((len(labels), self._width), np.nan)
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


def _sum(penalties: tuple[Penalty, ...]) -> Penalty:
    starved = max(own.starved for own in penalties)
    return Penalty(starved, sum(own.optimism for own in penalties))


def _number(parts: Sequence[Iterable[str]]) -> list[dict[str, str]]:
    """Published names by the names in each part: with its position where they clash."""
    every = [name for part in parts for name in part]
    return [
        {name: name if every.count(name) == 1 else f"{name}_{i}" for name in part}
        for i, part in enumerate(parts)
    ]


def _require_once(times: Sequence[int]) -> None:
    """Raise ColumnError unless each column is named once."""
    twice = [j for j, n in enumerate(times) if n > 1]
    if twice:
        raise ColumnError(twice, "must be named once in the list of families, not more often.")
    left = [j for j, n in enumerate(times) if not n]
    if left:
        raise ColumnError(
            left,
            "must be named in the list of families. To leave out columns on purpose, add the pair "
            "('ignore', columns).",
        )


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
            raise ValueError(f"X has no column {column}; it has {n_features} columns.")
    return tuple(positions)
