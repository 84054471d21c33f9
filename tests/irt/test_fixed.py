"""Item response models with entries of their parameters held."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

from emlearn import ItemResponseEM
from emlearn.datasets import load_lsat6

NAN = np.nan
loaded = load_lsat6()
X = loaded.data
NODES = np.linspace(-6.0, 6.0, 121)
WEIGHTS = norm.pdf(NODES)
WEIGHTS /= WEIGHTS.sum()


def log_likelihood(slopes, difficulties, guessing=0.0):
    """By a sum over nodes."""
    p = guessing + (1 - guessing) / (1 + np.exp(-slopes * (NODES[:, None] - difficulties)))
    joint = np.exp(X @ np.log(p).T + (1 - X) @ np.log(1 - p).T)
    return np.log(joint @ WEIGHTS).sum()


@pytest.mark.parametrize(
    ("slopes", "difficulties"),
    [
        ([1.0] * 5, [NAN] * 5),
        ([NAN] * 5, [-3.0, -1.0, -0.3, -1.5, -2.5]),
        ([0.8, NAN, NAN, NAN, NAN], [NAN, -1.4, -0.3, NAN, NAN]),
    ],
)
def test_maximum_is_that_of_a_general_optimizer(slopes, difficulties):
    fixed = {"discrimination": np.array(slopes), "difficulty": np.array(difficulties)}
    test = ItemResponseEM("2pl", fixed=fixed, tol=1e-12).fit(X)
    values = {"discrimination": test.discrimination_, "difficulty": test.difficulty_}
    free = np.concatenate([np.isnan(held) for held in fixed.values()])
    start = np.concatenate(list(values.values()))

    def loss(vector):
        found = start.copy()
        found[free] = vector
        return -log_likelihood(found[:5], found[5:])

    best = minimize(loss, start[free] * 1.02, method="BFGS", options={"gtol": 1e-4})
    assert test.log_likelihood_ == pytest.approx(-best.fun, abs=1e-3)
    np.testing.assert_allclose(start[free], best.x, rtol=5e-3)
    for name, held in fixed.items():
        known = ~np.isnan(held)
        assert np.array_equal(values[name][known], held[known])
    assert test._n_parameters() == free.sum()
    inference = test.inference(X)
    assert inference.remarks.count("fixed") == 10 - free.sum()


def test_discriminations_of_one_are_the_rasch_model_with_a_known_variance():
    held = ItemResponseEM("1pl", fixed={"discrimination": np.full(5, 0.755)}).fit(X)
    free = ItemResponseEM("1pl").fit(X)
    assert held._n_parameters() == free._n_parameters() - 1
    assert free.log_likelihood_ - 0.5 < held.log_likelihood_ <= free.log_likelihood_ + 1e-6


def test_guessing_of_a_known_number_of_choices():
    test = ItemResponseEM("3pl", prior=None, fixed={"guessing": np.full(5, 0.2)}).fit(X)
    assert (test.guessing_ == 0.2).all()
    assert test._n_parameters() == 10
    value = log_likelihood(test.discrimination_, test.difficulty_, 0.2)
    assert test.log_likelihood_ == pytest.approx(value, abs=1e-3)


def test_errors():
    with pytest.raises(ValueError, match=r"unknown parameter 'slope'; .*discrimination"):
        ItemResponseEM(fixed={"slope": np.ones(5)}).fit(X)
    with pytest.raises(ValueError, match=r"fixed\['difficulty'\] must have shape \(5,\)"):
        ItemResponseEM(fixed={"difficulty": np.ones(4)}).fit(X)
