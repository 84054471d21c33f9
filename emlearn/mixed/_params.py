"""Parameters and statistics of a mixed model."""

from __future__ import annotations

from typing import NamedTuple

from emlearn.mixed._gram import Array

#: Name of the residual variance among the published parameters.
RESIDUAL = "residual"
#: Smallest eigenvalue of a factor that a step leads to, in units of the noise.
SMALLEST = 1e-5


class MixedParams(NamedTuple):
    """Parameters of a mixed model.

    Attributes
    ----------
    factors : tuple of ndarray of shape (q, q)
        Symmetric T_j, for effects that `transforms` turn into those of the columns.
    residual : float
        Residual variance s, in units of ``unit**2``.
    transforms : tuple of ndarray of shape (q, q)
        See `TermDesign`.
    unit : float
        Unit of the response.
    """

    factors: tuple[Array, ...]
    residual: float
    transforms: tuple[Array, ...]
    unit: float


class MixedStatistics(NamedTuple):
    """What the M-step, and Newton steps, need; in the units of the data.

    Attributes
    ----------
    products : tuple of ndarray of shape (q, q)
        Sums over levels of products of the expected v.
    covariances : tuple of ndarray of shape (q, q)
        Sums over levels of the covariances of v, in units of s.
    sum_of_squares : float
        See `Equations`.
    n_levels : tuple of int
        Number of levels of each term.
    n_observations, degrees_of_freedom : float
        Number of observations, and less the fixed effects for REML.
    n_latent : int
        Number of latent variables.
    information : ndarray
        See `Equations.average_information`.
    """

    products: tuple[Array, ...]
    covariances: tuple[Array, ...]
    sum_of_squares: float
    n_levels: tuple[int, ...]
    n_observations: float
    degrees_of_freedom: float
    n_latent: int
    information: Array
