"""The general location model, compiled and in numpy, against sums over all combinations."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from scipy.stats import chi2, multivariate_normal

from emlearn.kernels import general_location
from emlearn.kernels.general_location import LocationRows, LocationSums, LocationTables

MOST = 4096.0
#: Rows, numbers, levels of the categories, classes, whether the covariance is common, holes.
SHAPES = [
    (40, 3, [2, 3, 4], 2, False, 0.4),
    (40, 3, [2, 3, 4], 3, True, 0.4),
    (40, 2, [3, 2], 1, True, 0.3),
    (30, 4, [2, 2, 3, 2], 2, False, 0.6),
    (30, 1, [5], 2, True, 0.5),
    (30, 3, [1, 4], 2, True, 0.4),
    (30, 0, [2, 3], 2, True, 0.3),
    (30, 3, [], 2, False, 0.3),
    (30, 2, [3, 9], 3, True, 0.0),
    (12, 2, [3, 2], 2, False, 1.0),
]


@pytest.fixture(params=["base", "v3", "v4", "numpy"])
def chosen(request, modules, monkeypatch):
    """The functions with one module of kernels after another, and without any."""
    found = {module.__name__.rpartition("_")[2]: module for module in modules}
    found["numpy"] = None
    if request.param not in found:
        pytest.skip("this processor has not the instructions")
    monkeypatch.setattr(general_location, "compiled", found[request.param])
    return general_location


def by_pattern(numbers, missing, codes, weight):
    order = np.lexsort(np.concatenate((codes < 0, missing), axis=1).T)
    parts = numbers, missing, codes, weight
    *rows, weight = (np.ascontiguousarray(part[order]) for part in parts)
    return LocationRows(*rows), weight


def tables_of(rng, q, sizes, K, tied):
    C = rng.normal(size=(1 if tied else K, q, q))
    levels = [np.log(rng.dirichlet(np.ones(size), size=K)) for size in sizes]
    return LocationTables(
        np.cumsum([0, *sizes]).astype(np.int64),
        np.log(rng.dirichlet(np.ones(K))),
        np.concatenate(levels, axis=1) if sizes else np.zeros((K, 0)),
        rng.normal(size=(K, q)),
        rng.normal(size=(sum(sizes), q)),
        C @ C.transpose(0, 2, 1) + 0.5 * np.eye(q),
        MOST,
    )


def problem(n, q, sizes, K, tied, holes, seed=0):
    """Rows of many patterns; the first lacks all entries, others all of one kind."""
    rng = np.random.default_rng(seed)
    missing = rng.random((n, q)) < holes
    codes = rng.integers(0, np.array(sizes, int), size=(n, len(sizes))).astype(np.int32)
    codes[rng.random(codes.shape) < holes] = -1
    if holes:
        missing[0], codes[0] = True, -1
        missing[1], codes[2] = True, -1
    numbers = np.where(missing, 0.0, rng.normal(size=(n, q)))
    rows, weight = by_pattern(numbers, missing, codes, rng.random(n) + 0.5)
    return rows, tables_of(rng, q, sizes, K, tied), weight


def combinations_of(row, tables):
    """For each class and combination: log-joint, class, levels, mean and covariance of numbers."""
    x, missing, codes = row
    m, o = np.flatnonzero(missing), np.flatnonzero(~missing)
    starts, q = tables.offsets[:-1], len(x)
    choices = [
        range(size) if code < 0 else [code]
        for size, code in zip(np.diff(tables.offsets), codes, strict=True)
    ]
    for k, picked in itertools.product(range(len(tables.means)), itertools.product(*choices)):
        levels = starts + np.array(picked, int)
        Sigma = tables.covariances[0 if len(tables.covariances) == 1 else k]
        mean = tables.means[k] + tables.effects[levels].sum(axis=0)
        value = tables.log_weights[k] + tables.log_probabilities[k][levels].sum()
        z, C = x.copy(), np.zeros((q, q))
        gain = np.zeros((m.size, o.size))
        if o.size:
            value += multivariate_normal.logpdf(x[o], mean[o], Sigma[np.ix_(o, o)])
            gain = np.linalg.solve(Sigma[np.ix_(o, o)], Sigma[np.ix_(o, m)]).T
        z[m] = mean[m] + gain @ (x[o] - mean[o])
        C[np.ix_(m, m)] = Sigma[np.ix_(m, m)] - gain @ Sigma[np.ix_(o, m)]
        yield value, k, levels, z, C


def exact(rows, tables, weight):
    """Sums, log-densities and conditional distributions."""
    (K, q), T, n = tables.means.shape, len(tables.effects), len(weight)
    sums = LocationSums(
        np.zeros(K), np.zeros((K, q)), np.zeros((K, q, q)), np.zeros((K, T, T)), np.zeros((K, T, q))
    )
    density, shares, levels = np.zeros(n), np.zeros((n, K)), np.zeros((n, T))
    mean, square = np.zeros((n, q)), np.zeros((n, q))
    for i, row in enumerate(zip(*rows, strict=True)):
        found = list(combinations_of(row, tables))
        values = np.array([value for value, *_ in found])
        density[i] = logsumexp(values)
        for share, (_, k, own, z, C) in zip(np.exp(values - density[i]), found, strict=True):
            indicator = np.bincount(own, minlength=T)
            shares[i, k] += share
            levels[i] += share * indicator
            mean[i] += share * z
            square[i] += share * (z**2 + np.diag(C))
            w = share * weight[i]
            sums.weight[k] += w
            sums.first[k] += w * z
            sums.second[k] += w * (np.outer(z, z) + C)
            sums.pairs[k] += w * np.outer(indicator, indicator)
            sums.cross[k] += w * np.outer(indicator, z)
    return sums, density, shares, levels, mean, square - mean**2


def triangles(sums):
    return sums._replace(second=np.tril(sums.second), pairs=np.triu(sums.pairs))


def assert_same_sums(got, expected, tolerance=1e-11):
    for name, one, other in zip(got._fields, got, expected, strict=True):
        assert_allclose(one, other, rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("shape", SHAPES)
def test_all_results_are_exact(chosen, shape):
    rows, tables, weight = problem(*shape)
    expected, density, *conditionals = exact(rows, tables, weight)
    sums, value = chosen.expect(rows, tables, weight)
    assert_same_sums(triangles(sums), triangles(expected))
    assert_array_equal(sums.second, np.tril(sums.second))
    assert_array_equal(sums.pairs, np.triu(sums.pairs))
    assert_allclose(value, weight @ density, rtol=1e-12, atol=1e-12)
    found = chosen.condition(rows, tables)
    assert_allclose(found.density, density, rtol=1e-12, atol=1e-12)
    for one, other in zip(found[1:], conditionals, strict=True):
        assert_allclose(one, other, rtol=1e-10, atol=1e-11)
    assert_array_equal(found.mean[~rows.missing], rows.numbers[~rows.missing])
    assert_array_equal(found.variance[~rows.missing], 0.0)


def test_blocks_add_up_and_the_order_does_not_matter(chosen):
    rows, tables, weight = problem(*SHAPES[0])
    whole, value = chosen.expect(rows, tables, weight)
    halves = [chosen.expect(rows.take(p), tables, weight[p]) for p in (slice(17), slice(17, 40))]
    assert_same_sums(LocationSums(*map(np.add, halves[0][0], halves[1][0])), whole, 1e-12)
    assert_allclose(halves[0][1] + halves[1][1], value, rtol=1e-13)
    order = np.random.default_rng(1).permutation(40)
    mixed, other = chosen.expect(rows.take(order), tables, weight[order])
    assert_same_sums(mixed, whole, 1e-12)
    assert_allclose(other, value, rtol=1e-13)


def test_a_weight_is_a_number_of_copies(chosen):
    rows, tables, _ = problem(*SHAPES[1])
    copies = np.arange(40) % 4
    weighted, value = chosen.expect(rows, tables, copies.astype(float))
    index = np.repeat(np.arange(40), copies)
    copied, other = chosen.expect(rows.take(index), tables, np.ones(index.size))
    assert_same_sums(weighted, copied, 1e-12)
    assert_allclose(value, other, rtol=1e-13)


def test_no_rows(chosen):
    rows, tables, weight = problem(*SHAPES[0])
    none = slice(0)
    sums, value = chosen.expect(rows.take(none), tables, weight[none])
    assert value == 0.0
    assert not any(part.any() for part in sums)
    assert [part.shape[0] for part in chosen.condition(rows.take(none), tables)] == [0] * 5
    numbers, codes = chosen.draw(rows.take(none), tables, np.random.default_rng(0))
    assert numbers.shape == (0, 3)
    assert codes.shape == (0, 3)


def test_levels_and_classes_that_cannot_be(chosen):
    """Probabilities of 0 have logarithms that are infinite, and nothing becomes NaN."""
    rows, tables, weight = problem(*SHAPES[0])
    impossible = tables.log_probabilities.copy()
    # The last level of the last category: rows that have it are possible in class 1 only.
    impossible[0, -1] = -np.inf
    impossible[0, tables.offsets[1]] = impossible[1, tables.offsets[1]] = -np.inf
    there = rows.codes[:, 1] != 0
    rows, weight = rows.take(there), weight[there]
    for most in (MOST, 1.0):
        own = tables._replace(log_probabilities=impossible, most=most)
        found = chosen.condition(rows, own)
        sums, value = chosen.expect(rows, own, weight)
        assert all(np.isfinite(part).all() for part in (*found, *sums, value))
        assert_array_equal(found.levels[:, tables.offsets[1]], 0.0)
        assert_array_equal(found.shares[rows.codes[:, 2] == 3, 0], 0.0)
        if most == MOST:
            expected, density, *_ = exact(rows, own, weight)
            assert_same_sums(triangles(sums), triangles(expected))
            assert_allclose(found.density, density, rtol=1e-12)
        _, codes = chosen.draw(rows, own, np.random.default_rng(0))
        assert (codes[rows.codes[:, 1] < 0, 1] != 0).all()


def test_numbers_far_out_do_not_become_nan(chosen):
    """One combination has all the probability where the others underflow."""
    rows, tables, weight = problem(*SHAPES[0])
    rows = rows._replace(numbers=np.where(rows.missing, 0.0, 1e4 * rows.numbers))
    _, density, shares, levels, *_ = exact(rows, tables, weight)
    found = chosen.condition(rows, tables)
    assert_allclose(found.density, density, rtol=1e-11, atol=1e-12)
    assert_allclose(found.shares, shares, rtol=1e-6, atol=1e-9)
    assert_allclose(found.levels, levels, rtol=1e-6, atol=1e-9)
    sums, _ = chosen.expect(rows, tables, weight)
    assert all(np.isfinite(part).all() for part in (*found, *sums))


# ---- more combinations than are enumerated --------------------------------------------------


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if len(shape[2]) > 1])
def test_mean_field_is_a_bound(chosen, shape):
    rows, tables, weight = problem(*shape)
    _, density, *_ = exact(rows, tables, weight)
    approximate = tables._replace(most=1.0)
    found = chosen.condition(rows, approximate)
    assert (found.density <= density + 1e-11).all()
    _, value = chosen.expect(rows, approximate, weight)
    assert_allclose(value, weight @ found.density, rtol=1e-12, atol=1e-12)
    several = ((rows.codes < 0) & (np.diff(tables.offsets) > 1)).sum(axis=1) > 1
    coupled = several & ~rows.missing.all(axis=1)
    # One missing category has nothing to be coupled with, and without numbers nothing is.
    assert_allclose(found.density[~coupled], density[~coupled], rtol=1e-12, atol=1e-12)
    if coupled.any():
        assert (found.density[coupled] < density[coupled] - 1e-6).any()
    for own in np.split(found.levels, tables.offsets[1:-1], axis=1):
        assert_allclose(own.sum(axis=1), 1.0, rtol=1e-12)


def test_mean_field_is_exact_where_effects_are_orthogonal(chosen):
    """Categories that move different, uncorrelated numbers are independent given these."""
    rng = np.random.default_rng(5)
    numbers, missing = rng.normal(size=(20, 2)), np.zeros((20, 2), bool)
    rows = LocationRows(numbers, missing, np.full((20, 2), -1, np.int32))
    tables = tables_of(rng, 2, [3, 4], 2, True)
    effects = tables.effects.copy()
    effects[:3, 1] = effects[3:, 0] = 0.0
    tables = tables._replace(effects=effects, covariances=np.diag([0.5, 2.0])[None])
    expected = exact(rows, tables, np.ones(20))
    sums, value = chosen.expect(rows, tables._replace(most=1.0), np.ones(20))
    assert_allclose(value, expected[1].sum(), rtol=1e-12)
    assert_same_sums(triangles(sums), triangles(expected[0]))


def test_mean_field_is_the_best_independent_distribution(chosen):
    """No other probabilities of the levels have a higher bound."""
    rng = np.random.default_rng(6)
    rows = LocationRows(rng.normal(size=(1, 2)), np.zeros((1, 2), bool), np.full((1, 2), -1, "i4"))
    tables = tables_of(rng, 2, [2, 3], 1, True)._replace(most=1.0)
    found = chosen.condition(rows, tables)
    joint = np.array([v for v, *_ in combinations_of([part[0] for part in rows], tables)])
    joint = joint.reshape(2, 3)

    def bound(first, second):
        both = np.outer(first, second)
        return (both * (joint - np.log(both))).sum()

    first, second = found.levels[0, :2], found.levels[0, 2:]
    assert_allclose(found.density[0], bound(first, second), rtol=1e-12)
    for scale in (1e-3, 0.1, 1.0):
        for _ in range(50):
            moved = [p * np.exp(scale * rng.normal(size=p.size)) for p in (first, second)]
            assert bound(*[p / p.sum() for p in moved]) <= found.density[0] + 1e-12


def test_the_limit_is_the_number_of_combinations(chosen):
    rows, tables, weight = problem(*SHAPES[0])
    rows = rows.take((rows.codes < 0).sum(axis=1) > 1)
    size = np.where(rows.codes < 0, np.diff(tables.offsets), 1).prod(axis=1)
    _, density, *_ = exact(rows, tables, weight[: len(size)])
    for most in np.unique(size):
        found = chosen.condition(rows, tables._replace(most=float(most)))
        assert_allclose(found.density[size <= most], density[size <= most], rtol=1e-12, atol=1e-12)
    coupled = (size == size.max()) & ~rows.missing.all(axis=1)
    below = chosen.condition(rows, tables._replace(most=float(size.max() - 1)))
    assert (below.density[coupled] < density[coupled] - 1e-9).all()


# ---- draws ----------------------------------------------------------------------------------


def assert_drawn_from(numbers, codes, row, tables):
    """Frequencies of combinations by chi-squared, and moments of numbers within each."""
    found = list(combinations_of(row, tables))
    share = np.exp([value for value, *_ in found])
    share /= share.sum()
    starts, n = tables.offsets[:-1], len(numbers)
    size = np.diff(tables.offsets)
    place = np.ravel_multi_index(codes.T, size) if len(size) else np.zeros(n, int)
    own = np.array([np.ravel_multi_index(levels - starts, size) if len(size) else 0
                    for _, _, levels, *_ in found], int)  # fmt: skip
    cells = np.unique(own)
    expected = np.array([share[own == cell].sum() for cell in cells])
    counts = np.array([(place == cell).sum() for cell in cells])
    assert counts.sum() == n
    statistic = ((counts - n * expected) ** 2 / (n * expected)).sum()
    assert statistic < chi2.ppf(1 - 1e-6, max(1, len(cells) - 1))
    m = np.flatnonzero(row[1])
    for cell, total, count in zip(cells, expected, counts, strict=True):
        if count < 200 or not m.size:
            continue
        mean = sum(share[i] * found[i][3] for i in np.flatnonzero(own == cell)) / total
        second = sum(
            share[i] * (np.outer(found[i][3], found[i][3]) + found[i][4])
            for i in np.flatnonzero(own == cell)
        )
        C = (second / total - np.outer(mean, mean))[np.ix_(m, m)]
        x = numbers[place == cell][:, m]
        error = np.sqrt(np.diag(C) / count)
        assert (np.abs(x.mean(axis=0) - mean[m]) < 5.5 * error).all()
        # A mixture of normals has at most a kurtosis of a few; 8 standard errors of a normal.
        spread = np.sqrt(np.outer(np.diag(C), np.diag(C)) * 2 / count)
        assert (np.abs(np.cov(x.T).reshape(C.shape) - C) < 8 * spread).all()


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("holes", ["some", "all", "numbers", "categories"])
def test_draws_have_the_conditional_distribution(chosen, tied, holes):
    rng = np.random.default_rng(3)
    tables = tables_of(rng, 3, [2, 3, 2], 2, tied)
    missing = {"some": [0, 1, 0], "all": [1, 1, 1], "numbers": [1, 0, 1], "categories": [0, 0, 0]}
    codes = {"some": [-1, -1, 1], "all": [-1, -1, -1], "numbers": [1, 2, 0], "categories": [-1] * 3}
    missing = np.array(missing[holes], bool)
    x = np.where(missing, 0.0, [0.5, -0.2, -0.3])
    row = x, missing, np.array(codes[holes], np.int32)
    n = 2000 if chosen.compiled is None else 40000
    rows = LocationRows(*(np.tile(part, (n, 1)) for part in row))
    numbers, drawn = chosen.draw(rows, tables, np.random.default_rng(1))
    assert_array_equal(numbers[:, ~missing], rows.numbers[:, ~missing])
    seen = row[2] >= 0
    assert_array_equal(drawn[:, seen], rows.codes[:, seen])
    assert_drawn_from(numbers, drawn, row, tables)


def test_draws_beyond_the_limit_have_it_too(chosen):
    """Gibbs sampling starts from the mean field, which by itself would be refused here."""
    rng = np.random.default_rng(4)
    tables = tables_of(rng, 2, [2, 3, 2], 1, True)
    row = np.array([0.4, 0.0]), np.array([False, True]), np.full(3, -1, np.int32)
    n = 1000 if chosen.compiled is None else 40000
    rows = LocationRows(*(np.tile(part, (n, 1)) for part in row))
    numbers, codes = chosen.draw(rows, tables._replace(most=1.0), np.random.default_rng(1))
    assert_drawn_from(numbers, codes, row, tables)


def test_draws_repeat_and_differ_by_row(chosen):
    rows, tables, _ = problem(*SHAPES[0])
    one, two = (chosen.draw(rows, tables, np.random.default_rng(7)) for _ in range(2))
    other = chosen.draw(rows, tables, np.random.default_rng(8))
    assert_array_equal(one[0], two[0])
    assert_array_equal(one[1], two[1])
    assert (one[0] != other[0])[rows.missing].all()
    assert (one[1] >= 0).all()
    assert (one[1] < np.diff(tables.offsets)).all()


# ---- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["expect", "condition", "draw"])
def test_a_covariance_has_to_be_positive_definite(chosen, call):
    rows, tables, weight = problem(*SHAPES[0])
    for pivot in (-1.0, 0.0, np.nan):
        wrong = tables.covariances.copy()
        wrong[1, 0] = wrong[1, :, 0] = 0.0
        wrong[1, 0, 0] = pivot
        more = {"expect": (weight,), "condition": (), "draw": (np.random.default_rng(0),)}[call]
        with pytest.raises(ArithmeticError, match="not positive definite"):
            getattr(chosen, call)(rows, tables._replace(covariances=wrong), *more)


def test_codes_beyond_their_category_are_refused(kernels):
    rows, tables, weight = problem(*SHAPES[0])
    for code in (2, 2**31 - 1):
        codes = rows.codes.copy()
        codes[-1, 0] = code
        sums = [np.empty(2), np.empty((2, 3)), np.empty((2, 3, 3)), np.empty((2, 9, 9)),
                np.empty((2, 9, 3))]  # fmt: skip
        arguments = [rows.numbers, rows.missing, codes, *tables, weight, *sums]
        with pytest.raises(IndexError, match="a code is beyond its category"):
            kernels.general_location_expect(*arguments)


def test_tables_that_do_not_fit_are_refused(kernels):
    rows, tables, _ = problem(40, 3, [2, 3, 4], 3, False, 0.4)
    out = [np.empty(40), np.empty((40, 3)), np.empty((40, 9)), np.empty((40, 3)), np.empty((40, 3))]

    def refused(message, **changes):
        with pytest.raises(ValueError, match=message):
            kernels.general_location_condition(*rows, *tables._replace(**changes), *out)

    refused("one covariance, or one for each class", covariances=tables.covariances[:2].copy())
    refused("offsets do not fit", offsets=np.array([0, 2, 5, 8]))
    refused("offsets do not fit", offsets=np.array([1, 2, 5, 9]))
    refused("a category has no level", offsets=np.array([0, 5, 5, 9]))
    refused("a category has no level", offsets=np.array([0, 2**62, -(2**62), 9]))
    for most in (0.0, -1.0, np.nan, np.inf, 2.0**25):
        refused("most is out of range", most=most)
