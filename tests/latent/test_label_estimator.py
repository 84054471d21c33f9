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
LAW = {
    FiniteMixtureEM: {"weights_": [0.3, 0.7]},
    HiddenMarkovEM: {"startprob_": [0.3, 0.7], "transmat_": [[0.9, 0.1], [0.4, 0.6]]},
}
RATES = {"rate": [[1.0, 2.0], [7.0, 5.0]]}
METHODS = ["predict", "predict_proba", "score", "score_samples", "aic", "bic"]


def known(cls, component_params=RATES, family="poisson", **settings):
    law = {name.rstrip("_"): value for name, value in LAW[cls].items()}
    return cls.from_parameters(**law, component_params=component_params, family=family, **settings)


@pytest.fixture
def X():
    rng = np.random.default_rng(0)
    side = rng.integers(2, size=(80, 1))
    return rng.poisson(np.where(side, [7.0, 5.0], [1.0, 2.0])).astype(float)


def log_likelihood(model, X, density):
    """Log-likelihood by hand: of a mixture, or of one sequence by the forward recursion."""
    if isinstance(model, FiniteMixtureEM):
        return float(logsumexp(density + np.log(model.weights_), axis=1).sum())
    with np.errstate(divide="ignore"):
        start, move = np.log(model.startprob_), np.log(model.transmat_)
    state = start + density[0]
    for row in density[1:]:
        state = logsumexp(state[:, None] + move, axis=0) + row
    return float(logsumexp(state))


def poisson_density(X, rate):
    return stats.poisson.logpmf(X[:, None], np.asarray(rate)).sum(axis=2)


@BOTH
def test_known_parameters_need_no_fit(cls, X):
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
def test_what_is_given_is_copied(cls, X):
    rates = np.array(RATES["rate"])
    law = {name.rstrip("_"): np.array(value) for name, value in LAW[cls].items()}
    model = cls.from_parameters(**law, component_params={"rate": rates}, family="poisson")
    before = model.score(X)
    for given in (rates, *law.values()):
        given[...] = 1.0
    assert model.score(X) == before


@BOTH
def test_attributes_that_are_set_are_honored(cls, X):
    """New and in-place values, with and without a fit, act like a model with these parameters."""
    expected = known(cls)
    fitted = cls(2, family="poisson", init_params="rows", random_state=0).fit(X[::-1] + 1.0)
    bare = cls(2, family="poisson")
    inside = cls(2, family="poisson", init_params="rows", random_state=0).fit(X + 2.0)
    for model in (fitted, bare):
        for name, value in LAW[cls].items():
            setattr(model, name, value)
        model.component_params_ = RATES
    for name, value in LAW[cls].items():
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
def test_before_fit(cls, method, X):
    argument = () if method == "sample" else (X,)
    model = cls(2, family="poisson")
    with pytest.raises(NotFittedError, match=f"{cls.__name__} instance is not fitted"):
        getattr(model, method)(*argument)
    model.component_params_ = RATES
    first = next(iter(LAW[cls]))
    with pytest.raises(NotFittedError, match=f"{first}.* not set.*from_parameters"):
        getattr(model, method)(*argument)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"rate": [[1.0], [7.0]]}, "describe 1 features, but there are 2"),
        ({"rate": [[1.0, 1.0]] * 3}, "describe 3 components, but there are 2"),
        (
            {"rate": [[1.0, 1.0], [-7.0, 7.0]]},
            "rate of component 1, column 0 is -7",
        ),
        (
            {"rate": [[1.0, np.nan], [7.0, 7.0]]},
            "rate of component 0, column 1 is nan",
        ),
        ({"rate": [["a", "b"]] * 2}, "rate must be an array of numbers"),
        ({"rate": 3.0}, r"rate must have shape \(n_components, n_features"),
        ({"rates": [[1.0, 1.0]] * 2}, "no parameter 'rates'; its parameters are rate"),
        ({**RATES, "mean": 3.0}, "no parameter 'mean'"),
        ({}, "rate is missing from the parameters; those given are: none"),
        ([1.0, 2.0], "must be a dict"),
        (None, "must be a dict"),
    ],
)
@BOTH
def test_invalid_parameters_are_refused_by_name(cls, value, message, X):
    model = cls(2, family="poisson", init_params="rows", random_state=0).fit(X)
    model.component_params_ = value
    for method in METHODS:
        with pytest.raises(ValueError, match=rf"component_params_.*{message}"):
            getattr(model, method)(X)
    with pytest.raises(ValueError, match=rf"component_params_.*{message}"):
        model.sample(3)


