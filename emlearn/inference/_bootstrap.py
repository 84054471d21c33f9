"""`bootstrap`: standard errors and confidence intervals of any estimator fitted by EM."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from emlearn.data import read_lengths
from emlearn.engine.estimator import EMEstimator
from emlearn.inference._refits import Refits, Replicate, Task, run_all, takes
from emlearn.inference._result import BootstrapResult, collect
from emlearn.inference._units import Units

_KINDS = ("nonparametric", "parametric", "bayesian")


def bootstrap(
    estimator: EMEstimator,
    X: Any,
    y: Any = None,
    *,
    sample_weight: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    kind: str = "nonparametric",
    n_resamples: int = 999,
    statistic: Callable[[Any], Any] | None = None,
    n_jobs: int | None = None,
    random_state: int | np.random.RandomState | None = None,
    verbose: int = 0,
) -> BootstrapResult:
    """Refit a fitted estimator to resamples of its data.

    The spread of the refits estimates that of the estimates, without any formula for their
    information. Each refit starts from the estimates, and its labels are then matched to those of
    the fit. Priors are those of the fit.

    Parameters
    ----------
    estimator : EMEstimator
        A fitted estimator: any of this package, or one of your own. It does not change.
    X : {array-like, DataFrame, CSR array} of shape (n_samples, n_features)
        The rows that it was fitted to.
    y : array-like of shape (n_samples,), default=None
        What its `fit` was given as `y`.
    sample_weight : array-like of shape (n_samples,) or (n_sequences,), default=None
        What its `fit` was given: numbers of copies. As many copies are drawn as there are in all,
        so integer weights give the same as rows that are repeated.
    lengths : array-like of shape (n_sequences,), default=None
        Numbers of rows of the sequences, for `HiddenMarkovEM`. Whole sequences are resampled; a
        single one has only the parametric bootstrap.
    groups : array-like of shape (n_samples,) or (n_sequences,), default=None
        Labels of groups of dependent rows (or sequences), which are resampled as a whole. None
        means that rows are independent; for `LinearMixedModelEM`, that levels of its coarsest
        grouping factor are. What its `fit` was given, if it was.
    kind : {"nonparametric", "parametric", "bayesian"}, default="nonparametric"
        "nonparametric": rows are drawn with replacement; valid if the model is not. "parametric":
        rows are drawn from the fitted model; entries are missing, and classes known, where they
        are in the data; for `LinearMixedModelEM`, responses are. "bayesian": rows get
        Dirichlet(1, ..., 1) weights (Rubin 1981). It is close to "nonparametric", but no row ever
        has weight 0, so that a component keeps its rows and a column its levels.
    n_resamples : int, default=999
        Number of resamples. 999 give standard errors to about 2 %; 95 % intervals need more than
        standard errors.
    statistic : callable, default=None
        A function of a fitted estimator that returns a number, an array or a dict of these. None
        means all published parameters, such as ``weights``, ``means`` and ``covariances``.
    n_jobs : int, default=None
        Number of processes of joblib; None means 1 unless set by `joblib.parallel_config`. The
        result has the same bits for any number.
    random_state : int, RandomState instance or None, default=None
        Seed of all random numbers.
    verbose : int, default=0
        If positive, progress is printed some 10 times; if above 1, some 100 times.

    Returns
    -------
    result : BootstrapResult
        Estimates, replicates, standard errors and intervals. It keeps a copy of the estimator and
        a reference to the data, which BCa intervals need.

    Raises
    ------
    ValueError
        If an argument is invalid, or fewer than two refits succeed.
    NotFittedError
        If the estimator is not fitted.

    Warns
    -----
    ConvergenceWarning
        If refits fail, which leaves them out, or do not converge.

    See Also
    --------
    emlearn.impute.multiple_imputation : Imputations from resamples.

    Notes
    -----
    Labels are matched by the assignment with the largest sum of products of the responsibilities
    of the fit and of the refit for the rows of `X`. Components of known classes are not
    renumbered. Factors are rotated to those of the fit (orthogonal Procrustes).

    A refit finds the optimum next to that of the fit. So the result does not show the
    uncertainty about which of several optima is the right one, which is what statistics of a
    labelled mixture mean (O'Hagan et al. 2019).

    A refit fails if EM fails, if the statistic is not finite, or if a column or a known class has
    no rows left. Failed refits are counted in the result, not drawn again, because this would
    hide that the estimate does not always exist.

    References
    ----------
    B. Efron and R. J. Tibshirani (1993). "An Introduction to the Bootstrap". Chapman & Hall.
    A. O'Hagan, T. B. Murphy, L. Scrucca and I. C. Gormley (2019). "Investigation of parameter
    uncertainty in clustering using a Gaussian mixture model via jackknife, bootstrap and weighted
    likelihood bootstrap". Computational Statistics 34(4), 1779-1813.
    D. B. Rubin (1981). "The Bayesian bootstrap". Annals of Statistics 9(1), 130-134.

    Examples
    --------
    >>> from emlearn import GaussianMixtureEM
    >>> from emlearn.datasets import load_old_faithful
    >>> from emlearn.inference import bootstrap
    >>> X = load_old_faithful().data
    >>> mixture = GaussianMixtureEM(2, random_state=0).fit(X)
    >>> result = bootstrap(mixture, X, n_resamples=99, random_state=0)
    >>> result.standard_errors["weights"].round(2)
    array([0.03, 0.03])
    >>> result.confidence_interval(0.9)["weights"].shape
    (2, 2)
    """
    if kind not in _KINDS:
        raise ValueError(f"kind must be one of {list(_KINDS)}, got {kind!r}.")
    if not isinstance(n_resamples, Integral) or n_resamples < 2:
        raise ValueError(f"n_resamples must be an integer >= 2, got {n_resamples!r}.")
    if statistic is not None and not callable(statistic):
        raise ValueError(f"statistic must be a function of a fitted estimator, got {statistic!r}.")
    if not hasattr(X, "shape") and not isinstance(X, Sequence):
        raise ValueError(f"X must be the rows of the fit, got {type(X).__name__}.")
    n_rows = int(X.shape[0]) if hasattr(X, "shape") else len(X)
    by_sequences = "lengths" in inspect.signature(estimator.fit).parameters
    if lengths is not None and not by_sequences:
        raise ValueError(
            f"lengths are for models of sequences, and {type(estimator).__name__} is none. Use "
            "groups for dependent rows."
        )
    sequences = read_lengths(lengths, n_rows) if by_sequences else None
    item, n_items = ("row", n_rows) if sequences is None else ("sequence", len(sequences))
    own = None
    if hasattr(estimator, "_resampling"):  # its rows depend on each other
        check_is_fitted(estimator)
        own = estimator._resampling(X, y, sample_weight, groups, kind)
        units = Units(own.n_units, None, None, None, own.what)
    else:
        units = Units.read(n_items, item, sample_weight, groups)
    if kind != "parametric" and units.n < 2:
        raise ValueError(
            f"kind={kind!r} resamples {units.what}s, but there is only one. "
            + ("Use kind='parametric'." if units.what == "sequence" else "Use more.")
        )
    if not takes(estimator, "sample_weight") and (sample_weight is not None or kind == "bayesian"):
        raise ValueError(
            f"{type(estimator).__name__} takes no sample_weight: leave it out, and use another "
            "kind than 'bayesian'."
        )
    refits = Refits.of(estimator, X, y, sequences, units, kind, statistic, own)
    root = np.random.SeedSequence(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    of_parts, of_resamples = root.spawn(2)
    tasks = [Task(seed) for seed in of_resamples.spawn(int(n_resamples))]
    found = run_all(refits, tasks, n_jobs, _Progress(len(tasks), int(verbose)))
    return collect(found, refits, of_parts, n_jobs)


class _Progress:
    """Prints how many refits are done."""

    def __init__(self, total: int, verbose: int):
        self.total = total
        self.step = max(1, total // (10 if verbose == 1 else 100)) if verbose > 0 else 0
        self.done = self.failed = 0

    def __call__(self, replicate: Replicate) -> None:
        self.done += 1
        self.failed += replicate.values is None
        if self.step and (self.done % self.step == 0 or self.done == self.total):
            print(f"bootstrap: {self.done} of {self.total} resamples, {self.failed} failed")
