"""ItemResponseEM: properties of fits, estimates of traits, and what becomes of hard data."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from emlearn import ItemResponseEM
from emlearn.datasets import load_lsat6, load_science
from emlearn.irt import ItemPrior

LSAT = load_lsat6().data
SCIENCE = load_science().data[:, [0, 2, 3, 6]]


PER_PERSON = ("sample_weight", "groups", "covariates")


def fit(X, model="2pl", **arguments):
    of_fit = {key: arguments.pop(key) for key in PER_PERSON if key in arguments}
    return ItemResponseEM(model, random_state=0, **arguments).fit(X, **of_fit)


def told(call):
    """What a call returns, and the warnings that it gives, as one text."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = call()
    return found, "\n".join(str(warning.message) for warning in caught)


def assert_same(a, b, rtol=1e-6):
    for name in ("discrimination_", "thresholds_", "guessing_", "latent_mean_", "coefficients_"):
        assert_allclose(getattr(a, name), getattr(b, name), rtol=rtol, atol=1e-9)
    assert_allclose(a.log_likelihood_, b.log_likelihood_, rtol=1e-10)


# ---- invariants -------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["1pl", "2pl", "3pl", "grm", "gpcm"])
def test_objective_rises_and_belongs_to_the_parameters(model, draw):
    sizes = (3, 4, 2, 3, 3) if model in ("grm", "gpcm") else (2,) * 5
    X = draw(model, 300, sizes, absent=0.1)
    test = fit(X, model)
    assert test.converged_
    objective = test.history_["objective"]
    assert (np.diff(objective) > -1e-9 * np.abs(objective[1:])).all()
    assert_allclose(test.score_samples(X).sum(), test.log_likelihood_, rtol=1e-12)
    assert_allclose(test.score(X), test.log_likelihood_ / 300, rtol=1e-12)


@settings(max_examples=10)
@given(seed=st.integers(0, 2**16))
def test_weights_are_copies(seed):
    rng = np.random.default_rng(seed)
    patterns, counts = np.unique(LSAT, axis=0, return_counts=True)
    order = rng.permutation(len(patterns))
    weighted = fit(patterns[order], sample_weight=counts[order])
    assert_same(weighted, fit(LSAT[rng.permutation(len(LSAT))]))


def test_weight_zero_is_absent():
    X = np.vstack([LSAT, [[2.0, 2, 2, 2, 2]], [[1, 1, 1, 1, np.nan]]])
    weight = np.append(np.ones(len(LSAT)), [0.0, 0.0])
    with pytest.raises(ValueError, match="takes 0 and 1"):
        fit(X)
    assert_same(fit(X, sample_weight=weight), fit(LSAT))


def test_same_bits_for_any_number_of_threads(draw):
    X = draw("2pl", 6000, (2,) * 12, absent=0.1)
    one, two = fit(X, n_jobs=1), fit(X, n_jobs=2)
    assert_array_equal(one.discrimination_, two.discrimination_)
    assert one.log_likelihood_ == two.log_likelihood_


def test_items_that_were_not_presented(draw):
    # Two forms of a test with common items are one test with entries that are NaN; a person
    # without any response changes nothing.
    X = draw("2pl", 500, (2,) * 6)
    X[:250, 0] = np.nan
    X[250:, 5] = np.nan
    test = fit(X)
    assert_same(test, fit(np.vstack([X, np.full((7, 6), np.nan)])), rtol=1e-4)
    assert np.isfinite(test.transform(X)).all()


def test_second_fit_equals_a_first(draw):
    X = draw("grm", 200, (3, 3, 4))
    used = fit(SCIENCE, "grm").fit(X)
    assert_same(used, fit(X, "grm"))


def test_warm_start_continues(draw):
    X = draw("2pl", 300, (2,) * 6)
    test = ItemResponseEM(random_state=0, warm_start=True).fit(X)
    before = test.log_likelihood_
    test.fit(X)
    assert test.n_iter_ <= 5
    assert test.log_likelihood_ >= before - 1e-9
    test.fit(LSAT)
    assert_allclose(test.log_likelihood_, -2466.65338, atol=1e-3)


