"""Structural time series as state-space models.

A series is a sum of components (Harvey, 1989), each with states of its own, and irregular noise:
``y[t] = sum of components + beta' u[t] + e[t]``. With E the expected squares of the disturbances
of a variance s that has r states and N transitions, the M-step is ``s = E / (r N)``. The
coefficients of an autoregression, the damping and the frequency of a cycle also decide where their
states start, so they are found with their variance by a few quasi-Newton steps on the exact
expected objective,

    -1/2 (r N log s + E(coefficients) / s) - n/2 (log|P| + tr(inv(P) E[x[1] x[1]'] / n)),

where P is the stationary covariance and n the number of sequences.

References
----------
A. C. Harvey (1989). "Forecasting, Structural Time Series Models and the Kalman Filter". Cambridge
University Press. Chapters 2 and 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag
from scipy.optimize import minimize

from emlearn.engine.errors import DegenerateModelError
from emlearn.engine.parameters import Entries, ParameterSpace, Part
from emlearn.statespace._components import Component, Values, stationary_covariance
from emlearn.statespace._covariances import DiagonalCovariance
from emlearn.statespace._data import SequenceData
from emlearn.statespace._model import Moments, StateSpaceModel
from emlearn.statespace._regression import maximize
from emlearn.statespace._system import System

Array = NDArray[np.float64]

_NOISE = DiagonalCovariance()
# Least variances, as parts of the variance of the series: of what may vanish, and of noise that
# stands for none.
LEAST, NONE = 1e-14, 1e-12
# Step of numerical derivatives, and quasi-Newton steps of an M-step.
_STEP, _FEW = 1e-4, 5


class Structure(NamedTuple):
    """Parameters of a structural time series: arrays of shape (k,) by name.

    Attributes
    ----------
    values : dict of str to ndarray
        Variances and coefficients of the components, the variance of the irregular noise and the
        effects of inputs.
    """

    values: Values


@dataclass(frozen=True)
class StructuralModel(StateSpaceModel[Structure]):
    """A sum of components.

    Parameters
    ----------
    components : tuple of Component
        The components.
    irregular : bool
        Whether there is irregular noise.
    scale : float
        Variance of the series, in whose units variances have their least values.
    """

    components: tuple[Component, ...] = ()
    irregular: bool = True
    scale: float = 1.0

    def system(self, params: Structure) -> System:
        """See `StateSpaceModel`."""
        blocks = [component.block(params.values) for component in self.components]
        initial = [
            stationary_covariance(block) if component.stationary else np.eye(component.n_states)
            for component, block in zip(self.components, blocks, strict=True)
        ]
        variances = np.concatenate([block.variances for block in blocks])
        n = len(variances)
        regression = params.values.get("regression_coefficients", np.zeros(0))
        return System(
            block_diag(*(block.transition for block in blocks)),
            np.concatenate([block.loadings for block in blocks])[None],
            np.zeros((n, len(regression))),
            regression[None],
            np.diag(variances),
            params.values.get("irregular_variance", np.array([NONE * self.scale])),
            np.zeros(n),
            block_diag(*initial),
        )

    def places(self) -> Iterator[tuple[Component, slice]]:
        """The components with their places in the state."""
        begin = 0
        for component in self.components:
            yield component, slice(begin, begin + component.n_states)
            begin += component.n_states

    # ---- starts -----------------------------------------------------------------------------

    def initialize(self, data: SequenceData, rng: np.random.Generator) -> Structure:
        """See `LatentVariableModel`: random shares of the variance."""
        return self._start(data, 10.0 ** rng.uniform(-5.0, 0.0, 20), float(rng.uniform(0.2, 0.8)))

    def candidates(
        self, data: SequenceData, rng: np.random.Generator, n: int
    ) -> Iterator[Structure]:
        """See `LatentVariableModel`: shares of the variance from large to small, then random."""
        for share in (1e-1, 1e-3, 1e-5)[:n]:
            yield self._start(data, np.full(20, share), 0.5)
        yield from super().candidates(data, rng, max(0, n - 3))

    def _start(self, data: SequenceData, shares: Array, along: float) -> Structure:
        values: Values = {}
        for component in self.components:
            for name, states in component.noisy.items():
                part = 0.3 if component.stationary else shares[len(values)]
                values[name] = np.array([part * self.scale / len(states)])
            values |= component.others(along)
        if self.irregular:
            values["irregular_variance"] = np.array([0.1 * self.scale])
        if data.n_inputs:
            values["regression_coefficients"] = np.zeros(data.n_inputs)
        return Structure(values)

    # ---- M-step -----------------------------------------------------------------------------

    def m_step(self, statistics: Moments, params: Structure) -> Structure:
        """See `LatentVariableModel`."""
        return self.constrained_m_step(statistics, params, {})

    def constrained_m_step(
        self, statistics: Moments, params: Structure, fixed: Mapping[str, Array]
    ) -> Structure:
        """See `LatentVariableModel`."""
        values = dict(params.values)
        for component, place in self.places():
            self._component_step(component, place, statistics, values, params.values, fixed)
        system = self.system(params)
        held = fixed.get("regression_coefficients", np.full(system.regression.shape[1], np.nan))
        loadings, noise = maximize(
            statistics.observation,
            system.loadings,
            system.observation_covariance,
            _NOISE,
            np.array([LEAST * self.scale]),
            np.concatenate((system.observation[0], held))[None],
        )
        if "irregular_variance" in values:
            values["irregular_variance"] = noise
        if system.regression.size:
            values["regression_coefficients"] = loadings[0, len(system.transition) :]
        for name, own in fixed.items():
            values[name] = np.where(np.isnan(own), values[name], own)
        return Structure(values)

    def _component_step(
        self,
        component: Component,
        place: slice,
        statistics: Moments,
        values: Values,
        old: Values,
        fixed: Mapping[str, Array],
    ) -> None:
        dynamics = statistics.dynamics
        squares = np.diagonal(dynamics.squares)[place]
        if not component.stationary:
            for name, states in component.noisy.items():
                found = squares[list(states)].sum() / (len(states) * dynamics.total)
                values[name] = np.array([max(found, LEAST * self.scale)])
            return
        names = [*component.noisy, *component.others()]
        free = {name: np.isnan(fixed.get(name, np.full(old[name].shape, np.nan))) for name in names}

        def put(vector: Array) -> Values:
            trial, at = dict(old), 0
            for name in names:
                own, k = old[name].copy(), int(free[name].sum())
                part = vector[at : at + k]
                own[free[name]] = np.exp(part) if name in component.noisy else part
                trial[name], at = own, at + k
            return trial

        def loss(vector: Array) -> float:
            with np.errstate(all="ignore"):
                value = -self._component_term(component, place, statistics, old, put(vector))
            return value if np.isfinite(value) else np.inf

        begin = np.concatenate(
            [
                np.log(old[name][free[name]]) if name in component.noisy else old[name][free[name]]
                for name in names
            ]
        )
        if not len(begin):
            return
        with np.errstate(all="ignore"):
            found = minimize(loss, begin, method="BFGS", options={"maxiter": _FEW}).x
        better = put(found if loss(found) <= loss(begin) else begin)
        values.update({name: better[name] for name in names})

    def _component_term(
        self, component: Component, place: slice, statistics: Moments, old: Values, new: Values
    ) -> float:
        """Expected log-density of the states of a component."""
        try:
            block = component.block(new)
        except DegenerateModelError:
            return -np.inf
        dynamics, start = statistics.dynamics, statistics.start
        noisy = [state for states in component.noisy.values() for state in states]
        change = (block.transition - component.block(old).transition)[noisy]
        own = np.arange(place.start, place.stop)
        squares = np.diagonal(dynamics.squares)[own][noisy]
        cross = dynamics.cross[np.ix_(own[noisy], own)]
        moments = dynamics.regressors[np.ix_(own, own)]
        squares = squares - 2.0 * (change * cross).sum(axis=1)
        squares = squares + np.einsum("ij,jk,ik->i", change, moments, change)
        variances = block.variances[noisy]
        total = -0.5 * (dynamics.total * np.log(variances) + squares / variances).sum()
        if component.stationary:
            P = stationary_covariance(block)
            sign, log_det = np.linalg.slogdet(P)
            if sign <= 0.0:
                return -np.inf
            inner = float(np.trace(np.linalg.solve(P, start.squares[place, place])))
            total -= 0.5 * (start.total * log_det + inner)
        return float(total)

    def _expected(self, statistics: Moments, old: Structure, new: Structure) -> float:
        """Expected complete-data objective, up to a constant."""
        total = sum(
            self._component_term(component, place, statistics, old.values, new.values)
            for component, place in self.places()
            if component.noisy or component.stationary
        )
        before, after = self.system(old), self.system(new)
        own, change = statistics.observation, after.regression - before.regression
        n = before.observation.shape[1]
        squares = own.squares[0] - 2.0 * float(change[0] @ own.cross[0, n:])
        squares += float(change[0] @ own.regressors[0, n:, n:] @ change[0])
        noise = float(after.observation_covariance[0])
        return float(total - 0.5 * (own.total[0] * np.log(noise) + squares / noise))

    # ---- other forms ------------------------------------------------------------------------

    def _kind(self, name: str) -> str:
        if name.endswith("_variance"):
            return "variance"
        return name

    def to_vector(self, params: Structure) -> Array:
        """See `LatentVariableModel`: variances as logarithms, effects in deviations of noise."""
        parts = []
        unit = np.sqrt(self.scale)
        for name, own in params.values.items():
            kind = self._kind(name)
            if kind == "variance":
                parts.append(np.log(np.maximum(own, LEAST * self.scale)))
            else:
                parts.append(own / unit if kind == "regression_coefficients" else own)
        return np.concatenate(parts)

    def from_vector(self, vector: Array, like: Structure) -> Structure:
        """See `LatentVariableModel`."""
        if not np.isfinite(vector).all():
            raise DegenerateModelError("a parameter is not finite")
        values, at = {}, 0
        low, high = np.log(LEAST * self.scale), np.log(1e8 * self.scale)
        for name, own in like.values.items():
            part = vector[at : at + len(own)]
            at += len(own)
            kind = self._kind(name)
            if kind == "variance":
                values[name] = np.exp(np.clip(part, low, high))
            elif kind == "regression_coefficients":
                values[name] = part * np.sqrt(self.scale)
            else:
                values[name] = part.copy()
        found = Structure(values)
        self.system(found)
        return found

    def curvature(self, statistics: Moments, params: Structure) -> tuple[Array, Array] | None:
        """See `LatentVariableModel`: by differences of the expected objective, which is cheap."""
        vector = self.to_vector(params)
        middle = self._expected(statistics, params, params)
        slope, curve = np.empty((2, len(vector)))
        for j, step in enumerate(_STEP * np.eye(len(vector))):
            try:
                above, below = (
                    self._expected(
                        statistics, params, self.from_vector(vector + side * step, params)
                    )
                    for side in (1.0, -1.0)
                )
            except DegenerateModelError:
                return None
            slope[j] = (above - below) / (2.0 * _STEP)
            curve[j] = -(above - 2.0 * middle + below) / _STEP**2
        if not (np.isfinite(slope).all() and np.isfinite(curve).all()):
            return None
        least = np.maximum(np.abs(slope), 1e-3)
        return slope, np.diag(np.maximum(curve, least))

    def public(self, params: Structure) -> dict[str, Array]:
        """See `LatentVariableModel`."""
        return dict(params.values)

    def from_public(self, public: Mapping[str, Array], like: Structure) -> Structure:
        """See `LatentVariableModel`."""
        found = Structure({name: np.asarray(public[name], np.float64) for name in like.values})
        self.system(found)
        return found

    def space(self, params: Structure) -> ParameterSpace:
        """See `LatentVariableModel`."""
        parts: dict[str, Part] = {}
        for name, own in params.values.items():
            if self._kind(name) == "variance":
                floor = np.full(own.shape, 1e-9 * self.scale)
                parts[name] = Entries((), lower=0.0, floor=floor)
            elif name == "cycle_damping":
                parts[name] = Entries((), lower=0.0, upper=1.0)
            elif name == "cycle_frequency":
                parts[name] = Entries((), lower=0.0, upper=np.pi, scale=np.array(0.01))
            elif name == "regression_coefficients":
                parts[name] = Entries(("input",), scale=np.array(0.1 * np.sqrt(self.scale)))
            else:
                parts[name] = Entries(("lag",), scale=np.array(0.1))
        return ParameterSpace(parts)
