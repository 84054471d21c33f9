r"""The law of jumps of the HMM of word alignment.

A link to source position i follows one to position r with probability

.. math::

    q(i|r,l) = c(i - r) / \sum_{i'=1}^l c(i' - r), \quad i = 1, \dots, l,

where :math:`r = 0` before the first link. Widths beyond the largest, on each side, have the same
c. A target word has no link with probability :math:`p_0`, and r remains. The M-step for
:math:`p_0` divides expected numbers. With expected numbers of jumps :math:`N_d` and of
departures :math:`N_{rl}` it maximizes
:math:`\sum_d N_d \log c(d) - \sum_{rl} N_{rl} \log Z_{rl}(c)`. As
:math:`-\log Z \geq -\log Z' - Z / Z' + 1` for any :math:`Z'`, the iteration

.. math::

    c(d) \leftarrow N_d / \sum_{rl} n_{rl}(d) \, N_{rl} / Z_{rl},

where :math:`n_{rl}(d)` is the number of jumps of width d from r that end in the sentence, does
not lower it (Hunter and Lange 2004). A few of these follow each E-step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions._exponential import log_of
from emlearn.engine import DegenerateModelError

Array = NDArray[np.float64]
Index = NDArray[np.int64]

_NULL = 0.2
_ITERATIONS = 10
_LEAST = 1e-100


@dataclass(frozen=True, eq=False)
class JumpLaw:
    """Probabilities of jumps; the parameters are p0 and c from the widest jump back to that ahead.

    Parameters
    ----------
    lengths : tuple of int
        Numbers of source words that occur, without the null word, increasing.
    null : bool
        Whether there is the null word.
    max_jump : int
        Widths beyond it share a probability.
    null_probability : float or None, default=None
        p0; None estimates it. Without a null word it is 0.
    alpha : float, default=0.0
        Pseudo-count of each width.
    """

    lengths: tuple[int, ...]
    null: bool
    max_jump: int
    null_probability: float | None = None
    alpha: float = 0.0

    @property
    def n_widths(self) -> int:
        """Number of widths."""
        return 2 * self.max_jump + 1

    def place(self, length: int) -> int:
        """Place of a length among those that occur."""
        return int(np.searchsorted(self.lengths, length))

    def widths(self, length: int) -> Index:
        """Place among the widths of each jump, from 0 to `length` (rows) to 1 to `length`."""
        width = np.arange(1, length + 1) - np.arange(length + 1)[:, None]
        return np.clip(width, -self.max_jump, self.max_jump) + self.max_jump

    @cached_property
    def _jumps(self) -> tuple[Index, Index]:
        """Width and departure of each possible jump, over all lengths."""
        widths = [self.widths(length) for length in self.lengths]
        size = max(self.lengths, default=0) + 1
        departures = [
            np.repeat(k * size + np.arange(length + 1), length)
            for k, length in enumerate(self.lengths)
        ]
        empty = [np.zeros(0, np.int64)]
        return (
            np.concatenate([width.ravel() for width in widths] or empty),
            np.concatenate(departures or empty),
        )

    def start(self) -> Array:
        """Jumps that are less probable the wider they are."""
        null = _NULL if self.null_probability is None else self.null_probability
        width = np.abs(np.arange(self.n_widths) - self.max_jump - 1.0)
        jumps = 1.0 / (1.0 + width)
        return np.concatenate([[null if self.null else 0.0], jumps / jumps.sum()])

    def moves(self, params: Array) -> dict[int, Array]:
        """Probabilities of the jumps by number of source words; (length + 1, length) each."""
        found = {}
        for length in self.lengths:
            weight = params[1:][self.widths(length)]
            total = weight.sum(axis=1, keepdims=True)
            found[length] = np.divide(
                weight, total, out=np.full_like(weight, 1.0 / max(length, 1)), where=total > 0.0
            )
        return found

    def null_of(self, params: Array, length: int) -> float:
        """Probability of no link in a sentence of so many words."""
        return float(params[0]) if length else float(self.null)

    def m_step(self, jumps: Array, departures: Array, nulls: Array, params: Array) -> Array:
        """Parameters given expected numbers.

        Parameters
        ----------
        jumps : ndarray of shape (n_widths,)
            Of jumps by width.
        departures : ndarray of shape (n_lengths, max_length + 1)
            Of jumps by where they begin.
        nulls : ndarray of shape (2,)
            Of target words without a link, and of all, in pairs with source words.
        params : ndarray of shape (1 + n_widths,)
            The parameters before.
        """
        null = params[0]
        if self.null and self.null_probability is None and nulls[1] > 0.0:
            null = nulls[0] / nulls[1]
        counts, c = jumps + self.alpha, params[1:]
        if not counts.any():
            return np.concatenate([[null], c])
        width, departure = self._jumps
        left = departures.ravel()
        for _ in range(_ITERATIONS):
            total = np.bincount(departure, c[width], left.size)
            rate = np.divide(left, total, out=np.zeros_like(left), where=total > 0.0)
            weight = np.bincount(width, rate[departure], self.n_widths)
            weight += self.alpha * self.n_widths / c.sum()
            used = weight > 0.0
            new = np.where(used, counts / np.where(used, weight, 1.0), c)
            new /= new.sum()
            new[new < _LEAST] = 0.0
            change = float(np.abs(new - c).max())
            c = new
            if change < 1e-12:
                break
        return np.concatenate([[null], c])

    def log_prior(self, params: Array) -> float:
        """Log prior; 0 for equal jumps."""
        if not self.alpha:
            return 0.0
        return self.alpha * float(log_of(params[1:] * self.n_widths).sum())

    def n_parameters(self) -> int:
        """Number of free parameters."""
        return self.n_widths - 1 + int(self.null and self.null_probability is None)

    def to_vector(self, params: Array) -> Array:
        """Square roots, as EM drives probabilities to 0; of p0 and of the rest."""
        return np.sqrt(np.concatenate([params[:1], 1.0 - params[:1], params[1:]]))

    def from_vector(self, vector: Array) -> Array:
        """Inverse of `to_vector`; sums that are not 1 are made so."""
        if not (np.abs(vector) < 1e100).all():
            raise DegenerateModelError("probabilities of jumps are not finite")
        square = np.square(vector)
        both, total = square[0] + square[1], square[2:].sum()
        if not (both > 0.0 and total > 0.0):
            raise DegenerateModelError("probabilities of jumps are all 0")
        null = square[0] / both
        if self.null_probability is not None or not self.null:
            null = self.start()[0]
        return np.concatenate([[null], square[2:] / total])

    def public(self, params: Array) -> dict[str, Array]:
        """Parameters by name."""
        return {"null_probability": params[:1], "jumps": params[1:]}
