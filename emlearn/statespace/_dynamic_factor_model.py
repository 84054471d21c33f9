"""Dynamic factors: few series that follow a vector autoregression explain many.

    f[t] = A_1 f[t-1] + ... + A_p f[t-p] + w[t],    w ~ N(0, I),
    y[t] = c + L f[t] + v[t],                       v ~ N(0, diag(r)).

The state holds p factors in a row. Noise of variance 1 fixes the scale of the factors; a rotation
is left. The factors of the first p steps have the stationary distribution, with a covariance P
that solves ``P = A P A' + Q`` for the companion matrix A. So the M-step of A has no closed form:

    maximize  -1/2 tr(E[w w']) - n/2 (log|P| + tr(inv(P) E[x[1] x[1]'])),

with n sequences. The regression without the second term is the start of quasi-Newton steps, whose
objective costs a Lyapunov equation of p factors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag, solve_discrete_lyapunov
from scipy.optimize import minimize

from emlearn.engine.errors import DegenerateModelError
from emlearn.engine.parameters import Entries, ParameterSpace
from emlearn.statespace._covariances import DiagonalCovariance
from emlearn.statespace._data import SequenceData
from emlearn.statespace._model import Moments, Start, StateSpaceModel
from emlearn.statespace._noise import Regression
from emlearn.statespace._regression import maximize, solve_symmetric
from emlearn.statespace._starts import factor_start
from emlearn.statespace._system import System

Array = NDArray[np.float64]

# Modulus of an eigenvalue from which a covariance is too close to infinite.
_UNSTABLE = 1.0 - 1e-9
# Step of numerical derivatives by coefficients.
_STEP = 1e-6

_NOISE = DiagonalCovariance()


class Factors(NamedTuple):
    """Parameters of dynamic factors.

    Attributes
    ----------
    dynamics : ndarray of shape (n_factors, order * n_factors)
        A_1 to A_p side by side.
    loadings : ndarray of shape (n_features, n_factors)
        L.
    offset : ndarray of shape (n_features,)
        c.
    noise : ndarray of shape (n_features,)
        r.
    """

    dynamics: Array
    loadings: Array
    offset: Array
    noise: Array

    @property
    def order(self) -> int:
        """Order of the autoregression."""
        return self.dynamics.shape[1] // self.dynamics.shape[0]

    def in_basis(self, root: Array) -> Factors:
        """The same model for the factors ``inv(root) @ f``."""
        inverse = np.linalg.inv(root)
        turned = np.kron(np.eye(self.order), root)
        return self._replace(
            dynamics=inverse @ self.dynamics @ turned, loadings=self.loadings @ root
        )

    def canonical(self) -> Factors:
        """Factors whose loadings, in standard deviations of the noise, are orthogonal.

        The one that explains most is first, and the loadings of each have a positive sum.
        """
        scaled = self.loadings / np.sqrt(self.noise)[:, None]
        turn = np.linalg.svd(scaled, full_matrices=False)[2].T
        sign = np.sign((scaled @ turn).sum(axis=0))
        return self.in_basis(turn * np.where(sign == 0.0, 1.0, sign))


def companion(dynamics: Array) -> tuple[Array, Array]:
    """Transition matrix of the factors of several steps, and the covariance of its noise."""
    k, n = dynamics.shape
    A, Q = np.zeros((n, n)), np.zeros((n, n))
    A[:k] = dynamics
    A[k:, : n - k] = np.eye(n - k)
    Q[:k, :k] = np.eye(k)
    return A, Q


def stationary_covariance(dynamics: Array) -> Array:
    """Covariance of the factors of several steps.

    Raises
    ------
    DegenerateModelError
        If the autoregression is not stable.
    """
    A, Q = companion(dynamics)
    if not np.isfinite(A).all() or not np.abs(np.linalg.eigvals(A)).max() < _UNSTABLE:
        raise DegenerateModelError("the autoregression of the factors is not stable")
    P = solve_discrete_lyapunov(A, Q)
    return np.asarray(0.5 * (P + P.T), np.float64)


def start_term(dynamics: Array, start: Start) -> float:
    """Expected log-density of the first factors; -inf if there is none."""
    try:
        P = stationary_covariance(dynamics)
        root = np.linalg.cholesky(P)
    except (DegenerateModelError, np.linalg.LinAlgError):
        return -np.inf
    log_det = 2.0 * float(np.log(np.diagonal(root).copy()).sum())
    return -0.5 * (start.total * log_det + float(np.trace(np.linalg.solve(P, start.squares))))


def start_slope(dynamics: Array, start: Start) -> Array:
    """Derivatives of `start_term` by the coefficients."""
    slope = np.empty(dynamics.size)
    for j, step in enumerate(_STEP * np.eye(dynamics.size)):
        moved = [
            start_term(dynamics + side * step.reshape(dynamics.shape), start) for side in (1, -1)
        ]
        slope[j] = (moved[0] - moved[1]) / (2.0 * _STEP)
    return slope.reshape(dynamics.shape)


@dataclass(frozen=True)
class DynamicFactorModel(StateSpaceModel[Factors]):
    """Dynamic factors as a state-space model.

    Parameters
    ----------
    n_factors, order : int
        Number of factors, and order of their autoregression.
    floor : ndarray of shape (n_features,) or None
        Least variances of the noise.
    """

    n_factors: int = 1
    order: int = 1
    floor: Array | None = None

    def system(self, params: Factors) -> System:
        """See `StateSpaceModel`."""
        k, p = self.n_factors, self.order
        n = k * p
        A, Q = companion(params.dynamics)
        C = np.zeros((len(params.loadings), n))
        C[:, :k] = params.loadings
        return System(
            A,
            C,
            np.zeros((n, 0)),
            params.offset[:, None],
            Q,
            params.noise,
            np.zeros(n),
            stationary_covariance(params.dynamics),
        )

    def initialize(self, data: SequenceData, rng: np.random.Generator) -> Factors:
        """See `LatentVariableModel`: principal components, with some noise."""
        return self._from(*factor_start(data, self.n_factors, self.order, rng))

    def candidates(self, data: SequenceData, rng: np.random.Generator, n: int) -> Iterator[Factors]:
        """See `LatentVariableModel`: principal components, then the same with noise."""
        if n:
            yield self._from(*factor_start(data, self.n_factors, self.order, None))
        yield from super().candidates(data, rng, n - 1)

    def _from(self, dynamics: Array, loadings: Array, offset: Array, noise: Array) -> Factors:
        if self.floor is not None:
            noise = np.maximum(noise, self.floor)
        return Factors(dynamics, loadings, offset, noise)

    def _regression(self, moments: Regression) -> Regression:
        """Moments of the residuals and of what the observations load on."""
        k, n = self.n_factors, self.n_factors * self.order
        own = [*range(k), n]
        return moments._replace(
            cross=moments.cross[:, own], regressors=moments.regressors[:, own][:, :, own]
        )

    def m_step(self, statistics: Moments, params: Factors) -> Factors:
        """See `LatentVariableModel`."""
        k = self.n_factors
        found, noise = maximize(
            self._regression(statistics.observation),
            np.hstack((params.loadings, params.offset[:, None])),
            params.noise,
            _NOISE,
            self.floor,
        )
        dynamics = self._dynamics_step(statistics, params)
        return Factors(dynamics, found[:, :k], found[:, k], noise)

    def _dynamics_step(self, statistics: Moments, params: Factors) -> Array:
        """Coefficients with a higher expected objective."""
        k, own, now = self.n_factors, statistics.dynamics, params.dynamics

        def loss(vector: Array) -> float:
            change = vector.reshape(now.shape) - now
            value = np.sum(change * (0.5 * change @ own.regressors - own.cross[:k]))
            return float(value) - start_term(vector.reshape(now.shape), statistics.start)

        step = solve_symmetric(own.regressors, own.cross[:k].T).T
        old = loss(now.ravel())
        scale = 1.0
        while scale > 1e-3 and not loss((now + scale * step).ravel()) <= old:
            scale *= 0.5
        begin = (now + scale * step).ravel() if scale > 1e-3 else now.ravel()
        # The loss is infinite where factors are not stable.
        with np.errstate(all="ignore"):
            found = minimize(loss, begin, method="BFGS", options={"maxiter": 5}).x
        better = min((found, begin), key=loss)
        return (better if loss(better) <= old else now.ravel()).reshape(now.shape)

    # ---- other forms ----------------------------------------------------------------------

    def to_vector(self, params: Factors) -> Array:
        """See `LatentVariableModel`; loadings and offsets in standard deviations of the noise."""
        unit = np.sqrt(params.noise)
        joint = np.hstack((params.loadings, params.offset[:, None])) / unit[:, None]
        vector = _NOISE.to_vector(params.noise, self.floor)
        return np.concatenate((params.dynamics.ravel(), joint.ravel(), vector))

    def from_vector(self, vector: Array, like: Factors) -> Factors:
        """See `LatentVariableModel`."""
        if not np.isfinite(vector).all():
            raise DegenerateModelError("a parameter is not finite")
        k, m = self.n_factors, len(like.noise)
        dynamics, joint, noise = np.split(vector, np.cumsum([like.dynamics.size, m * (k + 1)]))
        variance = _NOISE.from_vector(noise, m, self.floor)
        loadings = joint.reshape(m, k + 1) * np.sqrt(variance)[:, None]
        return Factors(
            dynamics.reshape(like.dynamics.shape), loadings[:, :k], loadings[:, k], variance
        )

    def curvature(self, statistics: Moments, params: Factors) -> tuple[Array, Array] | None:
        """See `LatentVariableModel`: the information of complete data, block by block."""
        by_dynamics = self._by_dynamics(statistics, params)
        if not np.isfinite(by_dynamics).all():
            return None
        k, dynamics = self.n_factors, statistics.dynamics
        own = self._regression(statistics.observation)
        noise, unit = params.noise, np.sqrt(params.noise)
        joint = np.hstack((params.loadings, params.offset[:, None]))
        by_joint = own.cross / noise[:, None]
        slope = 0.5 * (own.squares - own.total * noise) / noise**2
        slope = slope + 0.5 * (by_joint * joint).sum(axis=1) / noise
        pulled = _NOISE.pull(noise, np.diag(slope), own.total, self.floor)
        gradient = np.concatenate(
            (by_dynamics.ravel(), (by_joint * unit[:, None]).ravel(), pulled[0])
        )
        blocks = [np.kron(np.eye(k), dynamics.regressors), *own.regressors, np.diag(pulled[1])]
        return gradient, block_diag(*blocks)

    def _by_dynamics(self, statistics: Moments, params: Factors) -> Array:
        own = statistics.dynamics.cross[: self.n_factors]
        return own + start_slope(params.dynamics, statistics.start)

    def public(self, params: Factors) -> dict[str, Array]:
        """See `LatentVariableModel`."""
        k = self.n_factors
        return {
            "loadings": params.loadings,
            "transition_coefficients": params.dynamics.reshape(k, -1, k).swapaxes(0, 1),
            "offset": params.offset,
            "noise_variance": params.noise,
        }

    def from_public(self, public: Mapping[str, Array], like: Factors) -> Factors:
        """See `LatentVariableModel`."""
        dynamics = np.swapaxes(public["transition_coefficients"], 0, 1)
        return Factors(
            dynamics.reshape(self.n_factors, -1),
            public["loadings"],
            public["offset"],
            public["noise_variance"],
        )

    def space(self, params: Factors) -> ParameterSpace:
        """See `LatentVariableModel`."""
        unit = np.sqrt(params.noise)
        return ParameterSpace(
            {
                "loadings": Entries(("feature", "factor"), scale=unit[:, None]),
                "transition_coefficients": Entries(
                    ("lag", "factor", "factor"), scale=np.array(0.1)
                ),
                "offset": Entries(("feature",), scale=unit),
                "noise_variance": Entries(("feature",), lower=0.0, floor=self.floor),
            }
        )

    def score(self, statistics: Moments, params: Factors) -> dict[str, Array]:
        """See `LatentVariableModel`."""
        k = self.n_factors
        own = self._regression(statistics.observation)
        by_joint = own.cross / params.noise[:, None]
        by_dynamics = self._by_dynamics(statistics, params)
        return {
            "loadings": by_joint[:, :k],
            "transition_coefficients": by_dynamics.reshape(k, -1, k).swapaxes(0, 1),
            "offset": by_joint[:, k],
            "noise_variance": 0.5 * (own.squares - own.total * params.noise) / params.noise**2,
        }

    def n_parameters(self, params: Factors) -> int:
        """See `LatentVariableModel`: less those of a rotation."""
        k = self.n_factors
        return sum(part.size for part in params) - k * (k - 1) // 2
