"""Pairs of sentences: from lists of tokens to codes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Codes = NDArray[np.int32]
Tokens = Sequence[str]

_HOW = "each pair is (source tokens, target tokens), both lists of strings"


@dataclass(frozen=True, eq=False)
class Bitext:
    """Pairs of sentences, as codes of their words.

    Attributes
    ----------
    source, target : ndarray of shape (n_positions,) of int32
        Words of all sentences, one sentence after another.
    source_lengths, target_lengths : ndarray of shape (n_pairs,) of int64
        Numbers of words. With `null`, each source sentence begins with the null word.
    null : bool
        Whether there is the null word, of code 0.
    """

    source: Codes
    source_lengths: Index
    target: Codes
    target_lengths: Index
    null: bool

    def __len__(self) -> int:
        return len(self.source_lengths)

    @cached_property
    def source_starts(self) -> Index:
        """Where each source sentence starts, and the end."""
        return _starts(self.source_lengths)

    @cached_property
    def target_starts(self) -> Index:
        """Where each target sentence starts, and the end."""
        return _starts(self.target_lengths)

    def take(self, pairs: NDArray[np.intp]) -> Bitext:
        """Pairs at the given positions, which may repeat."""
        return Bitext(
            self.source[_positions(self.source_starts, pairs)],
            self.source_lengths[pairs],
            self.target[_positions(self.target_starts, pairs)],
            self.target_lengths[pairs],
            self.null,
        )


class Occurrences(NamedTuple):
    """Source words in sentences, each with links to all words of the target sentence.

    Attributes
    ----------
    source : ndarray of shape (n_occurrences,) of int32
        The words.
    starts : ndarray of shape (n_occurrences + 1,) of int64
        Where the links of each start.
    word_starts : ndarray of shape (n_occurrences,) of int64
        First word of the target sentence of each.
    """

    source: Codes
    starts: Index
    word_starts: Index

    @classmethod
    def of(cls, bitext: Bitext, order: NDArray[np.intp] | None = None) -> Occurrences:
        """All source positions, by default in their order."""
        n = bitext.source_lengths
        source, sizes = bitext.source, np.repeat(bitext.target_lengths, n)
        word_starts = np.repeat(bitext.target_starts[:-1], n)
        if order is not None:
            source, sizes, word_starts = source[order], sizes[order], word_starts[order]
        return cls(source, _starts(sizes), word_starts)


class Vocabulary:
    """The words of one side of a corpus, and their codes.

    Parameters
    ----------
    words : iterable of str
        The words, without copies.
    null : bool, default=False
        Whether the null word comes before them, as None.
    """

    def __init__(self, words: Iterable[str], null: bool = False):
        every = [None, *sorted(words)] if null else sorted(words)
        self.words: NDArray[Any] = np.empty(len(every), object)
        self.words[:] = every
        self.codes: Mapping[str | None, int] = {word: code for code, word in enumerate(every)}

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, tokens: Sequence[str | None]) -> Codes:
        """Codes of words; those that are not known get the number of words."""
        codes, other = self.codes, len(self.words)
        try:
            return np.fromiter(map(codes.__getitem__, tokens), np.int32, len(tokens))
        except KeyError:
            return np.fromiter((codes.get(t, other) for t in tokens), np.int32, len(tokens))


class Sentences:
    """Pairs of sentences as the user gives them, checked.

    Parameters
    ----------
    X : iterable of pairs
        Pairs (source tokens, target tokens).

    Raises
    ------
    TypeError, ValueError
        If X, a pair or a token is of another form. The message names the pair.
    """

    def __init__(self, X: Any):
        pairs = _pairs(X)
        self.source = _side(pairs, 0)
        self.target = _side(pairs, 1)

    def __len__(self) -> int:
        return len(self.source)

    def take(self, pairs: Iterable[int]) -> Sentences:
        """Some of the pairs."""
        new = object.__new__(Sentences)
        kept = list(pairs)
        new.source = [self.source[i] for i in kept]
        new.target = [self.target[i] for i in kept]
        return new

    def vocabularies(self, null: bool) -> tuple[Vocabulary, Vocabulary]:
        """The words of both sides."""
        return (
            Vocabulary(set(chain.from_iterable(self.source)), null),
            Vocabulary(set(chain.from_iterable(self.target))),
        )

    def encode(self, source: Vocabulary, target: Vocabulary, null: bool) -> Bitext:
        """Codes of all words."""
        words = source.encode(list(chain.from_iterable(self.source)))
        lengths = np.fromiter(map(len, self.source), np.int64, len(self))
        if null:
            words = np.insert(words, np.cumsum(lengths) - lengths, 0)
            lengths = lengths + 1
        return Bitext(
            words,
            lengths,
            target.encode(list(chain.from_iterable(self.target))),
            np.fromiter(map(len, self.target), np.int64, len(self)),
            null,
        )


def parallel_corpus(source: Any, target: Any) -> list[tuple[list[str], list[str]]]:
    """Pairs of sentences from two corpora, as `WordAlignmentEM` takes them.

    Parameters
    ----------
    source, target : iterable of str or of list of str
        Sentences, in the same order. A string is divided at white space.

    Returns
    -------
    pairs : list of (list of str, list of str)
        The pairs. Those with an empty sentence are kept.

    Raises
    ------
    ValueError
        If the corpora have different numbers of sentences.

    Examples
    --------
    >>> from emlearn.text import parallel_corpus
    >>> parallel_corpus(["the house", "a book"], ["das Haus", ["ein", "Buch"]])
    [(['the', 'house'], ['das', 'Haus']), (['a', 'book'], ['ein', 'Buch'])]
    """
    for name, corpus in (("source", source), ("target", target)):
        if isinstance(corpus, (str, bytes)):
            raise TypeError(f"{name} must be a list of sentences, got a single string.")
    sides = [
        [sentence.split() if isinstance(sentence, str) else list(sentence) for sentence in corpus]
        for corpus in (source, target)
    ]
    if len(sides[0]) != len(sides[1]):
        raise ValueError(
            f"source has {len(sides[0])} sentences, but target has {len(sides[1])}. Sentence i of "
            "one must be the translation of sentence i of the other."
        )
    return list(zip(*sides, strict=True))


def _pairs(X: Any) -> list[tuple[Any, Any]]:
    if isinstance(X, (str, bytes)) or not isinstance(X, Iterable):
        raise TypeError(f"X must be a list of pairs of sentences, got {X!r:.60}; {_HOW}.")
    if hasattr(X, "columns") and hasattr(X, "to_numpy"):
        X = X.to_numpy()
    pairs = list(X)
    for number, pair in enumerate(pairs):
        if isinstance(pair, (str, bytes, Mapping)) or not hasattr(pair, "__len__"):
            raise TypeError(f"X[{number}] is {type(pair).__name__}, not a pair of sentences; {_HOW}.")
        if len(pair) != 2:
            hint = " parallel_corpus makes pairs of two corpora." if len(pairs) == 2 else ""
            raise ValueError(
                f"X[{number}] has {len(pair)} entries instead of 2; {_HOW}.{hint}"
            )
    return pairs


def _side(pairs: list[Any], which: int) -> list[list[str]]:
    """One side of all pairs, checked."""
    name = ("source", "target")[which]
    sentences = []
    for number, pair in enumerate(pairs):
        sentence = pair[which]
        if isinstance(sentence, (str, bytes)):
            raise TypeError(
                f"The {name} sentence of X[{number}] is the string {sentence!r:.60}. Give a list of "
                f"tokens, such as {str(sentence).split()[:3]!r}."
            )
        if sentence is None or not isinstance(sentence, Iterable):
            raise TypeError(
                f"The {name} sentence of X[{number}] is {sentence!r:.60}, not a list of tokens. A "
                "sentence without words is an empty list."
            )
        sentences.append(sentence if isinstance(sentence, list) else list(sentence))
    if not all(issubclass(kind, str) for kind in set(map(type, chain.from_iterable(sentences)))):
        _refuse_token(sentences, name)
    return sentences


def _refuse_token(sentences: list[list[Any]], name: str) -> None:
    for number, sentence in enumerate(sentences):
        for position, token in enumerate(sentence):
            if not isinstance(token, str):
                hint = (
                    " If X is a pair of corpora, parallel_corpus makes pairs of sentences of it."
                    if isinstance(token, (list, tuple))
                    else ""
                )
                raise TypeError(
                    f"Token {position} of the {name} sentence of X[{number}] is {token!r:.60}, not a "
                    f"string. Tokens are strings: convert numbers, and drop missing words.{hint}"
                )


def _starts(lengths: Index) -> Index:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _positions(starts: Index, items: NDArray[np.intp]) -> Index:
    """Positions of the words of some sentences, one sentence after another."""
    lengths = starts[items + 1] - starts[items]
    before = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.arange(int(lengths.sum())) - before + np.repeat(starts[items], lengths)
