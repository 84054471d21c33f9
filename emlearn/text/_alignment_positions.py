r"""Which position of the source sentence a target word is linked to, given its own position.

Target word j = 1, ..., m is linked to source word i = 1, ..., l or to the null word, i = 0, each
independently of the others. The probabilities are cells of a table. Sentences of the same
lengths share cells.

Model 1 has equal probabilities. Model 2 has a probability :math:`a(i|j,l,m)` for each position and
both lengths. The diagonal form of it is that of Dyer, Chahuneau and Smith (2013),

.. math::

    a(0|j,l,m) = p_0, \quad
    a(i|j,l,m) = (1 - p_0) \, \exp(-\lambda h_{ij}) / Z_{jlm}, \quad h_{ij} = |i/l - j/m|

with the tension :math:`\lambda \geq 0`. Given expected numbers of links :math:`c`, the M-step
maximizes :math:`-\lambda \sum c h - \sum_{jlm} c_{jlm} \log Z_{jlm}(\lambda)`, which is concave
in :math:`\lambda`, by Newton steps that are halved until they do not lower it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions._exponential import log_of
from emlearn.engine import DegenerateModelError
from emlearn.text._alignment_reading import Bitext

Array = NDArray[np.float64]
Index = NDArray[np.int64]

# Tension to start from, that of fast_align, and a tension at which there is no way off the
# diagonal.
_TENSION, _MOST_TENSION = 4.0, 1000.0
# Probability of the null word to start from.
_NULL = 0.08
_NEWTON_STEPS, _HALVINGS = 3, 30


@dataclass(frozen=True, eq=False)
class Shapes:
    """The lengths of sentences that occur together, and the cells of each.

    The cells of a shape are those of its first source word with all target words, then those of
    the second, and so on. A row is a target position of a shape.

    Parameters
    ----------
    n_source : ndarray of shape (n_shapes,) of int64
        Numbers of source words, with the null word.
    n_target : ndarray of shape (n_shapes,) of int64
        Numbers of target words.
    null : bool
        Whether there is the null word.
    shared : bool, default=False
        Whether all source words, and all sentences of so many source words, share cells;
        `n_target` is then the largest that occurs.
    """

    n_source: Index
    n_target: Index
    null: bool
    shared: bool = False

    @classmethod
    def of(cls, bitext: Bitext, shared: bool) -> Shapes:
        """The shapes that occur."""
        n, m = bitext.source_lengths, bitext.target_lengths
        if not shared:
            keys = np.unique(_key(n, m))
            return cls(keys >> 32, keys & 0xFFFFFFFF, bitext.null)
        order = np.lexsort((m, n))
        last = np.append(np.diff(n[order]) != 0, True) if len(order) else np.zeros(0, bool)
        return cls(n[order][last], m[order][last], bitext.null, True)

    @cached_property
    def sizes(self) -> Index:
        """Number of cells of each shape."""
        return self.n_target if self.shared else self.n_source * self.n_target

    @cached_property
    def starts(self) -> Index:
        """Where the cells of each shape start, and the end."""
        return np.concatenate([[0], np.cumsum(self.sizes)]).astype(np.int64)

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return int(self.starts[-1])

    def cell_starts(self, bitext: Bitext) -> Index:
        """Where the cells of each source position start."""
        n, m = bitext.source_lengths, bitext.target_lengths
        if self.shared:
            return np.repeat(self.starts[np.searchsorted(self.n_source, n)], n)
        shape = np.searchsorted(_key(self.n_source, self.n_target), _key(n, m))
        position = np.arange(len(bitext.source)) - np.repeat(bitext.source_starts[:-1], n)
        return np.repeat(self.starts[shape], n) + position * np.repeat(m, n)

    # ---- of each row or cell, if not shared ------------------------------------------------

    @cached_property
    def row_starts(self) -> Index:
        """First row of each shape."""
        return np.cumsum(self.n_target) - self.n_target

    @cached_property
    def row_sizes(self) -> Index:
        """Number of cells of each row."""
        return np.repeat(self.n_source, self.n_target)

    @cached_property
    def along(self) -> Array:
        """Place of the target word of each row in its sentence."""
        j = np.arange(len(self.row_sizes)) - np.repeat(self.row_starts, self.n_target)
        found: Array = (j + 1.0) / np.repeat(self.n_target, self.n_target)
        return found

    @cached_property
    def lengths(self) -> Index:
        """Number of source words of each row, without the null word; at least 1."""
        return np.maximum(self.row_sizes - self.null, 1)

    @cached_property
    def _places(self) -> tuple[Index, Index]:
        """Source position, from 0, and row of each cell."""
        within = np.arange(self.n_cells) - np.repeat(self.starts[:-1], self.sizes)
        m = np.repeat(self.n_target, self.sizes)
        return within // m, np.repeat(self.row_starts, self.sizes) + within % m

    @property
    def rows(self) -> Index:
        """Row of each cell."""
        return self._places[1]

    @cached_property
    def is_null(self) -> NDArray[np.bool_]:
        """Whether a cell is that of the null word."""
        return (self._places[0] == 0) & self.null

    @cached_property
    def excess(self) -> Array:
        """How much farther from the diagonal each cell is than the nearest of its row.

        0 for the null word.
        """
        position, row = self._places
        place = position + (0 if self.null else 1)
        distance = np.abs(place / self.lengths[row] - self.along[row])
        return np.where(self.is_null, 0.0, distance - self._nearest[row])

    @cached_property
    def _nearest(self) -> Array:
        """Smallest distance of each row from the diagonal."""
        on = self.along * self.lengths
        ends = [np.clip(place, 1, self.lengths) for place in (np.floor(on), np.ceil(on))]
        low, high = (np.abs(end / self.lengths - self.along) for end in ends)
        return np.minimum(low, high)

    def row_sums(self, cells: Array) -> Array:
        """Sums over each row."""
        return np.bincount(self.rows, cells, len(self.row_sizes)).astype(np.float64)


def _key(n_source: Index, n_target: Index) -> Index:
    return (n_source << 32) + n_target


class PositionLaw(ABC):
    """Probabilities of the positions, as a vector of parameters."""

    # Whether all source words share cells, so that nothing is learned of them.
    shared: ClassVar[bool] = False

    @abstractmethod
    def start(self, shapes: Shapes) -> Array:
        """Parameters to start from."""

    @abstractmethod
    def cells(self, params: Array, shapes: Shapes) -> Array:
        """Probabilities of all cells."""

    def m_step(self, counts: Array, params: Array, shapes: Shapes) -> Array:
        """Parameters given expected numbers of links in the cells."""
        return params

    def carried(self, params: Array, shapes: Shapes, new: Shapes) -> Array:
        """The parameters for other shapes."""
        return params

    def log_prior(self, params: Array, shapes: Shapes) -> float:
        """Log prior of the parameters."""
        return 0.0

    def n_parameters(self, shapes: Shapes) -> int:
        """Number of free parameters."""
        return 0

    def to_vector(self, params: Array) -> Array:
        """Coordinates for accelerators."""
        return params

    def from_vector(self, vector: Array, shapes: Shapes) -> Array:
        """Inverse of `to_vector`."""
        return vector

    @abstractmethod
    def public(self, params: Array) -> dict[str, Array]:
        """Parameters by name."""


@dataclass(frozen=True)
class EqualPositions(PositionLaw):
    """Equal probabilities: IBM model 1."""

    shared: ClassVar[bool] = True

    def start(self, shapes: Shapes) -> Array:
        """See `PositionLaw`."""
        return np.zeros(0)

    def cells(self, params: Array, shapes: Shapes) -> Array:
        """See `PositionLaw`."""
        return np.repeat(1.0 / np.maximum(shapes.n_source, 1), shapes.n_target)

    def public(self, params: Array) -> dict[str, Array]:
        """See `PositionLaw`."""
        return {}


@dataclass(frozen=True)
class FreePositions(PositionLaw):
    """A probability of each position: IBM model 2.

    Parameters
    ----------
    alpha : float, default=0.0
        Pseudo-count of each position.
    """

    alpha: float = 0.0

    def start(self, shapes: Shapes) -> Array:
        """See `PositionLaw`: equal probabilities."""
        return 1.0 / shapes.row_sizes[shapes.rows]

    def cells(self, params: Array, shapes: Shapes) -> Array:
        """See `PositionLaw`."""
        return params

    def m_step(self, counts: Array, params: Array, shapes: Shapes) -> Array:
        """See `PositionLaw`; rows without links stay as they are."""
        counts = counts + self.alpha
        total = shapes.row_sums(counts)[shapes.rows]
        return np.divide(counts, total, out=params.copy(), where=total > 0.0)

    def carried(self, params: Array, shapes: Shapes, new: Shapes) -> Array:
        """See `PositionLaw`: equal probabilities for lengths that were not together before."""
        found = self.start(new)
        before = {
            (n, m): start
            for n, m, start in zip(
                shapes.n_source.tolist(),
                shapes.n_target.tolist(),
                shapes.starts[:-1].tolist(),
                strict=True,
            )
        }
        for n, m, start in zip(
            new.n_source.tolist(), new.n_target.tolist(), new.starts[:-1].tolist(), strict=True
        ):
            old = before.get((n, m))
            if old is not None:
                found[start : start + n * m] = params[old : old + n * m]
        return found

    def log_prior(self, params: Array, shapes: Shapes) -> float:
        """See `PositionLaw`: 0 for equal probabilities."""
        if not self.alpha:
            return 0.0
        return self.alpha * float(log_of(params * shapes.row_sizes[shapes.rows]).sum())

    def n_parameters(self, shapes: Shapes) -> int:
        """See `PositionLaw`."""
        return shapes.n_cells - len(shapes.row_sizes)

    def to_vector(self, params: Array) -> Array:
        """See `PositionLaw`: square roots, as EM drives probabilities to 0."""
        return np.sqrt(params)

    def from_vector(self, vector: Array, shapes: Shapes) -> Array:
        """See `PositionLaw`; sums that are not 1 are made so."""
        if not (np.abs(vector) < 1e100).all():
            raise DegenerateModelError("probabilities of positions are not finite")
        square = np.square(vector)
        total = shapes.row_sums(square)
        if not (total > 0.0).all():
            raise DegenerateModelError("probabilities of positions are all 0")
        found: Array = square / total[shapes.rows]
        return found

    def public(self, params: Array) -> dict[str, Array]:
        """See `PositionLaw`."""
        return {"positions": params}


@dataclass(frozen=True)
class DiagonalPositions(PositionLaw):
    """Probabilities that fall with the distance from the diagonal.

    The parameters are the tension and the probability of the null word.

    Parameters
    ----------
    tension : float or None, default=None
        The tension; None estimates it.
    null_probability : float or None, default=None
        Probability of the null word; None estimates it. Without a null word it is 0.
    """

    tension: float | None = None
    null_probability: float | None = None

    def start(self, shapes: Shapes) -> Array:
        """See `PositionLaw`."""
        tension = _TENSION if self.tension is None else self.tension
        null = _NULL if self.null_probability is None else self.null_probability
        return np.array([tension, null if shapes.null else 0.0])

    def cells(self, params: Array, shapes: Shapes) -> Array:
        """See `PositionLaw`; without source words the null word has all."""
        tension, null = params
        weight, total = _weights(tension, shapes)
        share = (1.0 - null) / np.where(total > 0.0, total, 1.0)
        of_null = np.where(total > 0.0, null, 1.0)
        return np.where(shapes.is_null, of_null[shapes.rows], weight * share[shapes.rows])

    def m_step(self, counts: Array, params: Array, shapes: Shapes) -> Array:
        """See `PositionLaw`."""
        tension, null = (float(value) for value in params)
        linked = np.where(shapes.is_null, 0.0, counts)
        of_row = shapes.row_sums(linked)
        if self.null_probability is None and shapes.null:
            has_words = shapes.row_sizes > 1
            of_null = float(shapes.row_sums(np.where(shapes.is_null, counts, 0.0)) @ has_words)
            total = of_null + float(of_row.sum())
            null = of_null / total if total > 0.0 else null
        if self.tension is None:
            tension = _maximal_tension(tension, linked, of_row, shapes)
        return np.array([tension, null])

    def n_parameters(self, shapes: Shapes) -> int:
        """See `PositionLaw`."""
        return int(self.tension is None) + int(self.null_probability is None and shapes.null)

    def to_vector(self, params: Array) -> Array:
        """See `PositionLaw`: a root, as the tension may be 0, and both parts of a word."""
        tension, null = params
        return np.sqrt([tension, null, 1.0 - null])

    def from_vector(self, vector: Array, shapes: Shapes) -> Array:
        """See `PositionLaw`; what is given stays."""
        if not (np.abs(vector) < 1e100).all():
            raise DegenerateModelError("the tension is not finite")
        tension, null, linked = np.square(vector)
        if not null + linked > 0.0:
            raise DegenerateModelError("no word has a link or none")
        found = np.array([min(tension, _MOST_TENSION), null / (null + linked)])
        given = self.start(shapes)
        if self.tension is not None:
            found[0] = given[0]
        if self.null_probability is not None or not shapes.null:
            found[1] = given[1]
        return found

    def public(self, params: Array) -> dict[str, Array]:
        """See `PositionLaw`."""
        return {"tension": params[:1], "null_probability": params[1:]}


def _weights(tension: float, shapes: Shapes) -> tuple[Array, Array]:
    """Weights of all cells, 0 for the null word, relative to the largest of a row; their sums."""
    weight = np.exp(-tension * shapes.excess)
    weight[shapes.is_null] = 0.0
    return weight, shapes.row_sums(weight)


def _maximal_tension(tension: float, linked: Array, of_row: Array, shapes: Shapes) -> float:
    """A tension at which the expected objective is not lower than at the given one."""
    excess = shapes.excess
    observed = float(linked @ excess)

    def value(at: float) -> tuple[float, float, float]:
        weight, total = _weights(at, shapes)
        divisor = np.where(total > 0.0, total, 1.0)
        mean = shapes.row_sums(weight * excess) / divisor
        square = shapes.row_sums(weight * excess * excess) / divisor
        slope = float(of_row @ mean) - observed
        objective = -at * observed - float(of_row @ np.log(divisor))
        return objective, slope, float(of_row @ (square - mean * mean))

    now, slope, curvature = value(tension)
    for _ in range(_NEWTON_STEPS):
        if not curvature > 0.0:
            break
        step = slope / curvature
        for _ in range(_HALVINGS):
            proposal = min(max(tension + step, 0.0), _MOST_TENSION)
            found = value(proposal)
            if found[0] >= now:
                break
            step /= 2.0
        else:
            break
        moved = abs(proposal - tension)
        tension, (now, slope, curvature) = proposal, found
        if moved <= 1e-9 * (1.0 + tension):
            break
    return tension
