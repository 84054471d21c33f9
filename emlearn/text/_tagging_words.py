"""Words as symbols: frequent words are their own, others are classes by shape and suffix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: A word, or the shape and the suffix of rare words.
Symbol = str | tuple[str, str]


def shape_of(word: str) -> str:
    """What a word looks like, apart from its letters.

    Parameters
    ----------
    word : str
        The word.

    Returns
    -------
    shape : str
        "number" with a digit, "mark" without letters, "upper" if all letters are capitals (and
        there are several), "capital" if the first one is, "hyphen" with a hyphen, otherwise
        "lower".
    """
    if any(letter.isdigit() for letter in word):
        return "number"
    if not any(letter.isalpha() for letter in word):
        return "mark"
    if len(word) > 1 and word.isupper():
        return "upper"
    if word[0].isupper():
        return "capital"
    return "hyphen" if "-" in word else "lower"


class WordSymbols:
    """Symbols of words, learned from a corpus.

    A word that is counted `min_count` times is a symbol. Each rarer word belongs to a class: its
    shape and its longest suffix, of at most `suffix_length` letters, that at least
    `min_suffix_count` rare words of the shape have. Words that were never seen are treated as rare
    ones, so the probabilities of classes are those of rare words.

    Parameters
    ----------
    words : iterable of str
        All words of the corpus.
    counted : iterable of str
        Those that are counted: if some tags are known, the words with a tag. A word that has none
        is then treated as a rare one, as its own probabilities would come from its neighbors alone.
    min_count, suffix_length, min_suffix_count : int
        See above.
    """

    def __init__(
        self,
        words: Iterable[str],
        counted: Iterable[str],
        min_count: int,
        suffix_length: int,
        min_suffix_count: int,
    ):
        counts, distinct = Counter(counted), sorted(set(words))
        self.words = [word for word in distinct if counts[word] >= min_count]
        rare = [word for word in distinct if counts[word] < min_count]
        self._suffix_length = suffix_length
        endings = Counter(
            (shape_of(word), suffix) for word in rare for suffix in self._suffixes(word)
        )
        kept = {ending for ending, n in endings.items() if not ending[1] or n >= min_suffix_count}
        # Those that some word needs.
        self.classes = sorted({self._class(word, kept) for word in rare})
        symbols: list[Symbol] = [*self.words, *self.classes]
        self.codes: Mapping[Symbol, int] = {symbol: code for code, symbol in enumerate(symbols)}

    def __len__(self) -> int:
        return len(self.codes)

    def _suffixes(self, word: str) -> list[str]:
        """Endings from the longest to none; always shorter than the word."""
        longest = min(self._suffix_length, len(word) - 1)
        return [word[len(word) - size :].lower() for size in range(max(longest, 0), -1, -1)]

    def _class(self, word: str, kept: set[tuple[str, str]]) -> tuple[str, str]:
        shape = shape_of(word)
        return next(
            ((shape, suffix) for suffix in self._suffixes(word) if (shape, suffix) in kept),
            (shape, ""),
        )

    def symbol(self, word: str) -> Symbol | None:
        """The symbol of a word; None if no rare word is like it."""
        if word in self.codes:
            return word
        shape = shape_of(word)
        for suffix in self._suffixes(word):
            if (shape, suffix) in self.codes:
                return shape, suffix
        return None

    def encode(self, words: Sequence[str]) -> NDArray[np.float64]:
        """Codes of words; NaN for those without a symbol, which then say nothing."""
        known: dict[Any, float] = {}
        for word in set(words):
            symbol = self.symbol(word)
            known[word] = np.nan if symbol is None else float(self.codes[symbol])
        return np.fromiter((known[word] for word in words), np.float64, len(words))

    def names(self) -> NDArray[Any]:
        """Names of the symbols by code; classes as "<shape -suffix>"."""
        found = np.empty(len(self.codes), object)
        found[:] = [
            *self.words,
            *(f"<{shape} -{suffix}>" if suffix else f"<{shape}>" for shape, suffix in self.classes),
        ]
        return found
