"""The contract between the engine and a latent-variable model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

DataT = TypeVar("DataT")
ParamsT = TypeVar("ParamsT")
StatsT = TypeVar("StatsT")


class DegenerateModelError(ArithmeticError):
    """A model cannot continue from where it is, for example at a singular covariance.

    Models raise it from `initialize`, `precompute`, `e_step` or `m_step`. The engine
    ends that run with the status `Status.FAILED`; other restarts go on.
    """


class Penalty(NamedTuple):
    """What is held against parameters when starts are compared.

    Attributes
    ----------
    starved : int, default=0
        Parts of the model that have too few observations to be told; fewer are better,
        whatever the objective.
    optimism : float, default=0.0
        Nats by which the objective flatters the rest, in expectation.
    """

    starved: int = 0
    optimism: float = 0.0


class LatentVariableModel(ABC, Generic[DataT, ParamsT, StatsT]):
    """A latent-variable model, as the engine sees it.

    A model is a stateless object: it holds hyperparameters only. Data, parameters and
    statistics are values that it receives and returns, and it changes none of them.
    Parameters can be of any type. Statistics are an array, a number, or a tuple, named
    tuple or dict of these; the engine adds them over the blocks of the data.

    Four methods are the model: `prepare`, `initialize`, `e_step` and `m_step`. The
    others have defaults which suit most models.

    See Also
    --------
    emlearn.testing.check_latent_variable_model : Tests a model against this contract.

    References
    ----------
    A. P. Dempster, N. M. Laird and D. B. Rubin (1977). "Maximum likelihood from
    incomplete data via the EM algorithm". Journal of the Royal Statistical Society B
    39(1), 1-38.
    """

    @abstractmethod
    def prepare(self, X: Any, sample_weight: NDArray[Any] | None = None) -> DataT:
        """Bring observations into the form that the E-step reads; once for each fit.

        Parameters
        ----------
        X : object
            Observations, already validated by the caller.
        sample_weight : ndarray of shape (n_samples,), default=None
            Weight of each observation; weight w means w copies. None means 1 each.

        Returns
        -------
        data : object
            Whatever the other methods need.
        """

    @abstractmethod
    def initialize(self, data: DataT, rng: np.random.Generator) -> ParamsT:
        """Starting parameters. All randomness comes from `rng`."""

    @abstractmethod
    def e_step(self, block: Any, params: Any) -> tuple[StatsT, float]:
        """Expected sufficient statistics and log-likelihood of one block.

        Both must be additive: those of the data are the sums over its blocks.

        Parameters
        ----------
        block : object
            One of `blocks(data)`.
        params : object
            What `precompute` returned; the parameters themselves unless overridden.
        """

    @abstractmethod
    def m_step(self, statistics: StatsT, params: ParamsT) -> ParamsT:
        """Parameters that maximise the expected complete-data objective.

        Parameters
        ----------
        statistics : object
            Sum of the statistics of all blocks.
        params : object
            The parameters at which the statistics were taken.
        """

    def log_prior(self, params: ParamsT) -> float:
        """Log prior density up to a constant; 0 for maximum likelihood."""
        return 0.0

    def precompute(self, params: ParamsT) -> Any:
        """Functions of the parameters that every block needs; once for each E-step."""
        return params

    def blocks(self, data: DataT) -> Sequence[Any]:
        """Independent parts of the data. The engine may work on them in threads.

        The division must depend on the data alone. A block should be worth some hundred
        microseconds of work; data smaller than that should be one block.
        """
        return (data,)

    def total_weight(self, data: DataT) -> float:
        """Sum of the weights of the observations: tolerances are per unit of weight."""
        return 1.0

    def perturb(self, data: DataT, params: ParamsT, rng: np.random.Generator) -> ParamsT | None:
        """Parameters changed at random so that EM may reach another, better optimum.

        The search for the global optimum runs a few EM steps from there and keeps them
        if they lead higher. None, the default, is that no such change is known.
        """
        return None

    def candidates(self, data: DataT, rng: np.random.Generator, n: int) -> Iterator[ParamsT]:
        """Starting parameters to choose from, at most so many, the most promising first.

        They should be of several kinds: what one kind of start misses, another finds. The
        default is `initialize` again and again. Starts that fail are left out.
        """
        for _ in range(n):
            with suppress(DegenerateModelError):
                yield self.initialize(data, rng)

    def ranking_penalty(self, statistics: StatsT, params: ParamsT) -> Penalty:
        """What to hold against parameters when starts are compared; nothing by default.

        The fit itself does not look at it.
        """
        return Penalty()

    def n_parameters(self, params: ParamsT) -> int:
        """Number of free parameters, by which parts of large data are measured.

        The default, 0, is that starts are compared on all data.
        """
        return 0

    def subset(
        self, data: DataT, rng: np.random.Generator, size: int | None = None
    ) -> DataT | None:
        """A random part of large data on which starts can be compared at less cost.

        Parameters fitted to the part have to be parameters for the whole. None, the
        default, is that the data are small enough, or cannot be divided.

        Parameters
        ----------
        data : object
            What `prepare` returned.
        rng : Generator
            Source of all randomness.
        size : int, default=None
            Number of observations; None leaves it to the model.
        """
        return None

    def to_vector(self, params: ParamsT) -> NDArray[np.float64]:
        """Parameters as an unconstrained vector, in which accelerators extrapolate."""
        raise NotImplementedError(
            f"{type(self).__name__} has no vector form, so it cannot be accelerated; "
            "define to_vector and from_vector."
        )

    def from_vector(self, vector: NDArray[np.float64], like: ParamsT) -> ParamsT:
        """Parameters from `to_vector`'s form, of the shapes of `like`.

        Raises
        ------
        DegenerateModelError
            If the vector is no valid parameter; the engine then rejects the proposal.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no vector form, so it cannot be accelerated; "
            "define to_vector and from_vector."
        )
