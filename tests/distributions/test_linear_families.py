"""Gamma, von Mises, negative binomial and zero-inflated columns, against scipy."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import optimize, stats
from scipy.special import i0e, i1e
from sklearn.exceptions import ConvergenceWarning

from emlearn import FiniteMixtureEM, HiddenMarkovEM
from emlearn.distributions import (
    DomainError,
    Gamma,
    NegativeBinomial,
    Poisson,
    VonMises,
    ZeroInflated,
    find_family,
)
from emlearn.distributions._count_tables import log_rise, slope_of_rise
from emlearn.distributions._gamma import log_minus_digamma, shape_of_spread
from emlearn.distributions._von_mises import concentration_of
from emlearn.testing import check_family

ALL = {
    "gamma": Gamma(),
    "von_mises": VonMises(),
    "negative_binomial": NegativeBinomial(),
    "zero_inflated": ZeroInflated(),
    "zero_inflated_negative_binomial": ZeroInflated(NegativeBinomial()),
}
#: True parameters of two components of two columns.
TRUE = {
    "gamma": {"shape": [[2.0, 5.0], [9.0, 1.5]], "rate": [[1.0, 10.0], [0.5, 0.2]]},
    "von_mises": {
        "direction": [[0.0, 1.0], [2.5, -2.0]],
        "concentration": [[4.0, 2.0], [1.5, 8.0]],
    },
    "negative_binomial": {
        "mean": [[2.0, 5.0], [15.0, 30.0]],
        "dispersion": [[0.3, 0.8], [0.2, 0.1]],
    },
    "zero_inflated": {"inflation": [[0.3, 0.1], [0.2, 0.4]], "rate": [[2.0, 4.0], [11.0, 15.0]]},
    "zero_inflated_negative_binomial": {
        "inflation": [[0.3, 0.1], [0.2, 0.4]],
        "mean": [[3.0, 5.0], [25.0, 40.0]],
        "dispersion": [[0.2, 0.1], [0.1, 0.2]],
    },
}
NAMES = pytest.mark.parametrize("name", list(ALL))


def maximum_likelihood(name):
    family = ALL[name]
    if name.startswith("zero"):
        return ZeroInflated(type(family.family)(alpha=0.0))
    return type(family)(alpha=0.0)


def draw(name, labels, seed=0):
    family, public = ALL[name], TRUE[name]
    spec = family.spec_of(public)
    params = family.from_public(public, spec)
    return family.sample(params, spec, labels, np.random.default_rng(seed))


def log_density(name, x, p):
    """That of scipy, at parameters by name."""
    x = np.where(np.isnan(x), 0.0, x) if "inflation" in p else x
    if name == "gamma":
        return stats.gamma.logpdf(x, p["shape"], scale=1.0 / p["rate"])
    if name == "von_mises":
        return stats.vonmises.logpdf(x, p["concentration"], loc=p["direction"])
    if "rate" in p:
        plain = stats.poisson.logpmf(x, p["rate"])
    else:
        r = 1.0 / p["dispersion"]
        plain = stats.nbinom.logpmf(x, r, r / (r + p["mean"]))
    if "inflation" in p:
        zero = np.where(x == 0.0, np.log(p["inflation"]), -np.inf)
        plain = np.logaddexp(zero, np.log1p(-p["inflation"]) + plain)
    return plain


# ---- densities ------------------------------------------------------------------------------


@NAMES
def test_density(name):
    X = draw(name, np.arange(80) % 2)
    X[3, 0] = X[5] = np.nan
    public = {key: np.asarray(value) for key, value in TRUE[name].items()}
    family = ALL[name]
    expected = np.stack(
        [
            np.nansum(np.where(np.isnan(X), 0.0, log_density(name, X, own)), axis=1)
            for own in ({key: value[k] for key, value in public.items()} for k in range(2))
        ]
    )
    # With the counts of a table, and with counts that no fit has seen.
    for spec in (family.column_spec(X), family.spec_of(public)):
        out = np.zeros((2, len(X)))
        params = family.from_public(public, spec)
        family.log_density(family.encode(X, spec), family.precompute(params, spec), out)
        assert_allclose(out, expected, rtol=1e-10, atol=1e-12)


def test_density_of_limits():
    x = np.array([[0.0], [1.0], [7.0], [400.0]])

    def density(family, X=x, **public):
        spec = family.spec_of({key: [[value]] for key, value in public.items()})
        params = family.from_public({key: [[value]] for key, value in public.items()}, spec)
        out = np.zeros((1, len(X)))
        family.log_density(family.encode(X, spec), family.precompute(params, spec), out)
        return out[0]

    poisson = stats.poisson.logpmf(x[:, 0], 6.0)
    for dispersion in (0.0, 1e-300, 1e-16):
        assert_allclose(density(NegativeBinomial(), mean=6.0, dispersion=dispersion), poisson)
    assert_allclose(density(ZeroInflated(), inflation=0.0, rate=6.0), poisson)
    assert density(ZeroInflated(), inflation=1.0, rate=6.0)[0] == pytest.approx(0.0, abs=1e-300)
    angles = np.array([[0.3], [0.3 + 2.0 * np.pi], [0.3 - 20.0 * np.pi]])
    uniform = density(VonMises(), angles, direction=1.0, concentration=0.0)
    assert_allclose(uniform, -np.log(2.0 * np.pi))
    narrow = density(VonMises(), angles, direction=0.3 + 1e-4, concentration=1e7)
    assert_allclose(narrow, stats.norm.logpdf(1e-4, scale=1e7**-0.5), rtol=1e-6)


@pytest.mark.parametrize("f", [0.0, 1e-14, 1e-9, 1e-6, 1e-4, 0.0099, 0.0101, 0.5, 30.0, 1e4])
def test_rising_factorials(f):
    x = np.array([0.0, 1.0, 2.0, 5.0, 40.0, 1000.0])
    steps = [np.arange(int(n)) for n in x]
    assert_allclose(log_rise(x, f), [np.log1p(j * f).sum() for j in steps], rtol=1e-11, atol=1e-12)
    found = slope_of_rise(x, f)
    assert_allclose(found, [(j / (1.0 + j * f)).sum() for j in steps], rtol=1e-9, atol=1e-12)


def test_equations():
    k = np.r_[0.0, 10.0 ** np.arange(-10, 9)]
    assert_allclose(concentration_of(i1e(k) / i0e(k)), k, rtol=1e-8)
    assert concentration_of(np.array([1.0]))[0] == 1e8
    a = 10.0 ** np.arange(-7, 8)
    assert_allclose(shape_of_spread(log_minus_digamma(a)), a, rtol=1e-8)


# ---- estimates ------------------------------------------------------------------------------


@NAMES
@pytest.mark.parametrize("component", [0, 1])
def test_one_component_is_maximum_likelihood(name, component):
    """The direct maximum of scipy, with weights."""
    X = draw(name, np.full(300, component))[:, :1]
    weight = np.random.default_rng(1).uniform(0.5, 2.0, len(X))
    model = FiniteMixtureEM(1, family=maximum_likelihood(name), tol=1e-13, max_iter=5000)
    model.fit(X, sample_weight=weight)
    start = {key: value[component][0] for key, value in TRUE[name].items()}
    inverse = {"direction": float, "inflation": lambda v: 1.0 / (1.0 + np.exp(-v))}
    forward = {"direction": float, "inflation": lambda p: np.log(p / (1.0 - p))}

    def loss(vector):
        p = {key: inverse.get(key, np.exp)(v) for key, v in zip(start, vector, strict=True)}
        return -(weight * log_density(name, X[:, 0], p)).sum()

    at = [forward.get(key, np.log)(value) for key, value in start.items()]
    options = {"xatol": 1e-9, "fatol": 1e-11, "maxiter": 4000}
    found = optimize.minimize(loss, at, method="Nelder-Mead", options=options)
    assert model.log_likelihood_ == pytest.approx(-found.fun, rel=1e-9)
    for key, v in zip(start, found.x, strict=True):
        own = model.component_params_[key][0, 0]
        assert own == pytest.approx(inverse.get(key, np.exp)(v), rel=2e-4, abs=1e-5), key


@NAMES
@pytest.mark.parametrize("cls", [FiniteMixtureEM, HiddenMarkovEM])
def test_simulated_parameters_are_recovered(name, cls):
    rng = np.random.default_rng(3)
    labels = np.repeat(rng.integers(2, size=200), 10)
    X = draw(name, labels)
    X[rng.random(X.shape) < 0.05] = np.nan
    model = cls(2, family=name if name in ("gamma", "von_mises") else ALL[name], random_state=0)
    model.fit(X)
    assert (np.diff(model.history_["objective"]) >= 0.0).all()
    public = model.component_params_
    first = next(iter(TRUE[name]))
    key = "mean" if "mean" in public else "rate" if name == "zero_inflated" else first
    true = np.asarray(TRUE[name][key])
    apart = [np.abs(public[key] - true[order]).sum() for order in ([0, 1], [1, 0])]
    order = [0, 1] if apart[0] <= apart[1] else [1, 0]
    for key, value in TRUE[name].items():
        expected = np.asarray(value)[order]
        assert_allclose(public[key], expected, rtol=0.2, atol=0.06, err_msg=key)
    assert np.mean(model.predict(X) == np.asarray(order)[labels]) > 0.85


@NAMES
@pytest.mark.parametrize("seed", range(2))
def test_em_never_falls(name, seed):
    rng = np.random.default_rng(seed)
    X = draw(name, rng.integers(2, size=60), seed)
    X[rng.random(X.shape) < 0.2] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for family in (ALL[name], maximum_likelihood(name)):
            model = FiniteMixtureEM(
                3, family=family, init_params="random", random_state=seed, tol=0, max_iter=40
            )
            history = model.fit(X).history_["objective"]
            assert (np.diff(history) >= -1e-11 * np.abs(history[1:])).all()


def test_gamma_in_other_units():
    X = draw("gamma", np.arange(300) % 2)
    settings = {"family": "gamma", "random_state": 0, "tol": 1e-10}
    plain = FiniteMixtureEM(2, **settings).fit(X)
    units = np.array([1e-6, 1e9])
    other = FiniteMixtureEM(2, **settings).fit(X * units)
    assert_allclose(other.component_params_["shape"], plain.component_params_["shape"], rtol=1e-6)
    rate = plain.component_params_["rate"] / units
    assert_allclose(other.component_params_["rate"], rate, rtol=1e-6)


def test_angles_that_are_turned():
    X = draw("von_mises", np.arange(300) % 2)
    settings = {"family": "von_mises", "random_state": 0, "tol": 1e-13}
    plain = FiniteMixtureEM(2, **settings).fit(X)
    turn = np.array([2.0, -1.0])
    other = FiniteMixtureEM(2, **settings).fit(X + turn + 4.0 * np.pi)
    found, old = other.component_params_, plain.component_params_
    assert_allclose(found["concentration"], old["concentration"], rtol=1e-5)
    assert_allclose(np.cos(found["direction"] - old["direction"] - turn), 1.0, rtol=1e-12)
    assert other.log_likelihood_ == pytest.approx(plain.log_likelihood_, rel=1e-10)
    assert (np.abs(found["direction"]) <= np.pi).all()


def test_counts_that_vary_less_than_poisson_counts():
    X = np.random.default_rng(0).binomial(8, 0.7, (300, 1)).astype(float)
    for family in (NegativeBinomial(0.0), ZeroInflated(NegativeBinomial(0.0)), ZeroInflated()):
        model = FiniteMixtureEM(1, family=family, tol=1e-12, max_iter=2000).fit(X)
        public = model.component_params_
        center = public["mean"] if "mean" in public else public["rate"]
        assert center[0, 0] == pytest.approx(X.mean(), rel=1e-6)
        assert public.get("dispersion", np.zeros(1)).max() == 0.0
        assert public.get("inflation", np.zeros(1)).max() == 0.0
        assert model.log_likelihood_ == pytest.approx(stats.poisson.logpmf(X, X.mean()).sum())


def test_mean_of_weighted_counts_is_theirs():
    X = draw("negative_binomial", np.zeros(100, int))
    weight = np.random.default_rng(0).uniform(0.1, 3.0, 100)
    model = FiniteMixtureEM(1, family=NegativeBinomial(0.0)).fit(X, sample_weight=weight)
    assert_allclose(model.component_params_["mean"][0], np.average(X, axis=0, weights=weight))


@pytest.mark.parametrize("name", list(ALL)[2:])
def test_counts_that_are_not_in_the_table(name):
    """EM on rows of which the column spec knows a third reaches the same maximum."""
    family, X = maximum_likelihood(name), draw(name, np.zeros(120, int))
    one = np.ones((1, len(X)))
    found = []
    for known in (X[:40], X):
        spec = family.column_spec(known)
        rows, params, last = family.encode(X, spec), family.pooled(1, spec), -np.inf
        for _ in range(400):
            precomputed = family.precompute(params, spec)
            out = np.zeros((1, len(X)))
            family.log_density(rows, precomputed, out)
            assert out.sum() >= last - 1e-9
            last = out.sum()
            statistics = family.sufficient_statistics(rows, one, precomputed)
            slope = family.score(statistics, params, spec)
            params = family.m_step(statistics, params, spec)
        assert max(np.abs(own).max() for own in slope.values()) < 1e-2
        found.append(last)
    assert rows.is_new is None
    assert found[0] == pytest.approx(found[1], rel=1e-8)


# ---- rows that are few or equal -------------------------------------------------------------


@NAMES
@pytest.mark.parametrize("value", [1.0, 3.0])
def test_a_component_of_one_row_or_of_equal_rows(name, value):
    X = draw(name, np.zeros(40, int))
    X[:12] = value
    y = np.r_[np.zeros(12), 1.0, np.full(27, 2.0)]
    family = ALL[name]
    model = FiniteMixtureEM(family=family, use_labels=True).fit(X, y)
    for own in (*model.component_params_.values(), model.score_samples(X)):
        assert np.isfinite(own).all()
    if name == "gamma":
        assert model.component_params_["shape"].max() < 1e6
    if name == "von_mises":
        assert model.component_params_["concentration"].max() < 1e4


@pytest.mark.parametrize(
    ("family", "what"), [(Gamma(0.0), "numbers of a column"), (VonMises(0.0), "angles of a column")]
)
def test_equal_values_without_prior(family, what):
    X = np.random.default_rng(0).uniform(0.5, 3.0, (20, 1))
    X[:10] = 1.5
    with pytest.warns(ConvergenceWarning, match=what):
        FiniteMixtureEM(family=family, use_labels=True).fit(X, np.arange(20) >= 10)


@NAMES
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_hard_rows(name):
    rows = draw(name, np.arange(12) % 2)
    hole = np.where(np.arange(2) == 1, np.nan, rows)
    for X in (rows[:2], hole, np.repeat(rows[:1], 9, axis=0), np.zeros_like(rows) + 1.0):
        for family in (ALL[name], maximum_likelihood(name)):
            model = FiniteMixtureEM(min(2, len(X)), family=family, random_state=0, max_iter=50)
            model.fit(X)
            assert np.isfinite(model.score_samples(X)).all()
            assert all(np.isfinite(own).all() for own in model.component_params_.values())


def test_zeros_alone():
    X = np.zeros((30, 1))
    for family in (NegativeBinomial(), ZeroInflated(), ZeroInflated(NegativeBinomial())):
        model = FiniteMixtureEM(1, family=family).fit(X)
        assert model.score(X) == pytest.approx(0.0, abs=1e-6)


# ---- standard errors and fixed entries ------------------------------------------------------


@NAMES
def test_standard_errors(name):
    """Of one component: from the curvature of scipy's log-likelihood."""
    X = draw(name, np.zeros(400, int))[:, :1]
    model = FiniteMixtureEM(1, family=maximum_likelihood(name), tol=1e-13, max_iter=5000).fit(X)
    keys = list(TRUE[name])
    at = np.array([model.component_params_[key][0, 0] for key in keys])

    def loss(vector):
        return -log_density(name, X[:, 0], dict(zip(keys, vector, strict=True))).sum()

    steps = 1e-3 * np.maximum(np.abs(at), 0.05)
    n = len(at)
    hessian = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            a, b = np.eye(n)[i] * steps, np.eye(n)[j] * steps
            second = loss(at + a + b) - loss(at + a - b) - loss(at - a + b) + loss(at - a - b)
            hessian[i, j] = second / (4.0 * steps[i] * steps[j])
    expected = np.sqrt(np.diag(np.linalg.inv(hessian)))
    inference = model.inference(X)
    found = [inference.standard_error[inference.names.index(f"{key}[0, 0]")] for key in keys]
    assert_allclose(found, expected, rtol=1e-3)


