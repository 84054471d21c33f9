"""The pseudo-rows of the imputer's prior: their units, shapes and relations, by formulas."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal

from emlearn.distributions.gaussian.incomplete.relations import LinearRelations
from emlearn.distributions.gaussian.incomplete.strength import candidate_strengths
from emlearn.distributions.gaussian.prior import CovariancePrior
from emlearn.distributions.gaussian.scaling import ColumnScaling
from emlearn.distributions.gaussian.single import OneGaussian
from emlearn.engine import RemainingGain, run_em
from emlearn.impute import MissingDataImputerEM
from emlearn.impute._prior import (
    PseudoRows,
    Shape,
    choose_prior,
    next_to_none,
    pseudo_rows_of_clusters,
)

nan = np.nan
HERE = ColumnScaling(np.zeros(3), np.array([2.0, 8.0, 0.5]))
THERE = ColumnScaling(np.ones(3), np.array([4.0, 1.0, 16.0]))
TARGET = np.array([[2.0, 0.5, 0.1], [0.5, 1.0, 0.2], [0.1, 0.2, 3.0]])
CONSTANT = np.diag([0.1, 0.2, 0.3])


@pytest.mark.parametrize("target", [TARGET, np.diagonal(TARGET)], ids=["matrix", "variances"])
@pytest.mark.parametrize("constant", [CONSTANT, None], ids=["constant", "none"])
def test_the_scatter_is_the_same_in_any_units(target, constant):
    prior = CovariancePrior(5.0, target, constant=constant)
    given = PseudoRows.of(prior, HERE, np.array([1, 4, 6]), 30.0)
    in_units = np.diag(HERE.scale) @ (TARGET if target is TARGET else np.diag(target))
    in_units = in_units @ np.diag(HERE.scale)
    found = given.prior(THERE)
    back = np.diag(THERE.scale)
    assert found.strength == 5.0
    assert_allclose(back @ found.target @ back, in_units)
    if constant is None:
        assert found.constant is None
    else:
        shrink = np.diag(HERE.scale)
        assert_allclose(back @ found.constant @ back, shrink @ constant @ shrink)


def test_pseudo_rows_of_some_of_the_columns():
    given = PseudoRows.of(
        CovariancePrior(5.0, TARGET, constant=CONSTANT), HERE, np.array([1, 4, 6]), 30.0
    )
    some = given.within(np.array([1, 6]))
    assert_array_equal(some.columns, [1, 6])
    assert_allclose(some.target, given.target[[0, 2]][:, [0, 2]])
    assert_allclose(some.constant, given.constant[[0, 2]][:, [0, 2]])
    assert (some.strength, some.pairs) == (5.0, 30.0)


def test_next_to_no_pseudo_rows_have_the_variances_of_columns_that_vary():
    rng = np.random.default_rng(0)
    table = np.column_stack((rng.normal(size=50) * 7.0, np.full(50, 3.0), rng.normal(size=50)))
    found = next_to_none(table)
    assert_array_equal(found.columns, [0, 2])
    assert_allclose(found.target, np.diag(table[:, [0, 2]].var(axis=0)))
    # Far below the rounding of single precision, for any number of rows.
    assert 0.0 < found.strength < 1e-6
    assert found.for_draws().strength >= found.strength


@pytest.mark.parametrize("strength", [0.0, 3.0])
@pytest.mark.parametrize("n_clusters", [2, 5])
def test_cells_of_equal_volume(strength, n_clusters):
    """K cells with these variances have the volume of one with those of the columns."""
    X = np.random.default_rng(0).normal(size=(200, 3)) * [1.0, 5.0, 0.1]
    X[0, 0] = nan
    data = OneGaussian(CovariancePrior()).prepare(X)
    shape = pseudo_rows_of_clusters(X, data, strength, n_clusters, None)
    unit = np.square(data.scaling.scale)
    volume = np.sqrt(np.prod(shape.target * unit)) * n_clusters
    assert_allclose(volume, np.sqrt(np.prod(np.nanvar(X, axis=0))))
    assert shape.relations is None
    assert shape.constant is None


@pytest.mark.parametrize("n_clusters", [1, 4])
def test_the_variance_across_a_relation_is_tiny_and_the_same_for_any_strength(n_clusters):
    """In variances of the columns, for each row of a component."""
    X = np.random.default_rng(0).normal(size=(80, 3))
    X = np.column_stack((X, X.sum(axis=1)))
    X[::9, 1] = nan
    data = OneGaussian(CovariancePrior()).prepare(X)
    shape = pseudo_rows_of_clusters(X, data, 2.0, n_clusters, None)
    assert shape.relations is not None
    own = data.available.variance * n_clusters**-0.5
    assert_allclose(shape.constant, np.diag(own * 1e-9 * 80 / n_clusters))
    normal = shape.relations.coefficients[0]
    assert_allclose(shape.target @ normal, 0.0, atol=1e-12)
    for strength in (0.1, 50.0):
        across = normal @ shape.scatter(strength) @ normal
        assert_allclose(across, normal @ shape.constant @ normal, rtol=1e-4)


def test_pseudo_rows_without_relations_are_not_looked_at_for_maximum_likelihood():
    X = np.random.default_rng(0).normal(size=(40, 2))
    X = np.column_stack((X, X.sum(axis=1)))
    X[::7, 1] = nan
    data = OneGaussian(CovariancePrior()).prepare(X)
    assert pseudo_rows_of_clusters(X, data, 0.0, 3, None).relations is None
    choice = choose_prior(X, None, data, 0, None)
    assert choice.prior.scatter is None
    assert choice.start is None


def test_parameters_are_attracted_to_the_relations():
    rng = np.random.default_rng(0)
    A, c, root = rng.normal(size=(1, 3)), np.array([0.7]), rng.normal(size=(3, 3))
    shape = Shape(np.array([1.0, 2.0, 0.5])).obeying(LinearRelations(A, c), 50.0)
    mean, covariance = shape.attract(rng.normal(size=3), root @ root.T, 50.0)
    assert_allclose(A @ mean, c)
    across = A @ covariance @ A.T
    assert_allclose(across, 1e-9 * A @ np.diag([1.0, 2.0, 0.5]) @ A.T, rtol=1e-4)
    plain = Shape(np.ones(3))
    same = plain.attract(mean, covariance, 50.0)
    assert same[0] is mean
    assert same[1] is covariance


@pytest.mark.parametrize("relations", [False, True])
def test_the_strength_is_the_best_of_all_and_its_estimate_the_start(relations):
    """Complete rows: refitted from the scatter with each strength."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(25, 4)) + 0.6 * rng.normal(size=(25, 1))
    if relations:
        X[:, 3] = X[:, :3].sum(axis=1)
        X[0, 3] = nan
    data = OneGaussian(CovariancePrior()).prepare(X)
    choice = choose_prior(X, None, data, "auto", None)
    assert choice.prior.strength in candidate_strengths(4)
    # The start is where EM with this prior ends.
    model = OneGaussian(choice.prior)
    end = run_em(
        model, data, choice.start, convergence=RemainingGain(1e-13), max_iter=3000
    ).params  # fmt: skip
    assert_allclose(choice.start.mean, end.mean, atol=1e-2)
    assert_allclose(choice.start.covariance, end.covariance, atol=2e-2)
    if relations:
        return
    Z = data.scaling.to_scaled(X)
    values = []
    for strength in candidate_strengths(4):
        target = np.diag(data.available.variance)
        total = 0.0
        for i in range(25):
            rest = np.delete(Z, i, axis=0)
            mean = rest.mean(axis=0)
            scatter = (rest - mean).T @ (rest - mean) + strength * target
            total += multivariate_normal(mean, scatter / (24 + strength)).logpdf(Z[i])
        values.append(total)
    assert choice.prior.strength == candidate_strengths(4)[int(np.argmax(values))]
    centered = Z - Z.mean(axis=0)
    scatter = centered.T @ centered + choice.prior.strength * target
    assert_allclose(choice.start.covariance, scatter / (25 + choice.prior.strength), rtol=1e-6)


def test_the_bound_is_a_mean_over_all_rows_also_those_without_entries():
    X = np.random.default_rng(0).normal(size=(30, 2))
    X[20:] = nan
    fitted = MissingDataImputerEM(alpha=0).fit(X)
    assert_allclose(fitted.lower_bound_ * 30, fitted.log_likelihood_, rtol=1e-12)
    seen = X[:20]
    covariance = np.cov(seen.T, bias=True)
    expected = multivariate_normal(seen.mean(axis=0), covariance).logpdf(seen).sum()
    assert_allclose(fitted.log_likelihood_, expected)
