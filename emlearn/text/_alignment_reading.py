"""Pairs of sentences: from lists of tokens to codes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, count
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Codes = NDArray[np.int32]

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

    @cached_property
    def by_source(self) -> NDArray[np.intp]:
        """Source positions sorted by word."""
        small = self.source.max(initial=0) < 2**16
        # Numpy sorts these numbers by their digits.
        return np.argsort(self.source.astype(np.uint16) if small else self.source, kind="stable")

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
        The words, without copies, in the order of their codes.
    null : bool, default=False
        Whether the null word comes before them, as None.
    """

    def __init__(self, words: Iterable[str], null: bool = False):
        every = [None, *words] if null else list(words)
        self.words: NDArray[Any] = np.empty(len(every), object)
        self.words[:] = every
        self.codes: Mapping[str | None, int] = {word: code for code, word in enumerate(every)}

    def __len__(self) -> int:
        return len(self.words)

    @classmethod
    def learn(cls, side: Side, null: bool = False) -> tuple[Vocabulary, Codes]:
        """The words of one side, sorted, and the codes of all its tokens."""
        codes = _ranks(side.distinct)[side.codes] + np.int32(null)
        return cls(sorted(side.distinct), null), codes

    def encode(self, side: Side) -> Codes:
        """Codes of all tokens of one side; those that are not known get the number of words."""
        codes, other = self.codes, len(self.words)
        of_distinct = np.fromiter(
            (codes.get(word, other) for word in side.distinct), np.int32, len(side.distinct)
        )
        return of_distinct[side.codes] if len(of_distinct) else side.codes


class Side(NamedTuple):
    """One side of a corpus: distinct tokens, all tokens as numbers of these, and lengths."""

    distinct: list[str]
    codes: Codes
    lengths: Index

    def take(self, sentences: NDArray[np.intp]) -> Side:
        """Some of the sentences, with their words only."""
        codes = self.codes[_positions(_starts(self.lengths), sentences)]
        kept, own = np.unique(codes, return_inverse=True)
        words = [self.distinct[code] for code in kept.tolist()]
        return Side(words, own.reshape(-1).astype(np.int32), self.lengths[sentences])


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
        return len(self.source.lengths)

    def take(self, pairs: NDArray[np.intp]) -> Sentences:
        """Pairs at the given positions, with their words only."""
        found = object.__new__(Sentences)
        found.source, found.target = self.source.take(pairs), self.target.take(pairs)
        return found

    def learn(self, null: bool) -> tuple[Vocabulary, Vocabulary, Bitext]:
        """The words of both sides, and the codes of all."""
        source, source_codes = Vocabulary.learn(self.source, null)
        target, target_codes = Vocabulary.learn(self.target)
        return source, target, self._bitext(source_codes, target_codes, null)

    def encode(self, source: Vocabulary, target: Vocabulary, null: bool) -> Bitext:
        """Codes of all words, those of another corpus."""
        return self._bitext(source.encode(self.source), target.encode(self.target), null)

    def _bitext(self, source: Codes, target: Codes, null: bool) -> Bitext:
        lengths = self.source.lengths
        if null:
            # The null word is part of the sentence from here on.
            source = np.insert(source, np.cumsum(lengths) - lengths, 0)
            lengths = lengths + 1
        return Bitext(source, lengths, target, self.target.lengths, null)


def _ranks(words: list[str]) -> Codes:
    """Place of each word among the sorted ones."""
    order = sorted(range(len(words)), key=words.__getitem__)
    ranks = np.empty(len(words), np.int32)
    ranks[order] = np.arange(len(words), dtype=np.int32)
    return ranks


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
        if type(pair) in (tuple, list) and len(pair) == 2:
            continue
        if isinstance(pair, (str, bytes, Mapping)) or not hasattr(pair, "__len__"):
            raise TypeError(
                f"X[{number}] is {type(pair).__name__}, not a pair of sentences; {_HOW}."
            )
        if len(pair) != 2:
            hint = " parallel_corpus makes pairs of two corpora." if len(pairs) == 2 else ""
            raise ValueError(f"X[{number}] has {len(pair)} entries instead of 2; {_HOW}.{hint}")
    return pairs


def _side(pairs: list[Any], which: int) -> Side:
    """One side of all pairs, checked."""
    name = ("source", "target")[which]
    sentences = []
    for number, pair in enumerate(pairs):
        sentence = pair[which]
        if type(sentence) is list:
            sentences.append(sentence)
            continue
        if isinstance(sentence, (str, bytes)):
            raise TypeError(
                f"The {name} sentence of X[{number}] is the string {sentence!r:.60}. Give a list "
                f"of tokens, such as {str(sentence).split()[:3]!r}."
            )
        if sentence is None or not isinstance(sentence, Iterable):
            raise TypeError(
                f"The {name} sentence of X[{number}] is {sentence!r:.60}, not a list of tokens. A "
                "sentence without words is an empty list."
            )
        sentences.append(list(sentence))
    lengths = np.fromiter(map(len, sentences), np.int64, len(sentences))
    # A new token gets the next number as it is looked up.
    numbers: defaultdict[Any, int] = defaultdict(count().__next__)
    try:
        tokens = map(numbers.__getitem__, chain.from_iterable(sentences))
        codes = np.fromiter(tokens, np.int32, int(lengths.sum()))
        valid = all(issubclass(kind, str) for kind in set(map(type, numbers)))
    except TypeError:  # a token that cannot be a key
        valid = False
    if not valid:
        _refuse_token(sentences, name)
    return Side(list(numbers), codes, lengths)


def _refuse_token(sentences: list[list[Any]], name: str) -> NoReturn:
    for number, sentence in enumerate(sentences):
        for position, token in enumerate(sentence):
            if not isinstance(token, str):
                hint = (
                    " If X is a pair of corpora, parallel_corpus makes pairs of sentences of it."
                    if isinstance(token, (list, tuple))
                    else ""
                )
                raise TypeError(
                    f"Token {position} of the {name} sentence of X[{number}] is {token!r:.60}, not "
                    f"a string. Tokens are strings: convert numbers, and drop missing words.{hint}"
                )
    raise TypeError(f"The {name} sentences of X have tokens that are no strings.")


def _starts(lengths: Index) -> Index:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _positions(starts: Index, items: NDArray[np.intp]) -> Index:
    """Positions of the words of some sentences, one sentence after another."""
    lengths = starts[items + 1] - starts[items]
    before = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.arange(int(lengths.sum())) - before + np.repeat(starts[items], lengths)
