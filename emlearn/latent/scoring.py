"""Log-densities of new rows at published parameters, block by block, in threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions import DomainError, Family
from emlearn.distributions._domain import named_columns
from emlearn.engine.threads import available_threads, blas_limited, limit_openmp_of_thread

Array = NDArray[Any]


@dataclass(frozen=True)
class Emissions:
    """A family at the parameters that an estimator publishes.

    Rows are encoded with the column spec of these parameters.

    Attributes
    ----------
    family : Family
        The family.
    params : object
        Its parameters.
    column_spec : object
        How rows are encoded.
    n_components : int
        Number of components.
    n_features : int
        Number of features.
    names : sequence of str or None
        Names of the features, if known.
    """

    family: Family
    params: Any
    column_spec: Any
    n_components: int
    n_features: int
    names: Sequence[str] | None = None

    @classmethod
    def at(
        cls,
        family: Family,
        public: Mapping[str, Any],
        fitted_spec: Any,
        n_components: int,
        n_features: int | None = None,
        names: Sequence[str] | None = None,
    ) -> Emissions:
        """Emissions at parameters in the units of the data; see `Family.from_public`.

        Raises
        ------
        ValueError
            If a parameter is invalid (the message names it), or the parameters describe
            another number of components or features.
        """
        n_described, width = family.shape_of(public)
        if n_described != n_components:
            raise ValueError(
                f"the parameters describe {n_described} components, but there are {n_components}."
            )
        n_features = width if n_features is None else n_features
        if width != n_features:
            raise ValueError(
                f"the parameters describe {width} features, but there are {n_features}."
            )
        column_spec = family.spec_of(public, fitted_spec)
        params = family.from_public(public, column_spec)
        return cls(family, params, column_spec, n_components, n_features, names)

    def map(
        self,
        X: Any,
        out: Array,
        reduce: Callable[[Array], Array],
        log_weights: Array | None = None,
        *,
        n_threads: int | None = None,
    ) -> Array:
        """Set ``out[rows] = reduce(log-densities of the rows)`` block by block, in threads.

        Parameters
        ----------
        X : ndarray or CSR array of shape (n_rows, n_features)
            Validated rows.
        out : ndarray of shape (n_rows, ...)
            The result.
        reduce : callable
            Receives the log-densities (n_components, n_rows) of some rows. May overwrite them.
        log_weights : ndarray of shape (n_components,), default=None
            Added to the log-densities.
        n_threads : int, default=None
            Number of threads; None means as many as BLAS may use.

        Returns
        -------
        out : ndarray of shape (n_rows, ...)
            The array `out`.
        """
        if X.shape[1] != self.n_features:
            raise ValueError(
                f"X has {X.shape[1]} features, but the parameters describe {self.n_features}."
            )
        precomputed = self.family.precompute(self.params, self.column_spec)
        start = np.zeros(self.n_components) if log_weights is None else log_weights

        def work(rows: slice) -> None:
            joint = np.repeat(start[:, None], rows.stop - rows.start, axis=1)
            encoded = self.family.encode(X[rows], self.column_spec)
            self.family.log_density(encoded, precomputed, joint)
            out[rows] = reduce(joint)

        slices = self.family.slices(X, self.n_components)
        with named_columns(self.names):
            try:
                self._work(work, slices, n_threads)
            except DomainError:
                # The error names a row of a block. Encoding X as a whole names the row of X.
                self.family.encode(X, self.column_spec)
                raise
        return out

    @staticmethod
    def _work(
        work: Callable[[slice], None], slices: Sequence[slice], n_threads: int | None
    ) -> None:
        with blas_limited():
            n_threads = min(n_threads or available_threads(), len(slices))
            if n_threads > 1:
                with ThreadPoolExecutor(n_threads, initializer=limit_openmp_of_thread) as pool:
                    list(pool.map(work, slices))
            else:
                for rows in slices:
                    work(rows)

    def log_density(self, X: Any) -> Array:
        """Log-densities (n_components, n_rows) of all rows."""
        out = np.empty((X.shape[0], self.n_components))
        return np.ascontiguousarray(self.map(X, out, lambda joint: joint.T).T)

    def n_parameters(self) -> int:
        """Number of free parameters of all components."""
        return self.family.n_parameters(self.params, self.column_spec)

    def sample(self, labels: Array, rng: np.random.Generator) -> Array:
        """One row from the component of each label."""
        return self.family.sample(self.params, self.column_spec, labels, rng)
