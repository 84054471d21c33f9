"""PartOfSpeechTaggerEM: counts of tagged words, EM of others, classes of words, bad input."""

import pickle
import warnings
from collections import Counter
from itertools import pairwise, product

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score

from emlearn.datasets import make_tagged_sentences
from emlearn.text import PartOfSpeechTaggerEM
from emlearn.text._tagging_words import WordSymbols, shape_of

X = [["the", "dog", "sleeps"], ["a", "cat", "sees", "the", "dog"], ["it", "sleeps"]]
Y = [["DET", "NOUN", "VERB"], ["DET", "NOUN", "VERB", "DET", "NOUN"], ["PRON", "VERB"]]


@pytest.fixture(scope="module")
def corpus():
    return make_tagged_sentences(400, random_state=0)


def tagger(**options):
    return PartOfSpeechTaggerEM(**{"random_state": 0, **options})


def test_tagged_sentences_are_counted():
    """With all tags, the probabilities are counts with pseudo-counts."""
    model = tagger(min_count=1, alpha=0.5, transition_alpha=0.25).fit(X, Y)
    assert model.tags_.tolist() == ["DET", "NOUN", "PRON", "VERB"]
    words = ["a", "cat", "dog", "it", "sees", "sleeps", "the"]
    assert model.words_.tolist() == words
    emission, moves, starts = np.full((4, 7), 0.5), np.full((4, 4), 0.25), np.full(4, 0.25)
    codes = {tag: k for k, tag in enumerate(model.tags_)}
    for sentence, tags in zip(X, Y, strict=True):
        starts[codes[tags[0]]] += 1
        for word, tag in zip(sentence, tags, strict=True):
            emission[codes[tag], words.index(word)] += 1
        for before, after in pairwise(tags):
            moves[codes[before], codes[after]] += 1
    np.testing.assert_allclose(model.emission_, emission / emission.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(model.startprob_, starts / starts.sum())
    np.testing.assert_allclose(model.transmat_, moves / moves.sum(axis=1, keepdims=True))
    assert model.predict(X) == Y
    assert model.score(X, Y) == 1.0
    assert model.converged_


def test_tags_of_a_sentence_are_those_of_all_paths():
    model = tagger(min_count=1).fit(X, Y)
    codes = [model.words_.tolist().index(word) for word in X[1]]
    total, links, best = 0.0, np.zeros((5, 4)), (0.0, None)
    for path in product(range(4), repeat=5):
        chance = model.startprob_[path[0]] * model.emission_[path[0], codes[0]]
        for k in range(1, 5):
            chance *= model.transmat_[path[k - 1], path[k]] * model.emission_[path[k], codes[k]]
        total += chance
        links[np.arange(5), path] += chance
        best = max(best, (chance, path))
    (found,) = model.predict_proba(X[1:2])
    np.testing.assert_allclose(found, links / total)
    np.testing.assert_allclose(model.score_samples(X[1:2]), [np.log(total)])
    assert model.predict(X[1:2]) == [model.tags_[list(best[1])].tolist()]


def test_untagged_words_are_summed_over():
    """EM goes on from the tagged ones; the log-likelihood is that of words and known tags."""
    model = tagger(min_count=1).fit(X, [Y[0], [None, "NOUN", None, None, None], None])
    assert model.tags_.tolist() == ["DET", "NOUN", "VERB"]
    objectives = np.array(model.lower_bounds_)
    assert (np.diff(objectives) >= -1e-12).all()
    np.testing.assert_allclose(model.predict_proba(X)[0].sum(axis=1), 1.0)
    assert model.predict([["a", "dog"]]) == [["DET", "NOUN"]]


def test_more_tags_than_names():
    model = tagger(n_tags=5, min_count=1).fit(X, [Y[0], None, None])
    assert model.tags_.tolist() == ["DET", "NOUN", "VERB", "tag0", "tag1"]
    free = tagger(n_tags=2, min_count=1).fit(X)
    assert free.tags_.tolist() == ["tag0", "tag1"]
    assert {tag for tags in free.predict(X) for tag in tags} <= {"tag0", "tag1"}


def test_a_weight_is_as_many_copies():
    options = {"min_count": 1, "n_tags": 3}
    given = tagger(**options).fit(X, [Y[0], None, None], sample_weight=[2, 1, 0])
    copied = tagger(**options).fit([X[0], X[0], X[1]], [Y[0], Y[0], None])
    assert given.words_.tolist() == copied.words_.tolist()
    np.testing.assert_allclose(given.emission_, copied.emission_, atol=1e-4)


def test_accuracy_of_new_sentences(corpus):
    train, test = corpus.sentences[:300], corpus.sentences[300:]
    known, true = corpus.tags[:300], corpus.tags[300:]
    supervised = tagger().fit(train, known)
    assert supervised.score(test, true) > 0.96
    # Suffixes and shapes tell the tags of words that were never seen.
    seen = {word for sentence in train for word in sentence}
    found = supervised.predict(test)
    new = [
        own == tag
        for sentence, tags, answers in zip(test, true, found, strict=True)
        for word, tag, own in zip(sentence, tags, answers, strict=True)
        if word not in seen
    ]
    assert len(new) > 50
    assert np.mean(new) > 0.85
    without = tagger(suffix_length=0).fit(train, known)
    assert without.score(test, true) < supervised.score(test, true) - 0.01


def test_half_of_the_tags(corpus):
    train, test = corpus.sentences[:300], corpus.sentences[300:]
    rng = np.random.default_rng(0)
    half = [[tag if rng.random() < 0.5 else None for tag in tags] for tags in corpus.tags[:300]]
    model = tagger().fit(train, half)
    assert model.score(test, corpus.tags[300:]) > 0.9
    # Tags that are known are those of the words of the fit.
    free = tagger(n_tags=12).fit(train)
    pairs = Counter(
        (own, tag)
        for found, tags in zip(free.predict(test), corpus.tags[300:], strict=True)
        for own, tag in zip(found, tags, strict=True)
    )
    best = {}
    for (own, _), count in pairs.items():
        best[own] = max(best.get(own, 0), count)
    assert sum(best.values()) / sum(pairs.values()) > 0.55


def test_light_weights_do_not_warn(corpus):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        weight = [1.0] * 20 + [0.03] * 180
        model = tagger().fit(corpus.sentences[:200], corpus.tags[:20] + [None] * 180, weight)
    assert model.score(corpus.sentences[300:], corpus.tags[300:]) > 0.7


# ---- classes of words ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "shape"),
    [
        ("12", "number"),
        ("B2B", "number"),
        ("...", "mark"),
        ("NATO", "upper"),
        ("Anna", "capital"),
        ("I", "capital"),
        ("well-known", "hyphen"),
        ("house", "lower"),
        ("Ärger", "capital"),
    ],
)
def test_shapes(word, shape):
    assert shape_of(word) == shape


