"""English and German sentences made by a grammar, with the links between their words."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.utils import Bunch, check_random_state

# English noun, German noun, gender.
_NOUNS = (
    (
        "man Mann m|woman Frau f|child Kind n|dog Hund m|cat Katze f|horse Pferd n|"
        "teacher Lehrer m|"
        "girl Mädchen n|doctor Arzt m|student Schüler m|bird Vogel m|cow Kuh f|baker Bäcker m|"
        "queen Königin f|sister Schwester f|brother Bruder m|neighbor Nachbar m|friend Freund m"
    ),
    (
        "house Haus n|book Buch n|apple Apfel m|flower Blume f|letter Brief m|picture Bild n|"
        "table Tisch m|lamp Lampe f|car Auto n|tree Baum m|song Lied n|door Tür f|bread Brot n|"
        "key Schlüssel m|watch Uhr f|chair Stuhl m|bridge Brücke f|ship Schiff n"
    ),
    (
        "garden Garten m|city Stadt f|village Dorf n|forest Wald m|kitchen Küche f|room Zimmer n|"
        "school Schule f|hotel Hotel n|park Park m|church Kirche f"
    ),
)
_ADJECTIVES = (
    "old alt|young jung|small klein|big groß|new neu|beautiful schön|red rot|green grün|good gut|"
    "tired müd|happy glücklich|heavy schwer"
)
# English present, English participle, German present, German participle.
_VERBS = (
    "sees see seen sieht gesehen|buys buy bought kauft gekauft|finds find found findet gefunden|"
    "paints paint painted malt gemalt|loves love loved liebt geliebt|"
    "seeks seek sought sucht gesucht|"
    "brings bring brought bringt gebracht|hears hear heard hört gehört|"
    "knows know known kennt gekannt|needs need needed braucht gebraucht|"
    "takes take taken nimmt genommen|sells sell sold verkauft verkauft"
)
_ADVERBS = "today heute|yesterday gestern|here hier|now jetzt|again wieder|there dort"
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
        The corpus.

        pairs : list of (list of str, list of str)
            English and German tokens, for `WordAlignmentEM`.
        links : list of ndarray of shape (n_links, 2)
            For each pair, positions (English, German) of words that are translations of each other.

    Examples
    --------
    >>> from emlearn.datasets import make_parallel_sentences
    >>> corpus = make_parallel_sentences(2, random_state=1)
    >>> for english, german in corpus.pairs:
    ...     print(" ".join(english))
    ...     print("    ", " ".join(german))
    a young child paints the small house in the hotel here .
         ein junges Kind malt hier das kleine Haus im Hotel .
    the man has not needed a woman in the hotel yesterday .
         der Mann hat gestern eine Frau im Hotel nicht gebraucht .
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
