"""Densities, estimates and missing entries against scipy, scikit-learn and enumeration."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.special import logsumexp

from emlearn.distributions import (
    Bernoulli,
    Categorical,
    DomainError,
    Gaussian,
    Mixture,
    Multinomial,
    Poisson,
    Product,
    _categorical,
    find_family,
)
from emlearn.kernels import compiled

K = 3


def fit(family, X, seed=0):
    n = X.shape[0]
    share = np.random.default_rng(seed).dirichlet(np.ones(K), n).T
    column_spec = family.column_spec(X)
    rows = family.encode(X, column_spec)
    params = family.start(rows, share, column_spec, np.random.default_rng(seed))
    return column_spec, params, share


def density(family, X, column_spec, params):
    out = np.zeros((K, X.shape[0]))
    family.log_density(family.encode(X, column_spec), family.precompute(params, column_spec), out)
    return out


def matrix(covariance, d):
    covariance = np.asarray(covariance)
    if covariance.ndim == 0:
        return covariance * np.eye(d)
    return np.diag(covariance) if covariance.ndim == 1 else covariance


# ---- complete rows ---------------------------------------------------------------------


def test_poisson(make):
    X = make("poisson").X
    column_spec, params, share = fit(Poisson(alpha=0.5), X)
    rate = Poisson().to_public(params, column_spec)["rate"]
    expected = stats.poisson.logpmf(X, rate[:, None]).sum(axis=2)
    assert_allclose(density(Poisson(), X, column_spec, params), expected)
    by_hand = (share @ X + 0.5 * X.mean(axis=0)) / (share.sum(axis=1)[:, None] + 0.5)
    assert_allclose(rate, by_hand)


def test_bernoulli(make):
    X = make("bernoulli").X
    column_spec, params, share = fit(Bernoulli(alpha=0.5), X)
    probability = Bernoulli().to_public(params, column_spec)["probability"]
    expected = stats.bernoulli.logpmf(X, probability[:, None]).sum(axis=2)
    assert_allclose(density(Bernoulli(), X, column_spec, params), expected)
    assert_allclose(probability, (share @ X + 0.5) / (share.sum(axis=1)[:, None] + 1.0))


def test_categorical(make):
    X = make("categorical").X
    column_spec, params, share = fit(Categorical(alpha=0.5), X)
    probability = Categorical().to_public(params, column_spec)["probability"]
    assert probability.shape == (K, 4, 5)
    expected = np.zeros((K, len(X)))
    for j, n_levels in enumerate([2, 3, 4, 5]):
        hot = X[:, j, None] == np.arange(n_levels)
        counts = share @ hot + 0.5
        assert_allclose(probability[:, j, :n_levels], counts / counts.sum(axis=1, keepdims=True))
        assert (probability[:, j, n_levels:] == 0.0).all()
        expected += np.log(probability[:, j, :n_levels]) @ hot.T
    assert_allclose(density(Categorical(), X, column_spec, params), expected)


@pytest.mark.parametrize("layout", [np.asarray, csr_array])
def test_multinomial(make, layout):
    X = make("multinomial").X
    column_spec, params, share = fit(Multinomial(alpha=0.5), layout(X))
    probability = Multinomial().to_public(params, column_spec)["probability"]
    expected = np.stack([stats.multinomial.logpmf(X, X.sum(axis=1), p) for p in probability])
    assert_allclose(density(Multinomial(), layout(X), column_spec, params), expected)
    counts = share @ X + 0.5
    assert_allclose(probability, counts / counts.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_gaussian(make, kind):
    X = make(kind).X
    family = Gaussian(kind, reg_covar=0.0)
    column_spec, params, share = fit(family, X)
    published = family.to_public(params, column_spec)
    weight = share.sum(axis=1)
    assert_allclose(published["mean"], share @ X / weight[:, None])
    scatter = [(r * (X - m).T) @ (X - m) for r, m in zip(share, published["mean"], strict=True)]
    if kind == "tied":
        scatter = [sum(scatter) / weight.sum()] * K
    else:
        scatter = [s / w for s, w in zip(scatter, weight, strict=True)]
    for k in range(K):
        found = matrix(published["covariance"][k], 3)
        expected = scatter[k]
        if kind == "diag":
            expected = np.diag(np.diag(expected))
        elif kind == "spherical":
            expected = np.trace(expected) / 3 * np.eye(3)
        assert_allclose(found, expected, atol=1e-9)
        expected = stats.multivariate_normal.logpdf(X, published["mean"][k], found)
        assert_allclose(density(family, X, column_spec, params)[k], expected, rtol=1e-9)


def test_gaussian_prior_is_pseudo_rows(make):
    """alpha = 2 is two more rows for each component, with the variances of the columns."""
    X = make("full").X
    family = Gaussian(alpha=2.0, reg_covar=0.0)
    column_spec, params, share = fit(family, X)
    published = family.to_public(params, column_spec)
    for k, r in enumerate(share):
        rest = X - published["mean"][k]
        expected = ((r * rest.T) @ rest + 2.0 * np.diag(X.var(axis=0))) / (r.sum() + 2.0)
        assert_allclose(published["covariance"][k], expected)


def test_product_is_the_sum_of_its_parts(make):
    family, X = make("product-nan")
    column_spec, params, _ = fit(family, X)
    total = np.zeros((K, len(X)))
    for (part, columns), own, values in zip(family.parts, column_spec, params, strict=True):
        total += density(part, X[:, columns], own, values)
    assert_allclose(density(family, X, column_spec, params), total)
    assert list(family.to_public(params, column_spec)) == [
        "rate",
        "mean",
        "covariance",
        "probability",
    ]
    twice = Product(((Poisson(), (0,)), (Poisson(), (2,))))
    column_spec, params, _ = fit(twice, X)
    assert list(twice.to_public(params, column_spec)) == ["rate_0", "rate_1"]


def test_mixture_within_a_component(make):
    X = make("poisson").X
    family = Mixture(Poisson(), n_parts=2)
    column_spec, params, _ = fit(family, X)
    published = family.to_public(params, column_spec)
    assert published["weight"].shape == (K, 2)
    assert published["rate"].shape == (K, 2, 3)
    parts = stats.poisson.logpmf(X, published["rate"][:, :, None]).sum(axis=3)
    expected = logsumexp(parts + np.log(published["weight"])[:, :, None], axis=1)
    assert_allclose(density(family, X, column_spec, params), expected)


# ---- missing entries -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_missing_gaussian_entries_are_integrated_out(make, kind):
    family, X = Gaussian(kind, reg_covar=0.0), make(f"{kind}-nan").X
    column_spec, params, _ = fit(family, X)
    found = density(family, X, column_spec, params)
    published = family.to_public(params, column_spec)
    for k in range(K):
        covariance = matrix(published["covariance"][k], 3)
        for i, row in enumerate(X):
            o = np.flatnonzero(~np.isnan(row))
            if o.size:
                expected = stats.multivariate_normal.logpdf(
                    row[o], published["mean"][k][o], covariance[np.ix_(o, o)]
                )
                assert found[k, i] == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_incomplete_gaussian_limit_is_the_maximum(make, kind):
    """Found by a general optimizer, from scratch, on the observed-data likelihood."""
    X = make(f"{kind}-nan").X[:30, :2]
    X = (X - np.nanmean(X, axis=0)) / np.nanstd(X, axis=0)
    family = Gaussian(kind, reg_covar=0.0)
    column_spec = family.column_spec(X)
    rows = family.encode(X, column_spec)
    share = np.ones((1, len(X)))
    params = family.start(rows, share, column_spec, np.random.default_rng(0))
    for _ in range(500):
        statistics = family.sufficient_statistics(
            rows, share, family.precompute(params, column_spec)
        )
        params = family.m_step(statistics, params, column_spec)
    out = np.zeros((1, len(X)))
    family.log_density(rows, family.precompute(params, column_spec), out)

    def loss(theta):
        if kind in ("full", "tied"):
            root = np.array([[np.exp(theta[2]), 0.0], [theta[4], np.exp(theta[3])]])
            covariance = root @ root.T
        else:
            last = theta[2] if kind == "spherical" else theta[3]
            covariance = np.diag(np.exp([theta[2], last]))
        total = 0.0
        for row in X:
            o = np.flatnonzero(~np.isnan(row))
            if o.size:
                total -= stats.multivariate_normal.logpdf(
                    row[o], theta[:2][o], covariance[np.ix_(o, o)]
                )
        return total

    best = minimize(loss, np.array([0.1, -0.1, 0.0, 0.0, 0.1]), method="BFGS")
    assert out.sum() == pytest.approx(-best.fun, abs=1e-5)


def test_missing_items_are_summed_out(make):
    """Enumerating all the values that a missing entry may have."""
    for name, values in (("bernoulli-nan", range(2)), ("categorical-nan", range(5))):
        family, X = make(name)
        column_spec, params, _ = fit(family, X)
        found = density(family, X, column_spec, params)
        for i, row in enumerate(X[:20]):
            holes = np.flatnonzero(np.isnan(row))
            filled = []
            for fill in itertools.product(values, repeat=len(holes)):
                row = row.copy()
                row[holes] = fill
                n_levels = getattr(column_spec, "n_levels", np.full(len(row), 2))
                if (row < n_levels).all():
                    filled.append(row)
            each = density(family, np.array(filled), column_spec, params)
            assert_allclose(logsumexp(each, axis=1), found[:, i], atol=1e-10)


def test_missing_poisson_entries_are_left_out(make):
    family, X = make("poisson-nan")
    column_spec, params, _ = fit(family, X)
    rate = family.to_public(params, column_spec)["rate"]
    expected = np.nansum(stats.poisson.logpmf(X, rate[:, None]), axis=2)
    assert_allclose(density(family, X, column_spec, params), expected, atol=1e-12)


@pytest.mark.parametrize("layout", [np.asarray, csr_array])
def test_multinomial_given_the_words_that_are_counted(make, layout):
    X = make("multinomial-nan").X
    column_spec, params, _ = fit(Multinomial(), layout(X))
    found = density(Multinomial(), layout(X), column_spec, params)
    probability = Multinomial().to_public(params, column_spec)["probability"]
    for i, row in enumerate(X):
        o = ~np.isnan(row)
        for k in range(K):
            if o.any():
                share = probability[k, o] / probability[k, o].sum()
                expected = stats.multinomial.logpmf(row[o], row[o].sum(), share)
                assert found[k, i] == pytest.approx(expected, abs=1e-10)


# ---- what is not in the domain, or was not seen ----------------------------------------

BAD = [
    (Poisson(), 1.5, "row 1, column 2, but needs counts"),
    (Poisson(), -1.0, "Negative values in data: X has -1 in row 1, column 2"),
    (Poisson(), np.inf, "X has inf in row 1, column 2"),
    (Multinomial(), 0.5, "row 1, column 2, but needs counts"),
    (Multinomial(), -2.0, "Negative values"),
    (Bernoulli(), 2.0, "row 1, column 2, but needs 0 or 1"),
    (Categorical(), 0.5, "row 1, column 2, but needs codes"),
    (Categorical(), -1.0, "Negative values"),
]


@pytest.mark.parametrize(("family", "value", "message"), BAD)
@pytest.mark.parametrize("when", ["column_spec", "encode"])
def test_domain(family, value, message, when):
    X = np.ones((3, 4))
    column_spec = family.column_spec(X)
    X[1, 2] = value
    X[0, 1] = np.nan
    with pytest.raises(DomainError, match=message):
        family.column_spec(X) if when == "column_spec" else family.encode(X, column_spec)
    if family.accepts_sparse:
        with pytest.raises(DomainError, match=message):
            family.encode(csr_array(X), column_spec)
    product = Product(((Gaussian(), (0,)), (family, (3, 2))))
    good = np.ones((3, 4))
    with pytest.raises(DomainError, match="row 1, column 2"):
        product.encode(X, product.column_spec(good))


def test_unseen_codes():
    X = np.array([[0, 1], [1, 0], [1, 2.0]])
    column_spec, params, _ = fit(Categorical(), X)
    unseen, missing = np.array([[2.0, 1]]), np.array([[np.nan, 1]])
    assert_allclose(
        density(Categorical(), unseen, column_spec, params),
        density(Categorical(), missing, column_spec, params),
    )
    with pytest.raises(DomainError, match=r"X has 2 in row 0, column 0.*one of the known levels"):
        Categorical(unseen="error").encode(unseen, column_spec)
    wider = Categorical(n_levels=[3, 3], alpha=1.0)
    column_spec, params, share = fit(wider, X)
    probability = wider.to_public(params, column_spec)["probability"]
    assert_allclose(probability[:, 0, 2], 1.0 / (share.sum(axis=1) + 3.0))
    with pytest.raises(ValueError, match=r"Column 1 of X has the code 2.*n_levels: 0, 1\."):
        Categorical(n_levels=2).column_spec(X)
    # Levels are those seen, whatever their codes; one between them is none.
    spec = Categorical().column_spec(np.array([[0, 1e6], [1, 0], [3, 0]]))
    assert [own.tolist() for own in Categorical().levels(spec)] == [[0, 1, 3], [0, 1e6]]
    with pytest.raises(ValueError, match=r"row 0, column 0.*one of the known levels"):
        Categorical(unseen="error").encode(np.array([[2.0, 0.0]]), spec)
    with pytest.raises(ValueError, match="unseen must be"):
        Categorical(unseen="ignore")


def test_maximum_likelihood_has_no_infinities():
    """A level that a component never shows has log-density -708, not -inf."""
    X = np.array([[0.0], [1.0]])
    share = np.array([[1.0, 0.0], [0.0, 1.0]])
    for family in (Bernoulli(alpha=0.0), Categorical(alpha=0.0), Poisson(alpha=0.0)):
        column_spec = family.column_spec(X)
        rows = family.encode(X, column_spec)
        params = family.start(rows, share, column_spec, np.random.default_rng(0))
        out = np.zeros((2, 2))
        family.log_density(rows, family.precompute(params, column_spec), out)
        assert np.isfinite(out).all()
        assert out[0, 1] < -700.0
        assert np.isfinite(family.log_prior(params, column_spec))


def test_columns():
    names = ["visits", "age", "sex"]
    parts = ((Poisson(), "visits"), (Gaussian(), [1]))
    product = Product(parts, ["sex"]).at_columns(names, 3)
    assert product == Product(((Poisson(), (0,)), (Gaussian(), (1,))), (2,), 3)
    assert product.at_columns(None, 3) == product
    ends = Product(((Poisson(), slice(1, 3)), (Gaussian(), -4)), [3]).at_columns(None, 4)
    assert [columns for _, columns in ends.parts] == [(1, 2), (0,)]
    for columns, message in (("height", "no column named 'height'"), (3, "no column 3")):
        for either in (Product(((Poisson(), columns),)), Product(parts, columns)):
            with pytest.raises(ValueError, match=message):
                either.at_columns(names, 3)
    with pytest.raises(ValueError, match="no column named 'age'"):
        Product(((Poisson(), "age"),)).at_columns(None, 3)
    with pytest.raises(ValueError, match=r"Poisson\(.*\) needs at least one column"):
        Product(((Poisson(), []),)).at_columns(names, 3)
    for twice in (
        Product(((Poisson(), [0, 1]), (Gaussian(), "age")), "sex"),
        Product(((Poisson(), slice(0, 2)),), ["age", "sex"]),
        Product(((Poisson(), ["visits", "age", "age"]),), "sex"),
    ):
        with pytest.raises(ValueError, match="Column 'age' of X must be named once"):
            twice.at_columns(names, 3)
    with pytest.raises(ValueError, match="Column 1 of X must be named once"):
        Product(((Poisson(), slice(0, 2)),), [1]).at_columns(None, 2)


def test_columns_that_no_family_describes_are_named():
    for columns, names, message in (
        ([0], ["visits", "age", "sex"], r"Columns \['age', 'sex'\] of X must be named.*'ignore'"),
        ([2, 0], None, "Column 1 of X must be named"),
    ):
        with pytest.raises(ValueError, match=message):
            Product(((Poisson(), columns),)).at_columns(names, 3)
    parts = [("poisson", ["visits"]), ("ignore", ["age", "sex"])]
    family = find_family(parts).at_columns(["visits", "age", "sex"], 3)
    assert family.ignored == (1, 2)
    X = np.array([[1.0, -0.5, 1e300], [2.0, np.nan, np.inf]])
    spec = family.column_spec(X)
    params = Poisson().from_public({"rate": [[1.5]] * K}, spec[0])
    expected = np.tile(stats.poisson.logpmf(X[:, 0], 1.5), (K, 1))
    assert_allclose(density(family, X, spec, (params,)), expected)
    drawn = family.sample((params,), spec, np.zeros(4, int), np.random.default_rng(0))
    assert drawn.shape == (4, 3)
    assert np.isnan(drawn[:, 1:]).all()
    assert not np.isnan(drawn[:, 0]).any()
    assert find_family([*parts[1:], *parts[:1]]) == find_family(parts)
    for wrong in ([("ignore", [0])], [*parts, ("ignore", [0])]):
        with pytest.raises(ValueError, match=r"at most one pair \('ignore', columns\)"):
            find_family(wrong)
    with pytest.raises(ValueError, match="family must be one of"):
        find_family("ignore")


# ---- the compiled look-ups -------------------------------------------------------------


@pytest.mark.skipif(compiled is None, reason="no compiled kernels")
@pytest.mark.parametrize("n_components", [1, 2, 4, 5, 11, 16, 17, 40])
def test_compiled_look_ups_agree_with_numpy(monkeypatch, n_components):
    rng = np.random.default_rng(0)
    X = rng.integers(0, [2, 3, 5, 200, 4], size=(333, 5)).astype(float)
    X[rng.random(X.shape) < 0.1] = np.nan
    family = Categorical()
    column_spec = family.column_spec(X)
    rows = family.encode(X, column_spec)
    assert rows.shape[1] < X.shape[1]
    share = rng.dirichlet(np.ones(n_components), len(X)).T
    params = family.start(rows, share, column_spec, rng)
    precomputed = family.precompute(params, column_spec)

    def both():
        out = np.ones(share.shape)
        family.log_density(rows, precomputed, out)
        return out, family.sufficient_statistics(rows, share, precomputed)

    compiled = both()
    monkeypatch.setattr(_categorical, "compiled", None)
    for a, b in zip(compiled, both(), strict=True):
        assert_allclose(a, b, rtol=1e-12, atol=1e-12)
