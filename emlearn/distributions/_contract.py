"""The contract between a family of distributions and the models that use it."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions._passes import RowPasses, WholeRows
from emlearn.distributions._points import points_of
from emlearn.distributions._published import shape_of_parameter
from emlearn.engine.model import Penalty
from emlearn.engine.parameters import Entries, ParameterSpace, Part
from emlearn.engine.workspace import Workspace
from emlearn.kernels.softmax import to_responsibilities

Array = NDArray[Any]

# A block has as many rows as fit in the cache, and enough to keep a thread busy.
_BLOCK_NUMBERS = 2**18
_BLOCK_ROWS = (512, 16384)
_BLOCK_NANOSECONDS = 2e5


def mean_width(X: Any) -> float:
    """Mean number of entries in a row; in sparse X, of nonzero entries."""
    return float((X.nnz if hasattr(X, "nnz") else X.size) / max(X.shape[0], 1))


def even_slices(n_rows: int, n_blocks: int) -> list[slice]:
    """Cut rows into `n_blocks` slices of nearly equal length."""
    edges = [int(edge) for edge in np.linspace(0, n_rows, n_blocks + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def slices_of_rows(n_rows: int, width: float, n_components: int) -> list[slice]:
    """Slices of rows for blocks that numpy works on: each fits in the cache."""
    fewest, most = _BLOCK_ROWS
    rows = min(max(int(_BLOCK_NUMBERS / (n_components + width)), fewest), most)
    nanoseconds = n_rows * n_components * (3.0 + 0.1 * width)
    n_blocks = max(-(-n_rows // rows), min(8, int(nanoseconds / _BLOCK_NANOSECONDS)), 1)
    return even_slices(n_rows, n_blocks)


class Family(ABC):
    """Distributions of rows given a latent label, one for each of K components.

    A family is a frozen dataclass of hyperparameters and has no other state. What it learns
    about the columns (the *column_spec*), encoded rows, the parameters of all K components,
    and statistics are values that its methods take and return, and never change. A family
    knows nothing about mixtures, chains, weights of components or the EM loop, so mixtures
    and hidden Markov models use the same families.

    `log_density`, `sufficient_statistics` and `m_step` define the distribution.
    `ExponentialFamily` implements them for independent columns that each follow an
    exponential family with one parameter.

    Parameters are a named tuple (or another tree) of arrays whose first axis is the
    component. Statistics are an array, a number, or a tuple or dict of these; they add up
    over blocks of rows.
    """

    #: Whether `column_spec` and `encode` take scipy.sparse CSR arrays.
    accepts_sparse: ClassVar[bool] = False
    #: Whether the values are codes or counts: integers >= 0.
    is_discrete: ClassVar[bool] = False
    #: Whether `start` draws rows at random. It then gets distinct rows in an order that does not
    #: depend on the order of X, so that repeating a row has the same effect as its weight.
    draws_rows: ClassVar[bool] = False

    @property
    def cluster_shape(self) -> str | None:
        """Covariances of clusters of rows: "full", "diag", "spherical" or "tied".

        None, the default, means that clusters of `points` are compared by their means alone.
        """
        return None

    def at_columns(self, names: Sequence[str] | None, n_features: int) -> Family:
        """The family for rows with these columns; by default the family itself.

        Parameters
        ----------
        names : sequence of str or None
            Names of the columns; None if they have none.
        n_features : int
            Number of columns.

        Returns
        -------
        family : Family
            The family for these columns.

        Raises
        ------
        ValueError
            If the family names a column that X does not have.
        """
        return self

    # ---- rows -------------------------------------------------------------------------

    def column_spec(self, X: Any, weight: Array | None = None) -> Any:
        """What the family learns about the columns before EM; by default nothing.

        Parameters
        ----------
        X : ndarray or CSR array of shape (n_rows, n_features)
            All rows to fit. NaN is a missing entry.
        weight : ndarray of shape (n_rows,), default=None
            Weights of the rows, all positive. None means 1 each.

        Returns
        -------
        column_spec : object
            For example the levels of each column, or its center and scale.

        Raises
        ------
        DomainError
            If an entry is outside the domain. It names the row and the column.
        """
        return self.spec_of_passes(WholeRows(self.as_read(X), weight))

    def as_read(self, X: Any) -> Any:
        """The rows as `spec_of_passes` reads them; by default as they are."""
        return X

    def spec_of_passes(self, passes: RowPasses) -> Any:
        """`column_spec` of rows that may not be in memory as a whole.

        A family that learns something from all rows defines this method, not `column_spec`. One
        that only defines `column_spec` can be fitted to rows in memory only.

        Parameters
        ----------
        passes : RowPasses
            All rows to fit.

        Raises
        ------
        DomainError
            If an entry is outside the domain. It names the row and the column.
        """
        return None

    @property
    def reads_blocks(self) -> bool:
        """Whether `spec_of_passes` is all that the family learns."""
        return type(self).column_spec is Family.column_spec

    @abstractmethod
    def encode(self, X: Any, column_spec: Any) -> Any:
        """Rows in the form that `log_density` and `sufficient_statistics` read.

        The rows may be those to fit, or new ones with values that the former do not have.

        Raises
        ------
        DomainError
            If an entry is outside the domain. It names the row and the column.
        """

    @abstractmethod
    def take(self, rows: Any, index: slice | Array) -> Any:
        """Some of the encoded rows: a slice, or those at some positions, in this order."""

    def order(self, X: Any) -> NDArray[np.intp] | None:
        """Order of the rows that makes blocks cheapest; None leaves the rows as they are.

        Only models that do not depend on the order of the rows call it.
        """
        return None

    def slices(self, X: Any, n_components: int) -> list[slice]:
        """Where to cut rows into blocks. It depends on the shape of the problem alone."""
        return slices_of_rows(X.shape[0], mean_width(X), n_components)

    def cut(
        self, rows: Any, weight: Array | None, slices: Sequence[slice], n_components: int
    ) -> list[Any]:
        """Blocks of encoded rows. They may hold what each E-step would otherwise recompute.

        Parameters
        ----------
        rows : object
            From `encode`.
        weight : ndarray of shape (n_rows,) or None
            Weights of the rows.
        slices : sequence of slice
            From `slices`, or any others.
        n_components : int
            Number of components.

        Returns
        -------
        blocks : list of object
            The encoded rows of each slice.
        """
        return [self.take(rows, part) for part in slices]

    def encode_blocks(
        self,
        X: Any,
        weight: Array | None,
        slices: Sequence[slice],
        n_components: int,
        column_spec: Any,
    ) -> list[Any]:
        """The blocks of rows that are not needed as a whole; `encode`, followed by `cut`."""
        return self.cut(self.encode(X, column_spec), weight, slices, n_components)

    def points(self, X: Any, column_spec: Any) -> Any:
        """Rows as points of a Euclidean space, in which starts find clusters.

        By default items are one-hot, so the squared distance of two rows grows with the number of
        their different answers. Counts are square roots, whose variance does not grow with the
        mean. Other columns are standardized. A missing entry is at the mean, or no item at all.

        Parameters
        ----------
        X : ndarray or CSR array of shape (n_rows, n_features)
            Rows.
        column_spec : object
            From `column_spec`.

        Returns
        -------
        points : ndarray or CSR array of shape (n_rows, n_dimensions)
            Sparse if `X` is, or if there are items.
        """
        return points_of(X, self.levels(column_spec), self.is_discrete)

    # ---- the distribution -------------------------------------------------------------

    @abstractmethod
    def pooled(self, n_components: int, column_spec: Any) -> Any:
        """The same parameters for all components: those of the average row."""

    def precompute(self, params: Any, column_spec: Any) -> Any:
        """What all rows need of the parameters, such as logarithms; by default `params`.

        Raises
        ------
        DegenerateModelError
            If there is no density at these parameters, as with a singular covariance.
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
            The log-densities are added to it. Missing entries are integrated out, so a row
            without observed entries adds 0. All values added are finite.
        """

    @abstractmethod
    def sufficient_statistics(self, rows: Any, responsibilities: Array, precomputed: Any) -> Any:
        """Expected sufficient statistics of rows.

        Parameters
        ----------
        rows : object
            From `encode` or `take`.
        responsibilities : ndarray of shape (n_components, n_rows)
            Responsibilities of the components times the weights of the rows.
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
        """E-step of a mixture on one block of rows, in one pass if the family can do that.

        Parameters
        ----------
        rows : object
            From `encode`, `take` or `cut`.
        log_weights : ndarray of shape (n_components,)
            Logarithms of the weights of the components; -inf for an empty one.
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
        """Parameters that maximize the expected log-density plus the log prior.

        Parameters
        ----------
        statistics : object
            Sum of the statistics of all blocks.
        params : object
            Parameters at which the statistics were taken. A component without rows keeps
            them, or moves to the mode of the prior.
        column_spec : object
            From `column_spec`.
        """

    def recentered(self, statistics: Any, params: Any, moved: Any) -> Any:
        """Statistics taken at parameters, as if at others; see `LatentVariableModel`.

        Families whose statistics are moments about parameters override it.
        """
        return statistics

    def widened(self, column_spec: Any, X: Any) -> Any:
        """The column spec with room for what is new in rows; by default as it is.

        Families with tables of the entries that there are override it and `rearranged`. The same
        object means that nothing is new.

        Parameters
        ----------
        column_spec : object
            From `column_spec`.
        X : object
            Rows.

        Returns
        -------
        column_spec : object
            The same object, or a wider one.
        """
        return column_spec

    def rearranged(self, statistics: Any, column_spec: Any, wider: Any) -> Any:
        """Statistics of a column spec in the layout of one from `widened`."""
        return statistics

    def ranking_penalty(self, statistics: Any, column_spec: Any) -> Penalty:
        """Penalty of components when starts are compared; none by default."""
        return Penalty()

    def unsound(self, statistics: Any, params: Any, column_spec: Any) -> dict[str, Array]:
        """Components that a user should not trust; none by default.

        Parameters
        ----------
        statistics : object
            Sum of the statistics of all blocks.
        params : object
            Parameters at which the statistics were taken.
        column_spec : object
            From `column_spec`.

        Returns
        -------
        doubted : dict of str to ndarray of shape (n_components,), dtype bool
            Which components, by what is wrong with them and what to do. It completes
            "Component(s) [1, 3] (2.5, 4 rows): ...".
        """
        return {}

    def log_prior(self, params: Any, column_spec: Any) -> float:
        """Log prior density, up to a constant; 0 for maximum likelihood."""
        return 0.0

    def pseudo_rows(self, column_spec: Any) -> float:
        """Number of rows that the prior of a component counts as; 0 for maximum likelihood."""
        return 0.0

    def unpenalized(self, column_spec: Any) -> Any:
        """The column spec with which `log_density` is that of the distribution itself.

        Different from `column_spec` if a regularizer adds a term to the densities of the rows.
        """
        return column_spec

    def start(
        self, rows: Any, responsibilities: Array, column_spec: Any, rng: np.random.Generator
    ) -> Any:
        """Parameters from responsibilities alone: one M-step from `pooled` parameters."""
        pooled = self.pooled(len(responsibilities), column_spec)
        statistics = self.sufficient_statistics(
            rows, responsibilities, self.precompute(pooled, column_spec)
        )
        return self.m_step(statistics, pooled, column_spec)

    # ---- for the user -----------------------------------------------------------------

    @abstractmethod
    def n_parameters(self, params: Any, column_spec: Any) -> int:
        """Number of free parameters of all components together."""

    @abstractmethod
    def to_public(self, params: Any, column_spec: Any) -> dict[str, Array]:
        """Parameters by name, in the units of the data; the first axis is the component."""

    @property
    @abstractmethod
    def public_names(self) -> tuple[str, ...]:
        """Names of the parameters that `to_public` returns."""

    # ---- for standard errors and fixed entries ------------------------------------------

    def parameters(self, params: Any, column_spec: Any) -> dict[str, Array]:
        """Published parameters, with what all components share only once.

        `from_public` reads them too. By default they are those of `to_public`.
        """
        return self.to_public(params, column_spec)

    def space(self, params: Any, column_spec: Any) -> dict[str, Part]:
        """What the arrays of `parameters` are; by default, entries that vary separately."""
        return {
            name: Entries(("component", "feature")[: np.ndim(value)])
            for name, value in self.parameters(params, column_spec).items()
        }

    def score(self, statistics: Any, params: Any, column_spec: Any) -> dict[str, Array]:
        """Gradient of the expected log-density plus the log prior.

        Optional: without it, standard errors are found from differences of the likelihood.

        Parameters
        ----------
        statistics : object
            Sum of the statistics of all blocks.
        params : object
            Parameters at which the statistics were taken, and at which the gradient is.
        column_spec : object
            From `column_spec`.

        Returns
        -------
        gradient : dict of str to ndarray
            For each array of `parameters`, derivatives as if its entries varied separately.
        """
        raise NotImplementedError(f"{type(self).__name__} has no score.")

    @property
    def has_score(self) -> bool:
        """Whether the family defines `score`."""
        return type(self).score is not Family.score

    def constrained_m_step(
        self, statistics: Any, params: Any, fixed: Mapping[str, Array], column_spec: Any
    ) -> Any:
        """As `m_step`, with entries of `parameters` held.

        By default the entries are put into the result of `m_step`. That is the maximum where
        entries do not depend on each other, or only have to sum to one. The expected objective
        must not become lower than at `params`, which have the entries.

        Parameters
        ----------
        statistics : object
            Sum of the statistics of all blocks.
        params : object
            Parameters at which the statistics were taken.
        fixed : mapping of str to ndarray
            Entries to hold, by the names of `parameters`; NaN where free.
        column_spec : object
            From `column_spec`.

        Returns
        -------
        params : object
            Parameters that have the entries.
        """
        return self.impose(self.m_step(statistics, params, column_spec), fixed, column_spec)

    def impose(self, params: Any, fixed: Mapping[str, Array], column_spec: Any) -> Any:
        """Parameters with entries put in; see `constrained_m_step`.

        Raises
        ------
        DegenerateModelError
            If there are no valid parameters with these entries.
        """
        if not fixed:
            return params
        space = ParameterSpace(self.space(params, column_spec))
        public = space.impose(self.parameters(params, column_spec), fixed)
        return self.from_public(public, column_spec)

    def with_fixed(self, params: Any, fixed: Mapping[str, Array], column_spec: Any) -> Any:
        """A start with entries put in, from one without; by default `impose`.

        A family whose components have exchangeable parts first numbers these such that each is
        close to the entries that are held.
        """
        return self.impose(params, fixed, column_spec)

    def constrained_penalty(
        self, statistics: Any, fixed: Mapping[str, Array], column_spec: Any
    ) -> Penalty:
        """As `ranking_penalty`, with entries held, which do not flatter their rows."""
        return self.ranking_penalty(statistics, column_spec)

    def shape_of(self, public: Mapping[str, Any]) -> tuple[int, int]:
        """Numbers of components and of features that published parameters describe.

        By default they are the first two axes of the first of the `public_names`.

        Raises
        ------
        ValueError
            If that parameter is missing, or has fewer than two dimensions. It is named.
        """
        return shape_of_parameter(public, self.public_names[0])

    @abstractmethod
    def from_public(self, public: Mapping[str, Any], column_spec: Any, fitted: Any = None) -> Any:
        """Parameters from what `to_public` returns, for rows encoded with a column spec.

        The inverse of `to_public` in exact arithmetic, for any column spec. Parameters that
        a user sets, and those of an earlier fit to other rows, enter through this method.

        Parameters
        ----------
        public : mapping of str to array-like
            Parameters by name in the units of the data.
        column_spec : object
            From `column_spec` or `spec_of`.
        fitted : object, default=None
            Column spec of the fit that the parameters come from, if it is a different one.

        Raises
        ------
        ValueError
            If a parameter is missing, has the wrong shape, or is outside its domain. It is
            named.
        """

    def spec_of(self, public: Mapping[str, Any], fitted: Any = None) -> Any:
        """Column spec for new rows under published parameters; by default `fitted`.

        Parameters
        ----------
        public : mapping of str to array-like
            Parameters by name in the units of the data.
        fitted : object, default=None
            Column spec of the fit that the parameters come from, if there is one.

        Returns
        -------
        column_spec : object
            The column spec.
        """
        return fitted

    def levels(self, column_spec: Any) -> list[Array | None] | None:
        """Codes of the levels of each column, in the order of their probabilities.

        None stands for a column without levels. The default, None instead of a list, is for
        families without levels.
        """
        return None

    def level_columns(self, n_features: int) -> dict[int, str]:
        """Columns whose entries are levels, and how levels are treated that no fit has seen.

        A reader may then give words and other values codes. The default is no column.

        Parameters
        ----------
        n_features : int
            Number of columns.

        Returns
        -------
        columns : dict of int to {"missing", "error"}
            Positions of the columns.
        """
        return {}

    def moments(self, params: Any, column_spec: Any) -> tuple[Array, Array] | None:
        """Means and variances of each column in each component, in the units of the data.

        Optional: forecasts need them. None, the default, is for families without means.

        Parameters
        ----------
        params : object
            Parameters.
        column_spec : object
            From `column_spec` or `spec_of`.

        Returns
        -------
        moments : tuple of two ndarray of shape (n_components, n_features), or None
            NaN for a column that has none, such as a category.
        """
        return None

    def declared(self, column_spec: Any) -> Family:
        """The same family with the levels of a fit declared; by default itself, without levels.

        A fit to a resample in which a level does not occur then has the same parameters.
        """
        return self

    @abstractmethod
    def sample(
        self, params: Any, column_spec: Any, labels: Array, rng: np.random.Generator
    ) -> Array:
        """One row drawn from the component of each label: shape (len(labels), n_features)."""

    # ---- for accelerators -------------------------------------------------------------

    @property
    def has_vector(self) -> bool:
        """Whether the parameters have a vector form."""
        return type(self).to_vector is not Family.to_vector

    def to_vector(self, params: Any, column_spec: Any) -> NDArray[np.float64]:
        """Parameters as an unconstrained vector. Optional; without it, EM is not accelerated."""
        raise NotImplementedError(
            f"{type(self).__name__} has no vector form, so it cannot be accelerated; "
            "define to_vector and from_vector."
        )

    def from_vector(self, vector: NDArray[np.float64], like: Any, column_spec: Any) -> Any:
        """Parameters from the vector form, of the shapes of `like`.

        Raises
        ------
        DegenerateModelError
            If the vector does not stand for valid parameters.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no vector form, so it cannot be accelerated; "
            "define to_vector and from_vector."
        )
