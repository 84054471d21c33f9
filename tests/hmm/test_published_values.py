"""Earthquakes (Zucchini, MacDonald and Langrock), and response times as depmixS4 fits them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emlearn import HiddenMarkovEM
from emlearn.distributions import Categorical, Gaussian, Poisson


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


def test_response_times(reference):
    """A subject that is fast or accurate: words in one column, numbers in the other."""
    speed = reference("speed")
    X = np.array([speed["rt"], speed["corr"]], object).T
    settings, lengths = {"tol": 1e-13, "random_state": 0}, speed["lengths"]
    own = {"gaussian": Gaussian(reg_covar=0.0), "categorical": Categorical(alpha=0.0)}
    both = [(own["gaussian"], [0]), (own["categorical"], [1])]
    for name, rows, family in (
        ("rt_only", X[:, :1], own["gaussian"]),
        ("rt_and_corr", X, both),
    ):
        published = speed[name]
        fit = HiddenMarkovEM(2, family=family, **settings).fit(rows, lengths=lengths)
        assert_allclose(fit.log_likelihood_, published["log_likelihood"], atol=1e-6)
        assert fit._n_parameters() == published["n_parameters"]
        assert_allclose(
            [fit.aic(rows, lengths), fit.bic(rows, lengths)],
            [published["aic"], published["bic"]],
            atol=1e-5,
        )
        order = fit.component_params_["mean"][:, 0].argsort()
        found = fit.component_params_
        assert_allclose(found["mean"][order, 0], published["mean"], atol=1e-4)
        assert_allclose(np.sqrt(found["covariance"][order, 0, 0]), published["sd"], atol=1e-4)
        assert_allclose(fit.transmat_[np.ix_(order, order)], published["transmat"], atol=1e-4)
    assert fit.levels_[1].tolist() == ["cor", "inc"]
    assert_allclose(found["probability"][order, 0, 1], published["incorrect"], atol=1e-4)
