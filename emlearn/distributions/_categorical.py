"""Items with any number of levels.

Neighbouring columns are read as one: the *joint level* of a group of columns tells the
level of each. Rows then need one look-up for a group instead of one for each column, and
the sums over rows are sums over joint levels, from which those of the levels follow. A
missing entry is a level of its own, of density 1, that no statistics are kept of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emlearn.distributions._contract import Array, Family
from emlearn.distributions._domain import DomainError, require_counts
from emlearn.distributions._exponential import log_of
from emlearn.kernels import compiled

# Joint levels of a group: the tables of some groups have to stay in the fastest cache.
_JOINT_LEVELS = 128
# Tables have an entry for each code up to the largest.
_MOST_LEVELS = 2**16
_WHAT = "codes, which are integers from 0 (or NaN where missing)"


class CategoricalSpec(NamedTuple):
    """Levels of the columns, and how these are grouped.

    Attributes
    ----------
    n_levels : ndarray of shape (n_features,)
        Number of levels of each column.
    groups : tuple of (int, int)
        First and last column (exclusive) of each group.
    stride : ndarray of shape (n_features,)
        By how much the joint level of its group grows with the level of a column.
    offset : ndarray of shape (n_groups + 1,)
        Position of the first joint level of each group among those of all.
    """

    n_levels: NDArray[np.intp]
    groups: tuple[tuple[int, int], ...]
    stride: NDArray[np.intp]
    offset: NDArray[np.intp]


class CategoricalParams(NamedTuple):
    """Parameters.

    Attributes
    ----------
    probability : ndarray of shape (n_components, n_features, max_levels)
        Probability of each level; 0 beyond the last level of a column.
    """

    probability: Array


def make_spec(n_levels: NDArray[np.intp]) -> CategoricalSpec:
    """Group neighbouring columns as long as they have few joint levels."""
    sizes = n_levels + 1
    groups, stride, offset = [], np.empty(len(sizes), np.intp), [0]
    start, product = 0, 1
    for column, size in enumerate(sizes):
        if column > start and product * size > _JOINT_LEVELS:
            groups.append((start, column))
            offset.append(offset[-1] + product)
            start, product = column, 1
        stride[column] = product
        product *= int(size)
    groups.append((start, len(sizes)))
    offset.append(offset[-1] + product)
    return CategoricalSpec(n_levels, tuple(groups), stride, np.array(offset, np.intp))


@dataclass(frozen=True)
class Categorical(Family):
    """Independent items, each with probabilities of its own: latent class analysis.

    Entries are codes 0, 1, 2, ... of the levels, as `sklearn.preprocessing.OrdinalEncoder`
    makes them. Published as ``"probability"``, of shape (n_components, n_features,
    max_levels), 0 beyond the last level of a column.

    Parameters
    ----------
    alpha : float, default=0.01
        Pseudo-count of each level, as in `sklearn.naive_bayes.CategoricalNB`: the prior of
        the probabilities of a column is Dirichlet(1 + alpha, ..., 1 + alpha). The default
        is next to maximum likelihood, and keeps a component from excluding what it has
        not seen; 0 is maximum likelihood.
    n_levels : int or array-like of shape (n_features,), default=None
        Number of levels of each column, if more than the rows to fit show.
    unseen : {"missing", "error"}, default="missing"
        What a code beyond the levels known is taken for in new rows. A missing entry says
        nothing about the component; the log-density of the row is that of its others.

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
    (2, 3, 3)
    >>> classes.predict(answers[[0, 25, 35]]) == classes.predict(answers[25:26])
    array([False,  True,  True])
    """

    alpha: float = 0.01
    n_levels: ArrayLike | None = None
    unseen: str = "missing"

    is_discrete: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.unseen not in ("missing", "error"):
            raise ValueError(f"unseen must be 'missing' or 'error', got {self.unseen!r}.")

    def column_spec(self, X: Array, weight: Array | None = None) -> CategoricalSpec:
        """See `Family`."""
        require_counts(X, _WHAT)
        highest = np.fmax.reduce(X, axis=0, initial=0.0)
        if highest.max() >= _MOST_LEVELS:
            j = int(highest.argmax())
            raise ValueError(
                f"Column {j} of X has codes up to {highest[j]:.0f}, which are not codes 0, 1, 2, "
                "... of levels. Make them with sklearn.preprocessing.OrdinalEncoder."
            )
        seen = highest.astype(np.intp) + 1
        if self.n_levels is None:
            return make_spec(seen)
        given = np.broadcast_to(np.asarray(self.n_levels, np.intp), seen.shape)
        beyond = np.flatnonzero(seen > given)
        if beyond.size:
            j = int(beyond[0])
            raise ValueError(
                f"Column {j} of X has codes up to {seen[j] - 1}, which are more than "
                f"n_levels={given[j]} levels."
            )
        return make_spec(given)

    def encode(self, X: Array, column_spec: CategoricalSpec) -> Array:
        """Joint levels (n_rows, n_groups), as positions among those of all groups."""
        require_counts(X, _WHAT)
        with np.errstate(invalid="ignore"):
            known = column_spec.n_levels > X
        if self.unseen == "error" and not known.all():
            unseen = np.argwhere(~known & ~np.isnan(X))
            if len(unseen):
                row, column = unseen[0]
                raise DomainError(
                    float(X[row, column]), int(row), int(column), "one of the codes seen in fit"
                )
        codes = np.where(known, X, column_spec.n_levels).astype(np.int32)
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
        """Log-probabilities (n_components, n_joint_levels) of all joint levels."""
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
        for k, share in enumerate(responsibilities):
            sums[k] = np.bincount(groups, np.tile(share, rows.shape[1]), len(sums[k]))
        return sums

    def m_step(
        self, statistics: Array, params: CategoricalParams, column_spec: CategoricalSpec
    ) -> CategoricalParams:
        """See `Family`."""
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
        total = counts.sum(axis=2, keepdims=True)
        known = total > 0.0
        probability = np.where(known, counts / np.where(known, total, 1.0), params.probability)
        return CategoricalParams(probability)

    def log_prior(self, params: CategoricalParams, column_spec: CategoricalSpec) -> float:
        """See `Family`."""
        return self.alpha * float((log_of(params.probability) * _within(column_spec)).sum())

    def n_parameters(self, params: CategoricalParams, column_spec: CategoricalSpec) -> int:
        """See `Family`."""
        return len(params.probability) * int((column_spec.n_levels - 1).sum())

    def to_public(
        self, params: CategoricalParams, column_spec: CategoricalSpec
    ) -> dict[str, Array]:
        """See `Family`."""
        return {"probability": params.probability}

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
        return np.minimum(rows, column_spec.n_levels - 1.0)

    def to_vector(self, params: CategoricalParams, column_spec: CategoricalSpec) -> Array:
        """Log-ratios of the probabilities to that of the first level."""
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
    """Which of (n_features, max_levels) are levels."""
    within: NDArray[np.bool_] = (
        np.arange(column_spec.n_levels.max()) < column_spec.n_levels[:, None]
    )
    return within


def _rest(column_spec: CategoricalSpec) -> NDArray[np.bool_]:
    rest: NDArray[np.bool_] = np.arange(column_spec.n_levels.max()) > 0
    return rest
