"""What every family owes to the models that use it."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import issparse

from emlearn.distributions import FAMILIES, Family, find_family
from emlearn.engine import add_statistics

K = 3


def responsibilities(n, seed=1):
    return np.random.default_rng(seed).dirichlet(np.ones(K), n).T


def fitted(case, seed=0):
    """Frame, encoded rows, parameters and these precomputed."""
    family, X = case
    column_spec = family.column_spec(X)
    rows = family.encode(X, column_spec)
    params = family.start(
        rows, responsibilities(X.shape[0]), column_spec, np.random.default_rng(seed)
    )
    return column_spec, rows, params, family.precompute(params, column_spec)


def density(family, rows, precomputed, n):
    out = np.zeros((K, n))
    family.log_density(rows, precomputed, out)
    return out


def leaves(tree):
    if isinstance(tree, tuple):
        return [leaf for part in tree for leaf in leaves(part)]
    return [tree]


def objective(case, params, column_spec, rows, share):
    family, X = case
    joint = density(family, rows, family.precompute(params, column_spec), X.shape[0])
    return float((share * joint).sum()) + family.log_prior(params, column_spec)


def test_log_density_is_added(case):
    family, X = case
    n = X.shape[0]
    _, rows, _, precomputed = fitted(case)
    plain = density(family, rows, precomputed, n)
    assert np.isfinite(plain).all()
    out = np.arange(K * n, dtype=float).reshape(K, n)
    family.log_density(rows, precomputed, out)
    assert_allclose(out, plain + np.arange(K * n).reshape(K, n), rtol=1e-12)


def test_rows_that_are_taken(case):
    family, X = case
    n = X.shape[0]
    column_spec, rows, _, precomputed = fitted(case)
    plain = density(family, rows, precomputed, n)
    for index in (slice(10, 25), np.array([3, 3, 40, 0])):
        part = family.take(rows, index)
        expected = plain[:, index]
        assert_allclose(density(family, part, precomputed, expected.shape[1]), expected, atol=1e-11)
        fresh = family.encode(X[index], column_spec)
        assert_allclose(
            density(family, fresh, precomputed, expected.shape[1]), expected, atol=1e-11
        )


def test_statistics_add_up(case):
    family, X = case
    n = X.shape[0]
    _, rows, _, precomputed = fitted(case)
    share = responsibilities(n, seed=2)
    whole = family.sufficient_statistics(rows, share, precomputed)
    parts = [
        family.sufficient_statistics(family.take(rows, part), share[:, part], precomputed)
        for part in (slice(0, 17), slice(17, n))
    ]
    for a, b in zip(leaves(add_statistics(*parts)), leaves(whole), strict=True):
        assert_allclose(a, b, atol=1e-10 * max(np.abs(b).max(), 1.0))


def test_estimate_does_not_lower_the_objective(case):
    """One M-step raises the expected log-density of complete rows, with the prior."""
    family, X = case
    column_spec, rows, params, _ = fitted(case)
    share = responsibilities(X.shape[0], seed=3)
    before = objective(case, params, column_spec, rows, share)
    for _ in range(30):
        precomputed = family.precompute(params, column_spec)
        params = family.m_step(
            family.sufficient_statistics(rows, share, precomputed), params, column_spec
        )
        after = objective(case, params, column_spec, rows, share)
        assert after >= before - 1e-9 * abs(before)
        before = after


def test_no_small_step_leads_higher(case):
    """Where estimates settle, they are at a maximum of the objective with the prior."""
    family, X = case
    column_spec, rows, params, _ = fitted(case)
    share = responsibilities(X.shape[0], seed=3)
    top, gain = objective(case, params, column_spec, rows, share), np.inf
    while gain > 1e-12 * abs(top):
        precomputed = family.precompute(params, column_spec)
        params = family.m_step(
            family.sufficient_statistics(rows, share, precomputed), params, column_spec
        )
        new = objective(case, params, column_spec, rows, share)
        gain, top = new - top, new
    vector = family.to_vector(params, column_spec)
    rng = np.random.default_rng(0)
    for scale in (1e-2, 1e-3):
        for _ in range(20):
            step = scale * rng.standard_normal(len(vector)) * np.maximum(np.abs(vector), 0.1)
            try:
                moved = family.from_vector(vector + step, params, column_spec)
                value = objective(case, moved, column_spec, rows, share)
            except ArithmeticError:
                continue
            assert value <= top + 1e-7


def test_vector_round_trip(case):
    family, _ = case
    column_spec, _, params, _ = fitted(case)
    vector = family.to_vector(params, column_spec)
    assert vector.ndim == 1
    assert np.isfinite(vector).all()
    back = family.from_vector(vector, params, column_spec)
    for a, b in zip(leaves(back), leaves(params), strict=True):
        assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_components_without_rows(case):
    """They keep their parameters or go to the prior, and nothing is NaN."""
    family, X = case
    column_spec, rows, params, _ = fitted(case)
    share = responsibilities(X.shape[0])
    share[1] = 0.0
    with np.errstate(all="raise", under="ignore"):
        for _ in range(3):
            precomputed = family.precompute(params, column_spec)
            params = family.m_step(
                family.sufficient_statistics(rows, share, precomputed), params, column_spec
            )
    assert all(np.isfinite(leaf).all() for leaf in leaves(params))
    assert np.isfinite(
        density(family, rows, family.precompute(params, column_spec), X.shape[0])
    ).all()


def test_published_parameters(case):
    family, _ = case
    column_spec, _, params, _ = fitted(case)
    published = family.to_public(params, column_spec)
    assert published
    assert all(value.shape[0] == K for value in published.values())
    assert family.n_parameters(params, column_spec) <= sum(v.size for v in published.values())


def test_samples_are_of_the_domain_and_the_mean(case):
    family = case.family
    column_spec, _, params, _ = fitted(case)
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(K), 4000)
    drawn = family.sample(params, column_spec, labels, rng)
    assert drawn.shape[0] == len(labels)
    family.encode(drawn, column_spec)
    again = family.start(
        family.encode(drawn, column_spec),
        np.eye(K)[labels].T,
        column_spec,
        np.random.default_rng(1),
    )
    found, expected = family.to_public(again, column_spec), family.to_public(params, column_spec)
    # The parts of a mixture within a component may be found in another order.
    for name in set(found) & {"rate", "probability", "mean"} if "weight" not in found else ():
        error = np.abs(found[name] - expected[name])
        allowed = 0.03 if name == "probability" else 6.0 * np.nanstd(drawn) / np.sqrt(4000)
        assert error.max() < allowed


def test_rows_of_which_all_is_missing_say_nothing(case):
    family, X = case
    if issparse(X) or not np.isnan(X).any():
        pytest.skip("complete rows")
    _, rows, _, precomputed = fitted(case)
    assert_allclose(density(family, rows, precomputed, X.shape[0])[:, 0], 0.0, atol=1e-12)


def test_families_survive_pickling(case):
    family = case.family
    assert pickle.loads(pickle.dumps(family)) == family
    column_spec, _, params, _ = fitted(case)
    again = pickle.loads(pickle.dumps((column_spec, params)))
    for a, b in zip(leaves(again[1]), leaves(params), strict=True):
        assert_array_equal(a, b)


def test_names():
    for name, family in FAMILIES.items():
        assert find_family(name) is family
        assert find_family(family) is family
        assert isinstance(family, Family)
        assert type(family).__name__.lower() == name.replace("_", "")


@pytest.mark.parametrize("wrong", ["weibull", 3, None, [], ["poisson"], [("poisson", 0, 1)]])
def test_what_is_no_family(wrong):
    with pytest.raises(ValueError, match="famil"):
        find_family(wrong)
