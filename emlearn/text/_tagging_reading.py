"""Sentences and tags, as users give them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from emlearn.data.values import is_absent


def read_sentences(X: Any) -> list[list[str]]:
    """Sentences as lists of words.

    Raises
    ------
    TypeError
        If they are of another form. The message names the sentence.
    """
    if isinstance(X, (str, bytes)) or not isinstance(X, Iterable):
        raise TypeError(f"X must be a list of sentences, each a list of words; got {X!r:.60}.")
    found = []
    for number, sentence in enumerate(X):
        if isinstance(sentence, (str, bytes)) or not isinstance(sentence, Iterable):
            raise TypeError(
                f"X[{number}] is {sentence!r:.60}, not a list of words. Divide strings into words, "
                "and pass a single sentence in a list."
            )
        words = list(sentence)
        for position, word in enumerate(words):
            if not isinstance(word, str) or not word:
                raise TypeError(
                    f"Word {position} of X[{number}] is {word!r:.60}; words are strings with a "
                    "letter at least."
                )
        found.append(words)
    return found


def read_tags(y: Any, sentences: list[list[str]]) -> list[list[str | None]]:
    """Tags of the words of each sentence; None where not known.

    Raises
    ------
    ValueError, TypeError
        If there are not as many as words, or one is no string. The message names the sentence.
    """
    if y is None:
        return [[None] * len(sentence) for sentence in sentences]
    if isinstance(y, (str, bytes)) or not isinstance(y, Iterable):
        raise TypeError(f"y must be a list with the tags of each sentence, got {y!r:.60}.")
    tags = list(y)
    if len(tags) != len(sentences):
        raise ValueError(
            f"y has the tags of {len(tags)} sentences, but X has {len(sentences)} sentences."
        )
    found: list[list[str | None]] = []
    for number, (own, sentence) in enumerate(zip(tags, sentences, strict=True)):
        if own is None:
            found.append([None] * len(sentence))
            continue
        if isinstance(own, (str, bytes)) or not isinstance(own, Iterable):
            raise TypeError(
                f"y[{number}] is {own!r:.60}, not a list of tags. None means that no tag of the "
                "sentence is known."
            )
        of_words = [None if is_absent(tag) or tag != tag else tag for tag in own]
        if len(of_words) != len(sentence):
            raise ValueError(
                f"y[{number}] has {len(of_words)} tags, but X[{number}] has {len(sentence)} words."
            )
        for position, tag in enumerate(of_words):
            if tag is not None and not isinstance(tag, str):
                raise TypeError(
                    f"Tag {position} of y[{number}] is {tag!r:.60}; tags are strings, or None "
                    "where not known."
                )
        found.append(of_words)
    return found
