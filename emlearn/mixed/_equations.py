"""The mixed-model equations at given variances: estimates, likelihood and expectations.

In the units of `MixedData`, with u = T v and M = T' G T + P (see `_gram`), Henderson's equations
are, for the fixed effects b and the random effects v,

    [ X'WX     X'WZ T ] [b]   [ X'W y    ]
    [ T'Z'WX   M      ] [v] = [ T'Z'W y  ].

All of V = s (Z T inv(P) T' Z' + inv(W)), with s the residual variance, follows from them:

    log|V| = n log s + log|M| - log|P| - log|W|,
    s y' inv(V) y = y'W y - (T'Z'W y)' inv(M) T'Z'W y.

References
----------
C. R. Henderson (1975). "Best linear unbiased estimation and prediction under a selection model".
Biometrics 31(2), 423-447.

D. Bates, M. Maechler, B. Bolker and S. Walker (2015). "Fitting linear mixed-effects models using
lme4". Journal of Statistical Software 67(1).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate

import numpy as np
from scipy.linalg import lapack

from emlearn.engine.errors import DegenerateModelError
from emlearn.mixed._covariance import invertible
from emlearn.mixed._data import MixedData
from emlearn.mixed._gram import Array, scaled, scaled_back

# A factor of 0 in directions that are divided by, in units of the noise.
_SMALLEST = 1e-5
# Part of the information about a fixed effect that is left, below which digits are lost.
_CANCELED = 1e-3


class Equations:
    """The solution of the mixed-model equations at given factors.

    Parameters
    ----------
    data : MixedData
        The data.
    factors : sequence of ndarray of shape (q, q)
        Factors of the terms, in the order of the data.

    Attributes
    ----------
    coefficients : ndarray of shape (n_fixed,)
        Fixed effects, b: by generalized least squares.
    effects : ndarray of shape (m,)
        Random effects, v.
    sum_of_squares : float
        ``s (y - X b)' inv(V) (y - X b)``.
    """

    def __init__(self, data: MixedData, factors: Sequence[Array]):
        self.data, self.factors = data, list(factors)
        self.factorization = data.gram.factorize(self.factors)
        self.layouts = data.gram.layouts
        self.starts = [0, *accumulate(layout.size for layout in self.layouts)]
        self.right = scaled_back(data.cross, self.layouts, self.factors)
        solved = self.factorization.solve(self.right)
        p = data.n_fixed
        self.absorbed = solved[:, :p]
        normal = np.eye(p) - self.right[:, :p].T @ self.absorbed
        projected = -self.right[:, :p].T @ solved[:, p]
        if p and np.diagonal(normal).min() < _CANCELED:
            normal, projected = self._normal(solved)
        found = lapack.dpotrf(normal, lower=1, clean=1) if p else (normal, 0)
        self.cholesky: Array = found[0]
        if found[1]:
            raise DegenerateModelError(
                "no residual variance is left, since the effects can explain y exactly"
            )
        self.coefficients: Array = self.solve_fixed(projected)
        self.effects: Array = solved[:, p] - self.absorbed @ self.coefficients
        fitted = scaled(self.effects[:, None], self.layouts, self.factors)
        #: sqrt(W) (y - X b - Z u)
        self.residuals = data.response - data.columns @ self.coefficients
        self.residuals -= data.fitted(fitted)[:, 0]
        #: Of each term the sum over pairs of levels of ``P[k, l] v[k] v[l]'``, (q, q).
        self.squares = self.products(self.effects[:, None])
        penalty = sum(float(own.trace()) for own in self.squares)
        # As a minimum, it is exact to the second order in errors of the effects.
        self.sum_of_squares = float(self.residuals @ self.residuals) + penalty

    def _normal(self, solved: Array) -> tuple[Array, Array]:
        """``s X' inv(V) [X y]`` as a penalized sum of squares, in which nothing cancels.

        The difference from the orthonormal columns loses digits where levels differ much more
        than the rows of one level.
        """
        data, p = self.data, self.data.n_fixed
        rows = np.concatenate([data.columns, data.response[:, None]], axis=1)
        rows -= data.fitted(scaled(solved, self.layouts, self.factors))
        whole = rows[:, :p].T @ rows
        for part, design in zip(self.parts(solved), data.designs, strict=True):
            weighted = design.weighted(part.reshape(len(part), -1)).reshape(part.shape)
            whole += np.einsum("nap,naw->pw", part[:, :, :p], weighted)
        return whole[:, :p], whole[:, p]

    def solve_fixed(self, right: Array) -> Array:
        """``inv(X' inv(V) X) / s`` times the right sides."""
        if not len(right):
            return right
        found: Array = lapack.dpotrs(self.cholesky, right, lower=1)[0]
        return found

    @property
    def log_det_fixed(self) -> float:
        """``log|s X' inv(V) X|`` for the orthonormal basis."""
        return 2.0 * float(np.log(np.diagonal(self.cholesky).copy()).sum())

    @cached_property
    def fixed_root(self) -> Array:
        """A root of the part of the covariance of v that is due to b, (m, n_fixed)."""
        if not self.data.n_fixed:
            return self.absorbed
        found: Array = lapack.dtrtrs(self.cholesky, self.absorbed.T, lower=1)[0].T
        return found

    def parts(self, effects: Array) -> list[Array]:
        """Effects of each term, (n_levels, q, k) from (m, k)."""
        found, start, width = [], 0, effects.shape[1]
        for n, q in self.layouts:
            found.append(effects[start : start + n * q].reshape(n, q, width))
            start += n * q
        return found

    def products(self, effects: Array) -> list[Array]:
        """For each term the sum over pairs of levels of ``P[k, l] v[k] v[l]'``, (q, q)."""
        found = []
        for part, design in zip(self.parts(effects), self.data.designs, strict=True):
            weighted = design.weighted(part.reshape(len(part), -1)).reshape(part.shape)
            left, right = (
                own.transpose(1, 0, 2).reshape(part.shape[1], -1) for own in (part, weighted)
            )
            found.append(left @ right.T)
        return found

    def covariances(self, restricted: bool) -> list[Array]:
        """As `products`, expected for the errors of v, in units of s."""
        own = self.factorization.traces()
        if not restricted or not self.data.n_fixed:
            return own
        return [a + b for a, b in zip(own, self.products(self.fixed_root), strict=True)]

    def average_information(self, directions: Sequence[tuple[int, Array]]) -> Array:
        """Average of observed and expected information about factors and ``log s``, times s.

        Parameters
        ----------
        directions : sequence of tuple (int, ndarray of shape (n_directions, q, q))
            Number of a term, and symmetric directions D of its factor T, which change V along
            ``s Z (D T + T D) Z'``.

        Returns
        -------
        information : ndarray of shape (n_directions + 1, n_directions + 1)
            Of the directions in their order; the last row and column are those of ``log s``.

        References
        ----------
        A. R. Gilmour, R. Thompson and B. R. Cullis (1995). "Average information REML: an
        efficient algorithm for variance parameter estimation in linear mixed models".
        Biometrics 51(4), 1440-1450.
        """
        data, gram, k = self.data, self.data.gram, sum(len(own) for _, own in directions)
        information = np.zeros((k + 1, k + 1))
        information[k, k] = 0.5 * self.sum_of_squares
        if not k:
            return information
        working = np.zeros((gram.size, k))
        column = 0
        for j, own in directions:
            n, q = self.layouts[j]
            rows = slice(self.starts[j], self.starts[j + 1])
            root = invertible(self.factors[j], _SMALLEST)
            change = own @ root
            relative = np.linalg.solve(root, change + change.transpose(0, 2, 1))
            levels = self.effects[rows].reshape(n, q) @ relative
            working[rows, column : column + len(own)] = levels.reshape(len(own), -1).T
            column += len(own)
        p = data.n_fixed
        images = gram.multiply(working)
        right = scaled_back(images, self.layouts, self.factors)
        quadratic = working.T @ images - right.T @ self.factorization.solve(right)
        fixed = data.cross[:, :p].T @ working - self.absorbed.T @ right
        quadratic -= fixed.T @ self.solve_fixed(fixed)
        # Z' inv(V) (y - X b), in units of 1 / s.
        residual = data.gathered(self.residuals[:, None])[:, 0]
        information[:k, :k] = 0.5 * quadratic
        information[:k, k] = information[k, :k] = 0.5 * (working.T @ residual)
        return information
