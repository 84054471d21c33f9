"""Proper multiple imputation: EM on bootstrap resamples, then draws."""

from __future__ import annotations

import copy
import numbers
from collections.abc import Iterator
from typing import Any

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from emlearn._warnings import warn_user
from emlearn.impute._imputer import MissingDataImputerEM
from emlearn.impute._notice import Notice
from emlearn.impute._prior import PseudoRows, next_to_none

# How often a resample that lacks all values of a column is drawn again.
_RESAMPLES = 100
# With a smaller eigenvalue of the correlations, a fit has no meaningful optimum.
_SINGULAR = 1e-10


def multiple_imputation(
    imputer: MissingDataImputerEM,
    X: Any,
    *,
    n_imputations: int = 20,
    n_jobs: int | None = None,
    random_state: Any = None,
) -> Iterator[Any]:
    """Impute a data set several times, so that the differences show the uncertainty.

    For each imputation the rows are resampled with replacement, the model is fitted to the
    resample by EM, and the missing entries of `X` are drawn from their conditional
    distribution under that fit. So the draws reflect the uncertainty of the parameters and of
    the missing values: the imputations are proper in Rubin's sense. Analyze each as if it were
    complete, and pool the results with `pool_estimates`.

    All resamples are fitted with one prior. If ``alpha="auto"``, one Gaussian has
    ``max(0.1, nu min(1, (d + 1) / n)^3)`` pseudo-rows, where nu is the strength that predicts best,
    d the number of columns, and n the number of rows that pairs of columns have in common
    (harmonic mean). Shrinkage improves predictions, but makes estimates biased and intervals too
    narrow.

    Parameters
    ----------
    imputer : MissingDataImputerEM
        The model. It is neither fitted nor changed.
    X : array-like or DataFrame of shape (n_samples, n_features)
        Data with missing entries.
    n_imputations : int, default=20
        Number of imputations. A few are enough for stable estimates; 20 also give stable
        standard errors and fractions of missing information.
    n_jobs : int, default=None
        Number of imputations made at the same time with joblib, in threads unless
        `joblib.parallel_config` selects another backend.
    random_state : int, RandomState instance or None, default=None
        Source of starts, resamples and draws. None means the `random_state` of the imputer
        (if it is an instance, a copy is used), so a seed in either place gives the same
        imputations each time. The result does not depend on `n_jobs`.

    Returns
    -------
    imputations : iterator of ndarray or DataFrame of shape (n_samples, n_features_out)
        The imputations, in the format of ``imputer.transform``. They are made one at a time on
        demand, or a few at a time with `n_jobs`; the model of all rows is fitted immediately.

    Raises
    ------
    ValueError
        If a parameter or the data are invalid, or a column has so few values that
        resamples keep missing all of them.

    Warns
    -----
    UserWarning, ConvergenceWarning
        The warnings of the fits, each kind once after the last imputation, with the number of
        imputations affected. With ``alpha=0`` this includes resamples whose likelihood has no
        maximum.

    References
    ----------
    J. Honaker and G. King (2010). "What to do about missing values in time-series
    cross-section data". American Journal of Political Science 54(2), 561-581.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.impute import MissingDataImputerEM, multiple_imputation, pool_estimates
    >>> rng = np.random.default_rng(0)
    >>> X = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], size=100)
    >>> X[:40, 1] = np.nan
    >>> tables = list(multiple_imputation(MissingDataImputerEM(), X, random_state=0))
    >>> pooled = pool_estimates(
    ...     [table[:, 1].mean() for table in tables],
    ...     [table[:, 1].var(ddof=1) / 100 for table in tables],
    ...     df_complete=99,
    ... )
    >>> bool(pooled.interval[0, 0] < 0 < pooled.interval[0, 1])
    True
    """
    if not isinstance(imputer, MissingDataImputerEM):
        raise TypeError(f"imputer must be a MissingDataImputerEM, got {type(imputer).__name__}.")
    count = isinstance(n_imputations, numbers.Integral) and not isinstance(n_imputations, bool)
    if not count or n_imputations < 1:
        raise ValueError(f"n_imputations must be an integer >= 1, got {n_imputations!r}.")
    if n_jobs is not None and (not isinstance(n_jobs, numbers.Integral) or n_jobs == 0):
        raise ValueError(f"n_jobs must be an integer other than 0, or None; got {n_jobs!r}.")
    full = clone(imputer)
    source = check_random_state(full.random_state if random_state is None else random_state)
    sequence = np.random.SeedSequence(int(source.randint(2**31 - 1)))
    first, *seeds = sequence.spawn(int(n_imputations) + 1)
    full.set_params(random_state=int(first.generate_state(1)[0]), warm_start=False)
    table, _ = full._read(X)
    # The model of all rows is only a start for the others, so only warnings about the data count.
    notices = [n for n in full._fit_table(table, None) if n.category is UserWarning]
    for notice in notices:
        warn_user(notice.message, notice.category)
    prior = full._pseudo_rows
    if prior is not None and isinstance(full.alpha, str):
        prior = prior.for_draws()
    known = {notice.kind for notice in notices}
    return _draw_all(full, X, table, prior, seeds, n_jobs, known)


