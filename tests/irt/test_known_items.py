"""Items that are held at known values, and populations that are estimated beside them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize

from emlearn import ItemResponseEM
from emlearn.datasets import load_lsat6, load_science

nan = np.nan
LSAT = load_lsat6().data


def fit(X, model="2pl", **settings):
    groups = settings.pop("groups", None)
    return ItemResponseEM(model, tol=1e-10, random_state=0, **settings).fit(X, groups=groups)


def test_held_entries_keep_their_bits():
    fixed = {
        "discrimination": [0.7, nan, nan, nan, 1.1],
        "difficulty": [nan, nan, 0.1, nan, -2.7],
    }
    test = fit(LSAT, fixed=fixed)
    for name, values in fixed.items():
        held = ~np.isnan(values)
        assert_array_equal(getattr(test, f"{name}_")[held], np.array(values)[held])
    free = fit(LSAT)
    assert test.log_likelihood_ < free.log_likelihood_
    # Four of ten parameters are held.
    assert_allclose(test.aic(LSAT), -2 * test.log_likelihood_ + 2 * 6)
    errors = test.inference(LSAT).standard_errors
    assert_array_equal(np.isnan(errors["discrimination"]), ~np.isnan(fixed["discrimination"]))
    assert_array_equal(np.isnan(errors["difficulty"]), ~np.isnan(fixed["difficulty"]))


def test_everything_held_evaluates():
    free = fit(LSAT)
    fixed = {"discrimination": free.discrimination_, "difficulty": free.difficulty_}
    again = fit(LSAT, fixed=fixed)
    assert_allclose(again.log_likelihood_, free.log_likelihood_, rtol=1e-12)
    assert_allclose(again.bic(LSAT), -2 * free.log_likelihood_)


def test_rasch_model_in_its_own_unit():
    # Discriminations of 1 and a free variance are the one-parameter model in another unit.
    one = fit(LSAT, "1pl")
    rasch = fit(
        LSAT,
        "1pl",
        fixed={"discrimination": np.ones(5), "latent_mean": [[0.0]]},
        estimate_latent=True,
    )
    a = one.discrimination_[0]
    assert_allclose(rasch.log_likelihood_, one.log_likelihood_, atol=1e-5)
    assert_allclose(rasch.latent_covariance_, a**2, rtol=1e-3)
    assert_allclose(rasch.difficulty_, a * one.difficulty_, rtol=1e-3)


def test_known_items_in_another_population(draw, naive_likelihood):
    rng = np.random.default_rng(3)
    X = draw("2pl", 500, (2,) * 5, seed=21, theta=rng.normal(0.8, 1.3, (500, 1)))
    known = {"discrimination": [1.1, 1.4, 1.8, nan, nan], "difficulty": [0.2, -0.8, 0.9, nan, nan]}
    test = fit(X, fixed=known, estimate_latent=True)

    def objective(vector):
        a = np.append(known["discrimination"][:3], vector[:2])
        b = np.append(known["difficulty"][:3], vector[2:4])
        items = [(a[j], np.array([-a[j] * b[j]]), 0.0) for j in range(5)]
        covariance = np.array([[np.exp(vector[5])]])
        return naive_likelihood("2pl", X, items, vector[4], covariance, 60).sum()

    own = np.concatenate(
        [
            test.discrimination_[3:],
            test.difficulty_[3:],
            test.latent_mean_[0],
            np.log(test.latent_covariance_[0, 0]),
        ]
    )
    found = minimize(lambda v: -objective(v), own + 0.1, method="BFGS", options={"gtol": 1e-3})
    assert_allclose(objective(own), test.log_likelihood_, atol=1e-3)
    assert objective(own) >= -found.fun - 1e-3
    assert_allclose(own, found.x, atol=0.02)


def test_thresholds_and_means_of_groups():
    X = load_science().data[:, [0, 2, 3, 6]]
    groups = np.arange(len(X)) % 2
    thresholds = np.full((4, 3), nan)
    thresholds[1] = [-2.0, -0.8, 1.9]
    test = fit(
        X, "grm", groups=groups, fixed={"thresholds": thresholds, "latent_mean": [[nan], [0]]}
    )
    assert_array_equal(test.thresholds_[1], thresholds[1])
    assert test.latent_mean_[1, 0] == 0.0
    assert test.converged_


def test_guessing_is_known():
    test = fit(LSAT, "3pl", fixed={"guessing": np.full(5, 0.2)})
    assert (test.guessing_ == 0.2).all()
    assert test.log_likelihood_ <= fit(LSAT, "3pl", prior=None).log_likelihood_ + 1e-3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"estimate_latent": True}, "nothing is held that the mean of the trait"),
        (
            {"estimate_latent": True, "fixed": {"difficulty": [0, nan, nan, nan, nan]}},
            "nothing is held that the variance",
        ),
        ({"fixed": {"slope": [1.0] * 5}}, "unknown parameter 'slope'.*discrimination, difficulty"),
        ({"fixed": {"difficulty": [1.0] * 4}}, r"fixed\['difficulty'\] must have .*\(5,\)"),
    ],
)
def test_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        fit(LSAT, **settings)


def test_thresholds_that_are_not_in_order_are_an_error():
    thresholds = np.full((4, 3), nan)
    thresholds[0] = [1.0, 0.0, -1.0]
    with pytest.raises(ValueError, match="not in order"):
        fit(load_science().data[:, [0, 2, 3, 6]], "grm", fixed={"thresholds": thresholds})
