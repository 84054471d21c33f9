"""Components that are mixtures themselves, as in hidden Markov models with Gaussian mixtures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from emlearn.distributions._contract import Array, Family
from emlearn.distributions._exponential import log_of
from emlearn.distributions._passes import RowPasses
from emlearn.distributions._published import ParameterError, read_probabilities, require_names
from emlearn.engine.parameters import InParts, Part, Repeated, Simplex, per_probability


class MixtureParams(NamedTuple):
    """Parameters.

    Attributes
    ----------
    weight : ndarray of shape (n_components, n_parts)
        Weights of the parts; they sum to 1 for each component.
    parts : object
        Parameters of the family for n_components x n_parts components.
    """

    weight: Array
    parts: Any


class MixtureStatistics(NamedTuple):
    """Sums of the responsibilities of the parts, and the statistics of their family."""

    weight: Array
    parts: Any


class MixturePrecomputed(NamedTuple):
    """Logarithms of the weights, and what the family precomputes."""

    log_weight: Array
    parts: Any


@dataclass(frozen=True)
class Mixture(Family):
    """Each component is a mixture of `n_parts` distributions of another family.

    Published: ``"weight"``, of shape (n_components, n_parts), and the parameters of the
    family, of shapes (n_components, n_parts, ...).

    Parameters
    ----------
    family : Family
        The family of the parts.
    n_parts : int, default=2
        Number of parts of each component.
    alpha : float, default=0.01
        Number of pseudo-rows in each part: the prior of the weights of the parts is
        Dirichlet(1 + alpha, ...). 0 is maximum likelihood.

    Examples
    --------
    Two classes with two kinds of rows each; the classes of the rows are known:

    >>> import numpy as np
    >>> from emlearn import FiniteMixtureEM
    >>> from emlearn.distributions import Mixture, Poisson
    >>> counts = np.array([[1], [20], [2], [21], [9], [40], [8], [41]] * 5)
    >>> side = np.array([0, 0, 0, 0, 1, 1, 1, 1] * 5)
    >>> family = Mixture(Poisson(), n_parts=2)
    >>> classes = FiniteMixtureEM(family=family, use_labels=True, random_state=0)
    >>> classes = classes.fit(counts, side)
    >>> np.sort(classes.component_params_["rate"][:, :, 0]).round(1)
    array([[ 1.5, 20.5],
           [ 8.5, 40.5]])
    """

    family: Family
    n_parts: int = 2
    alpha: float = 0.01

    def __post_init__(self) -> None:
        if not isinstance(self.family, Family):
            raise ValueError(
                f"family of a Mixture must be a family, such as Poisson(), got {self.family!r}."
            )
        if not (isinstance(self.n_parts, Integral) and self.n_parts >= 1):
            raise ValueError(f"n_parts must be an integer >= 1, got {self.n_parts!r}.")
        if not (isinstance(self.alpha, Real) and 0.0 <= self.alpha < np.inf):
            raise ValueError(f"alpha must be a number >= 0, got {self.alpha!r}.")

    @property
    def accepts_sparse(self) -> bool:  # type: ignore[override]  # of each instance
        """Whether the family of the parts does."""
        return self.family.accepts_sparse

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]  # of each instance
        """Whether the family of the parts is."""
        return self.family.is_discrete

    draws_rows: ClassVar[bool] = True

    @property
    def has_vector(self) -> bool:
        """Whether the family of the parts has one."""
        return self.family.has_vector

    def at_columns(self, names: Sequence[str] | None, n_features: int) -> Mixture:
        """See `Family`."""
        return replace(self, family=self.family.at_columns(names, n_features))

    def column_spec(self, X: Any, weight: Array | None = None) -> Any:
        """See `Family`."""
        return self.family.column_spec(X, weight)

    def spec_of_passes(self, passes: RowPasses) -> Any:
        """See `Family`."""
        return self.family.spec_of_passes(passes)

    @property
    def reads_blocks(self) -> bool:
        """Whether the family of the parts does."""
        return self.family.reads_blocks

    def declared(self, column_spec: Any) -> Mixture:
        """See `Family`."""
        return replace(self, family=self.family.declared(column_spec))

    def encode(self, X: Any, column_spec: Any) -> Any:
        """See `Family`."""
        return self.family.encode(X, column_spec)

    def take(self, rows: Any, index: slice | Array) -> Any:
        """See `Family`."""
        return self.family.take(rows, index)

    def points(self, X: Any, column_spec: Any) -> Any:
        """See `Family`."""
        return self.family.points(X, column_spec)

    def pooled(self, n_components: int, column_spec: Any) -> MixtureParams:
        """See `Family`."""
        weight = np.full((n_components, self.n_parts), 1.0 / self.n_parts)
        return MixtureParams(weight, self.family.pooled(weight.size, column_spec))

    def precompute(self, params: MixtureParams, column_spec: Any) -> MixturePrecomputed:
        """See `Family`."""
        return MixturePrecomputed(
            log_of(params.weight), self.family.precompute(params.parts, column_spec)
        )

    def _joint(self, rows: Any, precomputed: MixturePrecomputed, n_rows: int) -> Array:
        """Logarithms of the joint densities, (n_components, n_parts, n_rows)."""
        joint = np.repeat(precomputed.log_weight.reshape(-1, 1), n_rows, axis=1)
        self.family.log_density(rows, precomputed.parts, joint)
        return joint.reshape(*precomputed.log_weight.shape, n_rows)

    def log_density(self, rows: Any, precomputed: MixturePrecomputed, out: Array) -> None:
        """See `Family`."""
        joint = self._joint(rows, precomputed, out.shape[1])
        largest = joint.max(axis=1)
        joint -= largest[:, None]
        out += largest
        out += np.log(np.exp(joint, out=joint).sum(axis=1))

    def sufficient_statistics(
        self, rows: Any, responsibilities: Array, precomputed: MixturePrecomputed
    ) -> MixtureStatistics:
        """See `Family`."""
        joint = self._joint(rows, precomputed, responsibilities.shape[1])
        joint -= joint.max(axis=1, keepdims=True)
        np.exp(joint, out=joint)
        joint *= (responsibilities / joint.sum(axis=1))[:, None]
        parts = joint.reshape(-1, responsibilities.shape[1])
        return MixtureStatistics(
            joint.sum(axis=2), self.family.sufficient_statistics(rows, parts, precomputed.parts)
        )

    def m_step(
        self, statistics: MixtureStatistics, params: MixtureParams, column_spec: Any
    ) -> MixtureParams:
        """See `Family`."""
        weight = statistics.weight + self.alpha
        total = weight.sum(axis=1, keepdims=True)
        known = total > 0.0
        weight = np.where(known, weight / np.where(known, total, 1.0), params.weight)
        return MixtureParams(
            weight, self.family.m_step(statistics.parts, params.parts, column_spec)
        )

    def recentered(
        self, statistics: MixtureStatistics, params: MixtureParams, moved: MixtureParams
    ) -> MixtureStatistics:
        """See `Family`."""
        parts = self.family.recentered(statistics.parts, params.parts, moved.parts)
        return statistics._replace(parts=parts)

    def widened(self, column_spec: Any, X: Any) -> Any:
        """See `Family`."""
        return self.family.widened(column_spec, X)

    def rearranged(
        self, statistics: MixtureStatistics, column_spec: Any, wider: Any
    ) -> MixtureStatistics:
        """See `Family`."""
        parts = self.family.rearranged(statistics.parts, column_spec, wider)
        return statistics._replace(parts=parts)

    def unsound(
        self, statistics: MixtureStatistics, params: MixtureParams, column_spec: Any
    ) -> dict[str, Array]:
        """See `Family`: components with such a part."""
        parts = self.family.unsound(statistics.parts, params.parts, column_spec)
        shape = params.weight.shape
        return {
            f"in one of the parts, {reason}": np.asarray(doubted.reshape(shape).any(axis=1))
            for reason, doubted in parts.items()
        }

    def log_prior(self, params: MixtureParams, column_spec: Any) -> float:
        """See `Family`."""
        own = self.alpha * float(log_of(params.weight).sum())
        return own + self.family.log_prior(params.parts, column_spec)

    def pseudo_rows(self, column_spec: Any) -> float:
        """See `Family`: those of all parts."""
        return self.n_parts * max(self.alpha, self.family.pseudo_rows(column_spec))

    def unpenalized(self, column_spec: Any) -> Any:
        """See `Family`."""
        return self.family.unpenalized(column_spec)

    def start(
        self, rows: Any, responsibilities: Array, column_spec: Any, rng: np.random.Generator
    ) -> MixtureParams:
        """Half of the weight of each part is at one row, drawn at random from its component."""
        seeded = np.repeat(responsibilities / self.n_parts, self.n_parts, axis=0)
        for own in seeded:
            total = own.sum()
            if total > 0.0:
                seed = rng.choice(len(own), p=own / total)
                own *= 0.5
                own[seed] += 0.5 * total
        parts = self.family.start(rows, seeded, column_spec, rng)
        weight = np.full((len(responsibilities), self.n_parts), 1.0 / self.n_parts)
        return MixtureParams(weight, parts)

    def n_parameters(self, params: MixtureParams, column_spec: Any) -> int:
        """See `Family`."""
        n_components, n_parts = params.weight.shape
        return n_components * (n_parts - 1) + self.family.n_parameters(params.parts, column_spec)

    def to_public(self, params: MixtureParams, column_spec: Any) -> dict[str, Array]:
        """See `Family`."""
        shape = params.weight.shape
        parts = self.family.to_public(params.parts, column_spec)
        named = {name: value.reshape(*shape, *value.shape[1:]) for name, value in parts.items()}
        return {"weight": params.weight, **named}

    def space(self, params: MixtureParams, column_spec: Any) -> dict[str, Part]:
        """See `Family`."""
        parts = self.family.space(params.parts, column_spec)
        each = {
            name: part if part.axes[:1] == ("component",) else Repeated(part)
            for name, part in parts.items()
        }
        shape = params.weight.shape
        return {
            "weight": Simplex(("component", "part")),
            **{name: InParts(part, shape) for name, part in each.items()},
        }

    def score(
        self, statistics: MixtureStatistics, params: MixtureParams, column_spec: Any
    ) -> dict[str, Array]:
        """See `Family`."""
        shape = params.weight.shape
        parts = self.family.score(statistics.parts, params.parts, column_spec)
        for name, part in self.family.space(params.parts, column_spec).items():
            if part.axes[:1] != ("component",):
                # The parts that share an array have equal shares of its gradient.
                each = np.repeat(parts[name][None], params.weight.size, axis=0)
                parts[name] = each / params.weight.size
        named = {name: value.reshape(*shape, *value.shape[1:]) for name, value in parts.items()}
        counts = statistics.weight + self.alpha
        return {"weight": per_probability(counts, params.weight), **named}

    def _fixed(
        self, fixed: Mapping[str, Array], params: MixtureParams, column_spec: Any
    ) -> dict[str, Array]:
        """The entries of the parts that are held, with all parts along one axis."""
        found = {}
        for name, part in self.family.space(params.parts, column_spec).items():
            if name in fixed:
                value = fixed[name].reshape(-1, *fixed[name].shape[2:])
                found[name] = value if part.axes[:1] == ("component",) else value[0]
        return found

    def constrained_m_step(
        self,
        statistics: MixtureStatistics,
        params: MixtureParams,
        fixed: Mapping[str, Array],
        column_spec: Any,
    ) -> MixtureParams:
        """See `Family`."""
        own = self._fixed(fixed, params, column_spec)
        free = self.m_step(statistics, params, column_spec)
        parts = self.family.constrained_m_step(statistics.parts, params.parts, own, column_spec)
        return MixtureParams(_held_weight(free.weight, fixed), parts)

    def impose(
        self, params: MixtureParams, fixed: Mapping[str, Array], column_spec: Any
    ) -> MixtureParams:
        """See `Family`."""
        own = self._fixed(fixed, params, column_spec)
        return MixtureParams(
            _held_weight(params.weight, fixed), self.family.impose(params.parts, own, column_spec)
        )

    def with_fixed(
        self, params: MixtureParams, fixed: Mapping[str, Array], column_spec: Any
    ) -> MixtureParams:
        """See `Family`: parts take the places whose entries are closest, in deviations."""
        public = self.parameters(params, column_spec)
        cost = np.zeros((*params.weight.shape, self.n_parts))  # component, place, part
        for name, held in fixed.items():
            value, each = public[name], tuple(range(2, public[name].ndim))
            scale = value.std(axis=(0, 1))
            scale = np.where(scale > 1e-9 * np.abs(value).max(initial=0.0), scale, 1.0)
            gap = np.square((held[:, :, None] - value[:, None]) / scale)
            cost += np.nansum(gap, axis=tuple(axis + 1 for axis in each))
        order = np.array([linear_sum_assignment(own)[1] for own in cost])
        if (order != np.arange(self.n_parts)).any():
            rows = np.arange(len(order))[:, None]
            moved = {name: value[rows, order] for name, value in public.items()}
            params = self.from_public(moved, column_spec)
        return self.impose(params, fixed, column_spec)

    @property
    def has_score(self) -> bool:
        """Whether the family of the parts has one."""
        return self.family.has_score

    @property
    def public_names(self) -> tuple[str, ...]:
        """See `Family`."""
        return ("weight", *self.family.public_names)

    def _read(self, public: Mapping[str, ArrayLike]) -> tuple[Array, dict[str, Array]]:
        """The weights, and the parameters of all parts along one axis."""
        weight = read_probabilities(public, "weight", ("n_components", self.n_parts))
        require_names(public, self.family.public_names)
        parts = {}
        for name in self.family.public_names:
            value = np.asarray(public[name])
            if value.shape[:2] != weight.shape:
                need = f"must have shape ({len(weight)}, {self.n_parts}, ...)"
                raise ParameterError(name, f"{need}, got {value.shape}")
            parts[name] = value.reshape(-1, *value.shape[2:])
        return weight, parts

    @contextmanager
    def _named_components(self) -> Iterator[None]:
        """Errors about a part name its component too."""
        try:
            yield
        except ParameterError as error:
            raise error.at(component=self._component_of) from None

    def _component_of(self, position: int) -> str:
        component, part = divmod(position, self.n_parts)
        return f"{component}, part {part}"

    def shape_of(self, public: Mapping[str, ArrayLike]) -> tuple[int, int]:
        """See `Family`."""
        weight, parts = self._read(public)
        with self._named_components():
            return len(weight), self.family.shape_of(parts)[1]

    def from_public(
        self, public: Mapping[str, ArrayLike], column_spec: Any, fitted: Any = None
    ) -> MixtureParams:
        """See `Family`."""
        weight, parts = self._read(public)
        with self._named_components():
            return MixtureParams(weight, self.family.from_public(parts, column_spec, fitted))

    def spec_of(self, public: Mapping[str, ArrayLike], fitted: Any = None) -> Any:
        """See `Family`."""
        _, parts = self._read(public)
        with self._named_components():
            return self.family.spec_of(parts, fitted)

    def levels(self, column_spec: Any) -> list[Array | None] | None:
        """See `Family`."""
        return self.family.levels(column_spec)

    def level_columns(self, n_features: int) -> dict[int, str]:
        """See `Family`."""
        return self.family.level_columns(n_features)

    def moments(self, params: MixtureParams, column_spec: Any) -> tuple[Array, Array] | None:
        """See `Family`."""
        found = self.family.moments(params.parts, column_spec)
        if found is None:
            return None
        means, variances = (own.reshape(*params.weight.shape, -1) for own in found)
        weight = params.weight[:, :, None]
        mean = (weight * means).sum(axis=1)
        variance = (weight * (variances + np.square(means - mean[:, None]))).sum(axis=1)
        return mean, variance

    def sample(
        self, params: MixtureParams, column_spec: Any, labels: Array, rng: np.random.Generator
    ) -> Array:
        """See `Family`."""
        below = params.weight.cumsum(axis=1)[labels, :-1]
        part = (rng.random((len(labels), 1)) >= below).sum(axis=1)
        return self.family.sample(params.parts, column_spec, labels * self.n_parts + part, rng)

    def to_vector(self, params: MixtureParams, column_spec: Any) -> Array:
        """Logarithms of the weights, and the vector of the family."""
        own = log_of(params.weight).ravel()
        return np.concatenate([own, self.family.to_vector(params.parts, column_spec)])

    def from_vector(self, vector: Array, like: MixtureParams, column_spec: Any) -> MixtureParams:
        """See `Family`."""
        own, parts = np.split(vector, [like.weight.size])
        logarithm = own.reshape(like.weight.shape)
        weight = np.exp(logarithm - logarithm.max(axis=1, keepdims=True))
        weight /= weight.sum(axis=1, keepdims=True)
        return MixtureParams(weight, self.family.from_vector(parts, like.parts, column_spec))


def _held_weight(weight: Array, fixed: Mapping[str, Array]) -> Array:
    return Simplex().impose(weight, fixed["weight"]) if "weight" in fixed else weight
