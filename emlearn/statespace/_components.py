"""Components of structural time series: what each adds to the state, and its parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_discrete_lyapunov

from emlearn.engine.errors import DegenerateModelError

Array = NDArray[np.float64]
Values = dict[str, Array]

# Modulus of an eigenvalue from which a stationary covariance is too close to infinite.
_UNSTABLE = 1.0 - 1e-9


class Block(NamedTuple):
    """Part of the state of a component.

    Attributes
    ----------
    transition : ndarray of shape (n_states, n_states)
        Its transition matrix.
    loadings : ndarray of shape (n_states,)
        What of it is observed.
    variances : ndarray of shape (n_states,)
        Variances of the noise of its states.
    """

    transition: Array
    loadings: Array
    variances: Array


class Component(ABC):
    """Strategy for one component.

    Attributes
    ----------
    name : str
        Its name.
    stationary : bool
        Whether its first state has the stationary distribution; otherwise a flat prior.
    """

    name: str
    stationary: bool = False

    @abstractmethod
    def block(self, values: Values) -> Block:
        """Its part of the state at values of its parameters.

        Raises
        ------
        DegenerateModelError
            If it has to be stationary and is not.
        """

    @property
    @abstractmethod
    def noisy(self) -> dict[str, tuple[int, ...]]:
        """States whose noise has a variance that is a parameter, by its name."""

    @property
    @abstractmethod
    def n_states(self) -> int:
        """Number of states."""

    def others(self, along: float = 0.5) -> dict[str, Array]:
        """Other parameters at moderate values, `along` of the way from low to high ones."""
        return {}


@dataclass(frozen=True)
class Trend(Component):
    """A level, and its slope.

    Parameters
    ----------
    slope : bool
        Whether there is a slope.
    level_moves, slope_moves : bool
        Whether they have noise.
    """

    slope: bool
    level_moves: bool
    slope_moves: bool
    name: str = "trend"

    @property
    def noisy(self) -> dict[str, tuple[int, ...]]:
        """See `Component`."""
        found: dict[str, tuple[int, ...]] = {}
        if self.level_moves:
            found["level_variance"] = (0,)
        if self.slope and self.slope_moves:
            found["slope_variance"] = (1,)
        return found

    @property
    def n_states(self) -> int:
        """See `Component`."""
        return 1 + self.slope

    def block(self, values: Values) -> Block:
        """See `Component`."""
        transition = np.array([[1.0, 1.0], [0.0, 1.0]]) if self.slope else np.eye(1)
        loadings = np.eye(self.n_states)[0]
        variances = np.zeros(self.n_states)
        for name, states in self.noisy.items():
            variances[list(states)] = values[name]
        return Block(transition, loadings, variances)


@dataclass(frozen=True)
class DummySeasonal(Component):
    """Effects of the seasons, whose sum over a period is noise.

    Parameters
    ----------
    period : int
        Number of seasons.
    moves : bool
        Whether the effects change.
    """

    period: int
    moves: bool
    name: str = "seasonal"

    @property
    def noisy(self) -> dict[str, tuple[int, ...]]:
        """See `Component`."""
        return {"seasonal_variance": (0,)} if self.moves else {}

    @property
    def n_states(self) -> int:
        """See `Component`."""
        return self.period - 1

    def block(self, values: Values) -> Block:
        """See `Component`."""
        n = self.n_states
        transition = np.eye(n, k=-1)
        transition[0] = -1.0
        variances = np.zeros(n)
        variances[0] = values.get("seasonal_variance", np.zeros(1))[0]
        return Block(transition, np.eye(n)[0], variances)


@dataclass(frozen=True)
class TrigonometricSeasonal(Component):
    """Harmonics of a period, each of which turns with noise.

    Parameters
    ----------
    period : int
        Number of seasons.
    moves : bool
        Whether the harmonics change.
    """

    period: int
    moves: bool
    name: str = "seasonal"

    @property
    def noisy(self) -> dict[str, tuple[int, ...]]:
        """See `Component`."""
        return {"seasonal_variance": tuple(range(self.n_states))} if self.moves else {}

    @property
    def n_states(self) -> int:
        """See `Component`."""
        return self.period - 1

    def block(self, values: Values) -> Block:
        """See `Component`."""
        n = self.n_states
        transition, loadings = np.zeros((n, n)), np.zeros(n)
        for j in range(1, self.period // 2 + 1):
            at = 2 * (j - 1)
            loadings[at] = 1.0
            if 2 * j == self.period:
                transition[at, at] = -1.0
            else:
                transition[at : at + 2, at : at + 2] = _rotation(2.0 * np.pi * j / self.period)
        variance = values.get("seasonal_variance", np.zeros(1))[0]
        return Block(transition, loadings, np.full(n, variance))


@dataclass(frozen=True)
class Cycle(Component):
    """A damped cycle of unknown frequency.

    Parameters
    ----------
    shortest, longest : float
        Bounds of its period.
    """

    shortest: float
    longest: float
    name: str = "cycle"
    stationary: bool = True

    @property
    def noisy(self) -> dict[str, tuple[int, ...]]:
        """See `Component`."""
        return {"cycle_variance": (0, 1)}

    @property
    def n_states(self) -> int:
        """See `Component`."""
        return 2

    def others(self, along: float = 0.5) -> dict[str, Array]:
        """See `Component`."""
        period = self.longest ** (1.0 - along) * self.shortest**along
        return {
            "cycle_damping": np.array([0.9]),
            "cycle_frequency": np.array([2.0 * np.pi / period]),
        }

    def block(self, values: Values) -> Block:
        """See `Component`."""
        damping, frequency = values["cycle_damping"][0], values["cycle_frequency"][0]
        low, high = 2.0 * np.pi / self.longest, 2.0 * np.pi / self.shortest
        if not (0.0 <= damping < _UNSTABLE and low <= frequency <= high):
            raise DegenerateModelError("the cycle is out of its bounds")
        transition = damping * _rotation(frequency)
        return Block(transition, np.array([1.0, 0.0]), np.full(2, values["cycle_variance"][0]))


@dataclass(frozen=True)
class Autoregression(Component):
    """A stationary autoregression.

    Parameters
    ----------
    order : int
        Its order.
    """

    order: int
    name: str = "autoregressive"
    stationary: bool = True

    @property
    def noisy(self) -> dict[str, tuple[int, ...]]:
        """See `Component`."""
        return {"autoregressive_variance": (0,)}

    @property
    def n_states(self) -> int:
        """See `Component`."""
        return self.order

    def others(self, along: float = 0.5) -> dict[str, Array]:
        """See `Component`."""
        return {"autoregressive_coefficients": 0.5 * np.eye(self.order)[0]}

    def block(self, values: Values) -> Block:
        """See `Component`."""
        n = self.order
        transition = np.eye(n, k=-1)
        transition[0] = values["autoregressive_coefficients"]
        finite = np.isfinite(transition).all()
        if not finite or not np.abs(np.linalg.eigvals(transition)).max() < _UNSTABLE:
            raise DegenerateModelError("the autoregression is not stationary")
        variances = np.zeros(n)
        variances[0] = values["autoregressive_variance"][0]
        return Block(transition, np.eye(n)[0], variances)


def stationary_covariance(block: Block) -> Array:
    """Stationary covariance of the states of a component."""
    found = solve_discrete_lyapunov(block.transition, np.diag(block.variances))
    return np.asarray(0.5 * (found + found.T), np.float64)


def _rotation(angle: float) -> Array:
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
