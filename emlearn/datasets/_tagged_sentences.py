"""Tagged sentences of a made-up language."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.utils import Bunch, check_random_state

_CLOSED = {
    "DET": "the a this every some no",
    "PRON": "it they she we he everyone",
    "AUX": "will can must may could should",
    "ADP": "of in with to for from under over",
    "CONJ": "and but or while",
    "NUM": "two three four five seven 12 30 1999",
    "PUNCT": ". ! ?",
}
_ONSETS = (
    *"bcdfghjklmnprstvw",
    *("br", "ch", "dr", "fl", "gl", "gr", "pl", "pr", "sh", "sl", "sp", "st", "th", "tr"),
)
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "oo", "ou")
_CODAS = ("b", "ck", "d", "g", "l", "ll", "m", "n", "nd", "nt", "p", "r", "rd", "rk", "sh", "st")
_N_STEMS = 900


class _Lexicon(NamedTuple):
    """Stems of the open classes; those at the front are more frequent."""

    nouns: list[str]
    verbs: list[str]
    adjectives: list[str]
    names: list[str]


def _make_lexicon() -> _Lexicon:
    """The stems of the language, always the same."""
    rng = np.random.RandomState(7)

    def stem(n_syllables: int) -> str:
        parts = [rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(n_syllables)]
        return "".join(parts) + rng.choice(_CODAS)

    stems = list(dict.fromkeys(stem(1 + int(rng.rand() < 0.5)) for _ in range(3 * _N_STEMS)))
    nouns, verbs = stems[:_N_STEMS], stems[_N_STEMS : _N_STEMS + 300]
    # A quarter of the verbs are nouns as well, as "walk" in English.
    verbs[::4] = nouns[: len(verbs[::4])]
    adjectives = stems[_N_STEMS + 300 : _N_STEMS + 600]
    names = [word.capitalize() for word in stems[_N_STEMS + 600 : _N_STEMS + 800]]
    return _Lexicon(nouns, verbs, adjectives, names)


def make_tagged_sentences(
    n_sentences: int = 1000, *, random_state: int | np.random.RandomState | None = None
) -> Bunch:
    """Sentences of a made-up language with the part of speech of each word.

    The words that make the structure are English; nouns, verbs, adjectives and names have made-up
    stems with English endings, by Zipf's law, so that new sentences have words that were never
    seen. Many words are ambiguous: a quarter of the verbs are nouns as well, "-s" ends plurals and
    verbs, "-ing" verbs and nouns, "-er" nouns and adjectives.

    The grammar: a sentence has one clause, or two with a conjunction. A clause is a noun phrase, a
    verb, which may have an auxiliary, and maybe an object, a prepositional phrase and an adverb. A
    noun phrase is a pronoun, a name, or a noun with a determiner or number, adjectives and maybe a
    prepositional phrase.

    Parameters
    ----------
    n_sentences : int, default=1000
        Number of sentences.
    random_state : int, RandomState instance or None, default=None
        Source of all randomness. The words of the language are always the same.

    Returns
    -------
    corpus : Bunch
        The corpus.

        sentences : list of list of str
            The tokens.
        tags : list of list of str
            Their tags: ADJ, ADP, ADV, AUX, CONJ, DET, NAME, NOUN, NUM, PRON, PUNCT and VERB.

    Examples
    --------
    >>> from emlearn.datasets import make_tagged_sentences
    >>> corpus = make_tagged_sentences(1, random_state=0)
    >>> for words, tags in zip(corpus.sentences, corpus.tags):
    ...     print(" ".join(f"{word}/{tag}" for word, tag in zip(words, tags)))
    this/DET nad/NOUN wobrecked/VERB a/DET plustack/NOUN dipaibly/ADV ?/PUNCT
    """
    rng = check_random_state(random_state)
    grammar = _Grammar(_make_lexicon(), rng)
    made = [grammar.sentence() for _ in range(n_sentences)]
    return Bunch(
        sentences=[[word for word, _ in sentence] for sentence in made],
        tags=[[tag for _, tag in sentence] for sentence in made],
    )


_Tagged = list[tuple[str, str]]


class _Grammar:
    """Draws phrases, as lists of words with tags."""

    def __init__(self, lexicon: _Lexicon, rng: np.random.RandomState):
        self._lexicon, self._rng = lexicon, rng

    def _maybe(self, probability: float) -> bool:
        return bool(self._rng.rand() < probability)

    def _one_of(self, words: list[str]) -> str:
        """A word by Zipf's law."""
        n = len(words)
        return words[min(int((n + 1.0) ** self._rng.rand()) - 1, n - 1)]

    def _closed(self, tag: str) -> _Tagged:
        return [(self._one_of(_CLOSED[tag].split()), tag)]

    def _noun(self, plural: bool) -> _Tagged:
        kind = self._rng.rand()
        if kind < 0.6:
            word = self._one_of(self._lexicon.nouns)
        elif kind < 0.7:
            word = self._one_of(self._lexicon.adjectives) + "ness"
        elif kind < 0.8:
            word = self._one_of(self._lexicon.verbs) + "er"
        elif kind < 0.9:
            word = self._one_of(self._lexicon.verbs) + "age"
        else:
            word = self._one_of(self._lexicon.verbs) + "ing"
        ending = "es" if word.endswith("s") else "s"
        return [(word + ending if plural else word, "NOUN")]

    def _adjective(self) -> _Tagged:
        stem = self._one_of(self._lexicon.adjectives)
        return [(stem + ["", "", "er", "ous", "ful"][self._rng.randint(5)], "ADJ")]

    def _adverb(self) -> _Tagged:
        return [(self._one_of(self._lexicon.adjectives) + "ly", "ADV")]

    def _noun_phrase(self, depth: int = 0) -> _Tagged:
        kind = self._rng.rand()
        if kind < 0.2:
            return self._closed("PRON")
        if kind < 0.32:
            return [(self._one_of(self._lexicon.names), "NAME")]
        plural = self._maybe(0.35)
        found: _Tagged = []
        if plural and self._maybe(0.3):
            found += self._closed("NUM")
        elif not plural or self._maybe(0.5):
            found += self._closed("DET")
        while self._maybe(0.3):
            found += self._adjective()
        found += self._noun(plural)
        if depth < 2 and self._maybe(0.2):
            found += self._place(depth)
        return found

    def _place(self, depth: int = 0) -> _Tagged:
        return self._closed("ADP") + self._noun_phrase(depth + 1)

    def _verb(self) -> _Tagged:
        stem = self._one_of(self._lexicon.verbs)
        if self._maybe(0.3):
            between = self._adverb() if self._maybe(0.2) else []
            return [*self._closed("AUX"), *between, (stem, "VERB")]
        return [(stem + ["s", "s", "ed", "ed", "", "ing"][self._rng.randint(6)], "VERB")]

    def _clause(self) -> _Tagged:
        found = self._noun_phrase() + self._verb()
        if self._maybe(0.65):
            found += self._noun_phrase()
        if self._maybe(0.3):
            found += self._place()
        if self._maybe(0.2):
            found += self._adverb()
        return found

    def sentence(self) -> _Tagged:
        """One or two clauses."""
        found = self._clause()
        if self._maybe(0.2):
            found += self._closed("CONJ") + self._clause()
        return found + self._closed("PUNCT")
