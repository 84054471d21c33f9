"""WordAlignmentEM: published values, links, likelihoods, scikit-learn's conventions, bad input."""

import pickle
import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_limits

from emlearn.datasets import make_parallel_sentences
from emlearn.kernels import alignments as kernel
from emlearn.text import (
    WordAlignmentEM,
    alignment_error_rate,
    parallel_corpus,
    symmetrize,
)
from emlearn.text import _alignment_model as module

#: The pairs of the documentation of NLTK.
PAIRS = parallel_corpus(
    [
        "the house is small",
        "the house is big",
        "the book is small",
        "the house",
        "the book",
        "a book",
    ],
    [
        "klein ist das haus",
        "das haus ist ja groß",
        "das buch ist ja klein",
        "das haus",
        "das buch",
        "ein buch",
    ],
)
KINDS = [
    {"model": "ibm1"},
    {"model": "ibm2"},
    {"model": "ibm2", "alignment": "diagonal"},
    {"model": "hmm"},
]
IDS = ["ibm1", "ibm2", "diagonal", "hmm"]


def fitted(pairs=None, sample_weight=None, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return WordAlignmentEM(**options).fit(pairs or PAIRS, sample_weight=sample_weight)


@pytest.fixture(scope="module")
def corpus():
    return make_parallel_sentences(120, random_state=0)


# ---- published values -----------------------------------------------------------------------


def test_model_1_has_the_values_of_nltk():
    """Documented by nltk.translate.ibm1 after five iterations; the digits are those of NLTK 3.9."""
    model = fitted(max_iter=5, accelerate=None)
    for target, source, value in (
        ("buch", "book", 0.889),
        ("das", "book", 0.062),
        ("buch", None, 0.113),
        ("ja", None, 0.073),
    ):
        assert round(model.translation_probability(target, source), 3) == value
    assert model.n_iter_ == 5
    (links,) = model.predict(PAIRS[2:3])
    assert links[:, [1, 0]].tolist() == [[0, 0], [1, 1], [2, 2], [3, 2], [4, 3]]


def test_model_2_has_the_values_of_nltk():
    """Documented by nltk.translate.ibm2: ten iterations of model 1, five of model 2."""
    model = fitted(model="ibm2", start_iter=10, max_iter=5, tol=0.0)
    for target, source, value in (
        ("buch", "book", 1.0),
        ("das", "book", 0.0),
        ("buch", None, 0.0),
        ("ja", None, 0.0),
    ):
        assert round(model.translation_probability(target, source), 3) == value
    of_two, of_four = model.position_probabilities(2, 2), model.position_probabilities(4, 5)
    assert round(of_two[0, 1], 3) == 0.939
    assert round(of_two[1, 1], 3) == 0.0
    assert round(of_four[1, 2], 3) == 1.0
    (links,) = model.predict(PAIRS[2:3])
    assert links[:, [1, 0]].tolist() == [[0, 0], [1, 1], [2, 2], [3, 2], [4, 3]]


# ---- fits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.0, 0.1])
@pytest.mark.parametrize("null", [True, False])
@pytest.mark.parametrize("options", KINDS, ids=IDS)
def test_the_objective_never_falls_and_the_likelihood_is_the_score(corpus, options, null, alpha):
    model = fitted(corpus.pairs, null=null, alpha=alpha, max_iter=30, tol=1e-4, **options)
    assert all(b >= a - 1e-12 for a, b in pairwise(model.lower_bounds_))
    total = model.score_samples(corpus.pairs).sum()
    np.testing.assert_allclose(total, model.log_likelihood_, rtol=1e-12)
    np.testing.assert_allclose(model.score(corpus.pairs), total / len(corpus.pairs))
    n_words = sum(len(target) for _, target in corpus.pairs)
    np.testing.assert_allclose(model.perplexity(corpus.pairs), np.exp(-total / n_words))
    if not alpha:
        np.testing.assert_allclose(model.lower_bound_, total / n_words)
        np.testing.assert_allclose(model.translation_.sum(axis=1), 1.0)
        assert not model.unseen_translation_.any()


@pytest.mark.parametrize("options", KINDS, ids=IDS)
def test_links_are_found(corpus, options):
    model = fitted(corpus.pairs, **options)
    links = model.predict(corpus.pairs)
    assert alignment_error_rate(links, corpus.links) < 0.35
    for (source, target), own in zip(corpus.pairs, links, strict=True):
        assert own.shape[1] == 2
        assert (np.diff(own[:, 1]) > 0).all()
        assert (own < [len(source), len(target)]).all()
    shapes = [p.shape for p in model.predict_proba(corpus.pairs)]
    assert shapes == [(len(source), len(target)) for source, target in corpus.pairs]


@pytest.mark.parametrize("options", KINDS, ids=IDS)
def test_a_weight_is_as_many_copies(options):
    weight = [1, 2, 0, 3, 1, 2]
    copies = [pair for pair, n in zip(PAIRS, weight, strict=True) for _ in range(n)]
    given = fitted(PAIRS, weight, max_iter=12, tol=0.0, **options)
    copied = fitted(copies, max_iter=12, tol=0.0, **options)
    np.testing.assert_array_equal(given.target_vocabulary_, copied.target_vocabulary_)
    np.testing.assert_allclose(
        given.translation_.toarray(), copied.translation_.toarray(), atol=1e-9
    )
    np.testing.assert_allclose(given.lower_bounds_, copied.lower_bounds_, atol=1e-10)


@pytest.mark.parametrize("options", KINDS, ids=IDS)
def test_the_bits_do_not_depend_on_threads(monkeypatch, corpus, options):
    monkeypatch.setattr(module, "_WORTH", 100.0)
    monkeypatch.setattr(module, "_LINKS_PER_ENTRY", 0.01)
    from emlearn.text import _alignment_hmm

    monkeypatch.setattr(_alignment_hmm, "_WORTH", 1000.0)
    found = []
    for n in (1, 4):
        with threadpool_limits(n):
            found.append(fitted(corpus.pairs, max_iter=5, **options))
    assert len(found[0]._fitted.prepare(found[0]._read_pairs(corpus.pairs)[0]).blocks) > 2
    assert (found[0].translation_ != found[1].translation_).nnz == 0
    assert found[0].lower_bounds_ == found[1].lower_bounds_


@pytest.mark.parametrize("options", KINDS, ids=IDS)
def test_acceleration_does_not_lower_the_objective(corpus, options):
    plain = fitted(corpus.pairs, alpha=0.1, tol=1e-6, **options)
    fast = fitted(corpus.pairs, alpha=0.1, tol=1e-6, accelerate="squarem", **options)
    assert fast.converged_
    assert fast.lower_bound_ > plain.lower_bound_ - 0.05


@pytest.mark.parametrize("options", KINDS, ids=IDS)
def test_a_warm_start_goes_on(options):
    whole = fitted(max_iter=9, tol=0.0, **options)
    model = WordAlignmentEM(max_iter=4, tol=0.0, warm_start=True, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(PAIRS)
        model.max_iter = 5
        model.fit(PAIRS)
        np.testing.assert_allclose(model.lower_bounds_, whole.lower_bounds_[-5:], rtol=1e-10)
        # Other words: those that were known keep what they had.
        model.max_iter = 0
        before = model.translation_probability("buch", "book")
        model.fit([*PAIRS, (["a", "new", "book"], ["ein", "neues", "buch"])])
    np.testing.assert_allclose(model.translation_probability("buch", "book"), before, atol=0.02)
    assert model.translation_probability("neues", "new") > 0.0


def test_given_values_are_held(corpus):
    model = fitted(
        corpus.pairs, model="ibm2", alignment="diagonal", tension=3.0, null_probability=0.1
    )
    assert (model.tension_, model.null_probability_) == (3.0, 0.1)
    np.testing.assert_allclose(model.position_probabilities(4, 3)[:, 0], 0.1)
    model = fitted(corpus.pairs, model="hmm", null_probability=0.3, max_jump=3)
    assert model.null_probability_ == 0.3
    assert model.jump_probabilities_.shape == (7,)
    assert not hasattr(model, "tension_")


def test_positions_on_the_diagonal():
    """The formula of Dyer, Chahuneau and Smith."""
    model = fitted(
        model="ibm2", alignment="diagonal", tension=2.0, null_probability=0.25, max_iter=1
    )
    n, m = 3, 4
    found = model.position_probabilities(n, m)
    for j in range(1, m + 1):
        weight = np.exp([-2.0 * abs(i / n - j / m) for i in range(1, n + 1)])
        np.testing.assert_allclose(found[j - 1, 1:], 0.75 * weight / weight.sum())
    np.testing.assert_allclose(found.sum(axis=1), 1.0)


def test_translations_of_words(corpus):
    model = fitted(corpus.pairs)
    top = model.top_translations(["house", None], n=3)
    assert list(top) == ["house", None]
    assert top["house"][0][0] == "Haus"
    values = [value for _, value in top["house"]]
    assert values == sorted(values, reverse=True)
    assert values[0] == model.translation_probability("Haus", "house")
    assert len(model.top_translations()) == len(model.source_vocabulary_)
    row = list(model.source_vocabulary_).index("house")
    column = list(model.target_vocabulary_).index("Haus")
    assert model.translation_[row, column] == values[0]
    assert model.translation_probability("unknown", "house") == 0.0
    assert model.translation_probability("Haus", "unknown") == 1 / (
        len(model.target_vocabulary_) + 1
    )
    with pytest.raises(ValueError, match="'unknown' is not in the source vocabulary"):
        model.top_translations(["unknown"])
    with pytest.raises(ValueError, match="list of words, got the string"):
        model.top_translations("house")
    with pytest.raises(ValueError, match="no null word"):
        fitted(null=False).translation_probability("haus")


@pytest.mark.parametrize("options", KINDS, ids=IDS)
def test_words_that_were_never_seen(options):
    new = [(["the", "new"], ["das", "neue"]), (["the", "house"], ["das", "neue"])]
    strict = fitted(**options)
    # A source word that is not known may be translated by anything.
    assert strict.predict(new[:1])[0][-1].tolist() == [1, 1]
    assert strict.score_samples(new)[1] == -np.inf
    assert (strict.predict_proba(new)[1][:, 1] == 0.0).all()
    smooth = fitted(alpha=0.1, alignment_alpha=0.1, **options)
    assert np.isfinite(smooth.score_samples(new)).all()
    assert np.isfinite(smooth.perplexity(new))


def test_equal_positions_of_a_word_that_repeats():
    """Of equally probable positions it is the nearest to the diagonal."""
    model = fitted(null=False)
    links = model.predict([(["the", "book", "the", "house"], ["das", "buch", "das", "haus"])])
    assert links[0].tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]


# ---- sentences without words ------------------------------------------------------------------


@pytest.mark.parametrize("options", KINDS, ids=IDS)
def test_sentences_without_words(options):
    empty = [(["the"], []), ([], []), *PAIRS]
    model = fitted(empty, alpha=0.1, max_iter=10, tol=0.0, **options)
    without = fitted(alpha=0.1, max_iter=10, tol=0.0, **options)
    np.testing.assert_allclose(model.lower_bound_, without.lower_bound_, rtol=1e-10)
    assert [len(own) for own in model.predict(empty)][:3] == [0, 0, 4]
    assert model.score_samples(empty)[:2].tolist() == [0.0, 0.0]
    assert model.predict_proba(empty)[0].shape == (1, 0)
    words = fitted([([], ["ja", "ja"]), *PAIRS], max_iter=10, **options)
    assert words.predict([([], ["ja"])])[0].shape == (0, 2)
    assert words.translation_probability("ja", None) > 0.0
    assert np.isfinite(words.score_samples([([], ["ja"])])).all()
    assert model.predict([]) == []
    assert model.predict_proba([]) == []


@pytest.mark.parametrize("options", KINDS, ids=IDS)
def test_without_null_word_source_sentences_have_words(options):
    with pytest.raises(ValueError, match=r"source sentence of X\[1\] is empty.*null=True"):
        fitted([PAIRS[0], ([], ["das"])], null=False, **options)
    fitted([PAIRS[0], ([], ["das"])], [1.0, 0.0], null=False, **options)
    with pytest.raises(ValueError, match=r"source sentence of X\[2\] is empty"):
        fitted([PAIRS[0], PAIRS[1], ([], ["das"])], [1.0, 0.0, 1.0], null=False, **options)
    model = fitted(null=False, **options)
    assert len(model.predict([([], ["das"])])[0]) == 0
    assert model.score_samples([([], ["das"]), ([], [])]).tolist() == [-np.inf, 0.0]


# ---- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ("the house", TypeError, "X must be a list of pairs"),
        (5, TypeError, "X must be a list of pairs"),
        ([], ValueError, "no pairs of sentences"),
        ([(["a"], [])], ValueError, "no target words"),
        ([("the house", "das haus")], TypeError, r"source sentence of X\[0\] is the string"),
        ([*PAIRS, (["a"], "ein")], TypeError, r"target sentence of X\[6\] is the string 'ein'"),
        (
            [*PAIRS, (["a", 3], ["ein"])],
            TypeError,
            r"Token 1 of the source sentence of X\[6\] is 3",
        ),
        ([*PAIRS, (["a"], ["ein", None])], TypeError, r"Token 1 of the target.*None"),
        ([*PAIRS, (["a"], ["ein", np.nan])], TypeError, r"Token 1 of the target.*nan"),
        ([*PAIRS, (["a"], [["ein"]])], TypeError, "parallel_corpus"),
        ([*PAIRS, (["a"], None)], TypeError, r"target sentence of X\[6\] is None"),
        ([*PAIRS, "ab"], TypeError, r"X\[6\] is str, not a pair"),
        ([*PAIRS, 7], TypeError, r"X\[6\] is int, not a pair"),
        ([*PAIRS, (["a"],)], ValueError, r"X\[6\] has 1 entries instead of 2"),
        ([[["a"], ["b"], ["c"]], [["x"], ["y"], ["z"]]], ValueError, "parallel_corpus"),
        (np.zeros((3, 2)), TypeError, "not a list of tokens"),
    ],
)
def test_bad_pairs(X, error, message):
    with pytest.raises(error, match=message):
        WordAlignmentEM().fit(X)
    if error is TypeError:
        with pytest.raises(error, match=message):
            fitted().predict(X)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "ibm3"}, "model"),
        ({"alignment": "other"}, "alignment"),
        ({"tension": -1.0}, "tension"),
        ({"null_probability": 1.0}, "null_probability"),
        ({"max_jump": 0}, "max_jump"),
        ({"alpha": -0.1}, "alpha"),
        ({"start_iter": -1}, "start_iter"),
        ({"tol": "never"}, "tol"),
    ],
)
def test_bad_hyperparameters(options, message):
    with pytest.raises(ValueError, match=message):
        WordAlignmentEM(**options).fit(PAIRS)


