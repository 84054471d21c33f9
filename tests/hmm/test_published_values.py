"""Yearly earthquakes of magnitude 7 or more, 1900 to 2006 (Zucchini, MacDonald and Langrock)."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emlearn import HiddenMarkovEM
from emlearn.distributions import Poisson


@pytest.fixture(scope="module")
def earthquakes(reference):
    published = reference("earthquakes")
    return np.array(published["counts"], float)[:, None], published["poisson_hmm"]


@pytest.mark.parametrize("accelerate", [None, "auto", "squarem", "quasi-newton", "anderson"])
def test_earthquakes(earthquakes, accelerate, recursions):
    X, published = earthquakes
    for values in published:
        model = HiddenMarkovEM(
            values["n_components"],
            family=Poisson(alpha=0.0),
            accelerate=accelerate,
            tol=1e-13,
            random_state=0,
        ).fit(X)
        order = model.component_params_["rate"].ravel().argsort()
        transmat = model.transmat_[np.ix_(order, order)]
        assert_allclose(model.log_likelihood_, values["log_likelihood"], atol=5e-5)
        assert_allclose(model.component_params_["rate"][order, 0], values["rates"], rtol=1e-6)
        off = transmat[~np.eye(len(order), dtype=bool)]
        assert_allclose(off, values["transition_offdiagonal"], atol=6e-6)
        # The year 1900 was a quiet one.
        assert_allclose(model.startprob_[order], [1.0, 0.0], atol=1e-6)


def test_numerical_maximisation_finds_nothing_higher(earthquakes):
    """The likelihood as a product of matrices, maximized directly."""
    from scipy.optimize import minimize
    from scipy.stats import poisson

    X, _ = earthquakes

    def negative(z):
        rates, stay = np.exp(z[:2]), 1.0 / (1.0 + np.exp(-z[2:4]))
        start = 1.0 / (1.0 + np.exp(-z[4]))
        moves = np.array([[stay[0], 1 - stay[0]], [1 - stay[1], stay[1]]])
        density = poisson.pmf(X, rates)
        state, value = np.array([start, 1 - start]), 0.0
        for t, own in enumerate(density):
            state = (state if t == 0 else state @ moves) * own
            value += np.log(state.sum())
            state = state / state.sum()
        return -value

    direct = minimize(negative, [np.log(15), np.log(26), 2.0, 2.0, 5.0], tol=1e-10)
    model = HiddenMarkovEM(2, family=Poisson(alpha=0.0), random_state=0, tol=1e-12).fit(X)
    assert_allclose(model.log_likelihood_, -direct.fun, atol=1e-4)
    assert model.log_likelihood_ >= -direct.fun - 1e-6
    assert model.score(X) * len(X) == pytest.approx(model.log_likelihood_, rel=1e-12)
