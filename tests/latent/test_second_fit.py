"""A fit goes on from known parameters, or from another fit."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from emlearn import FiniteMixtureEM, HiddenMarkovEM
from emlearn.distributions import Gaussian, Poisson

BOTH = pytest.mark.parametrize("cls", [FiniteMixtureEM, HiddenMarkovEM])
RATES = {"rate": [[1.0, 2.0], [7.0, 5.0]]}


@BOTH
def test_a_fit_goes_on_from_known_parameters(cls, X, known, log_likelihood, poisson_density):
    model = known(cls, warm_start=True, max_iter=0).fit(X)
    expected = log_likelihood(model, X, poisson_density(X, RATES["rate"]))
    assert model.log_likelihood_ == pytest.approx(expected, rel=1e-12)
    assert_allclose(model.component_params_["rate"], RATES["rate"])
    cold = known(cls, random_state=0).fit(X)
    assert model.set_params(max_iter=1000).fit(X).log_likelihood_ == pytest.approx(
        cold.log_likelihood_, rel=1e-5
    )


def other_rows():
    rng = np.random.default_rng(5)
    return np.r_[rng.normal(0, 1, (200, 2)), rng.normal(1.7, 1, (200, 2))]


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("shifted", lambda X: X + 3.0),
        ("scaled", lambda X: 2.0 * X),
        ("half", lambda X: X[::2]),
        ("turned", lambda X: X[::-1] * [1e3, -1.0]),
    ],
)
@BOTH
@pytest.mark.filterwarnings(r"ignore:.*\(s\) .* rows\)")
def test_a_second_fit_of_other_rows_is_a_fit_of_these(cls, name, change, kind, log_likelihood):
    """Coordinates of the first fit never meet parameters of the second."""
    X = other_rows()
    family = Gaussian(kind, alpha=0.01)  # so that far starts do not end at single rows
    settings = {"family": family, "random_state": 0, "init_params": "rows", "tol": 1e-9}
    model = cls(2, warm_start=True, **settings).fit(X)
    first, new = model.log_likelihood_, change(X)
    model.fit(new)
    params = model.component_params_
    covariances = params["covariance"]
    if kind == "spherical":
        covariances = [value * np.eye(2) for value in covariances]
    if kind == "diag":
        covariances = [np.diag(value) for value in covariances]
    density = np.stack(
        [
            stats.multivariate_normal.logpdf(new, m, c)
            for m, c in zip(params["mean"], covariances, strict=True)
        ],
        axis=1,
    )
    expected = log_likelihood(model, new, density)
    assert model.log_likelihood_ == pytest.approx(expected, rel=1e-11)
    assert model.score(new) * len(new) == pytest.approx(expected, rel=1e-11)
    if name == "scaled" or (name == "shifted" and cls is FiniteMixtureEM):
        # EM converges to the same optimum in the new coordinates. (A chain does not return to a
        # state whose probabilities are zero.)
        first -= 400 * 2 * np.log(np.ptp(new) / np.ptp(X))
        assert model.log_likelihood_ == pytest.approx(first, abs=1e-4)


@BOTH
def test_codes_new_in_a_second_fit_are_learned(cls):
    rng = np.random.default_rng(0)
    side = np.repeat(rng.integers(2, size=40), 5)
    first = np.where(rng.random((200, 3)) < 0.2, 1 - side[:, None], side[:, None]).astype(float)
    second = first.copy()
    second[::4, 0] = 7.0
    settings = {"family": "categorical", "random_state": 0, "tol": 1e-9}
    model = cls(2, warm_start=True, **settings).fit(first).fit(second)
    assert model.component_params_["probability"].shape == (2, 3, 3)
    assert model.log_likelihood_ == pytest.approx(200 * model.score(second), rel=1e-11)
    cold = cls(2, **settings).fit(second)
    assert model.lower_bound_ == pytest.approx(cold.lower_bound_, abs=1e-6)


@BOTH
def test_a_second_fit_of_another_model_is_refused(cls, X):
    model = cls(2, family="poisson", warm_start=True, init_params="rows", random_state=0).fit(X)
    for change, rows in (
        ({"n_components": 3}, X),
        ({"family": Poisson(alpha=2.0)}, X),
        ({}, X[:, :1]),
    ):
        again = pickle.loads(pickle.dumps(model)).set_params(**change)
        with pytest.raises(ValueError, match="warm_start=True"):
            again.fit(rows)