def test_classes_are_the_longest_frequent_suffixes():
    rare = ["walking", "talking", "baking", "red", "Berlin"]
    symbols = WordSymbols(["the", "the", *rare], ["the", "the", *rare], 2, 3, 3)
    assert symbols.words == ["the"]
    assert symbols.classes == [("capital", ""), ("lower", ""), ("lower", "ing")]
    assert symbols.symbol("the") == "the"
    assert symbols.symbol("singing") == ("lower", "ing")
    # A suffix is not the whole word.
    assert symbols.symbol("ing") == ("lower", "")
    assert symbols.symbol("Paris") == ("capital", "")
    assert symbols.symbol("42") is None
    assert np.isnan(symbols.encode(["the", "42"])).tolist() == [False, True]
    assert symbols.names().tolist() == ["the", "<capital>", "<lower>", "<lower -ing>"]


def test_words_without_a_tag_are_rare():
    symbols = WordSymbols(["a", "b", "b", "b"], ["a", "a"], 2, 3, 5)
    assert symbols.words == ["a"]


def test_words_of_no_class_say_nothing():
    model = tagger(min_count=1).fit(X, Y)
    (found,) = model.predict_proba([["the", "42", "sleeps"]])
    assert found[1].argmax() == list(model.tags_).index("NOUN")
    assert np.isfinite(model.score_samples([["42"]])).all()


