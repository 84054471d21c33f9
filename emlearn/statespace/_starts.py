"""Systems to start from: subspace identification, principal components, random systems.

Covariance-driven identification (SSI-COV, [1]_). With ``L_k = E[y[t+k] y[t]'] = C A^(k-1) G``,
the block Hankel matrix of the L_k is a product of an observability and a controllability matrix
of rank n_states. Its singular value decomposition gives C and A. Pairs of entries that are both
observed are enough, and nothing is filled in.

Predictor-based identification (SSARX, [2]_), which takes inputs too. A regression of y[t] on p
earlier observations and inputs has coefficients ``C (A - K C)^(j-1) (K, B - K D)``. From their
Hankel matrix the states are linear functions of the past, and A to R follow by regressions on
these states. Missing entries are interpolated first.

References
----------
.. [1] B. Peeters and G. De Roeck (1999). "Reference-based stochastic subspace identification for
   output-only modal analysis". Mechanical Systems and Signal Processing 13(6), 855-878.
.. [2] M. Jansson (2003). "Subspace identification and ARX modeling". IFAC Proceedings 36(16),
   1585-1590.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_discrete_lyapunov

from emlearn.statespace._data import SequenceData
from emlearn.statespace._system import System

Array = NDArray[np.float64]

# Largest modulus of an eigenvalue of a start.
_STABLE = 0.999
# Least part of a variance that a start leaves to the noise.
_LEAST_NOISE = 0.02
# Ridge of regressions, as a part of the mean square of the regressors.
_RIDGE = 1e-6
# Largest size of a Hankel matrix.
_LARGEST = 600


def random_start(data: SequenceData, n_states: int, rng: np.random.Generator) -> System:
    """A random stable system whose states have variance 1."""
    m = data.n_features
    basis = np.linalg.qr(rng.normal(size=(n_states, n_states)))[0]
    turn = np.linalg.qr(rng.normal(size=(n_states, n_states)))[0]
    A = basis * rng.uniform(0.5, 0.99, n_states) @ turn
    C = np.sqrt(data.variance)[:, None] * rng.normal(size=(m, n_states)) / np.sqrt(2.0 * n_states)
    zeros = np.zeros((m, data.n_regressors))
    return _completed(data, A, C, zeros, np.eye(n_states), 0.5 * np.diag(data.variance))


def subspace_starts(data: SequenceData, n_states: int) -> Iterator[System]:
    """Systems found by subspace identification, the most promising first."""
    series = _Series(data)
    shortest = max(2, -(-(n_states + 1) // data.n_features))
    horizons = sorted({max(shortest, h) for h in (2 * shortest, 10, 25)})
    with_inputs = bool(data.n_inputs)
    for horizon in horizons:
        makers = [_predictor] if with_inputs else [_covariance_driven, _predictor]
        for make in makers:
            found = make(series, n_states, horizon)
            if found is not None:
                yield found
    if n_states <= data.n_features:
        found = _components(series, n_states)
        if found is not None:
            yield found


class _Series:
    """Sequences with scaled columns, and a copy in which missing entries are interpolated."""

    def __init__(self, data: SequenceData):
        self.data = data
        self.unit = np.sqrt(data.variance)
        self.rows: list[tuple[Array, Array, Array, float]] = []
        constant = data.n_regressors > data.n_inputs
        total = np.zeros(data.n_features)
        count = np.zeros(data.n_features)
        for block in data.blocks:
            total += block.weight @ block.observed.sum(axis=1)
            count += block.weight.sum() * block.mask.sum(axis=0)
        self.mean = total / np.maximum(count, 1.0) if constant else np.zeros(data.n_features)
        for block in data.blocks:
            mask = block.mask
            for rows, inputs, weight in zip(
                block.observed, block.inputs, block.weight, strict=True
            ):
                scaled = np.where(mask, (rows - self.mean) / self.unit, np.nan)
                self.rows.append((scaled, _interpolated(scaled), inputs, float(weight)))

    def system(self, A: Array, C: Array, state: Array, noise: Array, D: Array, B: Array) -> System:
        """In the units of the columns."""
        data = self.data
        regression = np.zeros((data.n_features, data.n_regressors))
        regression[:, : data.n_inputs] = D * self.unit[:, None]
        if data.n_regressors > data.n_inputs:
            regression[:, -1] = self.mean
        unit = self.unit[:, None]
        return _completed(data, A, C * unit, regression, state, noise * unit * unit.T, B)


def factor_start(
    data: SequenceData, n_factors: int, order: int, rng: np.random.Generator | None
) -> tuple[Array, Array, Array, Array]:
    """Principal components as factors, and their autoregression.

    Returns
    -------
    dynamics : ndarray of shape (n_factors, order * n_factors)
        Coefficients, for factors whose noise has covariance 1.
    loadings, offset, noise : ndarray
        Loadings, offsets and variances of the noise of the columns.
    """
    series = _Series(data)
    filled = [own[1] for own in series.rows]
    every = np.concatenate(filled)
    basis = np.linalg.svd(every.T @ every, hermitian=True)[2][:n_factors].T
    if rng is not None:
        basis = np.linalg.qr(basis + 0.5 * rng.normal(size=basis.shape) / np.sqrt(len(basis)))[0]
    pasts, presents = [], []
    for rows in filled:
        factors = rows @ basis
        length = len(factors) - order
        if length > 0:
            lags = [factors[order - 1 - i : order - 1 - i + length] for i in range(order)]
            pasts.append(np.hstack(lags))
            presents.append(factors[order:])
    dynamics, Q = np.zeros((n_factors, order * n_factors)), np.eye(n_factors)
    if pasts:
        past, present = np.concatenate(pasts), np.concatenate(presents)
        dynamics = _ridge(past, present).T
        left = present - past @ dynamics.T
        Q = left.T @ left / len(left)
    spread = every @ basis
    size = np.maximum((spread**2).mean(axis=0), 1e-12)
    root = np.linalg.cholesky(0.5 * (Q + Q.T) + 1e-3 * np.diag(size))
    turned = np.kron(np.eye(order), root)
    dynamics = np.linalg.solve(root, dynamics @ turned)
    companion = np.zeros((order * n_factors,) * 2)
    companion[:n_factors] = dynamics
    companion[n_factors:, :-n_factors] = np.eye((order - 1) * n_factors)
    largest = float(np.abs(np.linalg.eigvals(companion)).max())
    if largest > _STABLE:
        shrink = np.repeat((_STABLE / largest) ** np.arange(1, order + 1), n_factors)
        dynamics = dynamics * shrink
    noise = np.maximum(1.0 - ((spread @ basis.T) ** 2).mean(axis=0), 0.1)
    unit = series.unit
    return dynamics, unit[:, None] * (basis @ root), series.mean, noise * unit**2


def near_held(system: System, fixed: Mapping[str, Array]) -> System:
    """A system in the basis of its states in which it is closest to entries that are held.

    With M the inverse of the change of basis, ``C M`` should have the held entries of the
    observation matrix, and ``A M - M A_held`` should vanish if all of A is held.
    """
    A, C = system.transition, system.observation
    n, R = len(A), system.observation_covariance
    unit = np.sqrt(R if R.ndim == 1 else np.diagonal(R))
    equations, values = [], []
    held = fixed.get("observation_matrix")
    if held is not None:
        rows, columns = np.nonzero(~np.isnan(held))
        equations.append(np.einsum("rn,rc->rnc", C[rows] / unit[rows, None], np.eye(n)[columns]))
        values.append(held[rows, columns] / unit[rows])
    held = fixed.get("transition_matrix")
    if held is not None and not np.isnan(held).any():
        # Row-major: vec(A M - M H) = (kron(A, I) - kron(I, H')) vec(M).
        same = np.kron(A, np.eye(n)) - np.kron(np.eye(n), held.T)
        equations.append(same.reshape(-1, n, n))
        values.append(np.zeros(len(equations[-1])))
    if not equations:
        return system
    size = np.sqrt(np.mean(np.concatenate(equations) ** 2)) or 1.0
    # A little of the identity, where nothing is said.
    design = np.concatenate([*(own.reshape(-1, n * n) for own in equations)])
    design = np.concatenate((design, 1e-4 * size * np.eye(n * n)))
    target = np.concatenate((*values, 1e-4 * size * np.eye(n).ravel()))
    try:
        M = _least_squares(design, target[:, None]).reshape(n, n)
        if not np.linalg.cond(M) < 1e6:
            return system
        T = np.linalg.inv(M)
    except np.linalg.LinAlgError:
        return system
    return system._replace(
        transition=T @ A @ M,
        observation=C @ M,
        inputs=T @ system.inputs,
        transition_covariance=T @ system.transition_covariance @ T.T,
        initial_mean=T @ system.initial_mean,
        initial_covariance=T @ system.initial_covariance @ T.T,
    )


def _completed(
    data: SequenceData,
    A: Array,
    C: Array,
    regression: Array,
    state: Array,
    noise: Array,
    B: Array | None = None,
) -> System:
    """A stable system whose states have about the covariance `state`, in a basis where it is 1.

    The covariance of the states that belongs to A and Q is the identity.
    """
    values, vectors = np.linalg.eigh(0.5 * (state + state.T))
    values = np.maximum(values, 1e-6 * max(float(values[-1]), 1e-12))
    root = vectors * np.sqrt(values)
    inverse = (vectors / np.sqrt(values)).T
    A, C = _stable(inverse @ A @ root), C @ root
    B = np.zeros((len(A), data.n_inputs)) if B is None else inverse @ B
    Q = _positive(np.eye(len(A)) - A @ A.T, np.full(len(A), 1e-4))
    R = _positive(noise, _LEAST_NOISE * data.variance)
    spread = solve_discrete_lyapunov(A, Q)
    spread = np.linalg.cholesky(0.5 * (spread + spread.T))
    back = np.linalg.inv(spread)
    Q = back @ Q @ back.T
    zero, unit = np.zeros(len(A)), np.eye(len(A))
    return System(
        back @ A @ spread, C @ spread, back @ B, regression, 0.5 * (Q + Q.T), R, zero, unit
    )


def _stable(A: Array) -> Array:
    """A matrix with the same eigenvectors whose eigenvalues are inside the unit circle."""
    size = float(np.abs(np.linalg.eigvals(A)).max())
    if size <= _STABLE:
        return A
    values, vectors = np.linalg.eig(A)
    values = values / np.maximum(np.abs(values) / _STABLE, 1.0)
    if np.linalg.cond(vectors) < 1e8:
        found: Array = (vectors * values @ np.linalg.inv(vectors)).real
        if np.abs(np.linalg.eigvals(found)).max() <= 0.9999:
            return found
    return A * (_STABLE / size)


def _positive(matrix: Array, least: Array) -> Array:
    """A covariance matrix near `matrix` whose noise is at least `least` in each direction."""
    unit = np.sqrt(least)
    values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T) / unit[:, None] / unit)
    found: Array = (vectors * np.maximum(values, 1.0)) @ vectors.T * unit[:, None] * unit
    return 0.5 * (found + found.T)


def _interpolated(rows: Array) -> Array:
    filled = rows.copy()
    for column in filled.T:
        missing = np.isnan(column)
        if missing.all():
            column[:] = 0.0
        elif missing.any():
            where = np.flatnonzero(~missing)
            column[missing] = np.interp(np.flatnonzero(missing), where, column[where])
    return filled


def _autocovariances(series: _Series, n_lags: int) -> Array | None:
    m = series.data.n_features
    sums, counts = np.zeros((2, n_lags + 1, m, m))
    for rows, _, _, weight in series.rows:
        there = (~np.isnan(rows)).astype(float)
        values = np.where(there > 0.0, rows, 0.0)
        for lag in range(min(n_lags + 1, len(rows))):
            sums[lag] += weight * values[lag:].T @ values[: len(rows) - lag]
            counts[lag] += weight * there[lag:].T @ there[: len(rows) - lag]
    if (counts[: max(2, n_lags // 2)] == 0.0).any():
        return None
    return sums / np.maximum(counts, 1e-300)


def _covariance_driven(series: _Series, n_states: int, horizon: int) -> System | None:
    m = series.data.n_features
    longest = max(len(rows) for rows, _, _, _ in series.rows)
    horizon = min(horizon, (longest - 1) // 2, max(2, _LARGEST // m))
    if horizon * m < n_states or (horizon - 1) * m < n_states:
        return None
    lags = _autocovariances(series, 2 * horizon)
    if lags is None:
        return None
    hankel = np.block([[lags[i + j + 1] for j in range(horizon)] for i in range(horizon)])
    left, values, _ = np.linalg.svd(hankel)
    if values[n_states - 1] <= 1e-12 * values[0]:
        return None
    observability = left[:, :n_states] * np.sqrt(values[:n_states])
    A = _least_squares(observability[:-m], observability[m:])
    return _with_covariances(series, _stable(A), observability[:m], lags[: horizon + 1])


def _with_covariances(series: _Series, A: Array, C: Array, lags: Array) -> System:
    """Covariances of states and noise that fit autocovariances, given A and C."""
    n = len(A)
    i, j = np.tril_indices(n)
    design, response, moved = [], [], C @ A
    for lag in lags[1:]:
        columns = np.einsum("ia,jb->ijab", moved, C)
        both = columns[:, :, i, j] + np.where(i != j, columns[:, :, j, i], 0.0)
        design.append(both.reshape(-1, len(i)))
        response.append(lag.ravel())
        moved = moved @ A
    packed = _least_squares(np.concatenate(design), np.concatenate(response)[:, None]).ravel()
    state = np.zeros((n, n))
    state[i, j] = state[j, i] = packed
    D, B = np.zeros((len(C), 0)), np.zeros((n, 0))
    values, vectors = np.linalg.eigh(state)
    state = vectors * np.maximum(values, 1e-3 * np.abs(values).max()) @ vectors.T
    return series.system(A, C, state, lags[0] - C @ state @ C.T, D, B)


def _predictor(series: _Series, n_states: int, horizon: int) -> System | None:
    data = series.data
    m, k = data.n_features, data.n_inputs
    usable = [own for own in series.rows if len(own[1]) > horizon + 1]
    n_rows = sum(len(own[1]) - horizon for own in usable)
    horizon = min(horizon, max(2, _LARGEST // (m + k)))
    if not usable or horizon * m < n_states or n_rows < 2 * horizon * (m + k) + n_states:
        return None
    pasts, presents = [], []
    for _, filled, inputs, of_sequence in usable:
        joint = np.hstack((filled, inputs))
        windows = np.lib.stride_tricks.sliding_window_view(joint, horizon, axis=0)[:-1]
        past = windows[:, :, ::-1].transpose(0, 2, 1).reshape(len(windows), -1)
        pasts.append((past, inputs[horizon:], np.full(len(past), np.sqrt(of_sequence))))
        presents.append(filled[horizon:])
    past = np.concatenate([own[0] for own in pasts])
    now = np.concatenate([own[1] for own in pasts])
    weight = np.concatenate([own[2] for own in pasts])[:, None]
    present = np.concatenate(presents)
    regressors = np.hstack((past, now))
    coefficients = _ridge(weight * regressors, weight * present)[: past.shape[1]].T
    blocks = coefficients.reshape(m, horizon, m + k)
    zero = np.zeros((m, m + k))
    hankel = np.block(
        [
            [blocks[:, i + j] if i + j < horizon else zero for j in range(horizon)]
            for i in range(horizon)
        ]
    )
    # Weighted by what the past contains, as in canonical variates.
    scatter = np.linalg.cholesky(
        past.T @ (weight**2 * past) / len(past) + 1e-9 * np.eye(past.shape[1])
    )
    _, values, right = np.linalg.svd(hankel @ scatter, full_matrices=False)
    if values[n_states - 1] <= 1e-12 * values[0]:
        return None
    to_state = np.linalg.solve(scatter.T, right[:n_states].T).T * np.sqrt(values[:n_states, None])
    states = [own[0] @ to_state.T for own in pasts]
    x0 = np.concatenate([own[:-1] for own in states])
    x1 = np.concatenate([own[1:] for own in states])
    u0 = np.concatenate([own[1][:-1] for own in pasts])
    w0 = np.concatenate([own[2][:-1] for own in pasts])[:, None]
    dynamics = _ridge(w0 * np.hstack((x0, u0)), w0 * x1).T
    x = np.concatenate(states)
    loadings = _ridge(weight * np.hstack((x, now)), weight * present).T
    left = present - np.hstack((x, now)) @ loadings.T
    noise = left.T @ (weight**2 * left) / float((weight**2).sum())
    state = x.T @ (weight**2 * x) / float((weight**2).sum())
    return series.system(
        _stable(dynamics[:, :n_states]),
        loadings[:, :n_states],
        state,
        noise,
        loadings[:, n_states:],
        dynamics[:, n_states:],
    )


def _components(series: _Series, n_states: int) -> System | None:
    """Principal components as states, with the regression of each step on the last."""
    data = series.data
    filled = [own[1] for own in series.rows]
    weight = [np.full(len(own[1]), np.sqrt(own[3])) for own in series.rows]
    every = np.concatenate([w[:, None] * rows for w, rows in zip(weight, filled, strict=True)])
    _, _, right = np.linalg.svd(every.T @ every / len(every), hermitian=True)
    C = right[:n_states].T
    states = [rows @ C for rows in filled]
    if max(map(len, states)) < 2:
        return None
    x0 = np.concatenate([own[:-1] for own in states])
    x1 = np.concatenate([own[1:] for own in states])
    A = _ridge(x0, x1).T
    x = np.concatenate(states)
    left = np.concatenate(filled) - x @ C.T
    return series.system(
        _stable(A),
        C,
        x.T @ x / len(x),
        left.T @ left / len(x),
        np.zeros((data.n_features, data.n_inputs)),
        np.zeros((n_states, data.n_inputs)),
    )


def _least_squares(design: Array, response: Array) -> Array:
    return np.asarray(np.linalg.lstsq(design, response, rcond=1e-10)[0], np.float64)


def _ridge(design: Array, response: Array) -> Array:
    inner = design.T @ design
    size = max(float(np.trace(inner)) / max(len(inner), 1), np.finfo(float).tiny)
    ridge = _RIDGE * size * np.eye(len(inner))
    return np.asarray(np.linalg.solve(inner + ridge, design.T @ response), np.float64)
