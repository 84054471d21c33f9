"""What a fitted `WordAlignmentEM` says of sentences and words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from emlearn.data import read_weight
from emlearn.text._alignment_hmm import JumpAlignment
from emlearn.text._alignment_model import Alignment, PositionAlignment
from emlearn.text._alignment_positions import Shapes
from emlearn.text._alignment_reading import Bitext, Sentences, Vocabulary

Array = NDArray[np.float64]
Model = PositionAlignment | JumpAlignment


class AlignedSentences(BaseEstimator):
    """Links of new sentences, their likelihood, and translations of words."""

    null: bool
    _source: Vocabulary
    _target: Vocabulary
    _fitted: Model
    _params: Alignment
    _matrix: csr_array | None

    # ---- sentences --------------------------------------------------------------------------

    def predict(self, X: Any) -> list[NDArray[np.int64]]:
        """The most probable links of each pair of sentences.

        Parameters
        ----------
        X : list of (list of str, list of str)
            Pairs of sentences.

        Returns
        -------
        links : list of ndarray of shape (n_links, 2)
            For each pair, positions (source, target) from 0, in the order of the target words,
            each of which has at most one link. Of "hmm" they are those of the most probable
            path. Of equally probable positions the one nearest to the diagonal is taken.

        Raises
        ------
        ValueError, TypeError
            If a pair is invalid. The message names it.
        """
        bitext, model, params = self._read_pairs(X)
        best = model.best_sources(bitext, params) - bool(self.null)
        position = np.arange(len(best)) - np.repeat(
            bitext.target_starts[:-1], bitext.target_lengths
        )
        links = np.stack([best, position], axis=1)
        kept = best >= 0
        counts = np.concatenate([[0], np.cumsum(kept)])[bitext.target_starts]
        links, edges = links[kept], counts.tolist()
        return [links[first:last] for first, last in pairwise(edges)]

    def predict_proba(self, X: Any) -> list[Array]:
        """Probabilities of all links of each pair of sentences.

        Parameters
        ----------
        X : list of (list of str, list of str)
            Pairs of sentences.

        Returns
        -------
        probabilities : list of ndarray of shape (n_source, n_target)
            For each pair, probability that the target word (column) is the translation of the
            source word (row). What is missing to 1 in a column is the probability of the null word.
            A target word that is impossible has zeros.

        Raises
        ------
        ValueError, TypeError
            If a pair is invalid. The message names it.
        """
        bitext, model, params = self._read_pairs(X)
        flat = model.posteriors(bitext, params)
        n, m = bitext.source_lengths, bitext.target_lengths
        ends = np.cumsum(n * m)
        skipped = int(self.null)
        return [
            flat[end - size * width : end].reshape(size, width)[skipped:]
            for end, size, width in zip(ends.tolist(), n.tolist(), m.tolist(), strict=True)
        ]

    def score_samples(self, X: Any) -> Array:
        """Log-likelihood of the target sentence of each pair given the source sentence.

        Parameters
        ----------
        X : list of (list of str, list of str)
            Pairs of sentences.

        Returns
        -------
        log_likelihood : ndarray of shape (n_pairs,)
            In nats; 0 for an empty target sentence, and -inf for one that is impossible, which
            does not happen with `alpha` above 0 and the null word.

        Raises
        ------
        ValueError, TypeError
            If a pair is invalid. The message names it.
        """
        bitext, model, params = self._read_pairs(X)
        return model.log_likelihoods_of(bitext, params)

    def score(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Mean log-likelihood of a pair of sentences.

        Parameters
        ----------
        X : list of (list of str, list of str)
            Pairs of sentences.
        y : Ignored
            Present for compatibility with pipelines.
        sample_weight : array-like of shape (n_pairs,), default=None
            Weights of the pairs.

        Returns
        -------
        score : float
            Weighted mean of `score_samples`.

        Raises
        ------
        ValueError, TypeError
            If a pair or the weights are invalid, or there are no pairs.
        """
        values = self.score_samples(X)
        weight = read_weight(sample_weight, len(values), "pair")
        if not len(values):
            raise ValueError("X has no pairs of sentences to score.")
        if weight is None:
            return float(values.mean())
        used = weight > 0.0
        return float(values[used] @ weight[used] / weight.sum())

    def perplexity(self, X: Any) -> float:
        """Perplexity of the target words given their source sentences.

        Parameters
        ----------
        X : list of (list of str, list of str)
            Pairs of sentences.

        Returns
        -------
        perplexity : float
            exp(- log-likelihood / number of target words): the number of equally probable words
            from which it is as hard to guess. inf if a pair is impossible.

        Raises
        ------
        ValueError, TypeError
            If a pair is invalid, or there are no target words.
        """
        bitext, model, params = self._read_pairs(X)
        if not len(bitext.target):
            raise ValueError("X has no target words, so there is no perplexity.")
        return float(np.exp(-model.log_likelihoods_of(bitext, params).sum() / len(bitext.target)))

    def _read_pairs(self, X: Any) -> tuple[Bitext, Model, Alignment]:
        """Codes of the words, and the model with the lengths of these sentences."""
        check_is_fitted(self)
        bitext = Sentences(X).encode(self._source, self._target, bool(self.null))
        model, params = self._fitted, self._params
        if isinstance(model, PositionAlignment):
            shapes = Shapes.of(bitext, model.law.shared)
            law = model.law.carried(params.law, model.shapes, shapes)
            return bitext, replace(model, shapes=shapes), Alignment(params.translation, law)
        lengths = tuple(np.unique(bitext.source_lengths - bitext.null).tolist())
        return bitext, replace(model, law=replace(model.law, lengths=lengths)), params

    # ---- words ------------------------------------------------------------------------------

    @property
    def source_vocabulary_(self) -> NDArray[Any]:
        """Source words; with the null word, it is the first, as None."""
        return self._source.words

    @property
    def target_vocabulary_(self) -> NDArray[Any]:
        """Target words."""
        return self._target.words

    @property
    def translation_(self) -> csr_array:
        """Probabilities of target words (columns) given source words (rows)."""
        if self._matrix is None:
            self._matrix = self._fitted.lexicon.matrix(self._params.translation)
        return self._matrix

    @property
    def unseen_translation_(self) -> Array:
        """Probability of each word that does not occur with a source word."""
        return self._params.translation.rest

    def translation_probability(self, target: str, source: str | None = None) -> float:
        """Probability of a target word as the translation of a source word.

        Parameters
        ----------
        target : str
            Target word.
        source : str or None, default=None
            Source word; None is the null word.

        Returns
        -------
        probability : float
            t(target | source). A target word that is not in the vocabulary has the probability of
            words that do not occur with the source word; a source word that is not translates
            to all words equally.

        Raises
        ------
        ValueError
            If there is no null word.

        Examples
        --------
        >>> from emlearn.text import WordAlignmentEM
        >>> pairs = [(["the", "house"], ["das", "Haus"]), (["the", "book"], ["das", "Buch"])]
        >>> model = WordAlignmentEM(null=False, tol=1e-6).fit(pairs)
        >>> round(model.translation_probability("das", "the"), 2)
        1.0
        """
        check_is_fitted(self)
        row = self._row(source)
        if row is None:
            return 1.0 / (len(self._target) + 1)
        lexicon, params = self._fitted.lexicon, self._params.translation
        entries = slice(int(lexicon.starts[row]), int(lexicon.starts[row + 1]))
        code = self._target.codes.get(target)
        found = np.flatnonzero(lexicon.targets[entries] == (-1 if code is None else code))
        if not found.size:
            return float(params.rest[row])
        return float(params.entries[entries][found[0]])

    def top_translations(
        self, words: Iterable[str | None] | None = None, n: int = 5
    ) -> dict[str | None, list[tuple[str, float]]]:
        """The most probable translations of source words.

        Parameters
        ----------
        words : iterable of str or None, default=None
            Source words; None among them is the null word. By default all words.
        n : int, default=5
            Number of translations of each.

        Returns
        -------
        translations : dict of str to list of (str, float)
            For each word, target words that occur with it, and their probabilities, the most
            probable first.

        Raises
        ------
        ValueError
            If a word is not in the source vocabulary.
        """
        check_is_fitted(self)
        if isinstance(words, str):
            raise ValueError(f"words must be a list of words, got the string {words!r}.")
        matrix = self.translation_
        found: dict[str | None, list[tuple[str, float]]] = {}
        for word in self.source_vocabulary_ if words is None else words:
            row = self._row(word)
            if row is None:
                raise ValueError(f"{word!r} is not in the source vocabulary.")
            part = slice(int(matrix.indptr[row]), int(matrix.indptr[row + 1]))
            values, columns = matrix.data[part], matrix.indices[part]
            best = np.lexsort((columns, -values))[:n]
            names = self.target_vocabulary_[columns[best]]
            found[word] = list(zip(names.tolist(), values[best].tolist(), strict=True))
        return found

    def position_probabilities(self, n_source: int, n_target: int) -> Array:
        """Probabilities of the positions in sentences of given lengths, of "ibm1" and "ibm2".

        Parameters
        ----------
        n_source, n_target : int
            Numbers of words.

        Returns
        -------
        probabilities : ndarray of shape (n_target, n_source) or (n_target, n_source + 1)
            Probability of the source position (column) given the target position (row); with the
            null word first, if there is one. Those of "ibm2" with free positions are equal for
            lengths that did not occur in `fit`.

        Raises
        ------
        ValueError
            If the model is "hmm", in which they depend on the last link.
        """
        check_is_fitted(self)
        model, params = self._fitted, self._params
        if isinstance(model, JumpAlignment):
            raise ValueError(
                "The positions of model='hmm' depend on the last link: see jump_probabilities_."
            )
        n = n_source + bool(self.null)
        shapes = Shapes(np.array([n]), np.array([n_target]), bool(self.null), model.law.shared)
        cells = model.law.cells(model.law.carried(params.law, model.shapes, shapes), shapes)
        if model.law.shared:
            return np.repeat(cells[:, None], n, axis=1)
        return np.ascontiguousarray(cells.reshape(n, n_target).T)

    def _row(self, source: str | None) -> int | None:
        """Row of a source word; None if it is not in the vocabulary."""
        if source is None and not self.null:
            raise ValueError("There is no null word (None) with null=False.")
        return self._source.codes.get(source)