def test_bad_weights():
    with pytest.raises(ValueError, match="one weight for each pair"):
        WordAlignmentEM().fit(PAIRS, sample_weight=[1.0])
    with pytest.raises(ValueError, match="all pairs have weight 0"):
        WordAlignmentEM().fit(PAIRS, sample_weight=np.zeros(6))


def test_corpora_of_unequal_length():
    with pytest.raises(ValueError, match="source has 2 sentences, but target has 1"):
        parallel_corpus(["a", "b"], ["x"])
    with pytest.raises(TypeError, match="single string"):
        parallel_corpus("a b", ["x"])
    assert parallel_corpus([""], [["x", "y"]]) == [([], ["x", "y"])]


def test_not_fitted():
    for call in ("predict", "score_samples", "perplexity", "predict_proba"):
        with pytest.raises(NotFittedError):
            getattr(WordAlignmentEM(), call)(PAIRS)


def test_scores_of_nothing():
    model = fitted()
    with pytest.raises(ValueError, match="no pairs"):
        model.score([])
    with pytest.raises(ValueError, match="no target words"):
        model.perplexity([(["a"], [])])
    with pytest.raises(ValueError, match="jump_probabilities_"):
        fitted(model="hmm").position_probabilities(2, 2)
    weighted = model.score(PAIRS, sample_weight=[1, 0, 0, 0, 0, 1])
    np.testing.assert_allclose(weighted, model.score_samples(PAIRS)[[0, 5]].mean())


