r"""Logarithms of rising factorials, :math:`\log (a)_c = \log \Gamma(a + c) - \log \Gamma(a)`.

They are needed at a few counts c of each of many numbers a. Small counts are sums of
:math:`\log(a + j)`, which are exact and fast, and are shared by all counts of the same a.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import betaln, digamma, gammaln, polygamma

Array = NDArray[np.float64]

# Counts up to this are sums of logarithms.
_SMALL = 8.0

_TINY = float(np.finfo(np.float64).tiny)


def log_rising(a: Array, count: Array) -> Array:
    """Logarithms of rising factorials; 0 for a count of 0."""
    a, count = np.broadcast_arrays(np.maximum(a, _TINY), count)
    some = np.maximum(count, 1.0)
    # log Gamma(c) - log B(a, c), which does not cancel where a is large.
    large: Array = gammaln(some) - betaln(a, some)
    return np.where(count > 1.0, large, count * np.log(a))


class Steps(NamedTuple):
    """Terms of the rising factorials of one table: of one number a and one step or count each.

    Attributes
    ----------
    number : ndarray of shape (n_terms,) of int
        Which of the numbers.
    low : ndarray of shape (n_terms, 1)
        The term is log(a + low), or, for the last `n_large` terms, log (a)_low.
    n_large : int
        Number of terms of large counts.
    of_numbers : csr_array of shape (n_numbers, n_terms)
        Adds the terms of each number.
    of_counts : csr_array of shape (n_counts, n_terms)
        Adds the terms of each count.
    """

    number: NDArray[np.intp]
    low: Array
    n_large: int
    of_numbers: Any
    of_counts: Any

    @classmethod
    def of(cls, number: NDArray[np.intp], count: Array, n_numbers: int) -> Steps:
        """The terms of counts (n_counts,) of numbers (n_counts,), sorted by both."""
        small = count <= _SMALL
        n_counts = len(count)
        # All steps up to the largest small count of each number.
        largest = np.zeros(n_numbers, np.intp)
        np.maximum.at(largest, number[small], count[small].astype(np.intp))
        first = np.concatenate([[0], np.cumsum(largest)])
        n_steps, n_large = int(first[-1]), int((~small).sum())
        owner = np.repeat(np.arange(n_numbers), largest)
        low = np.concatenate([np.arange(n_steps) - first[owner], count[~small]])
        owner = np.concatenate([owner, number[~small]])
        n_terms = n_steps + n_large
        lengths = np.where(small, count, 1.0).astype(np.intp)
        start = np.where(small, first[number], n_steps + np.cumsum(~small) - 1)
        pointers = np.concatenate([[0], np.cumsum(lengths)])
        terms = np.arange(pointers[-1]) + np.repeat(start - pointers[:-1], lengths)
        of_counts = csr_array((np.ones(len(terms)), terms, pointers), shape=(n_counts, n_terms))
        order = np.argsort(owner, kind="stable")
        ends = np.searchsorted(owner[order], np.arange(n_numbers + 1))
        of_numbers = csr_array((np.ones(n_terms), order, ends), shape=(n_numbers, n_terms))
        return cls(owner, low[:, None], n_large, of_numbers, of_counts)

    def logarithms(self, a: Array) -> Array:
        """Terms at numbers (n_numbers, K): (n_terms, K)."""
        of_terms, n = np.maximum(a[self.number], _TINY), self._n_steps()
        found = np.empty_like(of_terms)
        np.log(of_terms[:n] + self.low[:n], out=found[:n])
        found[n:] = log_rising(of_terms[n:], self.low[n:])
        return found

    def derivatives(self, a: Array, counted: Array) -> tuple[Array, Array]:
        """First and second derivatives of the sum of `counted` times terms, (n_numbers, K)."""
        of_terms, n = np.maximum(a[self.number], _TINY), self._n_steps()
        first, second = np.empty_like(of_terms), np.empty_like(of_terms)
        np.divide(1.0, of_terms[:n] + self.low[:n], out=first[:n])
        np.negative(np.square(first[:n]), out=second[:n])
        end = of_terms[n:] + self.low[n:]
        first[n:] = digamma(end) - digamma(of_terms[n:])
        second[n:] = polygamma(1, end) - polygamma(1, of_terms[n:])
        with np.errstate(over="ignore"):
            parts = self.of_numbers @ (counted * first), self.of_numbers @ (counted * second)
        return np.asarray(parts[0]), np.asarray(parts[1])

    def _n_steps(self) -> int:
        return len(self.number) - self.n_large
