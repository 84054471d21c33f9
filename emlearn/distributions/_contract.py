"""The contract between a family of distributions and the models that use it."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions._published import shape_of_parameter
from emlearn.engine.model import Penalty
from emlearn.engine.workspace import Workspace
from emlearn.kernels.softmax import to_responsibilities

Array = NDArray[Any]

# Rows of a block: as many as the cache has room for, and worth the while of a thread.
_BLOCK_NUMBERS = 2**18
_BLOCK_ROWS = (512, 16384)
_BLOCK_NANOSECONDS = 2e5


def mean_width(X: Any) -> float:
    """Mean number of entries of a row; of those that are not 0, if X is sparse."""
    return float((X.nnz if hasattr(X, "nnz") else X.size) / max(X.shape[0], 1))


def even_slices(n_rows: int, n_blocks: int) -> list[slice]:
    """So many slices of rows of nearly equal length."""
    edges = [int(edge) for edge in np.linspace(0, n_rows, n_blocks + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def slices_of_rows(n_rows: int, width: float, n_components: int) -> list[slice]:
    """Slices of rows that hold so many entries each, for blocks worked on in numpy."""
    fewest, most = _BLOCK_ROWS
    rows = min(max(int(_BLOCK_NUMBERS / (n_components + width)), fewest), most)
    nanoseconds = n_rows * n_components * (3.0 + 0.1 * width)
    n_blocks = max(-(-n_rows // rows), min(8, int(nanoseconds / _BLOCK_NANOSECONDS)), 1)
    return even_slices(n_rows, n_blocks)


class Family(ABC):
    """Distributions of the rows in each of K components: the emissions of a latent label.

    A family is a frozen dataclass of hyperparameters. What it learns of the columns (the
    *column_spec*), rows in the form its arithmetic needs, parameters of all K components at
    once, and statistics are values that it receives and returns, and it changes none of
    them. It knows no mixture, no chain, no weights of components and no loop, so that
    mixtures and hidden Markov models use the same families.

    `log_density`, `sufficient_statistics` and `m_step` are the distribution. For families whose
    columns are independent and each from a one-parameter exponential family,
    `ExponentialFamily` supplies them.

    Parameters are a named tuple (or other tree) of arrays, the first axis the component;
    statistics are an array, a number, or a tuple or dict of these, and add up over blocks
    of rows.
    """

    #: Whether `column_spec` and `encode` take scipy.sparse CSR arrays.
    accepts_sparse: ClassVar[bool] = False
    #: Whether the values are codes or counts: integers >= 0.
    is_discrete: ClassVar[bool] = False
    #: Whether `start` draws rows at random. It is then given distinct rows in an order of their
    #: own, so that neither the order of X nor copies in the place of weights change the draw.
    draws_rows: ClassVar[bool] = False

    @property
    def cluster_shape(self) -> str | None:
        """Covariances of clusters of rows: "full", "diag", "spherical" or "tied".

        None, the default, is that rows are no points, so that starts do not cluster them.
        """
        return None

    def at_columns(self, names: Sequence[str] | None, n_features: int) -> Family:
        """The family for rows with these columns; those that take all rows are it themselves.

        Raises
        ------
        ValueError
            If the family names a column that X has not.
        """
        return self

    # ---- rows -------------------------------------------------------------------------

    def column_spec(self, X: Any, weight: Array | None = None) -> Any:
        """What is learnt of the columns before EM; the default is nothing.

        Parameters
        ----------
        X : ndarray or CSR array of shape (n_rows, n_features)
            All rows to fit; NaN is a missing entry.
        weight : ndarray of shape (n_rows,), default=None
            Their weights, all positive. None means 1 each.

        Returns
        -------
        column_spec : object
            For example the number of levels of each column, or its center and scale.

        Raises
        ------
        ValueError
            If an entry is outside the domain; names its row and column.
        """
        return None

    @abstractmethod
    def encode(self, X: Any, column_spec: Any) -> Any:
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

    def order(self, X: Any) -> NDArray[np.intp] | None:
        """Order of the rows in which blocks of them cost least; None leaves them as they are.

        Asked only where the model does not depend on the order.
        """
        return None

    def slices(self, X: Any, n_components: int) -> list[slice]:
        """Where to cut rows into blocks: a function of the shape of the problem alone."""
        return slices_of_rows(X.shape[0], mean_width(X), n_components)

    def cut(
        self, rows: Any, weight: Array | None, slices: Sequence[slice], n_components: int
    ) -> list[Any]:
        """Blocks of encoded rows; what each E-step would derive from them anew may be kept.

        Parameters
        ----------
        rows : object
            From `encode`.
        weight : ndarray of shape (n_rows,) or None
            Weights of the rows.
        slices : sequence of slice
            From `slices`, or others.
        n_components : int
            Number of components.
        """
        return [self.take(rows, part) for part in slices]

    def points(self, X: Any, column_spec: Any) -> Array:
        """Rows as points of a Euclidean space, (n_rows, n_dimensions), for starts that cluster.

        Optional: needed by the starts "kmeans", "k-means++" and "random_from_data".
        """
        raise NotImplementedError(f"The rows of {type(self).__name__} are no points.")

    # ---- the distribution -------------------------------------------------------------

    @abstractmethod
    def pooled(self, n_components: int, column_spec: Any) -> Any:
        """Parameters of components of which nothing is known: about the average row."""

    def precompute(self, params: Any, column_spec: Any) -> Any:
        """Functions of the parameters that all rows need, as logarithms; default: `params`.

        Raises
        ------
        DegenerateModelError
            If there is no density at these parameters, as for a singular covariance.
        """
        return params

    @abstractmethod
    def log_density(self, rows: Any, precomputed: Any, out: Array) -> None:
        """Add the log-densities of the rows to `out`.

        Parameters
        ----------
        rows : object
            From `encode` or `take`.
        precomputed : object
            From `precompute`.
        out : ndarray of shape (n_components, n_rows), float64
            Added to. What is missing of a row is integrated out; a row of which all is
            missing adds 0. Only finite values are added.
        """

    @abstractmethod
    def sufficient_statistics(self, rows: Any, responsibilities: Array, precomputed: Any) -> Any:
        """Expected sufficient statistics of rows, at the parameters precomputed.

        Parameters
        ----------
        rows : object
            From `encode` or `take`.
        responsibilities : ndarray of shape (n_components, n_rows)
            Shares of the components, multiplied by the weights of the rows.
        precomputed : object
            From `precompute`.
        """

    def expect(
        self,
        rows: Any,
        log_weights: Array,
        n_rows: int,
        weight: Array | None,
        precomputed: Any,
        workspace: Workspace,
    ) -> tuple[Array, Any, float]:
        """E-step of a mixture on one block of rows, in one pass where the family can.

        Parameters
        ----------
        rows : object
            From `encode`, `take` or `cut`.
        log_weights : ndarray of shape (n_components,)
            Logarithms of the mixing proportions; -inf for an empty component.
        n_rows : int
            Number of rows.
        weight : ndarray of shape (n_rows,) or None
            Weights of the rows; None means 1 each.
        precomputed : object
            From `precompute`.
        workspace : Workspace
            Scratch memory.

        Returns
        -------
        totals : ndarray of shape (n_components,)
            Sums of the weighted responsibilities.
        statistics : object
            As from `sufficient_statistics`.
        log_likelihood : float
            Weighted sum of the log-densities of the rows under the mixture.
        """
        joint = workspace.array("log_joint", (len(log_weights), n_rows), np.float64)
        joint[:] = log_weights[:, None]
        self.log_density(rows, precomputed, joint)
        log_likelihood = to_responsibilities(joint, weight)
        statistics = self.sufficient_statistics(rows, joint, precomputed)
        return joint.sum(axis=1), statistics, log_likelihood

    @abstractmethod
    def m_step(self, statistics: Any, params: Any, column_spec: Any) -> Any:
        """Parameters that maximise the expected log-density plus the log prior.

        Parameters
        ----------
        statistics : object
            Sum over all blocks.
        params : object
            Parameters at which they were taken. A component without rows keeps them, or
            goes to the mode of the prior.
        column_spec : object
            From `column_spec`.
        """

    def ranking_penalty(self, statistics: Any, column_spec: Any) -> Penalty:
        """What to hold against components when starts are compared; nothing by default."""
        return Penalty()

    def log_prior(self, params: Any, column_spec: Any) -> float:
        """Log prior density up to a constant; 0 for maximum likelihood."""
        return 0.0

    def start(
        self, rows: Any, responsibilities: Array, column_spec: Any, rng: np.random.Generator
    ) -> Any:
        """Parameters from responsibilities alone; one M-step from `pooled` ones."""
        pooled = self.pooled(len(responsibilities), column_spec)
        statistics = self.sufficient_statistics(
            rows, responsibilities, self.precompute(pooled, column_spec)
        )
        return self.m_step(statistics, pooled, column_spec)

    # ---- for the user -----------------------------------------------------------------

    @abstractmethod
    def n_parameters(self, params: Any, column_spec: Any) -> int:
        """Number of free parameters of all components."""

    @abstractmethod
    def to_public(self, params: Any, column_spec: Any) -> dict[str, Array]:
        """Parameters by name in the units of the data, the first axis the component."""

    @property
    def public_names(self) -> tuple[str, ...]:
        """Names of the parameters in what `to_public` returns."""
        raise NotImplementedError(f"{type(self).__name__} does not define public_names.")

    def shape_of(self, public: Mapping[str, Any]) -> tuple[int, int]:
        """Numbers of components and of features that published parameters describe.

        The default reads the first of the `public_names`, of shape (n_components, n_features,
        ...).

        Raises
        ------
        ValueError
            If it is missing, or has less than two dimensions; names it.
        """
        return shape_of_parameter(public, self.public_names[0])

    def from_public(self, public: Mapping[str, Any], column_spec: Any, fitted: Any = None) -> Any:
        """Parameters from what `to_public` returns, for rows encoded with a column spec.

        The inverse of `to_public` in exact arithmetic, for any column spec: parameters that
        a user sets, and those of an earlier fit of other rows, come in through here.

        Parameters
        ----------
        public : mapping of str to array-like
            Parameters by name in the units of the data.
        column_spec : object
            From `column_spec` or `spec_of`.
        fitted : object, default=None
            Column spec of the fit that the parameters come from, if that is another.

        Raises
        ------
        ValueError
            If a parameter has another shape, or is outside its domain; names it.
        """
        raise NotImplementedError(
            f"{type(self).__name__} cannot take its parameters from what it publishes; define "
            "from_public."
        )

    def spec_of(self, public: Mapping[str, Any], fitted: Any = None) -> Any:
        """Column spec for new rows under published parameters, without the rows of a fit.

        Parameters
        ----------
        public : mapping of str to array-like
            Parameters by name in the units of the data.
        fitted : object, default=None
            Column spec of the fit that the parameters come from, if there was one.
        """
        return fitted

    @abstractmethod
    def sample(
        self, params: Any, column_spec: Any, labels: Array, rng: np.random.Generator
    ) -> Array:
        """Draw one row from the component of each label: shape (len(labels), n_features)."""

    # ---- for accelerators -------------------------------------------------------------

    @property
    def has_vector(self) -> bool:
        """Whether there is a vector form."""
        return type(self).to_vector is not Family.to_vector

    def to_vector(self, params: Any, column_spec: Any) -> NDArray[np.float64]:
        """Parameters as an unconstrained vector; optional, without it there is plain EM."""
        raise NotImplementedError(
            f"{type(self).__name__} has no vector form, so it cannot be accelerated; "
            "define to_vector and from_vector."
        )

    def from_vector(self, vector: NDArray[np.float64], like: Any, column_spec: Any) -> Any:
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
