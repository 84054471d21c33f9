"""Sequences drawn from a fitted hidden Markov model."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from emlearn.data import read_lengths
from emlearn.data.symbols import Symbols, decode_symbols
from emlearn.hmm._forecasting import ChainForecasting
from emlearn.latent import Sequences

Array = NDArray[Any]


class ChainSampling(ChainForecasting):
    """Drawn sequences, new ones and continued ones."""

    random_state: Any
    _symbols: Symbols

    def sample(
        self,
        n_samples: int = 1,
        lengths: ArrayLike | None = None,
        *,
        after: ArrayLike | None = None,
        after_lengths: ArrayLike | None = None,
    ) -> tuple[Array, Array]:
        """Draw sequences from the fitted model, or continue given ones.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows. Ignored if `lengths` is given.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means one sequence of `n_samples` rows.
        after : array-like of shape (n_rows, n_features) or list of these, default=None
            As many sequences, in any form that `fit` takes. What is drawn continues them: the
            first state follows their last one. None starts new sequences.
        after_lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences in `after`. None means one sequence, unless `after`
            is a list.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Rows, one sequence after another. An array of objects if there are columns of
            symbols.
        states : ndarray of shape (n_samples,)
            Their states, or the labels of the states.

        Raises
        ------
        ValueError
            If `after` has another number of sequences than are to be drawn.
        """
        check_is_fitted(self)
        if lengths is None:
            if not isinstance(n_samples, Integral) or n_samples < 1:
                raise ValueError(
                    f"Invalid value for 'n_samples': {n_samples!r}. It must be an int >= 1."
                )
            lengths = [int(n_samples)]
        sequences = Sequences.of_lengths(read_lengths(lengths, None))
        startprob, transmat = self._law_params()
        if after is not None:
            startprob = self._last_state(after, after_lengths) @ transmat
            if len(startprob) != len(sequences):
                raise ValueError(
                    f"after has {len(startprob)} sequences, but {len(sequences)} are to be drawn. "
                    "Give lengths with the number of rows to draw after each."
                )
        elif after_lengths is not None:
            raise ValueError("after_lengths belongs to after, which is None.")
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        rng = np.random.default_rng(seed)
        states = _draw_states(sequences, startprob, transmat, rng)
        rows = self._emissions().sample(states, rng)
        return decode_symbols(rows, getattr(self, "_symbols", {})), self._named(states)


def _draw_states(
    sequences: Sequences, startprob: Array, transmat: Array, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Draw paths of chains, one step in time for all of them at once.

    `startprob` is that of all sequences, or (n_sequences, n_states).
    """
    packed = sequences.packed
    states = np.empty(sequences.n_rows, np.intp)
    uniform = rng.random(sequences.n_rows)
    start, moves = _bounds(np.atleast_2d(startprob)), _bounds(transmat)
    at = np.zeros(len(sequences), np.intp)
    for t, now in enumerate(packed.steps):
        n = now.stop - now.start
        first = start[packed.order] if len(start) > 1 else start
        bounds = first if t == 0 else moves[at[:n]]
        at[:n] = (uniform[now, None] >= bounds).sum(axis=1)
        states[packed.rows[now]] = at[:n]
    return states


def _bounds(probability: Array) -> Array:
    """Upper bounds of the parts of the unit interval that belong to the states, but the last.

    Dividing by the rounded sum ensures that a state of probability 0 has an empty part.
    """
    edges = np.cumsum(probability, axis=-1)
    return edges[..., :-1] / edges[..., -1:]
