"""The contract between a family of distributions and the models that use it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Family(ABC):
    """Distributions of the rows in each of K components: the emissions of a latent label.

    A family is a frozen dataclass of hyperparameters. What it learns of the columns (the
    *frame*), rows in the form its arithmetic needs, parameters of all K components at
    once, and statistics are values that it receives and returns, and it changes none of
    them. It knows no mixture, no chain, no weights of components and no loop, so that
    mixtures and hidden Markov models use the same families.

    `log_density`, `statistics` and `estimate` are the distribution. For families whose
    columns are independent and each from a one-parameter exponential family,
    `ExponentialFamily` supplies them.

    Parameters are a named tuple (or other tree) of arrays, the first axis the component;
    statistics are an array, a number, or a tuple or dict of these, and add up over blocks
    of rows.
    """

    #: Whether `frame` and `encode` take scipy.sparse CSR arrays.
    accepts_sparse: ClassVar[bool] = False
    #: Whether the values are codes or counts: integers >= 0.
    is_discrete: ClassVar[bool] = False

    def at_columns(self, names: Sequence[str] | None, n_features: int) -> Family:
        """The family for rows with these columns; those that take all rows are it themselves.

        Raises
        ------
        ValueError
            If the family names a column that X has not.
        """
        return self

    # ---- rows -------------------------------------------------------------------------

    def frame(self, X: Any, weight: Array | None = None) -> Any:
        """What is learnt of the columns before EM; the default is nothing.

        Parameters
        ----------
        X : ndarray or CSR array of shape (n_rows, n_features)
            All rows to fit; NaN is a missing entry.
        weight : ndarray of shape (n_rows,), default=None
            Their weights, all positive. None means 1 each.

        Returns
        -------
        frame : object
            For example the number of levels of each column, or its center and scale.

        Raises
        ------
        ValueError
            If an entry is outside the domain; names its row and column.
        """
        return None

    @abstractmethod
    def encode(self, X: Any, frame: Any) -> Any:
        """Rows in the form that `log_density` and `statistics` read.

        Used for the rows to fit and for new ones, which may hold what the former did not.

        Raises
        ------
        ValueError
            If an entry is outside the domain; names its row and column.
        """

    @abstractmethod
    def take(self, rows: Any, index: slice | Array) -> Any:
        """Some of the encoded rows, in that order: a slice, or positions."""

    # ---- the distribution -------------------------------------------------------------

    @abstractmethod
    def neutral(self, n_components: int, frame: Any) -> Any:
        """Parameters of components of which nothing is known: about the average row."""

    def bind(self, params: Any, frame: Any) -> Any:
        """Functions of the parameters that all rows need, as logarithms; default: `params`.

        Raises
        ------
        DegenerateModelError
            If there is no density at these parameters, as for a singular covariance.
        """
        return params

    @abstractmethod
    def log_density(self, rows: Any, bound: Any, out: Array) -> None:
        """Add the log-densities of the rows to `out`.

        Parameters
        ----------
        rows : object
            From `encode` or `take`.
        bound : object
            From `bind`.
        out : ndarray of shape (n_components, n_rows), float64
            Added to. What is missing of a row is integrated out; a row of which all is
            missing adds 0. Only finite values are added.
        """

    @abstractmethod
    def statistics(self, rows: Any, responsibilities: Array, bound: Any) -> Any:
        """Expected sufficient statistics of rows, at the parameters bound.

        Parameters
        ----------
        rows : object
            From `encode` or `take`.
        responsibilities : ndarray of shape (n_components, n_rows)
            Shares of the components, multiplied by the weights of the rows.
        bound : object
            From `bind`.
        """

    @abstractmethod
    def estimate(self, statistics: Any, params: Any, frame: Any) -> Any:
        """Parameters that maximise the expected log-density plus the log prior.

        Parameters
        ----------
        statistics : object
            Sum over all blocks.
        params : object
            Parameters at which they were taken. A component without rows keeps them, or
            goes to the mode of the prior.
        frame : object
            From `frame`.
        """

    def log_prior(self, params: Any, frame: Any) -> float:
        """Log prior density up to a constant; 0 for maximum likelihood."""
        return 0.0

    def start(
        self, rows: Any, responsibilities: Array, frame: Any, rng: np.random.Generator
    ) -> Any:
        """Parameters from responsibilities alone; one M-step from `neutral` ones."""
        neutral = self.neutral(len(responsibilities), frame)
        statistics = self.statistics(rows, responsibilities, self.bind(neutral, frame))
        return self.estimate(statistics, neutral, frame)

    # ---- for the user -----------------------------------------------------------------

    @abstractmethod
    def n_parameters(self, params: Any, frame: Any) -> int:
        """Number of free parameters of all components."""

    @abstractmethod
    def publish(self, params: Any, frame: Any) -> dict[str, Array]:
        """Parameters by name in the units of the data, the first axis the component."""

    @abstractmethod
    def sample(self, params: Any, frame: Any, labels: Array, rng: np.random.Generator) -> Array:
        """Draw one row from the component of each label: shape (len(labels), n_features)."""

    # ---- for accelerators -------------------------------------------------------------

    @property
    def has_vector(self) -> bool:
        """Whether there is a vector form."""
        return type(self).to_vector is not Family.to_vector

    def to_vector(self, params: Any, frame: Any) -> NDArray[np.float64]:
        """Parameters as an unconstrained vector; optional, without it there is plain EM."""
        raise NotImplementedError(
            f"{type(self).__name__} has no vector form, so it cannot be accelerated; "
            "define to_vector and from_vector."
        )

    def from_vector(self, vector: NDArray[np.float64], like: Any, frame: Any) -> Any:
        """Parameters from `to_vector`'s form, of the shapes of `like`.

        Raises
        ------
        DegenerateModelError
            If the vector is no valid parameter.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no vector form, so it cannot be accelerated; "
            "define to_vector and from_vector."
        )
