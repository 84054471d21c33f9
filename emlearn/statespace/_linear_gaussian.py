"""The state-space model whose matrices are all free: M-step, vector form and published form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

from emlearn.engine.errors import DegenerateModelError
from emlearn.engine.parameters import Entries, ParameterSpace, Part, Symmetric
from emlearn.statespace._covariances import CovarianceKind, FullCovariance, gradient
from emlearn.statespace._data import SequenceData
from emlearn.statespace._model import Moments, StateSpaceModel
from emlearn.statespace._regression import maximize
from emlearn.statespace._starts import near_held, random_start, subspace_starts
from emlearn.statespace._system import System, as_matrix

Array = NDArray[np.float64]

_DYNAMICS = ("transition_matrix", "input_matrix")
_LOADINGS = ("observation_matrix", "feedthrough_matrix", "observation_offset")


@dataclass(frozen=True)
class LinearGaussianModel(StateSpaceModel[System]):
    """Linear Gaussian state-space model; its parameters are a `System`.

    Diagonal covariances are vectors in the parameters.

    Parameters
    ----------
    n_states : int
        Number of states.
    transition_kind, observation_kind : CovarianceKind
        Kinds of the covariances.
    min_noise : float
        Least variance of the noise of a column, as a part of the variance of the column.
    floor : ndarray of shape (n_features,)
        The same in the units of the columns.
    """

    n_states: int = 1
    transition_kind: CovarianceKind = field(default_factory=FullCovariance)
    observation_kind: CovarianceKind = field(default_factory=FullCovariance)
    floor: Array | None = None

    def system(self, params: System) -> System:
        """See `StateSpaceModel`."""
        return params._replace(transition_covariance=as_matrix(params.transition_covariance))

    def initialize(self, data: SequenceData, rng: np.random.Generator) -> System:
        """See `LatentVariableModel`."""
        return self._compressed(random_start(data, self.n_states, rng))

    def candidates(self, data: SequenceData, rng: np.random.Generator, n: int) -> Iterator[System]:
        """See `LatentVariableModel`: subspace identification, then random stable systems."""
        left = n
        for start in subspace_starts(data, self.n_states):
            if not left:
                return
            left -= 1
            yield self._compressed(start)
        yield from super().candidates(data, rng, left)

    def with_fixed(
        self,
        data: SequenceData,
        params: System,
        fixed: Mapping[str, Array],
        rng: np.random.Generator,
    ) -> System:
        """See `LatentVariableModel`: first in the basis that is closest to what is held."""
        return self.impose(self._compressed(near_held(self.system(params), fixed)), fixed)

    def _compressed(self, system: System) -> System:
        covariance = self.observation_kind.compress(as_matrix(system.observation_covariance))
        if self.floor is not None:
            covariance = self.observation_kind.estimate(covariance, 1.0, self.floor)
        return system._replace(
            transition_covariance=self.transition_kind.compress(
                as_matrix(system.transition_covariance)
            ),
            observation_covariance=covariance,
        )

    # ---- M-step ---------------------------------------------------------------------------

    def m_step(self, statistics: Moments, params: System) -> System:
        """See `LatentVariableModel`."""
        return self.constrained_m_step(statistics, params, {})

    def constrained_m_step(
        self, statistics: Moments, params: System, fixed: Mapping[str, Array]
    ) -> System:
        """See `LatentVariableModel`."""
        held = {
            name: fixed.get(name, np.full(value.shape, np.nan))
            for name, value in self.public(params).items()
        }
        dynamics, transition_covariance = maximize(
            statistics.dynamics,
            params.dynamics,
            params.transition_covariance,
            self.transition_kind,
            None,
            np.hstack([held[name] for name in _DYNAMICS if name in held]),
            held["transition_covariance"],
        )
        loadings, observation_covariance = maximize(
            statistics.observation,
            params.loadings,
            params.observation_covariance,
            self.observation_kind,
            self.floor,
            np.hstack([_columns(held[name]) for name in _LOADINGS if name in held]),
            held["observation_covariance"],
        )
        found = (
            params.with_dynamics(dynamics)
            .with_loadings(loadings)
            ._replace(
                transition_covariance=transition_covariance,
                observation_covariance=observation_covariance,
            )
        )
        return self._first_states(statistics, found, held)

    def _first_states(
        self, statistics: Moments, params: System, held: Mapping[str, Array]
    ) -> System:
        start = statistics.start
        change = start.deviation / start.total
        if self.start.columns:
            return params._replace(initial_mean=params.initial_mean + change)
        known = held["initial_mean"]
        covariance = held["initial_covariance"]
        if np.isnan(known).any() and not np.isnan(known).all():
            change = self._partial(change, params.initial_covariance, np.isnan(known))
        mean = np.where(np.isnan(known), params.initial_mean + change, known)
        moved = mean - params.initial_mean
        squares = start.squares - np.outer(start.deviation, moved)
        squares = squares - np.outer(moved, start.deviation) + start.total * np.outer(moved, moved)
        full = FullCovariance()
        if np.isnan(covariance).all():
            found = full.estimate(squares, start.total, None)
        else:
            found = full.estimate_held(
                squares, start.total, None, covariance, params.initial_covariance
            )
        return params._replace(initial_mean=mean, initial_covariance=found)

    @staticmethod
    def _partial(change: Array, covariance: Array, free: NDArray[np.bool_]) -> Array:
        """Best change of the free entries of the mean, while the others stay."""
        precision = np.linalg.inv(covariance)
        inner = precision[np.ix_(free, free)]
        found = np.zeros_like(change)
        found[free] = change[free] + np.linalg.solve(
            inner, precision[np.ix_(free, ~free)] @ change[~free]
        )
        return found

    # ---- vector form ----------------------------------------------------------------------

    def to_vector(self, params: System) -> Array:
        """See `LatentVariableModel`; loadings are in standard deviations of the noise."""
        unit = np.sqrt(_variances(params.observation_covariance))[:, None]
        parts = [
            params.dynamics.ravel(),
            (params.loadings / unit).ravel(),
            self.transition_kind.to_vector(params.transition_covariance),
            self.observation_kind.to_vector(params.observation_covariance, self.floor),
        ]
        if not self.start.columns:
            parts += [params.initial_mean, FullCovariance().to_vector(params.initial_covariance)]
        return np.concatenate(parts)

    def from_vector(self, vector: Array, like: System) -> System:
        """See `LatentVariableModel`."""
        if not np.isfinite(vector).all():
            raise DegenerateModelError("a parameter is not finite")
        n, m = like.transition.shape[0], like.observation.shape[0]
        sizes = [
            like.dynamics.size,
            like.loadings.size,
            self.transition_kind.n_entries(n),
            self.observation_kind.n_entries(m),
        ]
        if not self.start.columns:
            sizes += [n, n * (n + 1) // 2]
        parts = np.split(vector, np.cumsum(sizes)[:-1])
        observation = self.observation_kind.from_vector(parts[3], m, self.floor)
        unit = np.sqrt(_variances(observation))[:, None]
        found = like.with_dynamics(parts[0].reshape(like.dynamics.shape))
        found = found.with_loadings(parts[1].reshape(like.loadings.shape) * unit)._replace(
            transition_covariance=self.transition_kind.from_vector(parts[2], n),
            observation_covariance=observation,
        )
        if self.start.columns:
            return found
        return found._replace(
            initial_mean=parts[4], initial_covariance=FullCovariance().from_vector(parts[5], n)
        )

    def curvature(self, statistics: Moments, params: System) -> tuple[Array, Array] | None:
        """See `LatentVariableModel`: the information of complete data, block by block.

        That is what an EM step goes by; the accelerator corrects it by what the gradients of its
        steps show.
        """
        dynamics, observation = statistics.dynamics, statistics.observation
        n, m = len(params.transition), len(params.observation)
        try:
            precision, by_transition = gradient(
                params.transition_covariance, dynamics.squares, dynamics.total
            )
            weight, by_noise = gradient(
                params.observation_covariance, observation.squares, observation.total
            )
            by_dynamics, by_loadings = precision @ dynamics.cross, weight @ observation.cross
            variances = _variances(params.observation_covariance)
            unit = np.sqrt(variances)
            # The unit of the loadings is a function of the noise.
            moved = 0.5 * (by_loadings * params.loadings).sum(axis=1) / variances
            by_noise = by_noise + np.diag(moved)
            transition = self.transition_kind.pull(
                params.transition_covariance, by_transition, dynamics.total
            )
            noise = self.observation_kind.pull(
                params.observation_covariance, by_noise, observation.total, self.floor
            )
            scaled = weight * unit * unit[:, None]
            S = observation.regressors
            if S.ndim == 2:
                loadings = np.kron(scaled, S)
            else:
                loadings = block_diag(*(np.diagonal(scaled)[:, None, None] * S))
            slopes = [
                by_dynamics.ravel(),
                (by_loadings * unit[:, None]).ravel(),
                transition[0],
                noise[0],
            ]
            blocks = [
                np.kron(precision, dynamics.regressors),
                loadings,
                np.diag(transition[1]),
                np.diag(noise[1]),
            ]
            if not self.start.columns:
                start = statistics.start
                before, by_start = gradient(params.initial_covariance, start.squares, start.total)
                first = FullCovariance().pull(params.initial_covariance, by_start, start.total)
                slopes += [before @ start.deviation, first[0]]
                blocks += [start.total * before, np.diag(first[1])]
        except (DegenerateModelError, np.linalg.LinAlgError):
            return None
        assert n and m
        return np.concatenate(slopes), block_diag(*blocks)

    # ---- published form -------------------------------------------------------------------

    def public(self, params: System) -> dict[str, Array]:
        """See `LatentVariableModel`; first states without a prior are not parameters."""
        found = _named(params.dynamics, params.loadings, params)
        found["transition_covariance"] = as_matrix(params.transition_covariance)
        found["observation_covariance"] = as_matrix(params.observation_covariance)
        if not self.start.columns:
            found["initial_mean"] = params.initial_mean
            found["initial_covariance"] = params.initial_covariance
        return found

    def from_public(self, public: Mapping[str, Array], like: System) -> System:
        """See `LatentVariableModel`."""
        loadings = np.hstack([_columns(public[name]) for name in _LOADINGS if name in public])
        dynamics = np.hstack([public[name] for name in _DYNAMICS if name in public])
        found = (
            like.with_dynamics(dynamics)
            .with_loadings(loadings)
            ._replace(
                transition_covariance=self.transition_kind.compress(
                    public["transition_covariance"]
                ),
                observation_covariance=self.observation_kind.compress(
                    public["observation_covariance"]
                ),
            )
        )
        if self.start.columns:
            return found
        return found._replace(
            initial_mean=public["initial_mean"], initial_covariance=public["initial_covariance"]
        )

    def space(self, params: System) -> ParameterSpace:
        """See `LatentVariableModel`."""
        noise = np.sqrt(_variances(params.transition_covariance))
        unit = np.sqrt(_variances(params.observation_covariance))
        n, m = len(noise), len(unit)
        parts: dict[str, Part] = {
            "transition_matrix": Entries(("state", "state"), scale=np.array(0.1)),
            "observation_matrix": Entries(("feature", "state"), scale=unit[:, None]),
            "input_matrix": Entries(("state", "input"), scale=noise[:, None]),
            "feedthrough_matrix": Entries(("feature", "input"), scale=unit[:, None]),
            "observation_offset": Entries(("feature",), scale=unit),
            "transition_covariance": self.transition_kind.part(("state", "state"), n),
            "observation_covariance": self.observation_kind.part(("feature", "feature"), m),
        }
        if not self.start.columns:
            deviation = np.sqrt(np.maximum(np.diagonal(params.initial_covariance), 1e-12))
            parts["initial_mean"] = Entries(("state",), scale=deviation)
            parts["initial_covariance"] = Symmetric(("state", "state"))
        return ParameterSpace({name: parts[name] for name in self.public(params)})

    def score(self, statistics: Moments, params: System) -> dict[str, Array]:
        """See `LatentVariableModel`."""
        system, start = self.system(params), statistics.start
        dynamics, observation = statistics.dynamics, statistics.observation
        precision, by_transition = gradient(
            params.transition_covariance, dynamics.squares, dynamics.total
        )
        by_dynamics = precision @ dynamics.cross
        precision, by_noise = gradient(
            params.observation_covariance, observation.squares, observation.total
        )
        by_loadings = precision @ observation.cross
        found = _named(by_dynamics, by_loadings, params)
        found["transition_covariance"] = by_transition
        found["observation_covariance"] = by_noise
        if not self.start.columns:
            precision, by_start = gradient(system.initial_covariance, start.squares, start.total)
            found["initial_mean"] = precision @ start.deviation
            found["initial_covariance"] = by_start
        return found


def _named(dynamics: Array, loadings: Array, like: System) -> dict[str, Array]:
    """The published matrices; those without entries are left out."""
    n, n_inputs = like.transition.shape[0], like.inputs.shape[1]
    found = {"transition_matrix": dynamics[:, :n], "observation_matrix": loadings[:, :n]}
    if n_inputs:
        found["input_matrix"] = dynamics[:, n:]
        found["feedthrough_matrix"] = loadings[:, n : n + n_inputs]
    if like.regression.shape[1] > n_inputs:
        found["observation_offset"] = loadings[:, -1]
    return found


def _columns(array: Array) -> Array:
    return array if array.ndim == 2 else array[:, None]


def _variances(covariance: Array) -> Array:
    return covariance if covariance.ndim == 1 else np.diagonal(covariance).copy()
