"""The contract between the engine and a latent-variable model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from emlearn.engine.errors import DegenerateModelError
from emlearn.engine.parameters import Entries, ParameterSpace
from emlearn.engine.trees import leaves, with_leaves

__all__ = ["DegenerateModelError", "LatentVariableModel", "Penalty"]

DataT = TypeVar("DataT")
ParamsT = TypeVar("ParamsT")
StatsT = TypeVar("StatsT")


class Penalty(NamedTuple):
    """Penalty of parameters when starts are compared.

    Attributes
    ----------
    starved : int, default=0
        Number of parts of the model that have too few observations. Fewer are better,
        whatever the objective.
    optimism : float, default=0.0
        Expected excess of the objective of the other parts, in nats, because they were fitted
        to the same observations.
    """

    starved: int = 0
    optimism: float = 0.0


class LatentVariableModel(ABC, Generic[DataT, ParamsT, StatsT]):
    """A latent-variable model: what the engine needs to fit it.

    A model has no state; it holds only hyperparameters. It receives and returns data,
    parameters and statistics, and never modifies them. Parameters can be of any type.
    Statistics are an array, a number, or a tuple, named tuple or dict of these; the
    engine adds them over the blocks of the data.

    A model must define four methods: `prepare`, `initialize`, `e_step` and `m_step`. The
    others have defaults that suit most models.

    See Also
    --------
    emlearn.testing.check_latent_variable_model : Tests that a model keeps this contract.

    References
    ----------
    A. P. Dempster, N. M. Laird and D. B. Rubin (1977). "Maximum likelihood from
    incomplete data via the EM algorithm". Journal of the Royal Statistical Society B
    39(1), 1-38.
    """

    @abstractmethod
    def prepare(self, X: Any, sample_weight: NDArray[Any] | None = None) -> DataT:
        """Convert observations to the form that the E-step reads; called once per fit.

        Parameters
        ----------
        X : object
            Observations, validated by the caller.
        sample_weight : ndarray of shape (n_samples,), default=None
            Weight of each observation; weight w means w copies. None means weights of 1.

        Returns
        -------
        data : object
            What the other methods need.
        """

    @abstractmethod
    def initialize(self, data: DataT, rng: np.random.Generator) -> ParamsT:
        """Parameters to start from. All random numbers come from `rng`."""

    @abstractmethod
    def e_step(self, block: Any, params: Any) -> tuple[StatsT, float]:
        """Expected sufficient statistics and log-likelihood of one block.

        Both must be additive: their values for the data are the sums over the blocks.

        Parameters
        ----------
        block : object
            One of `blocks(data)`.
        params : object
            What `precompute` returned: by default, the parameters.
        """

    @abstractmethod
    def m_step(self, statistics: StatsT, params: ParamsT) -> ParamsT:
        """Parameters that maximize the expected complete-data objective.

        Parameters
        ----------
        statistics : object
            Sum of the statistics over all blocks.
        params : object
            The parameters at which the statistics were taken.
        """

    def log_prior(self, params: ParamsT) -> float:
        """Log prior density, up to a constant; 0 means maximum likelihood."""
        return 0.0

    # ---- rows that are read block by block ------------------------------------------------

    def learn(self, table: Any) -> Any:
        """What `prepare` learns from all rows of a `BlockTable`; by default nothing."""
        return None

    def prepare_part(self, part: Any, learned: Any) -> DataT:
        """As `prepare`, for some rows; by default, `prepare` itself.

        A model whose `prepare` depends on all rows overrides this method and `learn`.

        Parameters
        ----------
        part : RowPart
            Rows of positive weight.
        learned : object
            From `learn`.

        Returns
        -------
        data : object
            As from `prepare`.
        """
        return self.prepare(part.X, part.weight)

    def open_part(self, part: Any, learned: Any) -> Sequence[Any]:
        """The blocks of `prepare_part`, for one E-step; a model may find them at less cost."""
        return self.blocks(self.prepare_part(part, learned))

    def weight_of_table(self, table: Any) -> float:
        """`total_weight` of a `BlockTable`; by default the sum of the weights of its rows."""
        return float(table.total_weight)

    def widened(self, learned: Any, part: Any) -> Any:
        """What the model learned, with room for what is new in rows; by default as it is.

        Stepwise EM asks for it before each batch. It is for what grows with the rows, such as a
        table of the counts that there are. The same object means that nothing is new.

        Parameters
        ----------
        learned : object
            From `learn`.
        part : RowPart
            Rows of positive weight.

        Returns
        -------
        learned : object
            The same object, or a wider one.
        """
        return learned

    def carried(self, params: ParamsT, statistics: StatsT, learned: Any) -> tuple[ParamsT, StatsT]:
        """Parameters and statistics for what `widened` returned; by default as they are."""
        return params, statistics

    def recentered(self, statistics: StatsT, params: ParamsT, moved: ParamsT) -> StatsT:
        """Statistics taken at some parameters, as if at others, with the same posterior.

        Stepwise EM needs it where statistics are relative to parameters, such as moments about
        means. By default they are not.

        Parameters
        ----------
        statistics : object
            Statistics.
        params : object
            The parameters at which they were taken.
        moved : object
            The other parameters.

        Returns
        -------
        statistics : object
            The statistics.
        """
        return statistics

    # ---- the objective ----------------------------------------------------------------------

    def log_likelihood(self, data: DataT, params: ParamsT, objective: float) -> float:
        """Log-likelihood of the data at parameters with this objective; without a prior, equal.

        A model whose E-step includes the term of a regularizer overrides it.
        """
        return objective - self.log_prior(params)

    def precompute(self, params: ParamsT) -> Any:
        """Functions of the parameters that every block needs; called once per E-step."""
        return params

    def blocks(self, data: DataT) -> Sequence[Any]:
        """Independent parts of the data, on which the engine can work in threads.

        The division must depend only on the data. The E-step of a block should take at
        least some hundred microseconds; smaller data should be one block.
        """
        return (data,)

    def open(self, block: Any) -> Any:
        """A block in the form in which a mapper may keep it between E-steps."""
        return block

    def mapper(self, data: DataT) -> Any:
        """The `Mapper` of data that are not in this process; None if any will do."""
        return None

    def total_weight(self, data: DataT) -> float:
        """Sum of the weights of the observations; tolerances are per unit of weight."""
        return 1.0

    def perturb(self, data: DataT, params: ParamsT, rng: np.random.Generator) -> ParamsT | None:
        """Random change of the parameters from which EM may reach a better optimum.

        The search for the global optimum takes a few EM steps from the result and keeps
        it if the objective becomes higher. None, the default, means that the model has no
        perturbations.
        """
        return None

    def candidates(self, data: DataT, rng: np.random.Generator, n: int) -> Iterator[ParamsT]:
        """At most `n` starting parameters to choose from, the most promising first.

        They should be of several kinds, because one kind finds what another misses. By
        default they are repeated calls of `initialize`. Starts that fail are left out.
        """
        for _ in range(n):
            with suppress(DegenerateModelError):
                yield self.initialize(data, rng)

    def ranking_penalty(self, statistics: StatsT, params: ParamsT) -> Penalty:
        """Penalty of parameters when starts are compared; none by default.

        It has no effect on the fit from a given start.
        """
        return Penalty()

    def unsound(self, statistics: StatsT, params: ParamsT) -> list[str]:
        """What is not sound about the parameters of a fit, and what to do; nothing by default.

        Each string is a warning: it names the part of the model and what is wrong with it.
        """
        return []

    def n_parameters(self, params: ParamsT) -> int:
        """Number of free parameters; by default the length of the vector form, 0 without one."""
        return len(self.to_vector(params)) if self.has_vector else 0

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

    @property
    def has_vector(self) -> bool:
        """Whether the parameters have a vector form, which acceleration needs."""
        return type(self).to_vector is not LatentVariableModel.to_vector

    def to_vector(self, params: ParamsT) -> NDArray[np.float64]:
        """Parameters as an unconstrained vector, in which accelerators can extrapolate."""
        raise NotImplementedError(
            f"{type(self).__name__} has no vector form, so it cannot be accelerated; "
            "define to_vector and from_vector."
        )

    def from_vector(self, vector: NDArray[np.float64], like: ParamsT) -> ParamsT:
        """Inverse of `to_vector`; the parameters have the shapes of `like`.

        Raises
        ------
        DegenerateModelError
            If no valid parameters have this vector. The engine then rejects the proposal.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no vector form, so it cannot be accelerated; "
            "define to_vector and from_vector."
        )

    def curvature(
        self, statistics: StatsT, params: ParamsT
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Gradient of the objective and information, in the coordinates of `to_vector`.

        Optional: with it, ``accelerate="auto"`` takes Newton steps where they raise the objective.
        The information may be an approximation. None where there is none.

        Parameters
        ----------
        statistics : object
            Sum of the statistics over all blocks.
        params : object
            The parameters at which they were taken.
        """
        return None

    @property
    def has_curvature(self) -> bool:
        """Whether the model defines `curvature`."""
        return type(self).curvature is not LatentVariableModel.curvature

    # ---- the published parameters: for standard errors and fixed entries ----------------

    def public(self, params: ParamsT) -> dict[str, NDArray[np.float64]]:
        """Parameters as arrays by name, in the units of the data.

        By default they are the leaves of the tree of parameters.
        """
        return leaves(params)

    def from_public(self, public: Mapping[str, NDArray[np.float64]], like: ParamsT) -> ParamsT:
        """Inverse of `public`.

        Parameters
        ----------
        public : mapping of str to ndarray
            Parameters by name, as from `public`.
        like : object
            Parameters of the same shapes, from a fit to the same data.

        Returns
        -------
        params : object
            The parameters.

        Raises
        ------
        DegenerateModelError, ValueError
            If there are no such parameters.
        """
        found: ParamsT = with_leaves(like, public)
        return found

    def space(self, params: ParamsT) -> ParameterSpace:
        """What the arrays of `public` are; by default, entries that vary separately."""
        return ParameterSpace({name: Entries() for name in self.public(params)})

    def score(self, statistics: StatsT, params: ParamsT) -> dict[str, NDArray[np.float64]]:
        """Gradient of the expected complete-data objective with respect to `public`.

        At the parameters at which the statistics were taken it is the gradient of the
        objective itself, log-likelihood plus log prior (Fisher's identity). Optional: without
        it, information is found from differences of the objective, at a greater cost.

        Parameters
        ----------
        statistics : object
            Sum of the statistics over all blocks.
        params : object
            The parameters at which they were taken.

        Returns
        -------
        gradient : dict of str to ndarray
            For each array of `public`, derivatives as if its entries varied separately.
        """
        raise NotImplementedError(f"{type(self).__name__} has no score.")

    @property
    def has_score(self) -> bool:
        """Whether the model defines `score`."""
        return type(self).score is not LatentVariableModel.score

    def log_likelihoods(
        self, data: DataT, params: ParamsT
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Log-likelihoods of the independent observations, and their weights.

        Optional: empirical information and sandwich covariances need it.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no log-likelihoods of single observations; define "
            "log_likelihoods, or use information='observed'."
        )

    def constrained_m_step(
        self,
        statistics: StatsT,
        params: ParamsT,
        fixed: Mapping[str, NDArray[np.float64]],
    ) -> ParamsT:
        """As `m_step`, with some entries of the published parameters held.

        By default the entries are put into the result of `m_step`. That is the maximum where
        the entries that depend on each other only have to sum to a constant. A model in which
        the best values of free entries depend on the held ones overrides it. The expected
        objective must not become lower.

        Parameters
        ----------
        statistics : object
            Sum of the statistics over all blocks.
        params : object
            The parameters at which the statistics were taken; they have the held entries.
        fixed : mapping of str to ndarray
            Entries to hold, by the names of `public`; NaN where free.

        Returns
        -------
        params : object
            Parameters that have the entries.
        """
        return self.impose(self.m_step(statistics, params), fixed)

    def impose(self, params: ParamsT, fixed: Mapping[str, NDArray[np.float64]]) -> ParamsT:
        """Parameters with entries put in; see `constrained_m_step`."""
        public = self.space(params).impose(self.public(params), fixed)
        return self.from_public(public, params)

    def example(self, data: DataT) -> ParamsT:
        """Any parameters of the shapes that a fit to the data has; by default a start."""
        return self.initialize(data, np.random.default_rng(0))

    def with_fixed(
        self,
        data: DataT,
        params: ParamsT,
        fixed: Mapping[str, NDArray[np.float64]],
        rng: np.random.Generator,
    ) -> ParamsT:
        """A start with entries held, from one without; by default they are put in.

        A model whose parts are exchangeable first numbers them such that each is close to the
        entries that are held.

        Raises
        ------
        DegenerateModelError
            If the entries do not go with the others. The start then fails.
        """
        return self.impose(params, fixed)

    def constrained_penalty(
        self, statistics: StatsT, params: ParamsT, fixed: Mapping[str, NDArray[np.float64]]
    ) -> Penalty:
        """As `ranking_penalty`, with entries held, which do not flatter their observations."""
        return self.ranking_penalty(statistics, params)

    def constrained_unsound(
        self, statistics: StatsT, params: ParamsT, fixed: Mapping[str, NDArray[np.float64]]
    ) -> list[str]:
        """As `unsound`, with entries held."""
        return self.unsound(statistics, params)