# ---- scikit-learn -------------------------------------------------------------------------------


def test_other_forms_of_pairs():
    expected = fitted(max_iter=3).translation_.toarray()
    frame = pd.DataFrame(PAIRS, columns=["en", "de"])
    series = frame.map(tuple)
    arrays = [[np.array(source), np.array(target)] for source, target in PAIRS]
    for X in (frame, series, arrays, tuple(PAIRS), iter(PAIRS)):
        found = WordAlignmentEM(max_iter=3, tol=1e9).fit(X)
        assert found.translation_.shape == expected.shape


def test_clone_pickle_and_second_fits(corpus):
    model = fitted(alpha=0.1, model="hmm", max_iter=3)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.score_samples(PAIRS), model.score_samples(PAIRS))
    assert clone(model).get_params() == model.get_params()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.set_params(model="ibm2", alignment="diagonal").fit(corpus.pairs)
    assert not hasattr(model, "jump_probabilities_")
    assert model.translation_.shape[0] == len(model.source_vocabulary_)


def test_cross_validation(corpus):
    search = GridSearchCV(WordAlignmentEM(max_iter=5), {"alpha": [0.01, 1.0]}, cv=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search.fit(corpus.pairs)
    assert search.best_params_["alpha"] in (0.01, 1.0)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


# ---- joined links -------------------------------------------------------------------------------


def grow_by_the_book(forward, backward, final):
    """The algorithm of Koehn, Och and Marcu over the whole grid, as it is printed."""
    union, alignment = forward | backward, forward & backward
    n = 1 + max((i for i, _ in union), default=0)
    m = 1 + max((j for _, j in union), default=0)
    sides = [(-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)]

    def free_source(i):
        return all(a != i for a, _ in alignment)

    def free_target(j):
        return all(b != j for _, b in alignment)

    added = True
    while added:
        added = False
        for i in range(n):
            for j in range(m):
                if (i, j) in alignment:
                    for di, dj in sides:
                        new = (i + di, j + dj)
                        if (free_source(new[0]) or free_target(new[1])) and new in union:
                            alignment.add(new)
                            added = True
    if final:
        test = all if final == "and" else any
        for links in (forward, backward):
            for i in range(n):
                for j in range(m):
                    if test((free_source(i), free_target(j))) and (i, j) in links:
                        alignment.add((i, j))
    return alignment


def test_joined_links_are_those_of_the_printed_algorithm():
    rng = np.random.default_rng(0)
    for _ in range(300):
        n, m = rng.integers(1, 8, 2)
        forward = {(int(rng.integers(n)), j) for j in range(m) if rng.random() < 0.8}
        backward = {(i, int(rng.integers(m))) for i in range(n) if rng.random() < 0.8}
        back = [[(j, i) for i, j in backward]]
        expected = {
            "intersection": forward & backward,
            "union": forward | backward,
            "grow-diag": grow_by_the_book(set(forward), set(backward), ""),
            "grow-diag-final": grow_by_the_book(set(forward), set(backward), "or"),
            "grow-diag-final-and": grow_by_the_book(set(forward), set(backward), "and"),
        }
        for method, links in expected.items():
            (found,) = symmetrize([list(forward)], back, method)
            assert found.tolist() == sorted(map(list, links)), method


def test_joined_links_are_better(corpus):
    swapped = [(target, source) for source, target in corpus.pairs]
    forward = fitted(corpus.pairs).predict(corpus.pairs)
    backward = fitted(swapped).predict(swapped)
    joined = symmetrize(forward, backward)
    rate = alignment_error_rate(joined, corpus.links)
    assert rate < alignment_error_rate(forward, corpus.links)


@pytest.mark.parametrize(
    ("forward", "backward", "message"),
    [
        ([[(0, 0)]], [], "links of 1 pairs, but backward of 0"),
        ([[(0, 0, 1)]], [[]], r"forward\[0\] must be a list of pairs"),
        ([[(0.5, 0)]], [[]], r"forward\[0\] must be a list of pairs"),
        ([[]], [[(0, -1)]], r"backward\[0\] has negative positions"),
        (3, [[]], "forward must be a list"),
    ],
)
def test_bad_links(forward, backward, message):
    with pytest.raises(ValueError, match=message):
        symmetrize(forward, backward)


def test_bad_method():
    with pytest.raises(ValueError, match="method must be one of intersection"):
        symmetrize([[]], [[]], "grow")


def test_error_rates():
    """The numbers of Och and Ney's formula, by hand."""
    predicted, sure, possible = [[(0, 0), (1, 2), (2, 2)]], [[(0, 0), (1, 1)]], [[(2, 2)]]
    # |A & S| = 1, |A & (S or P)| = 2, |A| = 3, |S| = 2.
    assert alignment_error_rate(predicted, sure, possible) == pytest.approx(1 - 3 / 5)
    assert alignment_error_rate([[]], [[]]) == 0.0
    with pytest.raises(ValueError, match="same sentences"):
        alignment_error_rate([[]], [[], []])


# ---- made sentences -----------------------------------------------------------------------------


def test_made_sentences_are_the_same_for_a_seed():
    one, two = (make_parallel_sentences(20, random_state=3) for _ in range(2))
    assert one.pairs == two.pairs
    for (source, target), links in zip(one.pairs, one.links, strict=True):
        assert source[-1] == target[-1] == "."
        assert [len(source) - 1, len(target) - 1] in links.tolist()
        assert (links < [len(source), len(target)]).all()


# ---- ties ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("compiled", [True, False])
def test_where_all_is_equal_links_are_on_the_diagonal(monkeypatch, compiled):
    """Of equal links the nearest is taken, and the null word last."""
    if not compiled:
        monkeypatch.setattr(kernel, "compiled", None)
    model = fitted(max_iter=0)
    for n in (1, 2, 4):
        words = [PAIRS[0][0][:n], PAIRS[0][1][:n]]
        assert model.predict([words])[0].tolist() == [[i, i] for i in range(n)]
    (links,) = model.predict([(PAIRS[0][0][:2], PAIRS[0][1])])
    assert links[:, 0].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("options", KINDS[2:], ids=IDS[2:])
def test_without_source_words_the_null_word_has_all(options):
    model = fitted([([], ["ja", "so"]), *PAIRS], null_probability=0.2, **options)
    expected = np.log(model.translation_probability("ja", None))
    np.testing.assert_allclose(model.score_samples([([], ["ja"])]), [expected])
