"""Simulated vibrations of a frame."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh, expm, solve_discrete_lyapunov
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.validation import check_scalar

Array = NDArray[np.float64]

_OUTPUTS = ("displacement", "velocity")


def make_shear_frame(
    n_storeys: int = 5,
    n_samples: int = 10_000,
    *,
    fs: float = 20.0,
    mass: float | ArrayLike = 25.91,
    stiffness: float | ArrayLike = 10_000.0,
    damping_ratio: float = 0.02,
    stiffness_loss: float | ArrayLike = 0.0,
    output: str = "velocity",
    noise: float = 0.1,
    missing: float = 0.0,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Simulate a shear frame whose floors are shaken by white noise.

    Floors of masses m move sideways on columns of stiffness k, ``M a + D v + K x = f``. All modes
    have the same damping ratio. The force on each floor is white noise, independent from floor to
    floor, so that the continuous equations have an exact discrete form; sensors measure all floors
    with white noise. With the defaults the frequencies are 0.890, 2.598, 4.095, 5.261 and 6.000
    hertz.

    Parameters
    ----------
    n_storeys : int, default=5
        Number of floors.
    n_samples : int, default=10000
        Number of rows.
    fs : float, default=20.0
        Rows per second; more than twice the highest frequency.
    mass : float or array-like of shape (n_storeys,), default=25.91
        Masses of the floors, from the lowest to the highest.
    stiffness : float or array-like of shape (n_storeys,), default=10000.0
        Stiffness of the columns below each floor.
    damping_ratio : float, default=0.02
        Damping ratio of all modes.
    stiffness_loss : float or array-like of shape (n_storeys,), default=0.0
        Part of the stiffness of each storey that is lost, by damage. The damping matrix stays that
        of the frame without damage.
    output : {"displacement", "velocity"}, default="velocity"
        What the sensors measure.
    noise : float, default=0.1
        Standard deviation of the noise of each sensor, as a part of that of its signal.
    missing : float, default=0.0
        Probability that an entry is missing (NaN).
    random_state : int, RandomState instance or None, default=None
        Source of the randomness.

    Returns
    -------
    frame : Bunch
        ``data`` : ndarray of shape (n_samples, n_storeys), the rows;
        ``frequencies``, ``damping_ratios`` : ndarray of shape (n_storeys,), true modes, in hertz;
        ``mode_shapes`` : ndarray of shape (n_storeys, n_storeys), one in each column, of norm 1;
        ``transition_matrix``, ``observation_matrix``, ``transition_covariance``,
        ``observation_covariance`` : ndarray, the true state-space model;
        ``fs`` : float.

    Raises
    ------
    ValueError
        If a parameter is out of range, or a frequency is above ``fs / 2``.

    References
    ----------
    C. F. Van Loan (1978). "Computing integrals involving the matrix exponential". IEEE
    Transactions on Automatic Control 23(3), 395-404.

    Examples
    --------
    >>> from emlearn.datasets import make_shear_frame
    >>> frame = make_shear_frame(random_state=0)
    >>> frame.data.shape
    (10000, 5)
    >>> frame.frequencies.round(3)
    array([0.89 , 2.598, 4.095, 5.261, 6.   ])
    """
    check_scalar(n_storeys, "n_storeys", Integral, min_val=1)
    check_scalar(n_samples, "n_samples", Integral, min_val=1)
    for name, value in (("fs", fs), ("noise", noise)):
        if not (isinstance(value, Real) and np.isfinite(value)):
            raise ValueError(f"{name} must be a finite number; got {value!r}.")
    check_scalar(fs, "fs", Real, min_val=0.0, include_boundaries="neither")
    check_scalar(
        damping_ratio, "damping_ratio", Real, min_val=0.0, max_val=1.0, include_boundaries="neither"
    )
    check_scalar(noise, "noise", Real, min_val=0.0)
    check_scalar(missing, "missing", Real, min_val=0.0, max_val=1.0, include_boundaries="left")
    if output not in _OUTPUTS:
        raise ValueError(f"output must be one of {', '.join(_OUTPUTS)}; got {output!r}.")
    masses = _positive(mass, n_storeys, "mass")
    springs = _positive(stiffness, n_storeys, "stiffness")
    left = 1.0 - _positive(stiffness_loss, n_storeys, "stiffness_loss", may_be_zero=True)
    if (left <= 0.0).any():
        raise ValueError("stiffness_loss must be less than 1 in each storey.")
    rng = check_random_state(random_state)
    M, K = np.diag(masses), _stiffness_matrix(springs)
    squares, shapes = eigh(K, M)
    # The damping matrix for which each mode has the ratio.
    D = M @ shapes @ np.diag(2.0 * damping_ratio * np.sqrt(squares)) @ shapes.T @ M
    n = n_storeys
    highest = float(np.sqrt(squares[-1])) / (2.0 * np.pi)
    if highest >= 0.5 * fs:
        raise ValueError(
            f"fs={fs:g} is too low: the highest frequency is {highest:.4g}, and rows show those "
            f"below fs / 2. Use at least fs={2.5 * highest:.3g}."
        )
    inverse = np.diag(1.0 / masses)
    rates = np.block(
        [
            [np.zeros((n, n)), np.eye(n)],
            [-inverse @ _stiffness_matrix(springs * left), -inverse @ D],
        ]
    )
    A, Q = _discretize(rates, np.vstack((np.zeros((n, n)), inverse)), 1.0 / fs)
    zeros, unit = np.zeros((n, n)), np.eye(n)
    C = np.hstack((unit, zeros) if output == "displacement" else (zeros, unit))
    stationary = solve_discrete_lyapunov(A, Q)
    stationary = 0.5 * (stationary + stationary.T)
    deviation = noise * np.sqrt(np.diagonal(C @ stationary @ C.T))
    root = _root(Q)
    state = _root(stationary) @ rng.normal(size=2 * n)
    steps = rng.normal(size=(n_samples, 2 * n)) @ root.T
    states = np.empty((n_samples, 2 * n))
    for t in range(n_samples):
        states[t] = state
        state = A @ state + steps[t]
    data = states @ C.T + deviation * rng.normal(size=(n_samples, n))
    data[rng.uniform(size=data.shape) < missing] = np.nan
    values, vectors = np.linalg.eig(rates)
    chosen = np.flatnonzero(values.imag > 0.0)
    chosen = chosen[np.argsort(np.abs(values[chosen]))]
    values, vectors = values[chosen], vectors[:n, chosen]
    vectors = vectors * np.exp(-0.5j * np.angle((vectors**2).sum(axis=0)))
    return Bunch(
        data=data,
        frequencies=np.abs(values) / (2.0 * np.pi),
        damping_ratios=-values.real / np.abs(values),
        mode_shapes=vectors.real / np.linalg.norm(vectors.real, axis=0),
        transition_matrix=A,
        observation_matrix=C,
        transition_covariance=Q,
        observation_covariance=np.diag(deviation**2),
        fs=float(fs),
    )


