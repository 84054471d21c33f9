"""What must not change scores and tests, and what must change them in step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emlearn import ItemResponseEM
from emlearn.irt import item_fit, local_dependence, model_fit, person_fit, person_scores


def draw(seed, model="2pl", n_items=7, n_persons=60):
    rng = np.random.default_rng(seed)
    slopes = rng.uniform(0.6, 2.0, n_items)
    difficulty = rng.normal(size=n_items)
    if model == "grm":
        difficulty = np.sort(rng.normal(size=(n_items, 2)), axis=1) + np.array([0.0, 0.3])
    guessing = rng.uniform(0.05, 0.25, n_items) if model == "3pl" else None
    bank = ItemResponseEM.from_parameters(
        slopes, difficulty, guessing=guessing, model=model, random_state=seed
    )
    return bank, bank.sample(n_persons)[0], (slopes, difficulty, guessing, model)


@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 1000),
    shift=st.floats(-1.0, 1.0),
    scale=st.floats(0.5, 2.0),
    model=st.sampled_from(["2pl", "3pl", "grm"]),
    method=st.sampled_from(["ml", "wle"]),
)
def test_scores_move_with_the_scale_of_the_trait(seed, shift, scale, model, method):
    bank, X, (slopes, difficulty, guessing, _) = draw(seed, model)
    moved = ItemResponseEM.from_parameters(
        slopes / scale, difficulty * scale + shift, guessing=guessing, model=model
    )
    limits = (-20.0, 20.0)
    before = person_scores(bank, X, method=method, limits=limits)
    after = person_scores(
        moved, X, method=method, limits=tuple(limit * scale + shift for limit in limits)
    )
    inside = ~before.at_limit
    np.testing.assert_array_equal(after.at_limit, before.at_limit)
    np.testing.assert_allclose(after.score[inside], before.score[inside] * scale + shift, atol=1e-6)
    error = before.standard_error[inside] * scale
    np.testing.assert_allclose(after.standard_error[inside], error, rtol=1e-4)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000), model=st.sampled_from(["2pl", "3pl", "grm"]))
def test_nothing_depends_on_the_order_of_items(seed, model):
    bank, X, (slopes, difficulty, guessing, _) = draw(seed, model)
    order = np.random.default_rng(seed).permutation(len(slopes))
    other = ItemResponseEM.from_parameters(
        slopes[order],
        difficulty[order],
        guessing=None if guessing is None else guessing[order],
        model=model,
    )
    for method in ("eap", "map", "ml", "wle"):
        np.testing.assert_allclose(
            person_scores(other, X[:, order], method=method).score,
            person_scores(bank, X, method=method).score,
            atol=1e-7,
        )
    fit, reordered = item_fit(bank, X), item_fit(other, X[:, order])
    np.testing.assert_allclose(reordered.statistic, fit.statistic[order], rtol=1e-7)
    np.testing.assert_array_equal(reordered.df, fit.df[order])
    whole, again = local_dependence(bank, X), local_dependence(other, X[:, order])
    np.testing.assert_allclose(again.q3, whole.q3[np.ix_(order, order)], atol=1e-7)
    lz, lz_again = person_fit(bank, X).lz_star, person_fit(other, X[:, order]).lz_star
    np.testing.assert_allclose(lz_again, lz, atol=1e-5)


@pytest.mark.parametrize("model", ["2pl", "grm"])
def test_weights_are_copies(model):
    bank, X, _ = draw(4, model, n_persons=200)
    counts = np.random.default_rng(0).integers(0, 4, 200)
    copies = np.repeat(X, counts, axis=0)
    for function in (item_fit, model_fit, local_dependence):
        weighted = function(bank, X, sample_weight=counts)
        copied = function(bank, copies)
        for name, value in vars(copied).items():
            np.testing.assert_allclose(getattr(weighted, name), value, rtol=1e-8, atol=1e-12)


def test_results_are_finite_for_extreme_items():
    slopes = [25.0, 0.01, 8.0, 1.0, 3.0]
    bank = ItemResponseEM.from_parameters(slopes, [-5.0, 30.0, 0.0, 6.0, -2.0], random_state=0)
    X = bank.sample(300)[0]
    X[:2] = [0.0, 1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 1.0, 0.0, 1.0]
    for method in ("eap", "map", "ml", "wle"):
        scores = person_scores(bank, X, method=method)
        assert np.isfinite([scores.score, scores.standard_error]).all()
    results = (person_fit(bank, X), item_fit(bank, X), local_dependence(bank, X))
    for result in results:
        for value in vars(result).values():
            assert np.isfinite(value).all()
