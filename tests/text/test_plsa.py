"""PLSA: against other ways to the same maximum, on other documents, and on bad input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.sparse import csr_array
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning

from emlearn import PLSA


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def corpus(rng, n=30, v=16, k=3, length=60, sharp=0.15):
    documents, topics = rng.dirichlet(np.full(k, 0.3), n), rng.dirichlet(np.full(v, sharp), k)
    X = rng.poisson(length * documents @ topics).astype(float)
    return X[X.sum(axis=1) > 0]


# ---- the same maximum by other ways -----------------------------------------------------


def test_the_fixed_points_are_those_of_nmf(rng):
    X = corpus(rng)
    X = X[:, X.sum(axis=0) > 0]
    start = rng.dirichlet(np.ones(X.shape[1]), 3)
    plsa = PLSA(3, word_alpha=0.0, components_init=start, tol=1e-13, max_iter=50_000).fit(X)
    length = X.sum(axis=1)
    # The maximum of PLSA with documents scaled by their lengths: NMF stays there.
    nmf = NMF(3, beta_loss="kullback-leibler", solver="mu", init="custom", tol=0.0, max_iter=200)
    W = nmf.fit_transform(X, W=length[:, None] * plsa.document_topics_, H=plsa.components_.copy())
    mean = length[:, None] * plsa.document_topics_ @ plsa.components_
    assert_allclose(W @ nmf.components_, mean, rtol=1e-3, atol=1e-4 * X.max())
    # From another start NMF ends where its divergence is that of the log-likelihood.
    other = NMF(3, beta_loss="kullback-leibler", solver="mu", init="custom", tol=0.0, max_iter=3000)
    W = other.fit_transform(X, W=np.outer(length, np.ones(3)) / 3, H=start.copy())
    divergence = 0.5 * other.reconstruction_err_**2

    seen = X > 0
    constant = (X[seen] * np.log((X / length[:, None])[seen])).sum()
    assert_allclose(constant - plsa.log_likelihood_, divergence, rtol=1e-4)


def objective_of_document(theta, counts, plsa):
    beta, alpha = 1.0 / plsa.temperature_, plsa.document_alpha
    theta = np.maximum(theta, 1e-300)
    mixed = np.maximum(theta**beta @ plsa.components_**beta, 1e-300)
    return counts @ np.log(mixed) / beta + alpha * np.log(theta).sum()


def maximum_of_scipy(rng, counts, plsa):
    def loss(roots):
        return -objective_of_document(roots**2 / (roots**2).sum(), counts, plsa)

    options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 2000}
    starts = rng.random((2, len(plsa.components_))) + 0.1
    return max(-minimize(loss, x, method="L-BFGS-B", options=options).fun for x in starts)


@pytest.mark.parametrize(
    "options",
    [
        {"word_alpha": 0.0},
        {"document_alpha": 0.4},
        {"temperature": 1.6},
        {"temperature": 1.3, "document_alpha": 0.1},
    ],
)
def test_the_topics_of_a_document_are_the_maximum_of_scipy(rng, options):
    plsa = PLSA(4, random_state=0, **options).fit(corpus(rng))
    new = corpus(rng, n=4)
    for theta, counts in zip(plsa.transform(new), new, strict=True):
        best = maximum_of_scipy(rng, counts, plsa)
        assert objective_of_document(theta, counts, plsa) == pytest.approx(best, abs=3e-5)


def test_more_topics_than_documents_fit_them_exactly(rng):
    X = corpus(rng, n=4)
    plsa = PLSA(6, word_alpha=0.0, tol=1e-10, max_iter=20_000, random_state=0).fit(X)
    share = X / X.sum(axis=1, keepdims=True)
    assert_allclose(plsa.inverse_transform(plsa.document_topics_), share, atol=2e-4)


# ---- invariants -------------------------------------------------------------------------


@pytest.mark.parametrize("accelerate", [None, "squarem"])
@pytest.mark.parametrize("options", [{}, {"document_alpha": 0.2}, {"temperature": 1.2}])
def test_the_objective_does_not_fall(rng, accelerate, options):
    plsa = PLSA(4, accelerate=accelerate, random_state=0, **options).fit(corpus(rng))
    assert plsa.converged_
    assert (np.diff(plsa.history_["objective"]) >= -1e-9).all()


@pytest.mark.parametrize("accelerate", [None, "squarem"])
def test_a_weight_is_copies(rng, accelerate):
    X, weight = corpus(rng), rng.integers(0, 4, 30)[: len(corpus(np.random.default_rng(0)))]
    weight[:3] = [0, 1, 2]
    options = {"document_alpha": 0.1, "accelerate": accelerate, "random_state": 1}
    once = PLSA(3, **options).fit(X, sample_weight=weight)
    more = PLSA(3, **options).fit(np.repeat(X, weight, axis=0))
    assert_allclose(once.components_, more.components_, atol=1e-7)
    assert_allclose(once.log_likelihood_, more.log_likelihood_)
    assert_allclose(once.topic_weights_, more.topic_weights_, atol=1e-7)
    assert_allclose(once.lower_bound_, more.lower_bound_)
    # Documents of weight 0 have topics, too.
    assert_array_equal(once.transform(X), once.document_topics_)
    assert_allclose(once.score(X, sample_weight=weight), more.score(np.repeat(X, weight, axis=0)))


def test_published_distributions_and_likelihoods(rng):
    X = corpus(rng)
    plsa = PLSA(3, random_state=0).fit(X)
    assert_allclose(plsa.components_.sum(axis=1), 1.0)
    assert_allclose(plsa.document_topics_.sum(axis=1), 1.0)
    words = plsa.inverse_transform(plsa.document_topics_)
    value = (X * np.log(words)).sum()
    assert_allclose(plsa.log_likelihood_, value)
    assert_allclose(plsa.score(X), value / len(X))
    assert_allclose(plsa.perplexity(X), np.exp(-value / X.sum()))
    assert_allclose(plsa.topic_weights_, X.sum(axis=1) @ plsa.document_topics_ / X.sum())
    # The last iteration, and what the documents gain afterwards.
    prior = 0.01 * np.log(plsa.components_).sum()
    assert 0.0 <= (value + prior) / X.sum() - plsa.lower_bound_ < 1e-4
    half = rng.binomial(X.astype(int), 0.5).astype(float)
    new = plsa.inverse_transform(plsa.transform(half))
    expected = np.exp(-((X - half) * np.log(new)).sum() / (X - half).sum())
    assert_allclose(plsa.perplexity(half, csr_array(X - half)), expected)


def test_documents_do_not_depend_on_each_other(rng):
    X = corpus(rng)
    plsa = PLSA(3, random_state=0).fit(X)
    alone = np.vstack([plsa.transform(row[None]) for row in X])
    assert_allclose(alone, plsa.document_topics_, atol=1e-12)


@given(
    arrays(np.int64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(0, 5)),
    st.integers(1, 4),
    st.sampled_from([1.0, 1.5]),
    st.sampled_from([0.0, 0.3]),
)
def test_any_table_of_counts(X, n_components, temperature, alpha):
    plsa = PLSA(
        n_components,
        temperature=temperature,
        document_alpha=alpha,
        word_alpha=alpha,
        max_iter=3000,
        random_state=0,
    )
    if not X.any():
        with pytest.raises(ValueError, match="X has no words"):
            plsa.fit(X)
        return
    topics = plsa.fit_transform(X)
    assert_allclose(topics.sum(axis=1), 1.0)
    assert_allclose(plsa.components_.sum(axis=1), 1.0)
    assert (np.diff(plsa.history_["objective"]) >= -1e-9).all()
    assert np.isfinite(plsa.score(X))
    assert_array_equal(topics[X.sum(axis=1) == 0], 1.0 / n_components)


def test_a_warm_start_continues(rng):
    X = corpus(rng)
    plsa = PLSA(3, warm_start=True, random_state=0).fit(X)
    before = plsa.log_likelihood_
    assert plsa.fit(X).log_likelihood_ > before - 1e-2
    assert plsa.n_iter_ < 30
    # Other documents start from the topics.
    plsa.fit(X[:10])
    assert plsa.document_topics_.shape == (10, 3)


def test_several_starts_keep_the_best(rng):
    X = corpus(rng, k=5)
    plsa = PLSA(5, n_init=4, random_state=0).fit(X)
    assert len(plsa.restarts_) == 4
    best = max(restart.objective for restart in plsa.restarts_)
    assert_allclose(plsa.lower_bound_ * X.sum(), best)


# ---- the temperature --------------------------------------------------------------------


def test_words_held_out_choose_a_temperature_where_em_overfits(rng):
    documents, topics = rng.dirichlet(np.full(3, 0.3), 60), rng.dirichlet(np.full(80, 0.3), 3)
    X = rng.poisson(40 * documents @ topics)
    plsa = PLSA(8, temperature="held-out", random_state=0).fit(X)
    tried, found = plsa.tempering_["temperature"], plsa.tempering_["perplexity"]
    assert_allclose(tried, (1 / 0.9) ** np.arange(len(tried)))
    assert plsa.temperature_ == tried[found.argmin()] > 1.0
    assert found.min() < 0.97 * found[0]
    # And it predicts other words of the documents better than EM.
    new = rng.poisson(40 * documents @ topics)
    cold = PLSA(8, random_state=0).fit(X)
    assert plsa.perplexity(X, new) < cold.perplexity(X, new)


def test_without_a_search_there_is_no_record(rng):
    plsa = PLSA(3, temperature=1.5, random_state=0).fit(corpus(rng))
    assert plsa.tempering_ == {}
    assert plsa.temperature_ == pytest.approx(1.5)


def test_fractions_of_words_cannot_be_held_out(rng):
    with pytest.raises(ValueError, match="must be integers"):
        PLSA(3, temperature="held-out").fit(corpus(rng) / 3)
    with pytest.raises(ValueError, match="needs words to hold out"):
        PLSA(1, temperature="held-out", random_state=0).fit([[1, 0], [0, 0]])


# ---- bad input --------------------------------------------------------------------------


def test_fractional_counts_are_parts_of_words(rng):
    X = corpus(rng)
    whole = PLSA(3, word_alpha=0.0, random_state=0).fit(X)
    parts = PLSA(3, word_alpha=0.0, random_state=0).fit(X / 8)
    assert_allclose(parts.components_, whole.components_)
    assert_allclose(parts.log_likelihood_, whole.log_likelihood_ / 8)


@pytest.mark.parametrize("word_alpha", [0.0, 0.5])
def test_words_and_documents_without_counts(rng, word_alpha):
    X = corpus(rng)
    X[4], X[:, 5] = 0.0, 0.0
    plsa = PLSA(3, word_alpha=word_alpha, random_state=0).fit(X)
    assert_array_equal(plsa.document_topics_[4], 1 / 3)
    assert ((plsa.components_[:, 5] > 0) == (word_alpha > 0)).all()
    new = X.copy()
    new[2, 5] = 2.0
    if word_alpha:
        assert np.isfinite(plsa.score(new))
        return
    assert_array_equal(plsa.transform(new), plsa.document_topics_)
    for score in (plsa.score, plsa.perplexity):
        with pytest.raises(ValueError, match=r"Row 2 of X has counts in column 5.*word_alpha > 0"):
            score(new)
    weight = np.arange(len(X)) != 2
    assert np.isfinite(plsa.score(new, sample_weight=weight))


@pytest.mark.parametrize("convert", [np.asarray, csr_array])
def test_wrong_counts_are_named(rng, convert):
    for value, message in (
        (-1.0, r"Negative values in data passed to PLSA: row 2, column 3, has -1"),
        (np.nan, r"Input X contains NaN: column 3, row 2"),
        (np.inf, r"Input X contains infinity.*column 3, row 2"),
        (1e300, r"too large: row 2, column 3"),
    ):
        X = corpus(rng)
        X[2, 3] = value
        with pytest.raises(ValueError, match=message):
            PLSA(2).fit(convert(X))


def test_wrong_settings_are_named(rng):
    X = corpus(rng)
    start = np.full((3, 16), 1.0)
    for change, message in (
        ({"temperature": 0.9}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"document_alpha": -1.0}, "document_alpha"),
        ({"word_alpha": np.inf}, "word_alpha"),
        ({"n_components": 0}, "n_components"),
        ({"components_init": start[:2]}, "components_init has shape"),
        ({"components_init": -start}, "components_init must be finite and >= 0"),
        ({"components_init": 0 * start}, "no finite positive sum in topic 0"),
        ({"components_init": start * (np.arange(16) != 1)}, "0 for all topics in column 1"),
    ):
        with pytest.raises(ValueError, match=message):
            PLSA(3).set_params(**change).fit(X + 1)


def test_tables_that_do_not_fit_each_other(rng):
    X = corpus(rng)
    plsa = PLSA(2, random_state=0).fit(X)
    with pytest.raises(ValueError, match="targets has 3 rows"):
        plsa.perplexity(X, X[:3])
    with pytest.raises(ValueError, match="no words to predict"):
        plsa.perplexity(X, 0 * X)
    with pytest.raises(ValueError, match="n_components = 2"):
        plsa.inverse_transform(X)
    with pytest.raises(ValueError, match="has 15 features"):
        plsa.transform(X[:, :15])


def test_too_few_iterations_warn(rng):
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        plsa = PLSA(3, max_iter=2, random_state=0).fit(corpus(rng))
    assert not plsa.converged_
