"""Items with any number of levels.

Neighboring columns are read in groups: the *joint level* of a group determines the level
of each of its columns. A row then takes one look-up for each group instead of one for each
column, and the sums over rows are kept by joint level; those of the levels follow from them.
A missing entry counts as one more level, which has density 1 and no statistics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emlearn.distributions._contract import Array, Family
from emlearn.distributions._domain import ColumnError, require, require_counts
from emlearn.distributions._exponential import log_of
from emlearn.distributions._levels import (
    MOST_LEVELS,
    CategoricalSpec,
    distinct,
    make_spec,
    positions_among,
    read_declaration,
    require_declared,
)
from emlearn.distributions._passes import RowPasses, Tally
from emlearn.distributions._published import read_probabilities, require_entries
from emlearn.engine.parameters import Part, Simplex, per_probability
from emlearn.kernels import compiled

# Probability of a level that is new to the parameters of another fit, relative to an even one.
_NEW_LEVEL = 1e-2
_WHAT = "codes, which are integers >= 0 (or NaN where missing)"


class CategoricalParams(NamedTuple):
    """Parameters.

    Attributes
    ----------
    probability : ndarray of shape (n_components, n_features, max_levels)
        Probability of each level; 0 beyond the last level of a column.
    """

    probability: Array


def _levels_seen(X: Array, weight: Array | None) -> tuple[Tally, ...]:
    require_counts(X, _WHAT)
    return tuple(Tally(own, np.ones(len(own))) for own in map(distinct, X.T))


@dataclass(frozen=True)
class Categorical(Family):
    """Independent items with any number of levels: latent class analysis.

    Entries are codes of the levels, integers >= 0, such as those that
    `sklearn.preprocessing.OrdinalEncoder` produces. The levels of a column are the codes
    that occur in the rows to fit, or those declared. Published: ``"probability"``, of shape
    (n_components, n_features, max_levels), 0 beyond the last level of a column. The attribute
    `levels_` of estimators has the code of each level.

    Parameters
    ----------
    alpha : float, default=0.01
        Pseudo-count of each level, as in `sklearn.naive_bayes.CategoricalNB`: the prior of
        the probabilities of a column is Dirichlet(1 + alpha, ..., 1 + alpha). The default
        is close to maximum likelihood, but keeps a component from ruling out levels that it
        has not seen. 0 is maximum likelihood.
    n_levels : int or sequence of length n_features, default=None
        Declares the levels, whether or not they occur in the rows to fit. A number n stands
        for the codes 0, 1, ..., n - 1 in all columns. A sequence has one entry for each
        column: such a number, or an array of the codes themselves. None means that the
        levels are the codes that occur; codes that do not occur are not counted.
    unseen : {"missing", "error"}, default="missing"
        How to treat a code in new rows that is not a level of its column: as a missing
        entry, which has no effect on the density of the row, or as an error.

    Raises
    ------
    ValueError
        If `n_levels` or `unseen` is invalid.

    References
    ----------
    P. F. Lazarsfeld and N. W. Henry (1968). "Latent Structure Analysis". Houghton Mifflin.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn import FiniteMixtureEM
    >>> from emlearn.distributions import Categorical
    >>> answers = np.array([[0, 0, 1]] * 20 + [[2, 1, 0]] * 10 + [[2, 1, np.nan]] * 10)
    >>> classes = FiniteMixtureEM(2, family=Categorical(alpha=0.1), random_state=0).fit(answers)
    >>> classes.component_params_["probability"].shape
    (2, 3, 2)
    >>> classes.predict(answers[[0, 25, 35]]) == classes.predict(answers[25:26])
    array([False,  True,  True])
    """

    alpha: float = 0.01
    n_levels: int | Sequence[int | ArrayLike] | None = None
    unseen: str = "missing"

    is_discrete: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.unseen not in ("missing", "error"):
            raise ValueError(f"unseen must be 'missing' or 'error', got {self.unseen!r}.")
        if self.n_levels is not None:
            object.__setattr__(self, "n_levels", read_declaration(self.n_levels))

    def _declared(self, n_features: int) -> list[Array] | None:
        """Levels declared for each column; None if none are declared."""
        if self.n_levels is None:
            return None
        each = self.n_levels if isinstance(self.n_levels, tuple) else (self.n_levels,) * n_features
        if len(each) != n_features:
            raise ValueError(
                f"n_levels has {len(each)} entries, but there are {n_features} columns. Give one "
                "entry for each column, or one number for all."
            )
        return [np.arange(float(own)) if isinstance(own, int) else np.array(own) for own in each]

    def spec_of_passes(self, passes: RowPasses) -> CategoricalSpec:
        """See `Family`: the levels are the codes that occur, or those declared."""
        declared = self._declared(passes.shape[1])
        seen = passes.total(_levels_seen)
        for j, own in enumerate(tally.values for tally in seen):
            if len(own) > MOST_LEVELS:
                raise ColumnError(
                    [j],
                    f"has {len(own)} different codes, which are too many for an item: at most "
                    f"{MOST_LEVELS} are possible. Leave it out, or bin it.",
                )
            if declared is not None:
                require_declared(own, declared[j], j)
        # A column without observed entries gets one level, which no row has.
        found = [own.values if len(own.values) else np.zeros(1) for own in seen]
        return make_spec(found if declared is None else declared)

    def levels(self, column_spec: CategoricalSpec) -> list[Array | None] | None:
        """See `Family`."""
        return [own.copy() for own in column_spec.levels]

    def level_columns(self, n_features: int) -> dict[int, str]:
        """See `Family`: all."""
        return dict.fromkeys(range(n_features), self.unseen)

    def declared(self, column_spec: CategoricalSpec) -> Categorical:
        """See `Family`."""
        return replace(self, n_levels=column_spec.levels)

    def encode(self, X: Array, column_spec: CategoricalSpec) -> Array:
        """Joint levels, (n_rows, n_groups), as positions among the joint levels of all groups."""
        require_counts(X, _WHAT)
        positions = X if column_spec.are_positions else positions_among(X, column_spec.levels)
        with np.errstate(invalid="ignore"):
            known = column_spec.n_levels > positions
        if self.unseen == "error":
            require(known, X, "one of the known levels of that column")
        codes = np.where(known, positions, column_spec.n_levels).astype(np.int32)
        codes *= column_spec.stride.astype(np.int32)
        joint = np.add.reduceat(
            codes, [start for start, _ in column_spec.groups], axis=1, dtype=np.int32
        )
        joint += column_spec.offset[:-1].astype(np.int32)
        return joint

    def take(self, rows: Array, index: slice | Array) -> Array:
        """See `Family`."""
        return np.ascontiguousarray(rows[index])

    def pooled(self, n_components: int, column_spec: CategoricalSpec) -> CategoricalParams:
        """Equal probabilities of all levels."""
        probability = _within(column_spec) / column_spec.n_levels[:, None]
        return CategoricalParams(np.repeat(probability[None], n_components, axis=0))

    def precompute(self, params: CategoricalParams, column_spec: CategoricalSpec) -> Array:
        """Log-probabilities of all joint levels, (n_components, n_joint_levels)."""
        logarithm = log_of(params.probability)
        table = np.empty((len(logarithm), int(column_spec.offset[-1])))
        for g, (start, stop) in enumerate(column_spec.groups):
            joint = np.zeros((len(logarithm), 1))
            for j in range(start, stop):
                level = np.append(
                    logarithm[:, j, : column_spec.n_levels[j]], np.zeros((len(joint), 1)), 1
                )
                joint = (level[:, :, None] + joint[:, None, :]).reshape(len(joint), -1)
            table[:, column_spec.offset[g] : column_spec.offset[g + 1]] = joint
        return table

    def log_density(self, rows: Array, precomputed: Array, out: Array) -> None:
        """See `Family`."""
        if compiled is not None and out.flags.c_contiguous:
            compiled.categorical_log_density(rows, precomputed, out)
            return
        for group in rows.T:
            out += precomputed.take(group, axis=1)

    def sufficient_statistics(
        self, rows: Array, responsibilities: Array, precomputed: Array
    ) -> Array:
        """Sums of the responsibilities by joint level, (n_components, n_joint_levels)."""
        sums = np.empty(precomputed.shape)
        if compiled is not None:
            compiled.categorical_counts(rows, sums, np.ascontiguousarray(responsibilities))
            return sums
        groups = rows.T.astype(np.intp).ravel()
        for k, own in enumerate(responsibilities):
            sums[k] = np.bincount(groups, np.tile(own, rows.shape[1]), len(sums[k]))
        return sums

    def m_step(
        self, statistics: Array, params: CategoricalParams, column_spec: CategoricalSpec
    ) -> CategoricalParams:
        """See `Family`."""
        counts = self._counts(statistics, params, column_spec)
        total = counts.sum(axis=2, keepdims=True)
        known = total > 0.0
        probability = np.where(known, counts / np.where(known, total, 1.0), params.probability)
        return CategoricalParams(probability)

    def _counts(
        self, statistics: Array, params: CategoricalParams, column_spec: CategoricalSpec
    ) -> Array:
        """Expected counts and pseudo-counts of the levels, in the shape of the probabilities."""
        counts = np.zeros(params.probability.shape)
        for g, (start, stop) in enumerate(column_spec.groups):
            shape = [column_spec.n_levels[j] + 1 for j in range(stop - 1, start - 1, -1)]
            joint = statistics[:, column_spec.offset[g] : column_spec.offset[g + 1]].reshape(
                -1, *shape
            )
            for j in range(start, stop):
                axis = stop - j
                others = tuple(a for a in range(1, joint.ndim) if a != axis)
                n_levels = column_spec.n_levels[j]
                counts[:, j, :n_levels] = joint.sum(axis=others)[:, :n_levels]
        counts += self.alpha * _within(column_spec)
        return counts

    def space(self, params: CategoricalParams, column_spec: CategoricalSpec) -> dict[str, Part]:
        """See `Family`: the probabilities of the levels of a column sum to one."""
        exists = np.broadcast_to(_within(column_spec), params.probability.shape)
        return {"probability": Simplex(("component", "feature", "level"), exists)}

    def score(
        self, statistics: Array, params: CategoricalParams, column_spec: CategoricalSpec
    ) -> dict[str, Array]:
        """See `Family`."""
        counts = self._counts(statistics, params, column_spec)
        return {"probability": per_probability(counts, params.probability)}

    def log_prior(self, params: CategoricalParams, column_spec: CategoricalSpec) -> float:
        """See `Family`."""
        return self.alpha * float((log_of(params.probability) * _within(column_spec)).sum())

    def pseudo_rows(self, column_spec: CategoricalSpec) -> float:
        """See `Family`: those of the column with the most levels."""
        return self.alpha * float(column_spec.n_levels.max())

    def n_parameters(self, params: CategoricalParams, column_spec: CategoricalSpec) -> int:
        """See `Family`."""
        return len(params.probability) * int((column_spec.n_levels - 1).sum())

    def to_public(
        self, params: CategoricalParams, column_spec: CategoricalSpec
    ) -> dict[str, Array]:
        """See `Family`."""
        return {"probability": params.probability}

    public_names: ClassVar[tuple[str, ...]] = ("probability",)

    def from_public(
        self,
        public: Mapping[str, ArrayLike],
        column_spec: CategoricalSpec,
        fitted: CategoricalSpec | None = None,
    ) -> CategoricalParams:
        """See `Family`. Probabilities are matched by the codes of the levels.

        A level that is new to the parameters gets a hundredth of an even probability, so that
        EM can learn it. A level that no longer exists is dropped. The probabilities are then
        normalized.
        """
        known = column_spec if fitted is None else fitted
        given = self._read(public, known)
        if known is column_spec:
            return CategoricalParams(given)
        within = _within(column_spec)
        probability = np.zeros((len(given), *within.shape))
        for j, (old, new) in enumerate(zip(known.levels, column_spec.levels, strict=True)):
            place = np.minimum(np.searchsorted(old, new), len(old) - 1)
            probability[:, j, : len(new)] = np.where(
                old[place] == new, given[:, j, place], _NEW_LEVEL / len(new)
            )
        # No level with a positive probability is left: nothing is known about the column.
        lost = probability.sum(axis=2) == 0.0
        probability[lost] = np.broadcast_to(within, probability.shape)[lost]
        return CategoricalParams(probability / probability.sum(axis=2, keepdims=True))

    def _read(self, public: Mapping[str, ArrayLike], column_spec: CategoricalSpec) -> Array:
        """Published probabilities of these levels, checked."""
        within = _within(column_spec)
        given = read_probabilities(public, "probability", ("n_components", *within.shape))
        possible = np.asarray(within | (given == 0.0))
        require_entries(possible, given, "probability", "but the column has no such level")
        return given

    def spec_of(
        self, public: Mapping[str, ArrayLike], fitted: CategoricalSpec | None = None
    ) -> CategoricalSpec:
        """See `Family`: without a fit, the levels are those declared, or else 0, 1, 2, ....

        In the latter case, the last levels of a column are dropped if their probability is 0
        in all components.
        """
        if fitted is not None:
            return fitted
        given = read_probabilities(
            public, "probability", ("n_components", "n_features", "max_levels")
        )
        declared = self._declared(given.shape[1])
        if declared is None:
            possible = np.asarray((given > 0.0).any(axis=0))
            highest = given.shape[2] - possible[:, ::-1].argmax(axis=1)
            declared = [np.arange(float(n)) for n in highest]
        return make_spec(declared)

    def sample(
        self,
        params: CategoricalParams,
        column_spec: CategoricalSpec,
        labels: Array,
        rng: np.random.Generator,
    ) -> Array:
        """See `Family`."""
        uniform = rng.random((len(labels), len(column_spec.n_levels)))
        below = np.cumsum(params.probability, axis=2)
        rows = np.zeros(uniform.shape)
        for level in range(below.shape[2] - 1):
            rows += uniform >= below[labels, :, level]
        positions = np.minimum(rows, column_spec.n_levels - 1.0).astype(np.intp)
        each = zip(column_spec.levels, positions.T, strict=True)
        return np.stack([own[position] for own, position in each], axis=1)

    def to_vector(self, params: CategoricalParams, column_spec: CategoricalSpec) -> Array:
        """Logarithms of the probabilities relative to that of the first level."""
        logarithm = log_of(params.probability)
        return (logarithm - logarithm[:, :, :1])[
            :, _within(column_spec) & _rest(column_spec)
        ].ravel()

    def from_vector(
        self, vector: Array, like: CategoricalParams, column_spec: CategoricalSpec
    ) -> CategoricalParams:
        """See `Family`."""
        logarithm = np.full(like.probability.shape, -np.inf)
        logarithm[:, :, 0] = 0.0
        rest = _within(column_spec) & _rest(column_spec)
        logarithm[:, rest] = vector.reshape(len(logarithm), -1)
        probability = np.exp(logarithm - logarithm.max(axis=2, keepdims=True))
        return CategoricalParams(probability / probability.sum(axis=2, keepdims=True))


def _within(column_spec: CategoricalSpec) -> NDArray[np.bool_]:
    """Which entries of an array (n_features, max_levels) are levels."""
    within: NDArray[np.bool_] = (
        np.arange(column_spec.n_levels.max()) < column_spec.n_levels[:, None]
    )
    return within


def _rest(column_spec: CategoricalSpec) -> NDArray[np.bool_]:
    rest: NDArray[np.bool_] = np.arange(column_spec.n_levels.max()) > 0
    return rest