@pytest.mark.parametrize("accelerate", [None, "squarem", "anderson", "auto"])
def test_acceleration_reaches_the_same_maximum(accelerate):
    assert_allclose(
        fit(SCIENCE, "grm", accelerate=accelerate).log_likelihood_, -1608.8694, atol=1e-3
    )


def test_reversed_items_are_reported_and_the_direction_is_that_of_most():
    X = LSAT.copy()
    X[:, 2] = 1 - X[:, 2]
    with pytest.warns(UserWarning, match="discrimination of column 2 is negative"):
        test = fit(X)
    expected = fit(LSAT)
    sign = np.array([1, 1, -1, 1, 1])
    assert_allclose(test.discrimination_, sign * expected.discrimination_, rtol=1e-3)
    assert_allclose(test.difficulty_, expected.difficulty_, rtol=1e-3)
    with pytest.warns(UserWarning, match="negative"):
        most = fit(np.column_stack([1 - LSAT[:, :4], LSAT[:, 4]]))
    assert most.discrimination_.sum() > 0.0
    assert most.discrimination_[4] < 0.0


def test_units_of_codes_do_not_matter():
    # Codes from 1 on, as questionnaires have them.
    shifted = fit(SCIENCE + 1, "grm")
    assert_same(shifted, fit(SCIENCE, "grm"))
    assert shifted.categories_[0].tolist() == [1, 2, 3, 4]
    assert_allclose(shifted.transform(SCIENCE + 1), fit(SCIENCE, "grm").transform(SCIENCE))


# ---- traits -----------------------------------------------------------------------------