@NAMES
def test_fixed_entries(name):
    X = draw(name, np.arange(400) % 2)
    for key, value in TRUE[name].items():
        given = np.asarray(value).copy()
        given[0, 0] = np.nan
        model = FiniteMixtureEM(
            2, family=ALL[name], fixed={key: given}, random_state=0, tol=1e-9, max_iter=3000
        ).fit(X)
        free = np.isnan(given)
        assert_allclose(model.component_params_[key][~free], given[~free], rtol=1e-12)
        history = model.history_["objective"]
        assert (np.diff(history) >= -1e-11 * np.abs(history[1:])).all()


@NAMES
def test_steps_with_any_entries_held_never_lower_the_expected_objective(name):
    family, rng = ALL[name], np.random.default_rng(0)
    X = draw(name, np.arange(30) % 2)
    spec = family.column_spec(X)
    rows = family.encode(X, spec)
    for _ in range(150):
        share = rng.dirichlet(np.full(2, 0.2), len(X)).T
        public = {
            key: np.asarray(value) * rng.choice([0.1, 0.5, 1.0, 2.0], (2, 2))
            for key, value in TRUE[name].items()
        }
        params = family.from_public(public, spec)
        statistics = family.sufficient_statistics(rows, share, family.precompute(params, spec))
        fixed = {
            key: np.where(rng.random((2, 2)) < 0.4, value, np.nan) for key, value in public.items()
        }
        new = family.constrained_m_step(statistics, params, fixed, spec)
        sums = statistics + family.alpha * family.prior_features(spec)
        before, after = (
            (family.coefficients(own.values, spec) * sums).sum() for own in (params, new)
        )
        assert after >= before - 1e-10 * abs(before)


