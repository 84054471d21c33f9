"""Reading of what a user passes to `HiddenMarkovEM`: probabilities of the chain, and symbols."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.data import as_numbers, check_proportions
from emlearn.data.symbols import Symbols, encode_symbols, learn_symbols, table_of_objects
from emlearn.distributions import Family
from emlearn.latent import ChainLaw, Probabilities
from emlearn.latent.chain.stationary import StationaryChainLaw, stationary_distribution

Array = NDArray[Any]


def chain_probabilities(init: Any, alpha: Any, shape: tuple[int, ...], name: str) -> Probabilities:
    """Starting probabilities and their Dirichlet prior.

    Raises
    ------
    ValueError
        If the probabilities have the wrong shape, are negative, or do not sum to one in a
        row, or if the pseudo-counts have the wrong shape or are negative.
    """
    pseudocounts = as_numbers(alpha, f"{name}_alpha")
    if pseudocounts.shape not in ((), shape):
        raise ValueError(
            f"{name}_alpha must be a number or an array of shape {shape}, got shape "
            f"{pseudocounts.shape}."
        )
    if not (np.isfinite(pseudocounts) & (pseudocounts >= 0.0)).all():
        raise ValueError(f"{name}_alpha must be >= 0; 0 is maximum likelihood.")
    pseudocounts = np.broadcast_to(pseudocounts, shape).copy()
    if init is None:
        return Probabilities(None, pseudocounts)
    given = check_proportions(init, f"{name}_init", shape)
    return Probabilities(given / given.sum(axis=-1)[..., None], pseudocounts)


def chain_law(model: Any, n: int) -> ChainLaw:
    """The law of the states that the hyperparameters of an estimator describe.

    Raises
    ------
    ValueError
        If a hyperparameter is invalid, or contradicts ``stationary_start=True``.
    """
    startprob = chain_probabilities(model.startprob_init, model.startprob_alpha, (n,), "startprob")
    transmat = chain_probabilities(model.transmat_init, model.transmat_alpha, (n, n), "transmat")
    if not model.stationary_start:
        return ChainLaw(n, startprob, transmat)
    if startprob.given is not None or startprob.pseudocounts.any():
        raise ValueError(
            "With stationary_start=True the start probabilities follow from the transitions: "
            "startprob_init must be None and startprob_alpha 0."
        )
    if "startprob" in (model.fixed or {}):
        raise ValueError(
            "With stationary_start=True the start probabilities follow from the transitions, so "
            "fixed cannot hold 'startprob'."
        )
    if transmat.given is not None and stationary_distribution(transmat.given) is None:
        raise ValueError(
            "transmat_init has several sets of states that are never left, so there is no single "
            "stationary distribution. Allow transitions between them, or set "
            "stationary_start=False."
        )
    return StationaryChainLaw(n, startprob, transmat)


def read_symbols(model: Any, X: Any, family: Family, *, reset: bool) -> tuple[Any, Symbols]:
    """A table with codes in place of symbols, and the symbols.

    Parameters
    ----------
    model : estimator
        The estimator. With `warm_start`, the symbols of its last fit keep their codes.
    X : array-like, DataFrame or sparse matrix of shape (n_samples, n_features)
        The table.
    family : Family
        The family that its hyperparameters describe.
    reset : bool
        Whether this is the table of a fit.

    Returns
    -------
    table : object
        The table, or X itself if there are no symbols.
    symbols : dict of int to ndarray
        Values of the codes of each column of symbols.
    """
    known: Symbols = getattr(model, "_symbols", {})
    if not reset:
        unseen = model.family_.level_columns(model.n_features_in_) if known else {}
        return encode_symbols(X, known, unseen), known
    table = table_of_objects(X)
    if table is None:
        return X, {}
    names = table.names
    if names is not None and not all(isinstance(name, str) for name in names):
        names = None
    n_columns = len(table.columns)
    unseen = family.at_columns(names, n_columns).level_columns(n_columns)
    symbols = learn_symbols(table, unseen, known if model._resumes() else None)
    return encode_symbols(X, symbols, unseen), symbols
