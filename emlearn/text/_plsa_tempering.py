"""The temperature that predicts words held out best (Hofmann 1999)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from emlearn.engine import EMResult
from emlearn.text._plsa_folding import log_likelihoods
from emlearn.text._plsa_model import Corpus, TopicModel, Topics

Array = NDArray[np.float64]

# Part of the words that is held out, and ratio and smallest value of the inverse temperatures.
_HELD_OUT = 0.1
_COOLER = 0.9
_LOWEST = 0.1

# All integers up to this are exact in float64.
_MOST_COUNTS = 2.0**53

#: Runs EM on a model and data from parameters.
Run = Callable[[TopicModel, Corpus, Topics], EMResult]


class Tempering(NamedTuple):
    """The temperatures that were tried.

    Attributes
    ----------
    model : TopicModel
        The model at the best temperature.
    params : Topics
        Its parameters for the words that were not held out.
    temperatures, perplexities : ndarray of shape (n_tried,)
        The temperatures, and perplexities of the words held out.
    """

    model: TopicModel
    params: Topics
    temperatures: Array
    perplexities: Array


def temper(
    model: TopicModel,
    counts: csr_array,
    weight: Array | None,
    rng: np.random.Generator,
    run: Run,
) -> Tempering:
    """Raise the temperature as long as that predicts words held out better.

    Parameters
    ----------
    model : TopicModel
        The model at temperature 1.
    counts : csr_array of shape (n_documents, n_words)
        Counts, which must be integers.
    weight : ndarray of shape (n_documents,) or None
        Weights of the documents.
    rng : Generator
        Source of the words held out and of the start.
    run : callable
        Runs EM.

    Returns
    -------
    found : Tempering
        The best temperature.

    Raises
    ------
    ValueError
        If a count is not an integer, or nothing is held out.
    """
    kept, held_out = _divide(counts, rng)
    data = model.prepare(kept, weight)
    # A word that is nowhere in what is kept says nothing about the temperature.
    held_out.data[data.word_counts[held_out.indices] == 0.0] = 0.0
    held_out.eliminate_zeros()
    ones = np.ones(counts.shape[0]) if weight is None else weight
    total = float(ones @ held_out.sum(axis=1))
    if total == 0.0:
        raise ValueError(
            "temperature='held-out' needs words to hold out, but X has too few. Give a number."
        )
    params = model.initialize(data, rng)
    best: tuple[float, TopicModel, Topics] | None = None
    tried: list[tuple[float, float]] = []
    beta = 1.0
    while beta >= _LOWEST:
        tempered = replace(model, beta=beta)
        params = run(tempered, data, params).params
        values = log_likelihoods(held_out, params.documents, params.words)
        with np.errstate(over="ignore"):
            perplexity = float(np.exp(-(values[ones > 0.0] @ ones[ones > 0.0]) / total))
        tried.append((1.0 / beta, perplexity))
        if best is not None and np.isfinite(best[0]) and perplexity >= best[0]:
            break
        if best is None or perplexity < best[0]:
            best = perplexity, tempered, params
        beta *= _COOLER
    assert best is not None
    temperatures, perplexities = np.array(tried).T
    return Tempering(best[1], best[2], temperatures, perplexities)


def _divide(counts: csr_array, rng: np.random.Generator) -> tuple[csr_array, csr_array]:
    """Counts without the words held out, and these."""
    if not (counts.data <= _MOST_COUNTS).all() or (counts.data != np.rint(counts.data)).any():
        raise ValueError(
            "temperature='held-out' holds out single words, so the entries of X must be integers. "
            "Give a temperature as a number, or the counts themselves."
        )
    held_out = counts.copy()
    held_out.data = rng.binomial(counts.data.astype(np.int64), _HELD_OUT).astype(np.float64)
    kept = counts.copy()
    kept.data = counts.data - held_out.data
    for part in (kept, held_out):
        part.eliminate_zeros()
    return kept, held_out