# ---- input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "value", "message"),
    [
        ("gamma", 0.0, "X has 0 in row 2, column 1, but needs positive numbers"),
        ("gamma", -1.0, "Negative values in data: X has -1 in row 2, column 1, but needs positive"),
        ("gamma", 1e200, "X has 1e[+]200 in row 2, column 1, but needs numbers from 1e-150"),
        ("von_mises", 1e9, "X has 1e[+]09 in row 2, column 1, but needs angles in radians"),
        ("negative_binomial", 1.5, "X has 1.5 in row 2, column 1, but needs counts"),
        ("zero_inflated", -2.0, "X has -2 in row 2, column 1, but needs counts"),
    ],
)
def test_bad_entries(family, value, message):
    X = np.ones((4, 2))
    X[2, 1] = value
    with pytest.raises(DomainError, match=message):
        FiniteMixtureEM(2, family=family).fit(X)


@NAMES
def test_bad_parameters(name):
    family, public = ALL[name], TRUE[name]
    spec = family.spec_of(public)
    for key in public:
        if key == "direction":
            continue
        wrong = np.array(public[key])
        wrong[1, 0] = -1.0
        with pytest.raises(ValueError, match=f"{key} of component 1, column 0 is -1"):
            family.from_public({**public, key: wrong}, spec)
        with pytest.raises(ValueError, match=f"{key} must have shape"):
            family.from_public({**public, key: wrong[:, :1]}, spec)


def test_names():
    for name in ("gamma", "von_mises", "negative_binomial", "zero_inflated"):
        assert find_family(name) == ALL[name]
    with pytest.raises(TypeError, match=r"must be Poisson\(\) or NegativeBinomial\(\)"):
        ZeroInflated(Gamma())
    assert ZeroInflated(Poisson(alpha=0.5)).alpha == 0.5


@NAMES
def test_contract(name):
    X = draw(name, np.arange(200) % 2)
    X[::7, 0] = X[3] = np.nan
    weight = np.random.default_rng(0).integers(1, 4, len(X)).astype(float)
    check_family(ALL[name], X, sample_weight=weight)


def test_forecast_has_no_means_of_angles():
    labels = np.repeat([0, 1, 0, 1], 50)
    X = np.hstack([draw("gamma", labels)[:, :1], draw("von_mises", labels)[:, :1]])
    model = HiddenMarkovEM(2, family=[("gamma", [0]), ("von_mises", [1])], random_state=0).fit(X)
    mean = model.forecast(3, X)
    assert np.isfinite(mean[:, 0]).all()
    assert np.isnan(mean[:, 1]).all()
