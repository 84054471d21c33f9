"""The default prior: leave-one-out likelihood, exact relations, imputations, weights."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning

from emlearn.distributions.gaussian.incomplete import strength as strengths
from emlearn.distributions.gaussian.incomplete.conditioning import make_component
from emlearn.distributions.gaussian.incomplete.relations import (
    LinearRelations,
    find_relations,
    surely_independent,
)
from emlearn.distributions.gaussian.incomplete.strength import (
    candidate_strengths,
    common_rows,
    imputation_strength,
    leave_one_out,
)
from emlearn.distributions.gaussian.scaling import ColumnScaling, summarize_columns
from emlearn.impute import MissingDataImputerEM, multiple_imputation

nan = np.nan


def punch(X, rate, seed=1):
    hidden = np.random.default_rng(seed).random(X.shape) < rate
    hidden[:, 0] &= ~hidden.all(axis=1)
    return np.where(hidden, nan, X), hidden


def amounts(n, seed=0):
    """Five amounts and their total."""
    rng = np.random.default_rng(seed)
    parts = rng.normal(size=(n, 5)) * [0.5, 1.0, 2.0, 3.0, 4.0] + 10.0
    return np.column_stack((parts, parts.sum(axis=1)))


def silent(imputer, X, **data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return imputer.fit(X, **data)


# ---- leave-one-out likelihood -----------------------------------------------------------


def refitted(X, weight, strength, target):
    """Log-density of one copy of each row after a fit to the others, from the definition."""
    total = 0.0
    for i, w in enumerate(weight):
        rest = weight.copy()
        rest[i] -= min(w, 1.0)
        mean = rest @ X / rest.sum()
        scatter = ((X - mean).T * rest) @ (X - mean) + strength * target
        covariance = scatter / (rest.sum() + strength)
        total += w * multivariate_normal(mean, covariance).logpdf(X[i])
    return total + 0.5 * weight.sum() * X.shape[1] * np.log(2.0 * np.pi)


@pytest.mark.parametrize("weights", ["ones", "copies", "fractions"])
def test_leave_one_out_likelihood_by_refitting(weights):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(9, 3)) @ rng.normal(size=(3, 3))
    weight = {
        "ones": np.ones(9),
        "copies": rng.integers(1, 4, 9).astype(float),
        "fractions": rng.uniform(0.2, 2.5, 9),
    }[weights]
    target = np.array([[2.0, 0.3, 0.0], [0.3, 1.0, 0.1], [0.0, 0.1, 0.5]])
    n, mean = weight.sum(), weight @ X / weight.sum()
    scatter = ((X - mean).T * weight) @ (X - mean)
    nus = (0.1, 2.0, 30.0)
    candidates = [(nu, make_component(mean, (scatter + nu * target) / (n + nu))) for nu in nus]
    found = leave_one_out(
        X, weight, ColumnScaling(np.zeros(3), np.ones(3)), np.full((3, 3), n), candidates
    )
    assert_allclose(found, [refitted(X, weight, nu, target) for nu in nus], rtol=1e-10)


def test_leave_one_out_likelihood_counts_common_rows():
    """Rows with holes: by the formula, for each row and with the pairs it has."""
    rng = np.random.default_rng(0)
    X, _ = punch(rng.normal(size=(40, 4)), 0.3)
    seen = (~np.isnan(X)).astype(float)
    pairs = seen.T @ seen
    covariance = 0.7 * np.eye(4) + 0.3
    found = leave_one_out(
        X,
        None,
        ColumnScaling(np.zeros(4), np.ones(4)),
        pairs,
        [(2.0, make_component(np.full(4, 0.1), covariance))],
    )
    expected = 0.0
    for row in X:
        o = np.flatnonzero(~np.isnan(row))
        n = o.size**2 / (1.0 / pairs[np.ix_(o, o)]).sum()
        shift = n / (n - 1.0)
        gap = row[o] - 0.1
        total = n + 2.0
        left = (total * covariance[np.ix_(o, o)] - shift * np.outer(gap, gap)) / (total - 1.0)
        expected += multivariate_normal(np.zeros(o.size), left).logpdf(shift * gap)
    constant = 0.5 * seen.sum() * np.log(2.0 * np.pi)
    assert_allclose(found, expected + constant, rtol=1e-10)


def test_patterns_of_many_rows_by_their_moments(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.multivariate_normal([1.0, 0.0, -1.0], 0.5 * np.eye(3) + 0.5, size=3000)
    X[:1000, 1] = nan
    seen = (~np.isnan(X)).astype(float)
    candidates = [
        (nu, make_component(np.array([1.1, 0.0, -1.0]), (0.5 + nu / 50) * np.eye(3) + 0.4))
        for nu in (0.1, 4.0)
    ]
    arguments = (X, None, ColumnScaling(np.zeros(3), np.ones(3)), seen.T @ seen, candidates)
    exact = leave_one_out(*arguments)
    monkeypatch.setattr(strengths, "_MANY", 500.0)
    # The kurtosis of the sample is not quite that of normal rows.
    assert_allclose(leave_one_out(*arguments), exact, atol=0.3)
    # Copies of the rows are the same as weights.
    doubled = leave_one_out(X, np.full(3000, 2.0), *arguments[2:])
    assert_allclose(doubled, 2.0 * leave_one_out(*arguments), rtol=1e-12)


def test_strengths():
    assert_allclose(candidate_strengths(4), [0.1, 0.3, 0.9, 2.7, 5.0])
    assert_allclose(imputation_strength(5.0, 4, 10.0), 0.625)
    assert imputation_strength(5.0, 4, 3.0) == 5.0
    assert imputation_strength(5.0, 4, 1e4) == 0.1
    assert_allclose(common_rows(np.array([[9.0, 2, 6], [2, 9, 0], [6, 0, 9]])), 3.0)


def test_strength_falls_where_joint_relations_are_strong():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 5))
    X[:, 4] = X[:, :3].sum(axis=1) + 0.05 * rng.normal(size=200)
    strong, _ = punch(X, 0.1)
    weak, _ = punch(rng.normal(size=(40, 5)), 0.1)
    assert silent(MissingDataImputerEM(), strong).alpha_ == 0.1
    assert silent(MissingDataImputerEM(), weak).alpha_ == 6.0


# ---- exact relations --------------------------------------------------------------------


def test_projection_is_the_covariance_given_the_relations():
    rng = np.random.default_rng(0)
    A, root = rng.normal(size=(2, 5)), rng.normal(size=(5, 5))
    covariance, mean, c = root @ root.T, rng.normal(size=5), np.array([1.0, -2.0])
    relations = LinearRelations(A, c)
    joint = np.block([[covariance, covariance @ A.T], [A @ covariance, A @ covariance @ A.T]])
    gain = joint[:5, 5:] @ np.linalg.inv(joint[5:, 5:])
    assert_allclose(relations.project(covariance), covariance - gain @ joint[5:, :5], atol=1e-12)
    moved = relations.move(mean, covariance)
    assert_allclose(moved, mean + gain @ (c - A @ mean), atol=1e-12)
    assert_allclose(A @ moved, c, atol=1e-12)


@pytest.mark.parametrize("alpha", ["auto", 0.01, 1, 7.0, 50.0])
def test_determined_entries(alpha):
    X = amounts(100)
    holes, hidden = punch(X, 0.1)
    imputer = silent(MissingDataImputerEM(alpha=alpha), holes)
    gap = (imputer.transform(holes) - X) / X.std(axis=0)
    determined = hidden & (hidden.sum(axis=1) == 1)[:, None]
    assert determined.sum() > 20
    assert np.abs(gap[determined]).max() < 1e-6
    filled = imputer.transform(holes)
    assert_allclose(filled[:, :5].sum(axis=1), filled[:, 5], atol=1e-5)


def test_the_example_of_scikit_learn():
    imputer = silent(MissingDataImputerEM(), [[1, 2], [3, 6], [4, 8], [nan, 3], [7, nan]])
    out = imputer.transform([[nan, 2], [6, nan], [nan, 6]])
    assert_allclose(out, [[1, 2], [6, 12], [3, 6]], atol=1e-6)


def test_several_relations_in_other_units():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 7)) * 10.0 ** np.arange(-3, 4) + 100.0
    X[:, 2] = 3.0 * X[:, 0] - 2.0 * X[:, 1] + 5.0
    X[:, 6] = X[:, 4] / 4.0
    holes, hidden = punch(X, 0.1)
    imputer = silent(MissingDataImputerEM(), holes)
    out = imputer.transform(holes)
    scale = X.std(axis=0)
    for group in ([0, 1, 2], [4, 6]):
        alone = hidden[:, group] & (hidden[:, group].sum(axis=1) == 1)[:, None]
        assert alone.any()
        assert np.abs(((out - X) / scale)[:, group][alone]).max() < 2e-6


def test_components_of_a_mixture_obey_relations():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3)) + 4.0 * rng.integers(2, size=300)[:, None] * [1.0, -1.0, 0.5]
    X = np.column_stack((X, X.sum(axis=1)))
    holes, hidden = punch(X, 0.15)
    imputer = silent(MissingDataImputerEM(2, random_state=0), holes)
    determined = hidden & (hidden.sum(axis=1) == 1)[:, None]
    assert np.abs((imputer.transform(holes) - X)[determined]).max() < 5e-6


@pytest.mark.parametrize("kind", ["noise", "nearly", "discrete", "wide"])
def test_no_relation_where_there_is_none(kind):
    found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        if kind == "nearly":
            X = amounts(60, seed)
            X[:, 5] += 1e-5 * rng.normal(size=60)
        elif kind == "discrete":
            X = rng.integers(1, 6, size=(14, 4)).astype(float)
        else:
            X = rng.normal(size=(15, 20) if kind == "wide" else (12, 5))
        X, _ = punch(X, 0.3 if kind != "nearly" else 0.1)
        columns = summarize_columns(X)
        weak = MissingDataImputerEM(alpha=0.01, max_iter=40)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            weak.fit(X)
        covariance = weak.covariance_ / np.outer(columns.scaling.scale, columns.scaling.scale)
        found += find_relations(X, columns.scaling, covariance, 1.0) is not None
    assert found == 0


def test_repeated_values_need_one_more_row():
    X = np.array([[0.0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 2]] * 2)
    more = np.vstack((X, [[0.0, 3.0, 3.0]]))
    scaling = ColumnScaling(np.zeros(3), np.ones(3))
    assert find_relations(X, scaling, np.cov(X.T) + 1e-9 * np.eye(3), 1.0) is None
    found = find_relations(more, scaling, np.cov(more.T) + 1e-9 * np.eye(3), 1.0)
    assert_allclose(found.coefficients / found.coefficients[0, 2], [[-1.0, -1.0, 1.0]], atol=1e-9)
    assert_allclose(found.constants, 0.0, atol=1e-9)


def test_rows_without_holes_refute_relations():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 4))
    scaling = ColumnScaling(np.zeros(4), np.ones(4))
    assert surely_independent(X, scaling)
    assert not surely_independent(X[:4], scaling)
    X[5:, 0] = nan
    assert surely_independent(X, scaling)
    X[:, 3] = X[:, 1] + X[:, 2]
    assert not surely_independent(X, scaling)
    # What some rows obey, all must.
    X = np.vstack((amounts(40), rng.normal(size=(1, 6))))
    assert surely_independent(X, ColumnScaling(np.zeros(6), np.ones(6)))


def test_float32_and_offsets():
    X = amounts(100) + np.array([0.0, 0.0, 0.0, 0.0, 1e5, 1e5])
    holes, hidden = punch(X, 0.1)
    determined = hidden & (hidden.sum(axis=1) == 1)[:, None]
    gap = (silent(MissingDataImputerEM(), holes).transform(holes) - X) / X.std(axis=0)
    assert np.abs(gap[determined]).max() < 1e-6
    holes = amounts(100).astype(np.float32)
    holes[hidden] = nan
    gap = (silent(MissingDataImputerEM(), holes).transform(holes) - amounts(100)) / X.std(axis=0)
    assert np.abs(gap[determined]).max() < 1e-5


def test_maximum_likelihood_knows_no_pseudo_rows():
    X, _ = punch(amounts(60), 0.05)
    X[:, 5] += 0.01 * np.random.default_rng(0).normal(size=60)
    imputer = silent(MissingDataImputerEM(alpha=0), X)
    assert imputer.alpha_ == 0.0
    assert_allclose(imputer.lower_bound_ * 60, imputer.log_likelihood_, rtol=1e-12)


@pytest.mark.parametrize("options", [{}, {"n_init": 3}, {"alpha": 2.0}])
def test_rows_in_any_order_and_warm_starts(options):
    X, _ = punch(amounts(60), 0.1)
    options["tol"] = 1e-9
    base = silent(MissingDataImputerEM(random_state=0, **options), X)
    order = np.random.default_rng(0).permutation(60)
    other = silent(MissingDataImputerEM(random_state=0, **options), X[order])
    assert other.alpha_ == base.alpha_
    scale = np.nanstd(X, axis=0)
    assert_allclose(other.transform(X) / scale, base.transform(X) / scale, atol=1e-3)
    assert len(base.restarts_) == options.get("n_init", 1)
    out = base.transform(X)
    again = base.set_params(warm_start=True).fit(X)
    assert_allclose(again.transform(X) / scale, out / scale, atol=1e-3)


# ---- imputations ------------------------------------------------------------------------


def test_imputations_share_a_weaker_prior(monkeypatch):
    rng = np.random.default_rng(0)
    X, _ = punch(rng.normal(size=(60, 4)) + rng.normal(size=(60, 1)), 0.2)
    full = silent(MissingDataImputerEM(random_state=0), X)
    seen = (~np.isnan(X)).astype(float)
    pairs = common_rows(seen.T @ seen)
    weaker = max(0.1, full.alpha_ * min(1.0, 5.0 / pairs) ** 3)
    assert weaker < full.alpha_
    used = []
    fit = MissingDataImputerEM._fit_table

    def spy(self, table, weight, pseudo_rows=None):
        notices = fit(self, table, weight, pseudo_rows)
        used.append((self.alpha_, None if pseudo_rows is None else pseudo_rows.target))
        return notices

    monkeypatch.setattr(MissingDataImputerEM, "_fit_table", spy)
    list(multiple_imputation(MissingDataImputerEM(), X, n_imputations=3, random_state=0))
    assert_allclose([alpha for alpha, _ in used], [full.alpha_, weaker, weaker, weaker])
    assert_allclose(np.diagonal(used[1][1]), full._pseudo_rows.target.diagonal())
    assert_array_equal(used[1][1], used[3][1])
    used.clear()
    list(multiple_imputation(MissingDataImputerEM(alpha=2), X, n_imputations=2, random_state=0))
    assert [alpha for alpha, _ in used] == [2.0, 2.0, 2.0]


def test_imputations_keep_relations():
    X = amounts(60)
    holes, hidden = punch(X, 0.15)
    for table in multiple_imputation(
        MissingDataImputerEM(), holes, n_imputations=3, random_state=0
    ):
        assert_allclose(table[:, :5].sum(axis=1), table[:, 5], atol=1e-2)
        determined = hidden & (hidden.sum(axis=1) == 1)[:, None]
        assert_allclose(table[determined], X[determined], atol=1e-2)


@pytest.mark.parametrize("options", [{}, {"n_components": 2, "max_iter": 50}, {"n_factors": 1}])
def test_draws_and_deviations_without_a_prior_never_abort(options):
    """Small tables, where many resamples have no maximum of the likelihood."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        X, hidden = punch(rng.normal(size=(40, 6)) @ rng.normal(size=(6, 6)), 0.3, seed)
        X = X[~hidden.all(axis=1)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            imputer = MissingDataImputerEM(alpha=0 if not options else 1e-6, **options).fit(X)
            tables = list(multiple_imputation(imputer, X, n_imputations=5, random_state=0))
        assert np.isfinite(tables).all()
        assert np.isfinite(imputer.conditional_std(X)).all()
        assert np.isfinite(imputer.set_params(sample_posterior=True).transform(X)).all()


def test_bad_resamples_are_counted_and_warned_of_once():
    rng = np.random.default_rng(0)
    X, _ = punch(rng.normal(size=(12, 5)), 0.25)
    X = X[~np.isnan(X).all(axis=1)]
    with pytest.warns(ConvergenceWarning) as caught:
        tables = list(
            multiple_imputation(
                MissingDataImputerEM(alpha=0, max_iter=100), X, n_imputations=10, random_state=0
            )
        )
    assert np.isfinite(tables).all()
    messages = [str(w.message) for w in caught if "no maximum of the likelihood" in str(w.message)]
    assert len(messages) == 1
    assert 1 <= int(messages[0].split()[1]) <= 10
    assert "of 10 imputations" in messages[0]


def test_a_resample_without_any_fit_is_fitted_with_next_to_no_prior():
    """Rows such that resamples have fewer distinct complete ones than columns."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6, 4))
    X[0, 0] = nan
    with pytest.warns(ConvergenceWarning, match="of 20 imputations: the resample has no maximum"):
        tables = list(
            multiple_imputation(MissingDataImputerEM(alpha=0), X, n_imputations=20, random_state=0)
        )
    assert np.isfinite(tables).all()


# ---- weights ----------------------------------------------------------------------------


def test_weights_that_the_prior_outweighs():
    rng = np.random.default_rng(0)
    X, _ = punch(rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], size=200), 0.2)
    X = X[~np.isnan(X).all(axis=1)]
    weight = np.full(len(X), 1.0 / len(X))
    for options in ({"alpha": 1}, {}, {"n_components": 2, "random_state": 0}, {"n_factors": 1}):
        with pytest.warns(UserWarning, match="Weights are numbers of copies") as caught:
            MissingDataImputerEM(**options, max_iter=5000).fit(X, sample_weight=weight)
        assert any("sum to 1, and the prior" in str(w.message) for w in caught)
    ones = silent(MissingDataImputerEM(alpha=0, tol=1e-12), X)
    shares = silent(MissingDataImputerEM(alpha=0, tol=1e-12), X, sample_weight=weight)
    assert_allclose(shares.covariance_, ones.covariance_, rtol=1e-6)
    silent(MissingDataImputerEM(), X, sample_weight=np.full(len(X), 0.6))
    silent(MissingDataImputerEM(), X, sample_weight=np.full(len(X), 3.0))
    silent(MissingDataImputerEM(), X[:6])
