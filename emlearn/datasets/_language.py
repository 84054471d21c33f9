"""Sentences made by grammars: pairs of translations, and tagged words."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch, check_random_state

# ---- pairs of English and German sentences ----------------------------------------------------

# English noun, German noun, gender.
_NOUNS = (
    ("man Mann m|woman Frau f|child Kind n|dog Hund m|cat Katze f|horse Pferd n|teacher Lehrer m|"
     "girl Mädchen n|doctor Arzt m|student Schüler m|bird Vogel m|cow Kuh f|baker Bäcker m|"
     "queen Königin f|sister Schwester f|brother Bruder m|neighbor Nachbar m|friend Freund m"),
    ("house Haus n|book Buch n|apple Apfel m|flower Blume f|letter Brief m|picture Bild n|"
     "table Tisch m|lamp Lampe f|car Auto n|tree Baum m|song Lied n|door Tür f|bread Brot n|"
     "key Schlüssel m|watch Uhr f|chair Stuhl m|bridge Brücke f|ship Schiff n"),
    ("garden Garten m|city Stadt f|village Dorf n|forest Wald m|kitchen Küche f|room Zimmer n|"
     "school Schule f|hotel Hotel n|park Park m|church Kirche f"),
)
_ADJECTIVES = (
    "old alt|young jung|small klein|big groß|new neu|beautiful schön|red rot|green grün|good gut|"
    "tired müd|happy glücklich|heavy schwer"
)
# English present, English participle, German present, German participle.
_VERBS = (
    "sees see seen sieht gesehen|buys buy bought kauft gekauft|finds find found findet gefunden|"
    "paints paint painted malt gemalt|loves love loved liebt geliebt|seeks seek sought sucht gesucht|"
    "brings bring brought bringt gebracht|hears hear heard hört gehört|"
    "knows know known kennt gekannt|needs need needed braucht gebraucht|"
    "takes take taken nimmt genommen|sells sell sold verkauft verkauft"
)
_ADVERBS = "today heute|yesterday gestern|often oft|never nie|always immer|here hier|now jetzt"
_THE = {
    "nominative": {"m": "der", "f": "die", "n": "das"},
    "accusative": {"m": "den", "f": "die", "n": "das"},
}
_A = {
    "nominative": {"m": "ein", "f": "eine", "n": "ein"},
    "accusative": {"m": "einen", "f": "eine", "n": "ein"},
}

# A German word, and the positions of the English words that it translates.
_Word = tuple[str, tuple[int, ...]]


class _Phrase(NamedTuple):
    """English words, and German words with places among these."""

    english: list[str]
    german: list[_Word]


def make_parallel_sentences(
    n_pairs: int = 1000, *, random_state: int | np.random.RandomState | None = None
) -> Bunch:
    """Pairs of English and German sentences, with the links between their words.

    They are made by a small grammar: a subject, a verb in the present or the perfect, an object,
    and maybe an adjective, a negation, a place and an adverb. German differs from English in
    the order of words (an adverb in front exchanges subject and verb, participles are at the end),
    in articles that depend on gender and case, and in words without a counterpart ("does", "ja").

    Parameters
    ----------
    n_pairs : int, default=1000
        Number of pairs.
    random_state : int, RandomState instance or None, default=None
        Source of all randomness.

    Returns
    -------
    corpus : Bunch
        pairs : list of (list of str, list of str)
            English and German tokens, for `WordAlignmentEM`.
        links : list of ndarray of shape (n_links, 2)
            For each pair, positions (English, German) of words that are translations of each other.

    Examples
    --------
    >>> from emlearn.datasets import make_parallel_sentences
    >>> corpus = make_parallel_sentences(3, random_state=1)
    >>> for english, german in corpus.pairs:
    ...     print(" ".join(english), "/", " ".join(german))
    """
    rng = check_random_state(random_state)
    pairs, links = [], []
    for _ in range(n_pairs):
        english, german = _sentence(rng)
        pairs.append((english, [word for word, _ in german]))
        links.append(
            np.array(
                sorted((i, j) for j, (_, places) in enumerate(german) for i in places), np.int64
            ).reshape(-1, 2)
        )
    return Bunch(pairs=pairs, links=links)


def _choose(rng: np.random.RandomState, words: str) -> list[str]:
    """An entry of a list; the first ones are more frequent."""
    entries = words.split("|")
    weight = 1.0 / np.arange(2.0, len(entries) + 2.0)
    return entries[rng.choice(len(entries), p=weight / weight.sum())].split()


def _noun_phrase(rng: np.random.RandomState, kind: int, case: str) -> _Phrase:
    english, german, gender = _choose(rng, _NOUNS[kind])
    definite = rng.rand() < 0.65
    article = (_THE if definite else _A)[case][gender]
    words = ["the" if definite else "a"]
    own: list[_Word] = [(article, (0,))]
    if rng.rand() < 0.35:
        adjective, stem = _choose(rng, _ADJECTIVES)
        own.append((stem + _ending(article, gender, definite), (1,)))
        words.append(adjective)
    own.append((german, (len(words),)))
    return _Phrase([*words, english], own)


def _ending(article: str, gender: str, definite: bool) -> str:
    """Ending of an adjective after an article."""
    if article in ("den", "einen"):
        return "en"
    if definite or gender == "f":
        return "e"
    return "er" if gender == "m" else "es"


def _sentence(rng: np.random.RandomState) -> tuple[list[str], list[_Word]]:
    subject = _noun_phrase(rng, 0, "nominative")
    target = _noun_phrase(rng, int(rng.rand() < 0.7), "accusative")
    present, infinitive, participle, german, german_participle = _choose(rng, _VERBS)
    perfect, negated = rng.rand() < 0.35, rng.rand() < 0.2
    english: list[str] = []

    def add(words: list[str]) -> int:
        english.extend(words)
        return len(english) - len(words)

    def shifted(phrase: _Phrase) -> list[_Word]:
        start = add(phrase.english)
        return [(word, tuple(start + i for i in places)) for word, places in phrase.german]

    first = shifted(subject)
    end: list[_Word] = []
    if perfect:
        finite: _Word = ("hat", (add(["has"]),))
        no = [("nicht", (add(["not"]),))] if negated else []
        end = [(german_participle, (add([participle]),))]
    elif negated:
        add(["does"])
        no = [("nicht", (add(["not"]),))]
        finite = (german, (add([infinitive]),))
    else:
        no = []
        finite = (german, (add([present]),))
    middle = shifted(target)
    if rng.rand() < 0.3:
        middle += shifted(_place(rng))
    adverb: list[_Word] = []
    if rng.rand() < 0.35:
        word, own = _choose(rng, _ADVERBS)
        adverb = [(own, (add([word]),))]
    particle: list[_Word] = [("ja", ())] if rng.rand() < 0.1 else []
    if adverb and rng.rand() < 0.5:
        order = [*adverb, finite, *first, *particle, *middle, *no, *end]
    else:
        order = [*first, finite, *adverb, *particle, *middle, *no, *end]
    dot = add(["."])
    return english, [*order, (".", (dot,))]


def _place(rng: np.random.RandomState) -> _Phrase:
    """Where: "in the garden", "im Garten"."""
    english, german, gender = _choose(rng, _NOUNS[2])
    if gender == "f":
        return _Phrase(["in", "the", english], [("in", (0,)), ("der", (1,)), (german, (2,))])
    return _Phrase(["in", "the", english], [("im", (0, 1)), (german, (2,))])


# ---- tagged sentences of a made-up language ---------------------------------------------------

_CLOSED = {
    "DET": "the a this every some no",
    "PRON": "it they she we he everyone",
    "AUX": "will can must may could should",
    "ADP": "of in with to for from under over",
    "CONJ": "and but or while",
    "NUM": "two three four five seven 12 30 1999",
    "PUNCT": ". ! ?",
}
_ONSETS = "b br c ch d dr f fl g gl gr h j k l m n p pl pr r s sh sl sp st t th tr v w".split()
_VOWELS = "a e i o u ai ea oo ou".split()
_CODAS = "b ck d g l ll m n nd nt p r rd rk sh st t th x".split()
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
        sentences : list of list of str
            The tokens.
        tags : list of list of str
            Their tags: ADJ, ADP, ADV, AUX, CONJ, DET, NAME, NOUN, NUM, PRON, PUNCT and VERB.

    Examples
    --------
    >>> from emlearn.datasets import make_tagged_sentences
    >>> corpus = make_tagged_sentences(2, random_state=0)
    >>> for words, tags in zip(corpus.sentences, corpus.tags):
    ...     print(" ".join(f"{word}/{tag}" for word, tag in zip(words, tags)))
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
            word = self._one_of(self._lexicon.verbs) + "ment"
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
