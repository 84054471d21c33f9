"""The published attributes are the model, of mixtures and of hidden Markov models."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from emlearn import FiniteMixtureEM, HiddenMarkovEM
from emlearn.distributions import Gaussian, Mixture, Poisson

BOTH = pytest.mark.parametrize("cls", [FiniteMixtureEM, HiddenMarkovEM])
RATES = {"rate": [[1.0, 2.0], [7.0, 5.0]]}
METHODS = ["predict", "predict_proba", "score", "score_samples", "aic", "bic"]


@BOTH
def test_known_parameters_need_no_fit(cls, X, known, log_likelihood, poisson_density):
    model = known(cls, random_state=0)
    expected = log_likelihood(model, X, poisson_density(X, RATES["rate"]))
    assert model.score(X) * len(X) == pytest.approx(expected, rel=1e-12)
    assert model.n_components == model.n_components_ == 2
    assert model.n_features_in_ == 2
    rows, labels = model.sample(4000)
    assert rows.shape == (4000, 2)
    assert_allclose(rows[labels == 1].mean(axis=0), [7.0, 5.0], atol=0.2)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    with pytest.raises(NotFittedError):
        clone(model).predict(X)


@BOTH
def test_what_is_given_is_copied(cls, X, laws):
    rates = np.array(RATES["rate"])
    law = {name.rstrip("_"): np.array(value) for name, value in laws[cls].items()}
    model = cls.from_parameters(**law, component_params={"rate": rates}, family="poisson")
    before = model.score(X)
    for given in (rates, *law.values()):
        given[...] = 1.0
    assert model.score(X) == before


@BOTH
def test_attributes_that_are_set_are_honored(cls, X, known, laws):
    """New and in-place values, with and without a fit, act like a model with these parameters."""
    expected = known(cls)
    fitted = cls(2, family="poisson", init_params="rows", random_state=0).fit(X[::-1] + 1.0)
    bare = cls(2, family="poisson")
    inside = cls(2, family="poisson", init_params="rows", random_state=0).fit(X + 2.0)
    for model in (fitted, bare):
        for name, value in laws[cls].items():
            setattr(model, name, value)
        model.component_params_ = RATES
    for name, value in laws[cls].items():
        getattr(inside, name)[...] = value
    inside.component_params_["rate"][...] = RATES["rate"]
    for model in (fitted, bare, inside):
        assert_array_equal(model.predict_proba(X), expected.predict_proba(X))
        assert_array_equal(model.predict(X), expected.predict(X))
        assert model.score(X) == expected.score(X)
        assert model.bic(X) == expected.bic(X)
        rows, labels = model.set_params(random_state=3).sample(30)
        other_rows, other_labels = expected.set_params(random_state=3).sample(30)
        assert_array_equal(rows, other_rows)
        assert_array_equal(labels, other_labels)


@pytest.mark.parametrize("method", [*METHODS, "sample"])
@BOTH
def test_before_fit(cls, method, X, laws):
    argument = () if method == "sample" else (X,)
    model = cls(2, family="poisson")
    with pytest.raises(NotFittedError, match=f"{cls.__name__} instance is not fitted"):
        getattr(model, method)(*argument)
    model.component_params_ = RATES
    first = next(iter(laws[cls]))
    with pytest.raises(NotFittedError, match=f"{first}.* not set.*from_parameters"):
        getattr(model, method)(*argument)


def test_means_and_covariances_of_states(known, log_likelihood):
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(size=(40, 2)), rng.normal(size=(40, 2)) + 4.0]
    model = HiddenMarkovEM(2, init_params="rows", random_state=0).fit(X)
    means, covariances = np.array([[0.0, 1.0], [3.0, 4.0]]), np.array([np.eye(2), 2.0 * np.eye(2)])
    model.means_, model.covariances_ = means, covariances
    density = np.stack(
        [
            stats.multivariate_normal.logpdf(X, m, c)
            for m, c in zip(means, covariances, strict=True)
        ],
        axis=1,
    )
    assert model.score(X) * 80 == pytest.approx(log_likelihood(model, X, density), rel=1e-12)
    model.means_[0] = 50.0
    density[:, 0] = stats.multivariate_normal.logpdf(X, model.means_[0], covariances[0])
    assert model.score(X) * 80 == pytest.approx(log_likelihood(model, X, density), rel=1e-12)
    for name, value, message in (
        ("means_", [[1.0, 2.0]], "describe 1 components"),
        ("means_", np.zeros((2, 2, 2)), r"mean must have shape \(n_components, n_features\)"),
        ("covariances_", -covariances, "covariance of component 0 is not symmetric positive"),
        ("covariances_", np.ones((2, 2)), r"covariance must have shape \(2, 2, 2\)"),
    ):
        wrong = pickle.loads(pickle.dumps(model))
        setattr(wrong, name, value)
        with pytest.raises(ValueError, match=message):
            wrong.predict(X)
    for bare in (HiddenMarkovEM(2), known(HiddenMarkovEM)):
        with pytest.raises(AttributeError, match="means_ only if it is fitted"):
            bare.means_ = means


@BOTH
def test_known_parameters_of_composed_families(cls, X, known, log_likelihood, poisson_density):
    rng = np.random.default_rng(0)
    table = np.c_[X, rng.normal(size=80), rng.integers(3, size=80)]
    params = {
        "rate": RATES["rate"],
        "mean": [[0.0], [1.0]],
        "covariance": [[1.0], [4.0]],
        "probability": [[[0.2, 0.3, 0.5]], [[0.6, 0.3, 0.1]]],
    }
    family = [("poisson", [0, 1]), (Gaussian("diag"), [2]), ("categorical", [3])]
    model = known(cls, params, family, n_features=4)
    density = poisson_density(X, RATES["rate"])
    density += stats.norm.logpdf(table[:, 2:3], [0.0, 1.0], [1.0, 2.0])
    density += np.log(np.array(params["probability"])[:, 0, table[:, 3].astype(int)]).T
    expected = log_likelihood(model, table, density)
    assert model.score(table) * 80 == pytest.approx(expected, rel=1e-12)
    assert model.sample(5)[0].shape == (5, 4)
    with pytest.raises(ValueError, match="pass n_features"):
        known(cls, params, family)
    with pytest.raises(ValueError, match="describe 2 columns, but it has 1"):
        known(cls, params, [("poisson", [0]), *family[1:], ("ignore", [1])], n_features=4)
    with pytest.raises(ValueError, match=r"describe \[2, 3\] components"):
        known(cls, {**params, "rate": [[1.0, 2.0]] * 3}, family, n_features=4)
    parts = {"weight": [[0.5, 0.5]] * 2, "rate": [[[1.0, 2.0], [3.0, 4.0]], [[9.0, 9.0]] * 2]}
    model = known(cls, parts, Mixture(Poisson()))
    inner = poisson_density(X, np.reshape(parts["rate"], (4, 2))).reshape(80, 2, 2)
    expected = log_likelihood(model, X, logsumexp(inner + np.log(0.5), axis=2))
    assert model.score(X) * 80 == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match="rate must have shape"):
        known(cls, {**parts, "rate": [[1.0, 2.0]] * 3}, Mixture(Poisson()))


@BOTH
def test_errors_name_the_row_of_x_whatever_its_block(cls, X, small_blocks, known):
    small_blocks(16)
    model = known(cls)
    X[61, 1] = 0.5
    for method in METHODS:
        with pytest.raises(ValueError, match=r"X has 0.5 in row 61, column 1"):
            getattr(model, method)(X)


@BOTH
def test_parameters_may_have_any_order_in_memory(cls, known):
    rng = np.random.default_rng(0)
    means, covariances = rng.standard_normal((2, 3)), np.stack([np.eye(3), 4.0 * np.eye(3)])
    X = rng.standard_normal((40, 3))
    X[::3, 1] = np.nan
    columns = np.asfortranarray
    own = known(cls, {"mean": means, "covariance": covariances}, "gaussian")
    other = known(
        cls, {"mean": columns(means), "covariance": columns(covariances)}, family="gaussian"
    )
    assert_array_equal(own.predict_proba(X), other.predict_proba(X))


def test_means_and_covariances_of_components(known, log_likelihood):
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(size=(40, 2)), rng.normal(size=(40, 2)) + 4.0]
    model = FiniteMixtureEM(2, init_params="rows", random_state=0).fit(X)
    means, covariances = np.array([[0.0, 1.0], [3.0, 4.0]]), np.array([np.eye(2), 2.0 * np.eye(2)])
    model.means_, model.covariances_ = means, covariances
    density = np.stack(
        [
            stats.multivariate_normal.logpdf(X, m, c)
            for m, c in zip(means, covariances, strict=True)
        ],
        axis=1,
    )
    assert model.score(X) * 80 == pytest.approx(log_likelihood(model, X, density), rel=1e-12)
    with pytest.raises(AttributeError, match="means_ only"):
        known(FiniteMixtureEM).means_ = means


@BOTH
def test_the_memory_of_what_is_set_does_not_matter(cls, X, known, laws):
    model, plain = known(cls), known(cls)
    for name, value in laws[cls].items():
        array = np.array(value)
        raw = np.frombuffer(b"\0" + array.tobytes(), offset=1).reshape(array.shape)
        for given in (array[..., ::-1].copy()[..., ::-1], np.asfortranarray(array), raw):
            setattr(model, name, given)
            assert model.score(X) == plain.score(X)
