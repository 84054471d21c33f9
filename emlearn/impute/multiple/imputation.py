"""Proper multiple imputation."""

from __future__ import annotations

import numbers
from collections.abc import Iterator
from typing import Any

from emlearn._warnings import warn_user
from emlearn.impute._notice import Notice
from emlearn.impute.multiple.around import Derived, Surroundings, as_long
from emlearn.impute.multiple.augmentation import DataAugmentation, check_count, seeded
from emlearn.impute.multiple.bootstrap import Bootstrap, Draw

_N_CHAINS = 4


def multiple_imputation(
    imputer: Any,
    X: Any,
    *,
    n_imputations: int = 20,
    sample_weight: Any = None,
    method: str = "bootstrap",
    n_burn: int | None = None,
    n_between: int | None = None,
    derived: Derived | None = None,
    inverse: bool | None = None,
    output: str = "iterator",
    n_jobs: int | None = None,
    random_state: Any = None,
) -> Any:
    """Impute a data set several times, so that the differences show the uncertainty.

    For each imputation, parameters of the model are drawn, and then the missing entries of `X`
    from their conditional distribution under these parameters. So the imputations reflect the
    uncertainty of the parameters and of the missing values: they are proper in Rubin's sense.
    Analyze each as if it were complete, and pool the results with `pool_estimates`, `pool_fits`
    or `fit_each`. By default the parameters are those of a fit by EM to rows that are resampled
    with replacement; with ``method="da"`` they are draws from their posterior distribution.

    All fits have one prior. If ``alpha="auto"``, one Gaussian has
    ``max(0.1, nu min(1, (d + 1) / n)^3)`` pseudo-rows, where nu is the strength that predicts best,
    d the number of columns, and n the number of rows that pairs of columns have in common
    (harmonic mean). Shrinkage improves predictions, but makes estimates biased and intervals too
    narrow.

    Parameters
    ----------
    imputer : MissingDataImputerEM or Pipeline
        The model; or a pipeline with it as a step. Steps before it are fitted once, to `X`, and
        the model is fitted to what they return: logarithms, for example. Steps after it are
        fitted to each imputation. It is neither fitted nor changed.
    X : array-like or DataFrame of shape (n_samples, n_features)
        Data with missing entries.
    n_imputations : int, default=20
        Number of imputations. A few are enough for stable estimates; 20 also give stable
        standard errors and fractions of missing information.
    sample_weight : array-like of shape (n_samples,), default=None
        Weight of each row; weight w means w copies, of which each can be in a resample. For
        ``method="da"`` integers.
    method : {"bootstrap", "da"}, default="bootstrap"
        How parameters are drawn: by EM fits to resamples, for all models; or by data augmentation
        (`DataAugmentation`), for one Gaussian.
    n_burn, n_between : int, default=None
        Only for "da": steps of a chain before its first imputation, and between imputations. None
        means what the rate of convergence of EM suggests.
    derived : dict, default=None
        Functions of the completed table (as `X`: an array or DataFrame) that give columns, by
        their names (or numbers, for arrays): ``{"bmi": lambda t: t["weight"] / t["height"] ** 2}``.
        Missing entries of these columns are computed from each imputation. See Notes.
    inverse : bool, default=None
        Whether imputations are brought back through the steps before the imputer, with observed
        entries as they were. None means that they are if all these steps have
        `inverse_transform` and the imputer is the last step.
    output : {"iterator", "list", "long"}, default="iterator"
        "list" has all imputations, and "long" is one DataFrame of pandas with the number of the
        imputation, from 1, in column ".imp" and the label of the row in ".id", as mice has it.
    n_jobs : int, default=None
        Number of imputations made at the same time with joblib, in threads unless
        `joblib.parallel_config` selects another backend.
    random_state : int, RandomState instance or None, default=None
        Source of starts, resamples and draws. None means the `random_state` of the imputer
        (if it is an instance, a copy is used), so a seed in either place gives the same
        imputations each time. The result does not depend on `n_jobs`.

    Returns
    -------
    imputations : iterator or list of ndarray or DataFrame (n_samples, n_features_out), or DataFrame
        The imputations, in the format of ``imputer.transform``. Those of an iterator are made one
        at a time on demand, or a few at a time with `n_jobs`; the model of all rows is fitted
        immediately.

    Raises
    ------
    ValueError
        If a parameter or the data are invalid, a column has so few values that resamples keep
        missing all of them, or the fits to 21 resamples in a row fail.
    TypeError
        If `imputer` is no imputer, nor a pipeline with one.

    Warns
    -----
    UserWarning, ConvergenceWarning
        The warnings of the fits, each kind once after the last imputation, with the number of
        imputations affected. This includes resamples that were replaced because the fit failed
        and, with ``alpha=0``, those whose likelihood has no maximum.

    Notes
    -----
    A derived column is not part of the model if it can be computed wherever it is observed: it
    says nothing then that the others do not, and imputations are consistent (*passive* imputation).
    It is part of the model if some rows have it without the columns that it follows from; the
    imputations of these columns in such rows then agree with it only as far as a linear
    regression does. Functions get the incomplete table once, and should give NaN where they lack
    something.

    If the analysis has a nonlinear derived column as a regressor (a square, a product), the model
    has to know of it, or its coefficient is biased towards 0: impute it as *just another variable*,
    without `derived`. Then imputed squares are not the squares of imputed values, but the
    regression is right if entries are missing completely at random (von Hippel 2009). Linear
    functions (totals, differences) need no `derived`: the default prior obeys them. Products and
    ratios are linear after logarithms, in a pipeline.

    References
    ----------
    J. Honaker and G. King (2010). "What to do about missing values in time-series
    cross-section data". American Journal of Political Science 54(2), 561-581.
    P. T. von Hippel (2009). "How to impute interactions, squares, and other transformed
    variables". Sociological Methodology 39(1), 265-291.

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
    check_count(n_imputations, "n_imputations")
    if n_jobs is not None and (not isinstance(n_jobs, numbers.Integral) or n_jobs == 0):
        raise ValueError(f"n_jobs must be an integer other than 0, or None; got {n_jobs!r}.")
    if method not in ("bootstrap", "da"):
        raise ValueError(f"method must be 'bootstrap' or 'da', got {method!r}.")
    if output not in ("iterator", "list", "long"):
        raise ValueError(f"output must be 'iterator', 'list' or 'long', got {output!r}.")
    if method == "bootstrap" and not (n_burn is None and n_between is None):
        raise ValueError("n_burn and n_between are for method='da'.")
    around = Surroundings(imputer, X, inverse, derived)
    full, sequence = seeded(around.imputer, random_state)
    table, weight = full._read(around.X, sample_weight)
    # The model of all rows is only a start for the others, so only warnings about the data count.
    notices = [n for n in full._fit_table(table, weight) if n.category is UserWarning]
    for notice in notices:
        warn_user(notice.message, notice.category)
    if method == "bootstrap":
        seeds = sequence.spawn(int(n_imputations))
        draws = Bootstrap(full, around.X, table, weight, n_jobs).draws(seeds)
    else:
        chains = DataAugmentation._of_fitted(
            full, around.X, table, weight, sequence, _N_CHAINS, n_burn, n_between, n_jobs
        )
        draws = chains._draws(int(n_imputations))
    known = {notice.kind for notice in notices}
    imputations = _leave(draws, around, int(n_imputations), known)
    if output == "iterator":
        return imputations
    return list(imputations) if output == "list" else as_long(list(imputations), around, X)


def _leave(
    draws: Iterator[Draw], around: Surroundings, n_imputations: int, known: set[str]
) -> Iterator[Any]:
    """The imputations; after the last one, warnings, each kind once."""
    found: dict[str, list[Notice]] = {}
    affected: dict[str, int] = {}
    for imputed, notices in draws:
        for notice in notices:
            found.setdefault(notice.kind, []).append(notice)
        for kind in {notice.kind for notice in notices}:
            affected[kind] = affected.get(kind, 0) + 1
        yield around.leave(imputed)
    for kind, own in found.items():
        if kind not in known:
            times = f", {len(own)} times" if len(own) > affected[kind] else ""
            message = f"In {affected[kind]} of {n_imputations} imputations{times}: {own[0].message}"
            warn_user(message, own[0].category)