def _positive(value: Any, n: int, name: str, *, may_be_zero: bool = False) -> Array:
    try:
        found = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        found = np.full(n + 1, np.nan)
    if found.ndim > 1 or (found.ndim == 1 and len(found) != n):
        raise ValueError(f"{name} must be a number, or one for each of the {n} storeys.")
    found = np.broadcast_to(found, (n,))
    good = (found >= 0.0) if may_be_zero else (found > 0.0)
    if not (np.isfinite(found) & good).all():
        kind = "0 or more" if may_be_zero else "positive"
        raise ValueError(f"{name} must be {kind}; got {value!r}.")
    return found


def _stiffness_matrix(springs: Array) -> Array:
    above = np.append(springs[1:], 0.0)
    return np.diag(springs + above) - np.diag(springs[1:], 1) - np.diag(springs[1:], -1)


def _discretize(rates: Array, forces: Array, step: float) -> tuple[Array, Array]:
    """Transition matrix and covariance of the noise of a step (Van Loan 1978)."""
    n = len(rates)
    block = np.zeros((2 * n, 2 * n))
    block[:n, :n], block[:n, n:], block[n:, n:] = -rates, forces @ forces.T, rates.T
    found = expm(block * step)
    A = found[n:, n:].T
    Q = A @ found[:n, n:]
    return A, 0.5 * (Q + Q.T)


def _root(covariance: Any) -> Array:
    """Cholesky factor, whatever the units of the states."""
    size = np.sqrt(np.diagonal(covariance))
    try:
        return np.asarray(size[:, None] * np.linalg.cholesky(covariance / size[:, None] / size))
    except np.linalg.LinAlgError:
        raise ValueError(
            "The steps are too short for float64: use a lower fs, or a stiffer frame."
        ) from None
