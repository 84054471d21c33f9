"""Noise of states that is singular at the maximum, for standard errors.

The covariance Q of the noise of states often ends at a boundary, at a singular matrix: n_states
can be more than the innovations of n_features columns can drive. Along its null space the
likelihood falls as soon as there is noise, so it has no second derivatives that could tell errors.
Errors are those among matrices of the same rank, ``Q = L L'`` with free entries of L. Where EM has
not ended, the likelihood can also rise with noise in the null space, and that slope would look
like a curvature; there, noise of the second order is left out.

A direction is in the null space if its noise is a negligible part of what is not known of the
states before their observation: relative to their steady covariance P of prediction, which does
not depend on the basis of the states or the units of the columns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from emlearn.engine.parameters import Curved, Part
from emlearn.statespace._covariances import CovarianceKind, FullCovariance
from emlearn.statespace._system import System, as_matrix

Array = NDArray[np.float64]

# Part of the covariance of prediction below which there is no noise. Fits end at about 1e-5 where
# it vanishes; where it does not, it is seldom below 1e-2.
_VANISHES = 1e-4
_STEPS, _STEADY = 2000, 1e-9


class SingularCovariance(FullCovariance):
    """Covariance matrices of about the rank and near a given one.

    Parameters
    ----------
    at : ndarray of shape (d, d)
        The given one.
    rank : int
        The rank.
    slope : ndarray of shape (d, d)
        Derivatives of the log-likelihood by its entries.
    """

    def __init__(self, at: Array, rank: int, slope: Array):
        values, vectors = np.linalg.eigh(at)
        none = len(at) - rank
        self.rank = rank
        # What is left in the null space stays as it is.
        self._rest = (vectors[:, :none] * values[:none]) @ vectors[:, :none].T
        self._unit = vectors * np.sqrt(np.maximum(values, values[none]))
        self._root = np.eye(len(at))[:, none:]
        null = vectors[:, :none]
        along, turn = np.linalg.eigh(null.T @ slope @ null)
        self._falls = turn * (along < 0.0) @ turn.T

    def part(self, axes: tuple[str, str], size: int) -> Part:
        """See `CovarianceKind`: coordinates are changes of the root."""
        n_free = size * self.rank - self.rank * (self.rank - 1) // 2
        return Curved(self._encode, self._decode, n_free, axes, symmetric=True)

    def _encode(self, matrix: Array) -> Array:
        return np.zeros(self._root.size)

    def _decode(self, coordinates: Array) -> Array:
        root = self._root + coordinates.reshape(self._root.shape)
        inner = root @ root.T
        none = len(self._falls)
        inner[:none, :none] = self._falls @ inner[:none, :none] @ self._falls
        found: Array = self._rest + self._unit @ inner @ self._unit.T
        return found


def kind_at(system: System, kind: CovarianceKind, slope: Array) -> CovarianceKind:
    """The kind whose matrices have the rank of the covariance of the noise of a system.

    Parameters
    ----------
    system : System
        The system.
    kind : CovarianceKind
        The kind of the fit; only full matrices have another.
    slope : ndarray of shape (n_states, n_states)
        Derivatives of the log-likelihood by the entries of the covariance.
    """
    if type(kind) is not FullCovariance:
        return kind
    Q = system.transition_covariance
    with np.errstate(over="ignore", invalid="ignore"):
        P = _prediction(system)
    if not np.isfinite(P).all():
        return kind
    try:
        values = eigh(Q, P, eigvals_only=True)
    except np.linalg.LinAlgError:
        return kind
    rank = int(np.count_nonzero(values > _VANISHES))
    return SingularCovariance(Q, rank, slope) if 0 < rank < len(Q) else kind


def _prediction(system: System) -> Array:
    """Covariance of states given all observations before, in the limit."""
    A, C, Q = system.transition, system.observation, system.transition_covariance
    R = as_matrix(system.observation_covariance)
    P = Q + float(np.trace(Q)) * np.eye(len(Q))
    for _ in range(_STEPS):
        seen = C @ P
        gain = np.linalg.solve(seen @ C.T + R, seen)
        moved = A @ (P - seen.T @ gain) @ A.T + Q
        moved = 0.5 * (moved + moved.T)
        change = float(np.abs(moved - P).max())
        P = moved
        if not change > _STEADY * float(np.trace(P)):
            break
    return P
