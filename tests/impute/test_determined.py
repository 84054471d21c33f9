"""Entries that exact relations determine are given exactly, at any strength of the prior."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emlearn.distributions.gaussian.single import OneGaussian
from emlearn.impute import MissingDataImputerEM, multiple_imputation


def amounts(rng, n):
    """Parts of very different and skewed sizes, and their total."""
    parts = rng.lognormal(sigma=1.5, size=(n, 4)) * [0.02, 0.1, 1.0, 3.0]
    return np.c_[parts, parts.sum(axis=1)]


def shares(rng, n):
    parts = rng.gamma(2.0, size=(n, 4))
    return parts / parts.sum(axis=1, keepdims=True)


def pair(rng, n):
    """Two relations that share columns: together, they determine two entries of a row."""
    x = rng.normal(size=(n, 3)) + 1e4
    return np.c_[x, x.sum(axis=1), x @ [1.0, -1.0, 2.0]]


RELATIONS = {
    amounts: np.array([[1.0, 1.0, 1.0, 1.0, -1.0]]),
    shares: np.array([[1.0, 1.0, 1.0, 1.0]]),
    pair: np.array([[1.0, 1.0, 1.0, -1.0, 0.0], [1.0, -1.0, 2.0, 0.0, -1.0]]),
}


def incomplete(table, n=60, rate=0.15):
    rng = np.random.default_rng(2)
    X = table(rng, n)
    missing = rng.random(X.shape) < rate
    missing[:, 0] &= ~missing.all(axis=1)
    return X, missing, np.where(missing, np.nan, X)


def determined(table, missing):
    """Entries that follow by solving the equations of each row, one row at a time."""

    def rank(matrix):
        return np.linalg.matrix_rank(matrix) if matrix.size else 0

    found = np.zeros_like(missing)
    for i, row in enumerate(missing):
        columns = np.flatnonzero(row)
        unknown = RELATIONS[table][:, columns]
        for place, column in enumerate(columns):
            found[i, column] = rank(unknown) > rank(np.delete(unknown, place, axis=1))
    return found


@pytest.mark.parametrize("table", RELATIONS)
@pytest.mark.parametrize("alpha", ["auto", 0.01, 1.0, 20.0])
@pytest.mark.parametrize("n_components", [1, 2])
def test_determined_entries_are_exact(table, alpha, n_components):
    X, missing, holes = incomplete(table)
    exact = determined(table, missing)
    assert exact.sum() > 5
    imputer = MissingDataImputerEM(alpha=alpha, n_components=n_components, random_state=0)
    out = imputer.fit_transform(holes)
    deviation = X.std(axis=0)
    assert (np.abs((out - X) / deviation)[exact] < 1e-9).all()
    assert_allclose(imputer.transform(holes[:7]), out[:7], rtol=1e-9)
    # The others stay what the model expects.
    assert (np.abs((out - X) / deviation)[missing & ~exact] > 1e-4).mean() > 0.9
    draws = imputer.set_params(sample_posterior=True).transform(holes)
    assert (np.abs((draws - X) / deviation)[exact] < 1e-9).all()


@pytest.mark.parametrize("table", RELATIONS)
@pytest.mark.parametrize("n_components", [1, 2])
def test_fits_with_relations_converge(table, n_components):
    for n in (40, 100, 300):
        for rate in (0.0, 0.05, 0.2):
            _, _, holes = incomplete(table, n, rate)
            imputer = MissingDataImputerEM(n_components=n_components, random_state=0)
            assert imputer.fit(holes).converged_


@pytest.mark.parametrize("table", RELATIONS)
def test_complete_rows_stay_as_they_are(table):
    X, _, _ = incomplete(table, rate=0.0)
    imputer = MissingDataImputerEM()
    assert np.array_equal(imputer.fit_transform(X), X)
    _, _, holes = incomplete(table)
    complete = ~np.isnan(holes).any(axis=1)
    assert np.array_equal(imputer.fit(holes).transform(holes[complete]), holes[complete])


def test_multiple_imputations_keep_them():
    X, missing, holes = incomplete(amounts)
    exact = determined(amounts, missing)
    for out in multiple_imputation(MissingDataImputerEM(), holes, n_imputations=3, random_state=0):
        assert (np.abs((out - X) / X.std(axis=0))[exact] < 1e-9).all()


def test_parameters_that_are_set_end_the_relations():
    """The published parameters are the model."""
    X, _, holes = incomplete(shares)
    imputer = MissingDataImputerEM().fit(holes)
    plain = MissingDataImputerEM.from_parameters(imputer.means_, np.diag(X.var(axis=0)))
    imputer.covariances_ = plain.covariances_
    assert_allclose(imputer.transform(holes), plain.transform(holes))
    imputer.fit(holes)
    imputer.means_ = imputer.means_ + 0.1
    moved = MissingDataImputerEM.from_parameters(imputer.means_, imputer.covariances_)
    assert_allclose(imputer.transform(holes), moved.transform(holes))


def test_constant_and_empty_columns_beside_relations():
    X, missing, holes = incomplete(amounts)
    exact = determined(amounts, missing)
    n = len(X)
    wide = np.c_[np.full(n, np.nan), np.full(n, 3.0), holes]
    with pytest.warns(UserWarning, match="without any observed"):
        out = MissingDataImputerEM().fit_transform(wide)
    assert (np.abs((out[:, 1:] - X) / X.std(axis=0))[exact] < 1e-9).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_choice_needs_few_steps(seed, monkeypatch):
    """Even where there are few rows, so that relations are looked for in vain."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(40, 10))
    X[rng.random(X.shape) < 0.2] = np.nan
    precompute, steps = OneGaussian.precompute, []

    def counted(model, params):
        steps.append(model)
        return precompute(model, params)

    monkeypatch.setattr(OneGaussian, "precompute", counted)
    imputer = MissingDataImputerEM().fit(X)
    chosen = len(steps)
    imputer._fit_table(X, None, imputer._pseudo_rows)
    assert chosen <= 2.5 * (len(steps) - chosen)