# ---- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sentences", "tags", "error", "message"),
    [
        ("the dog", None, TypeError, "X must be a list of sentences"),
        (["the dog"], None, TypeError, r"X\[0\] is 'the dog', not a list of words"),
        ([["a", 3]], None, TypeError, r"Word 1 of X\[0\] is 3"),
        ([["a", ""]], None, TypeError, r"Word 1 of X\[0\] is ''"),
        ([["a", None]], None, TypeError, r"Word 1 of X\[0\] is None"),
        ([[]], None, ValueError, "X has no words"),
        ([], None, ValueError, "X has no words"),
        (X, None, ValueError, "n_tags must be their number"),
        (X, Y[:2], ValueError, "tags of 2 sentences, but X has 3"),
        (X, [*Y[:2], ["PRON"]], ValueError, r"y\[2\] has 1 tags, but X\[2\] has 2 words"),
        (X, [*Y[:2], "PV"], TypeError, r"y\[2\] is 'PV', not a list of tags"),
        (X, [*Y[:2], ["PRON", 3]], TypeError, r"Tag 1 of y\[2\] is 3"),
        (X, "DET", TypeError, "y must be a list"),
    ],
)
def test_bad_sentences(sentences, tags, error, message):
    with pytest.raises(error, match=message):
        tagger().fit(sentences, tags)


def test_bad_hyperparameters():
    for options in ({"min_count": 0}, {"alpha": -1.0}, {"suffix_length": -1}, {"tol": "x"}):
        with pytest.raises(ValueError, match=next(iter(options))):
            tagger(**options).fit(X, Y)
    with pytest.raises(ValueError, match="n_tags=2, but 4 different tags occur"):
        tagger(n_tags=2).fit(X, Y)
    with pytest.raises(ValueError, match="one weight for each sentence"):
        tagger().fit(X, Y, sample_weight=[1.0])


def test_sentences_without_words():
    model = tagger(min_count=1).fit([[], *X], [[], *Y])
    assert model.predict([[], X[2], []]) == [[], Y[2], []]
    assert [len(p) for p in model.predict_proba([[], X[2], []])] == [0, 2, 0]
    assert model.score_samples([[], X[2]])[0] == 0.0
    assert model.predict([]) == []
    assert model.predict([[]]) == [[]]
    assert model.predict_proba([]) == []
    with pytest.raises(ValueError, match="no known tags"):
        model.score(X, [None, None, None])
    assert model.score(X, [Y[0], None, ["NOUN", None]]) == 0.75


def test_missing_tags_of_other_kinds():
    model = tagger(min_count=1).fit(X, [Y[0], [pd.NA, "NOUN", np.nan, None, None], None])
    assert model.tags_.tolist() == ["DET", "NOUN", "VERB"]


def test_scikit_learn(corpus):
    model = tagger(min_count=1).fit(X, Y)
    copy = pickle.loads(pickle.dumps(model))
    assert copy.predict(X) == model.predict(X)
    assert clone(model).get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        clone(model).predict(X)
    scores = cross_val_score(tagger(), corpus.sentences[:150], corpus.tags[:150], cv=3)
    assert (scores > 0.8).all()
    again = model.fit(corpus.sentences[:50], corpus.tags[:50])
    assert "NAME" in again.tags_


def test_made_sentences_are_the_same_for_a_seed():
    one, two = (make_tagged_sentences(20, random_state=3) for _ in range(2))
    assert one.sentences == two.sentences
    assert one.tags == two.tags
    assert all(len(a) == len(b) for a, b in zip(one.sentences, one.tags, strict=True))


def test_only_words_with_a_tag_are_symbols():
    model = tagger(min_count=1).fit(X, [Y[0], None, None])
    assert model.words_.tolist() == ["dog", "sleeps", "the", "<lower>"]
