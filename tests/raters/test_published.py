"""The anesthetists of Dawid and Skene, teeth of Espeland and Handelman, and other estimators."""

import itertools
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from emlearn import DawidSkeneEM, FiniteMixtureEM
from emlearn.datasets import load_anesthetists
from emlearn.distributions import Categorical

# Labels of five dentists for 3859 teeth, 0 sound and 1 carious, by pattern: Espeland and Handelman
# (1989), Biometrics 45, 587-599.
TEETH = [1880, 789, 43, 75, 23, 63, 8, 22, 188, 191, 17, 67, 15, 85, 8, 56]
TEETH += [12, 26, 6, 14, 1, 20, 2, 17, 2, 20, 6, 27, 3, 72, 1, 100]
PATTERNS = np.array(list(itertools.product([0, 1], repeat=5)), dtype=float)


@pytest.fixture(scope="module")
def exact():
    """Maximum likelihood."""
    X = load_anesthetists().data
    return X, DawidSkeneEM(layout="long", prior_strength=0.0, tol=1e-12).fit(X)


def test_prevalence_of_dawid_and_skene(exact):
    _, model = exact
    # The class marginals that they publish.
    assert_allclose(model.prevalence_, [0.40, 0.42, 0.11, 0.07], atol=5e-3)
    assert model.converged_


def by_loops(X, n_steps):
    """EM as in the article, from shares of labels, with dense counts."""
    counts = np.zeros((45, 5, 4))
    for item, rater, label in X.astype(int) - 1:
        counts[item, rater, label] += 1
    T = counts.sum(axis=1) / counts.sum(axis=(1, 2))[:, None]
    for _ in range(n_steps):
        p = T.mean(axis=0)
        expected = np.einsum("ij,irl->rjl", T, counts)
        pi = expected / expected.sum(axis=2, keepdims=True)
        joint = p * np.prod(pi[None] ** counts[:, :, None, :], axis=(1, 3))
        T = joint / joint.sum(axis=1, keepdims=True)
    return p, pi, T, np.log(joint.sum(axis=1)).sum()


def test_the_algorithm_of_the_article(exact):
    X, model = exact
    p, pi, T, log_likelihood = by_loops(X, 2000)
    assert_allclose(model.prevalence_, p, atol=1e-6)
    assert_allclose(model.confusion_matrices_, pi, atol=1e-5)
    assert_allclose(model.label_probabilities_, T, atol=1e-5)
    assert model.log_likelihood_ == pytest.approx(log_likelihood, abs=1e-8)
    # Stored, so that a change of both would be seen.
    assert model.log_likelihood_ == pytest.approx(-192.8908812, abs=1e-6)
    assert_allclose(
        model.confusion_matrices_[0],
        [
            [0.889, 0.111, 0, 0],
            [0.071, 0.876, 0.053, 0],
            [0, 0.339, 0.661, 0],
            [0, 0, 5 / 9, 4 / 9],
        ],
        atol=6e-4,
    )
    assert_array_equal(model.labels_[[1, 2, 11, 35]], [4, 2, 3, 4])


def test_steps_of_the_article():
    X = load_anesthetists().data
    model = DawidSkeneEM(layout="long", prior_strength=0.0, accelerate=None, tol=0.0, max_iter=3)
    with pytest.warns(UserWarning, match="did not converge"):
        model.fit(X)
    p, pi, *_ = by_loops(X, 4)
    assert_allclose(model.prevalence_, p, rtol=1e-10)
    assert_allclose(model.confusion_matrices_, pi, rtol=1e-8, atol=1e-14)


def test_latent_classes_are_the_same_model():
    model = DawidSkeneEM(layout="wide", prior_strength=0.0, tol=1e-12)
    model.fit(PATTERNS, sample_weight=TEETH)
    mixture = FiniteMixtureEM(2, family=Categorical(alpha=0.0), tol=1e-12, random_state=0)
    mixture.fit(PATTERNS, sample_weight=TEETH)
    assert model.log_likelihood_ == pytest.approx(mixture.log_likelihood_, rel=1e-9)
    order = mixture.weights_.argsort()[::-1]
    assert_allclose(model.prevalence_, mixture.weights_[order], atol=1e-4)
    probability = mixture.component_params_["probability"][order]
    assert_allclose(model.confusion_matrices_, probability.transpose(1, 0, 2), atol=1e-4)
    assert model.bic(PATTERNS, TEETH) == pytest.approx(mixture.bic(PATTERNS, TEETH), rel=1e-8)
    assert model.aic(PATTERNS, TEETH) == pytest.approx(mixture.aic(PATTERNS, TEETH), rel=1e-8)
    ours = model.inference(PATTERNS, sample_weight=TEETH)
    theirs = mixture.inference(PATTERNS, sample_weight=TEETH)
    assert_allclose(
        ours.standard_errors["confusion_matrices"],
        theirs.standard_errors["probability"][order].transpose(1, 0, 2),
        rtol=1e-2,
    )


@pytest.mark.parametrize("n_steps", [5, 40])
def test_crowd_kit(n_steps):
    pandas = pytest.importorskip("pandas")
    aggregation = pytest.importorskip("crowdkit.aggregation")
    X = load_anesthetists().data.astype(int)
    X = X[np.unique(X[:, :2], axis=0, return_index=True)[1]]  # it knows no repetitions
    frame = pandas.DataFrame(X, columns=["task", "worker", "label"])
    model = DawidSkeneEM(prior_strength=0.0, accelerate=None, tol=0.0, max_iter=n_steps)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas, and that some steps are not enough
        rival = aggregation.DawidSkene(n_iter=n_steps, tol=-np.inf).fit(frame)
        model.fit(frame)
    every = pandas.MultiIndex.from_product([model.raters_, model.classes_])
    found = rival.errors_.reindex(every, fill_value=0.0)[list(model.classes_)].to_numpy()
    matrices = found.reshape(5, 4, 4).transpose(0, 2, 1)
    assert_allclose(model.confusion_matrices_, matrices, atol=1e-8)


def test_signal_detection_is_a_graded_response():
    X = load_anesthetists().data
    model = DawidSkeneEM("ordinal", layout="long", prior_strength=0.0, tol=1e-10).fit(X)
    above = 1.0 / (
        1.0
        + np.exp(
            model.criteria_[:, None, :]
            - model.discrimination_[:, None, None] * np.arange(4.0)[None, :, None]
        )
    )
    edges = np.concatenate([np.ones((5, 4, 1)), above, np.zeros((5, 4, 1))], axis=2)
    assert_allclose(model.confusion_matrices_, -np.diff(edges, axis=2), atol=1e-12)
    # 23 parameters instead of 63 lose little of the likelihood.
    full = DawidSkeneEM(layout="long", prior_strength=0.0).fit(X)
    assert full.log_likelihood_ - 12.0 < model.log_likelihood_ < full.log_likelihood_
    assert model.bic(X) < full.bic(X)
