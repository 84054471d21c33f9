"""What is known of the first states.

Some first states may have no prior: their coordinates d on `columns` are unknown. The smoother
then runs for the observations, and for a sequence of zeros from each column. The innovations are
linear in d, so with those of the columns as a matrix E and those of the observations as a vector
e, d is a regression: its precision is ``S = E E'`` and its estimate ``-inv(S) E e``. That is the
augmented Kalman filter of de Jong (1991), exact also at the first steps.

With a flat prior (`flat`), d is integrated out, which gives the diffuse likelihood. Otherwise d
is a parameter at its maximum, which gives the profile likelihood.

References
----------
P. de Jong (1991). "The diffuse Kalman filter". Annals of Statistics 19(2), 1073-1083.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.engine.errors import DegenerateModelError

Array = NDArray[np.float64]

# Part of the largest precision below which a first state is not determined.
_UNDETERMINED = 1e-12


@dataclass(frozen=True)
class UnknownStart:
    """First states without a prior.

    Parameters
    ----------
    columns : tuple of int
        States whose first value is unknown. Its mean in a system is where it is counted from,
        and its covariance there has no effect.
    flat : bool
        Whether they have a flat prior; otherwise they are at their maximum.
    """

    columns: tuple[int, ...] = ()
    flat: bool = True

    @property
    def profiled(self) -> bool:
        """Whether first states are parameters that each E-step finds."""
        return bool(self.columns) and not self.flat

    def directions(self, n_states: int) -> Array:
        """Unknown directions, (n_columns, n_states)."""
        return np.eye(n_states)[list(self.columns)]

    def known(self, covariance: Array) -> Array:
        """Covariance of the first state without what is unknown."""
        covariance, own = covariance.copy(), list(self.columns)
        covariance[own] = covariance[:, own] = 0.0
        return covariance

    def solve(self, design: Array, response: Array) -> SolvedStart:
        """Unknown first states of sequences.

        Parameters
        ----------
        design : ndarray of shape (n_columns, n_observations)
            Innovations from the columns.
        response : ndarray of shape (n_sequences, n_observations)
            Innovations from the observations.

        Raises
        ------
        DegenerateModelError
            If the prior is flat and the observations do not determine the first states.
        """
        S = design @ design.T
        size = np.sqrt(np.diagonal(S))
        scale = np.where(size > 0.0, size, 1.0)
        values, vectors = np.linalg.eigh(S / scale[:, None] / scale)
        there = values > _UNDETERMINED * max(float(values[-1]), np.finfo(float).tiny)
        if self.flat and not there.all():
            raise DegenerateModelError(
                "the observations of a sequence do not determine its first state, which has no "
                "prior: there are too few of them"
            )
        root = vectors[:, there] / np.sqrt(values[there]) / scale[:, None]
        estimate = -(response @ design.T @ root) @ root.T
        left = response + estimate @ design
        quadratic = np.einsum("gn,gn->g", left, left)
        log_density = np.zeros(len(response))
        if self.flat:
            log_det = float(np.log(values).sum() + 2.0 * np.log(scale).sum())
            log_density += 0.5 * (len(self.columns) * np.log(2.0 * np.pi) - log_det)
        return SolvedStart(estimate, root.T, quadratic, log_density)


class SolvedStart(NamedTuple):
    """Unknown first states, estimated.

    Attributes
    ----------
    estimate : ndarray of shape (n_sequences, n_columns)
        Their expected differences from the mean.
    root : ndarray of shape (n_directions, n_columns)
        Their covariance is ``root.T @ root``.
    quadratic : ndarray of shape (n_sequences,)
        Sums of squares of the innovations that are left.
    log_density : ndarray of shape (n_sequences,)
        What a flat prior adds to the log-likelihood.
    """

    estimate: Array
    root: Array
    quadratic: Array
    log_density: Array