def _draw_all(
    full: MissingDataImputerEM,
    X: Any,
    table: Any,
    prior: PseudoRows | None,
    seeds: list[np.random.SeedSequence],
    n_jobs: int | None,
    known: set[str],
) -> Iterator[Any]:
    """The imputations; after the last one, warnings, each kind once."""
    found: dict[str, list[Notice]] = {}
    for imputed, notices in _draws(full, X, table, prior, seeds, n_jobs):
        for notice in notices:
            found.setdefault(notice.kind, []).append(notice)
        yield imputed
    for kind, notices in found.items():
        if kind not in known:
            message = f"In {len(notices)} of {len(seeds)} imputations: {notices[0].message}"
            warn_user(message, notices[0].category)


def _draws(
    full: MissingDataImputerEM,
    X: Any,
    table: Any,
    prior: PseudoRows | None,
    seeds: list[np.random.SeedSequence],
    n_jobs: int | None,
) -> Iterator[tuple[Any, list[Notice]]]:
    step = 2 * effective_n_jobs(n_jobs)
    if step == 2:
        for seed in seeds:
            yield _draw_one(full, X, table, prior, seed)
        return
    for start in range(0, len(seeds), step):
        yield from Parallel(n_jobs=n_jobs, prefer="threads")(
            delayed(_draw_one)(full, X, table, prior, seed) for seed in seeds[start : start + step]
        )


def _draw_one(
    full: MissingDataImputerEM,
    X: Any,
    table: Any,
    prior: PseudoRows | None,
    seed: np.random.SeedSequence,
) -> tuple[Any, list[Notice]]:
    rng = np.random.default_rng(seed)
    weight = _resample(np.isnan(table), rng)
    draw_seed = int(rng.integers(2**31 - 1))

    def draw(pseudo_rows: PseudoRows | None) -> tuple[Any, list[Notice], bool]:
        imputer = copy.deepcopy(full)
        # EM is fast from the optimum of all rows, and a mixture stays at the same optimum.
        imputer.set_params(warm_start=True, sample_posterior=True, random_state=draw_seed)
        notices = imputer._fit_table(table, weight, pseudo_rows)
        return imputer.transform(X), notices, _nearly_singular(imputer.covariances_)

    if full.alpha != 0:
        imputed, notices, _ = draw(prior)
        return imputed, notices
    try:
        imputed, notices, singular = draw(None)
    except ValueError:
        # Without a prior, the fit to a resample can fail; one failure must not end the run.
        imputed, notices, singular = *draw(next_to_none(table))[:2], True
    if singular:
        notices = [n for n in notices if n.category is not ConvergenceWarning] + [_SINGULAR_NOTICE]
    return imputed, notices


_SINGULAR_NOTICE = Notice(
    "singular",
    ConvergenceWarning,
    "the resample has no maximum of the likelihood, or one at a nearly singular covariance: its "
    "draws follow relations between columns that a few rows happen to obey. Use alpha='auto', or "
    "set a larger alpha.",
)


def _nearly_singular(covariances: NDArray[np.float64]) -> bool:
    """Whether some correlations of columns that vary are singular, or nearly so."""
    for covariance in covariances:
        varying = np.diagonal(covariance) > 0.0
        matrix = covariance[np.ix_(varying, varying)]
        scale = np.sqrt(np.diagonal(matrix))
        correlation = matrix / scale[:, None] / scale
        if scale.size and np.linalg.eigvalsh(correlation)[0] < _SINGULAR:
            return True
    return False


def _resample(missing: Any, rng: np.random.Generator) -> Any:
    """How often each row is drawn; each column keeps at least one observed value."""
    n_rows, empty = missing.shape[0], missing.all(axis=0)
    for _ in range(_RESAMPLES):
        weight = np.bincount(rng.integers(n_rows, size=n_rows), minlength=n_rows).astype(float)
        if (empty | ((weight > 0.0) @ ~missing > 0)).all():
            return weight
    raise ValueError(
        "A column has so few observed values that resamples of the rows lose all of them; "
        "leave it out, or collect more rows."
    )