@pytest.mark.parametrize("name", ["weights_", "startprob_", "transmat_"])
@pytest.mark.parametrize(
    "value", [[0.5, 0.6], [0.2, 0.3, 0.5], [1.5, -0.5], [np.nan, 1.0], "a", None, 1.0, [], [[1.0]]]
)
def test_invalid_probabilities_are_refused_by_name(name, value, X):
    cls = FiniteMixtureEM if name == "weights_" else HiddenMarkovEM
    model = known(cls)
    setattr(model, name, value)
    named = "transmat_|component_params_" if np.size(value) != 2 else name
    for call in (model.predict, model.predict_proba, model.score):
        with pytest.raises(ValueError, match=f"{name}|{named}"):
            call(X)
    with pytest.raises(ValueError, match=f"{name}|{named}"):
        model.sample(3)


@BOTH
def test_rows_of_another_width(cls, X):
    for model in (known(cls), cls(2, family="poisson")):
        for name, value in LAW[cls].items():
            setattr(model, name, value)
        model.component_params_ = RATES
        with pytest.raises(ValueError, match="X has 1 features"):
            model.predict(X[:, :1])


def test_means_and_covariances_of_states():
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
def test_known_parameters_of_composed_families(cls, X):
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


# ---- a fit that goes on from them -----------------------------------------------------


@BOTH
def test_a_fit_goes_on_from_known_parameters(cls, X):
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
def test_a_second_fit_of_other_rows_is_a_fit_of_these(cls, name, change, kind):
    """Coordinates of the first fit never meet parameters of the second."""
    X = other_rows()
    settings = {"family": Gaussian(kind), "random_state": 0, "init_params": "rows", "tol": 1e-9}
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


@BOTH
def test_errors_name_the_row_of_x_whatever_its_block(cls, X, small_blocks):
    small_blocks(16)
    model = known(cls)
    X[61, 1] = 0.5
    for method in METHODS:
        with pytest.raises(ValueError, match=r"X has 0.5 in row 61, column 1"):
            getattr(model, method)(X)


@BOTH
def test_parameters_may_have_any_order_in_memory(cls):
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


def test_means_and_covariances_of_components():
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
def test_the_memory_of_what_is_set_does_not_matter(cls, X):
    model, plain = known(cls), known(cls)
    for name, value in LAW[cls].items():
        array = np.array(value)
        raw = np.frombuffer(b"\0" + array.tobytes(), offset=1).reshape(array.shape)
        for given in (array[..., ::-1].copy()[..., ::-1], np.asfortranarray(array), raw):
            setattr(model, name, given)
            assert model.score(X) == plain.score(X)


@BOTH
def test_hyperparameters_beside_known_parameters_are_checked(cls):
    with pytest.raises(ValueError, match=f"'tol' parameter of {cls.__name__}"):
        known(cls, tol=-1.0)


@pytest.mark.parametrize("cls", [FiniteMixtureEM, HiddenMarkovEM])
def test_one_component_or_known_rows_of_each_class_leave_no_choice_of_starts(cls):
    X = np.random.default_rng(0).normal(size=(90, 2)) + np.repeat([0.0, 4.0, 9.0], 30)[:, None]
    y = np.full(90, -1)
    y[::10] = np.repeat([0, 1, 2], 3)
    options = {"family": Gaussian(), "random_state": 0}
    raced = cls(3, **options).fit(X)
    assert len(raced.restarts_) > 1
    assert raced._plan() is not None
    assert cls(1, **options).fit(X)._plan() is None
    known = cls(3, use_labels=True, **options).fit(X, y)
    assert len(known.restarts_) == 1
    y[y == 2] = -1
    part = cls(3, use_labels=True, **options).fit(X, y)
    assert len(part.restarts_) > 1


@pytest.mark.parametrize("cls", [FiniteMixtureEM, HiddenMarkovEM])
@pytest.mark.parametrize(("family", "discrete"), [("gaussian", False), ("categorical", True)])
def test_tags_are_those_of_the_family(cls, family, discrete):
    tags = cls(family=family).__sklearn_tags__().input_tags
    assert tags.categorical == tags.positive_only == discrete
    assert tags.allow_nan
