"""Multiple imputation by data augmentation: chains of draws of the parameters."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from emlearn._warnings import warn_user
from emlearn.engine import DegenerateModelError
from emlearn.impute._imputer import MissingDataImputerEM
from emlearn.impute._notice import Notice
from emlearn.impute.multiple.bootstrap import Draw, prior_of_draws
from emlearn.impute.multiple.gibbs import GaussianGibbs

Array = NDArray[np.float64]

# Autocorrelation of the slowest parameter that is left between imputations, and after burn-in.
_LEFT_BETWEEN, _LEFT_BURN = 0.05, 0.01
_FEWEST, _MOST = 10, 1000


class Chain(NamedTuple):
    """State of a chain.

    Attributes
    ----------
    params : object
        Parameters of the sampler.
    rng : numpy.random.Generator
        Source of its draws.
    trace : tuple of ndarray
        Parameters after each step, as vectors, in pieces.
    """

    params: Any
    rng: np.random.Generator
    trace: tuple[Array, ...] = ()


def make_sampler(imputer: MissingDataImputerEM, table: Any) -> GaussianGibbs:
    """Sampler of the parameters of a fitted imputer, by the kind of its model."""
    return GaussianGibbs(imputer, table, prior_of_draws(imputer))


class DataAugmentation:
    """Imputations and draws of the parameters by data augmentation, which is Gibbs sampling.

    It alternates draws of the missing entries given the parameters, and of the mean and the
    covariance given the filled rows. Chains start at the EM estimate. The prior is that of
    `multiple_imputation`, as an inverse Wishart density, and `trace` and `autocorrelation` show
    how well the chains mix. ``multiple_imputation(..., method="da")`` gives the same imputations.

    Parameters
    ----------
    imputer : MissingDataImputerEM
        The model: one Gaussian. It is neither fitted nor changed.
    X : array-like or DataFrame of shape (n_samples, n_features)
        Data with missing entries.
    sample_weight : array-like of int of shape (n_samples,), default=None
        Numbers of copies of the rows.
    n_chains : int, default=4
        Number of chains. Imputations are taken from them in turn.
    n_burn : int, default=None
        Steps before the first imputation of a chain. None means as many as leave an
        autocorrelation of 0.01 of the slowest parameter, judged by the rate of convergence of
        EM, and between 10 and 1000.
    n_between : int, default=None
        Steps between imputations of a chain. None means as for `n_burn`, with 0.05.
    n_jobs : int, default=None
        Number of chains that are continued at the same time, in threads. The result does not
        depend on it.
    random_state : int, RandomState instance or None, default=None
        Source of the draws; None means the `random_state` of the imputer.

    Attributes
    ----------
    rate_ : float
        Rate of convergence of EM, which is the autocorrelation of the slowest parameter from
        one step to the next: a large part of the information is missing if it is close to 1.
    n_burn_, n_between_ : int
        Steps that are used.
    names_ : list of str
        Names of the parameters.

    Raises
    ------
    ValueError
        If a parameter or the data are invalid, the model is not one Gaussian, or there are too
        few rows for the prior.

    Warns
    -----
    ConvergenceWarning
        If the chains would need more steps than the default allows.

    References
    ----------
    J. L. Schafer (1997). "Analysis of Incomplete Multivariate Data", chapter 5. Chapman & Hall.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.impute import DataAugmentation, MissingDataImputerEM
    >>> rng = np.random.default_rng(0)
    >>> X = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], size=100)
    >>> X[:40, 1] = np.nan
    >>> chains = DataAugmentation(MissingDataImputerEM(), X, random_state=0)
    >>> tables = chains.sample(20)
    >>> chains.names_
    ['mean[x0]', 'mean[x1]', 'cov[x0, x0]', 'cov[x0, x1]', 'cov[x1, x1]']
    >>> chains.trace.shape == (4, chains.n_burn_ + 5 * chains.n_between_, 5)
    True
    """

    def __init__(
        self,
        imputer: MissingDataImputerEM,
        X: Any,
        *,
        sample_weight: Any = None,
        n_chains: int = 4,
        n_burn: int | None = None,
        n_between: int | None = None,
        n_jobs: int | None = None,
        random_state: Any = None,
    ):
        check_imputer(imputer)
        full, sequence = seeded(imputer, random_state)
        table, weight = full._read(X, sample_weight)
        for notice in full._fit_table(table, weight):
            if notice.category is UserWarning:
                warn_user(notice.message, notice.category)
        self._prepare(
            full, X, table, weight, sequence, n_chains, n_burn, n_between, n_jobs, keep=True
        )

    @classmethod
    def _of_fitted(cls, *arguments: Any) -> DataAugmentation:
        """From a fitted imputer; without a trace."""
        chains = cls.__new__(cls)
        chains._prepare(*arguments, keep=False)
        return chains

    def _prepare(
        self,
        full: MissingDataImputerEM,
        X: Any,
        table: Any,
        weight: Array | None,
        sequence: np.random.SeedSequence,
        n_chains: int,
        n_burn: int | None,
        n_between: int | None,
        n_jobs: int | None,
        *,
        keep: bool,
    ) -> None:
        check_count(n_chains, "n_chains")
        self._X, self._n_jobs, self._keep = X, n_jobs, keep
        self._sampler = make_sampler(full, _repeated(table, weight))
        self.rate_ = self._sampler.rate()
        needed = _steps(self.rate_, _LEFT_BETWEEN)
        if n_between is None and needed > _MOST:
            warn_user(
                f"The chains mix so slowly (autocorrelation {self.rate_:.4f} from step to step) "
                f"that {_MOST} steps between imputations are too few: imputations depend on each "
                "other. Set n_burn and n_between, use method='bootstrap', or leave out columns "
                "that are rarely observed together.",
                ConvergenceWarning,
            )
        self.n_between_ = _chosen(n_between, self.rate_, _LEFT_BETWEEN, "n_between")
        self.n_burn_ = _chosen(n_burn, self.rate_, _LEFT_BURN, "n_burn")
        self.names_ = self._sampler.names
        self._chains = [
            Chain(self._sampler.start, np.random.default_rng(seed))
            for seed in sequence.spawn(n_chains)
        ]
        self._n_drawn = 0

    def sample(self, n_imputations: int = 20) -> list[Any]:
        """Continue the chains, and impute.

        Parameters
        ----------
        n_imputations : int, default=20
            Number of imputations.

        Returns
        -------
        imputations : list of ndarray or DataFrame of shape (n_samples, n_features_out)
            The imputations, in the format of ``imputer.transform``.
        """
        check_count(n_imputations, "n_imputations")
        return [imputed for imputed, _ in self._draws(n_imputations)]

    @property
    def trace(self) -> Array:
        """Parameters after each step, (n_chains, n_steps, n_params); burn-in comes first.

        Chains that are one imputation ahead of others are cut to the length of the shortest.
        """
        if not any(chain.trace for chain in self._chains):
            return np.empty((len(self._chains), 0, len(self.names_)))
        whole = [np.concatenate((np.empty((0, len(self.names_))), *c.trace)) for c in self._chains]
        return np.array([part[: min(map(len, whole))] for part in whole])

    def autocorrelation(self, max_lag: int | None = None) -> Array:
        """Autocorrelation of each parameter within the chains, after burn-in.

        Parameters
        ----------
        max_lag : int, default=None
            Largest lag; None means `n_between_`.

        Returns
        -------
        autocorrelation : ndarray of shape (n_params, max_lag + 1)
            Means over the chains, for lags 0, 1, ...

        Raises
        ------
        ValueError
            If the chains are not longer than the largest lag: sample first.
        """
        lag = self.n_between_ if max_lag is None else max_lag
        trace = self.trace[:, self.n_burn_ :]
        n = trace.shape[1]
        if not 0 <= lag < n:
            raise ValueError(
                f"max_lag={lag} needs more than {lag} steps after burn-in, but there are {n}: "
                "sample more imputations."
            )
        centered = trace - trace.mean(axis=(0, 1))
        products = [
            (centered[:, : n - k] * centered[:, k:]).sum(axis=(0, 1)) / n for k in range(lag + 1)
        ]
        variance = np.where(products[0] > 0.0, products[0], 1.0)
        return np.array(products).T / variance[:, None]

    def _draws(self, n_imputations: int) -> Iterator[Draw]:
        """Imputations, from the chains in turn."""
        left = n_imputations
        parallel = effective_n_jobs(self._n_jobs) > 1
        while left > 0:
            first = self._n_drawn % len(self._chains)
            n = min(left, len(self._chains) - first) if parallel else 1
            jobs = [delayed(self._continue)(self._chains[i]) for i in range(first, first + n)]
            done = Parallel(n_jobs=self._n_jobs if parallel else 1, prefer="threads")(jobs)
            for i, (chain, _) in enumerate(done, first):
                self._chains[i] = chain
            self._n_drawn += n
            left -= n
            notices: list[Notice] = []
            yield from ((imputed, notices) for _, imputed in done)

    def _continue(self, chain: Chain) -> tuple[Chain, Any]:
        """A chain after the next imputation, and the imputation."""
        params, rng, trace = chain
        started = self._n_drawn >= len(self._chains)
        n_steps = self.n_between_ if started else self.n_burn_ + self.n_between_
        vectors = []
        try:
            for _ in range(n_steps):
                params = self._sampler.step(params, rng)
                if self._keep:
                    vectors.append(self._sampler.to_vector(params))
            imputed = self._sampler.impute(self._X, params, int(rng.integers(2**31 - 1)))
        except (np.linalg.LinAlgError, DegenerateModelError) as error:
            raise ValueError(
                "A chain arrived at a singular covariance: there are too few rows for the number "
                "of columns. Set a larger alpha, or use method='bootstrap'."
            ) from error
        return Chain(params, rng, (*trace, np.array(vectors)) if vectors else trace), imputed


def check_imputer(imputer: Any) -> None:
    """Check the type of an imputer."""
    if not isinstance(imputer, MissingDataImputerEM):
        raise TypeError(f"imputer must be a MissingDataImputerEM, got {type(imputer).__name__}.")


def check_count(value: Any, name: str) -> None:
    """Check that a value is an integer of at least 1."""
    integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not integer or value < 1:
        raise ValueError(f"{name} must be an integer >= 1, got {value!r}.")


def seeded(
    imputer: MissingDataImputerEM, random_state: Any
) -> tuple[MissingDataImputerEM, np.random.SeedSequence]:
    """A clone of an imputer with a seed for its fit, and the source of all other seeds."""
    full = clone(imputer)
    source = check_random_state(full.random_state if random_state is None else random_state)
    sequence = np.random.SeedSequence(int(source.randint(2**31 - 1)))
    first = sequence.spawn(1)[0]
    full.set_params(random_state=int(first.generate_state(1)[0]), warm_start=False)
    return full, sequence


def _repeated(table: Any, copies: Array | None) -> Any:
    """A table in which each row is repeated."""
    if copies is None:
        return table
    if (copies != np.round(copies)).any():
        raise ValueError(
            "method='da' takes weights that are numbers of copies, so integers only. Use "
            "method='bootstrap' for others."
        )
    return np.repeat(table, copies.astype(np.intp), axis=0)


def _steps(rate: float, left: float) -> float:
    """Steps after which an autocorrelation is left."""
    return math.log(left) / math.log(rate) if 0.0 < rate < 1.0 else (0.0 if rate <= 0.0 else np.inf)


def _chosen(value: int | None, rate: float, left: float, name: str) -> int:
    if value is None:
        return math.ceil(min(max(_steps(rate, left), _FEWEST), _MOST))
    check_count(value, name)
    return int(value)