def test_traits_of_new_persons():
    test = fit(LSAT)
    X = np.array([[0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [np.nan] * 5, [1, np.nan, 0, 1, 1]])
    trait, deviation = test.transform(X, return_std=True)
    assert trait.shape == deviation.shape == (4, 1)
    assert trait[0, 0] < trait[3, 0] < trait[1, 0]
    # Nobody asked: the population.
    assert_allclose([trait[2, 0], deviation[2, 0]], [0.0, 1.0], atol=1e-6)
    assert_array_equal(test.transform(X), trait)


def test_traits_of_groups_and_of_persons_with_covariates(draw):
    groups = np.repeat(["x", "y"], 200)
    theta = np.random.default_rng(0).standard_normal((400, 1)) + (groups == "y")[:, None]
    X = draw("2pl", 400, (2,) * 5, theta=theta)
    test = fit(X, groups=groups)
    nothing = np.full((2, 5), np.nan)
    trait, deviation = test.transform(nothing, groups=["y", "x"], return_std=True)
    assert_allclose(trait[:, 0], [test.latent_mean_[1, 0], 0.0], atol=1e-6)
    assert_allclose(deviation[:, 0] ** 2, [test.latent_covariance_[1, 0, 0], 1.0], atol=1e-5)
    regression = fit(X, covariates=(groups == "y").astype(float))
    trait = regression.transform(nothing, covariates=[[1.0], [0.0]])
    assert_allclose(trait[0] - trait[1], regression.coefficients_[0], atol=1e-6)
    # In units of the standard deviation, which the regression has in common for both.
    deviation = np.sqrt(np.mean(test.latent_covariance_))
    assert_allclose(regression.coefficients_[0, 0], test.latent_mean_[1, 0] / deviation, rtol=0.1)


def test_probabilities():
    test = fit(SCIENCE, "gpcm")
    found = test.item_probabilities([-1.0, 0.0, 2.0])
    assert found.shape == (3, 4, 4)
    assert_allclose(found.sum(axis=2), 1.0)
    with pytest.raises(ValueError, match="1 columns"):
        test.item_probabilities([[0.0, 1.0]])
    with pytest.raises(ValueError, match="finite"):
        test.item_probabilities([np.inf])


def test_sample_has_the_shares_of_the_model():
    test = fit(SCIENCE, "grm")
    X, trait = test.sample(20_000)
    assert trait.shape == (20_000, 1)
    assert_allclose(X.mean(axis=0), SCIENCE.mean(axis=0), atol=0.03)
    assert_allclose([trait.mean(), trait.std()], [0.0, 1.0], atol=0.03)
    assert_array_equal(test.sample(5)[0], test.sample(5)[0])


def test_from_parameters():
    test = fit(LSAT)
    same = ItemResponseEM.from_parameters(test.discrimination_, test.difficulty_)
    assert_allclose(same.transform(LSAT), test.transform(LSAT), rtol=1e-12)
    graded = fit(SCIENCE, "grm")
    same = ItemResponseEM.from_parameters(graded.discrimination_, graded.thresholds_, model="grm")
    assert_allclose(same.score_samples(SCIENCE), graded.score_samples(SCIENCE), rtol=1e-12)
    with pytest.raises(ValueError, match="not in order"):
        ItemResponseEM.from_parameters(1.0, [[1.0, -1.0], [0.0, np.nan]], model="grm")
    with pytest.raises(ValueError, match="has no guessing"):
        ItemResponseEM.from_parameters(1.0, [0.0], guessing=[0.2])


def test_criteria_count_parameters():
    for model, n in (("1pl", 6), ("2pl", 10), ("3pl", 15)):
        test = fit(LSAT, model)
        assert_allclose(test.aic(LSAT), -2 * test.log_likelihood_ + 2 * n)
        assert_allclose(test.bic(LSAT), -2 * test.log_likelihood_ + np.log(1000) * n)


def test_standard_errors_agree_with_each_other():
    test = fit(LSAT, tol=1e-10)
    found = {kind: test.inference(LSAT, information=kind) for kind in ("observed", "empirical")}
    for name in ("discrimination", "difficulty"):
        a, b = (result.standard_errors[name] for result in found.values())
        assert_allclose(a, b, rtol=0.1)
    assert test.inference(LSAT).n_e_steps == 21


def test_standard_errors_of_groups_and_dimensions(draw):
    groups = np.repeat([0, 1], 300)
    rng = np.random.default_rng(0)
    theta = rng.standard_normal((600, 1)) + 0.5 * groups[:, None]
    X = draw("2pl", 600, (2,) * 8, theta=theta)
    found = fit(X, groups=groups).inference(X, groups=groups)
    error = found.standard_errors["latent_mean"]
    assert np.isnan(error[0, 0])
    # Between the error of two means of known traits and twice that.
    assert np.sqrt(2 / 300) < error[1, 0] < 2.0 * np.sqrt(2 / 300)
    loads = np.array([[1, 0]] * 4 + [[0, 1]] * 4)
    theta = rng.multivariate_normal([0, 0], [[1.0, 0.5], [0.5, 1.0]], 600)
    X = draw("2pl", 600, (2,) * 8, theta=theta, loads=loads)
    found = fit(X, loadings=loads, latent_correlation=True).inference(X)
    assert np.isnan(found.standard_errors["discrimination"][loads == 0]).all()
    assert 0.02 < found.standard_errors["latent_covariance"][0, 0, 1] < 0.2


# ---- hard data --------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["1pl", "2pl", "3pl", "grm"])
def test_items_that_everyone_solves(model, draw):
    X = draw("2pl", 300, (2,) * 5)
    X[:, 1] = 1.0
    X[:, 3] = 0.0
    test, text = told(lambda: fit(X, model))
    assert "All responses to column 1, column 3 are the same" in text
    assert "negative" not in text
    for name in ("discrimination_", "difficulty_", "intercept_", "guessing_"):
        assert np.isfinite(getattr(test, name)).all()
    chance = test.item_probabilities([-1.0, 1.0])
    assert (chance[:, 1, 1] > 0.98).all()
    assert np.isfinite(test.transform(X)).all()
    if model == "3pl":
        return  # The prior of the guessing of an item that nobody solves costs likelihood.
    kept = fit(X[:, [0, 2, 4]], model)
    assert_allclose(test.log_likelihood_, kept.log_likelihood_, atol=0.5)


def test_perfect_and_zero_scores_only():
    X = np.array([[0.0, 0, 0], [1, 1, 1]] * 20)
    test, text = told(lambda: fit(X))
    assert "The discrimination of column 0, column 1, column 2 is above 10" in text
    assert np.isfinite(test.discrimination_).all()
    assert np.isfinite(test.transform(X)).all()


def test_steep_items_have_finite_estimates_with_a_prior():
    X = np.array([[0.0, 0, 0], [1, 1, 1]] * 20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        test = fit(X, prior=ItemPrior(slopes=(0.0, 0.5)))
    assert (test.discrimination_ < 10.0).all()


def test_skipped_categories_are_left_out():
    X = SCIENCE.copy()
    X[X == 2] = 3
    with pytest.warns(UserWarning, match=r"column 0 has no response 2 and 3 more items"):
        test = fit(X, "grm")
    assert [seen.tolist() for seen in test.categories_] == [[0, 1, 3]] * 4
    recoded = np.where(X == 3, 2, X)
    assert_same(test, fit(recoded, "grm"))
    assert_allclose(test.transform(X), fit(recoded, "grm").transform(recoded))
    assert set(np.unique(test.sample(100)[0])) <= {0.0, 1.0, 3.0}
    with pytest.raises(ValueError, match="column 1, row 0: the response 2 was not among"):
        test.transform([[0, 2, 0, 0]])


def test_items_of_different_numbers_of_categories(draw):
    X = draw("grm", 400, (2, 3, 5, 2))
    test = fit(X, "grm")
    assert_array_equal(np.isnan(test.thresholds_).sum(axis=1), [3, 2, 0, 3])
    assert_array_equal(np.isnan(test.intercept_), np.isnan(test.thresholds_))
    assert np.isfinite(test.difficulty_).all()
    assert (test.item_probabilities([0.0])[0, 0, 2:] == 0.0).all()


def test_long_tests_have_more_nodes(draw):
    X = draw("2pl", 60, (2,) * 400)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        test, finer = fit(X, max_iter=5), fit(X, max_iter=5, n_quadrature=601)
        coarse = fit(X, max_iter=5, n_quadrature=31)
    assert_allclose(test.log_likelihood_, finer.log_likelihood_, rtol=1e-4)
    assert abs(coarse.log_likelihood_ - finer.log_likelihood_) > 1.0


def test_coarse_nodes_are_reported(draw):
    X = draw("2pl", 300, (2,) * 30)
    _, text = told(lambda: fit(X, n_quadrature=13))
    assert "nodes are 1 apart. Use n_quadrature=" in text


def test_names_and_frames():
    frame = load_lsat6(as_frame=True).data
    test = fit(frame)
    assert test.feature_names_in_.tolist() == list(frame.columns)
    test.set_output(transform="pandas")
    found = test.transform(frame)
    assert isinstance(found, pd.DataFrame)
    assert list(found.columns) == ["itemresponseem0"]
    text = str(test.inference(frame))
    assert "discrimination[item_1]" in text
    assert_array_equal(fit(frame.astype("Int64")).discrimination_, test.discrimination_)
    assert_array_equal(fit(frame.astype(bool)).discrimination_, test.discrimination_)


def test_fit_transform_passes_everything(draw):
    groups = np.repeat([0, 1], 100)
    X = draw("2pl", 200, (2,) * 4)
    test = ItemResponseEM(random_state=0)
    found = test.fit_transform(X, groups=groups)
    assert_array_equal(found, test.transform(X, groups=groups))
