"""Imputers that learn batch by batch."""

import numpy as np
import pytest

from emlearn import MissingDataImputerEM
from emlearn.engine import StepwisePlan


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 4)) @ rng.normal(size=(4, 4)) + 100.0
    X[rng.random(X.shape) < 0.15] = np.nan
    return X


def streamed(imputer, X, size=250):
    for start in range(0, len(X), size):
        imputer.partial_fit(X[start : start + size])
    return imputer


def test_close_to_the_exact_fit(rows):
    exact, found = MissingDataImputerEM().fit(rows), streamed(MissingDataImputerEM(), rows)
    assert found.score(rows) == pytest.approx(exact.score(rows), abs=2e-3)
    assert found.n_iter_ > 5
    assert not found.converged_
    completed = found.transform(rows)
    assert np.isfinite(completed).all()
    seen = ~np.isnan(rows)
    np.testing.assert_array_equal(completed[seen], rows[seen])


def test_complete_rows_have_their_moments(rows):
    X = np.where(np.isnan(rows), 100.0, rows)
    imputer = MissingDataImputerEM(alpha=0, stepwise=StepwisePlan(1.0, burn_in=100))
    found = streamed(imputer, X)
    np.testing.assert_allclose(found.mean_, X.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance_, np.cov(X.T, bias=True), rtol=1e-9)


def test_mixtures(rows):
    X = np.where(np.arange(len(rows))[:, None] % 2, rows, rows + 30.0)
    # One pseudo-row has the variance of all rows, which is 30 times that of a cluster.
    exact = MissingDataImputerEM(2, alpha=0.01, random_state=0).fit(X)
    found = streamed(MissingDataImputerEM(2, alpha=0.01, random_state=0), X)
    assert found.score(X) == pytest.approx(exact.score(X), abs=5e-3)


def test_constant_and_empty_columns(rows):
    X = np.c_[rows, np.full(len(rows), 3.0)]
    X[5, 4] = np.nan
    found = streamed(MissingDataImputerEM(add_indicator=True), X)
    assert found.transform(X)[5, 4] == 3.0


def test_rows_without_entries(rows):
    found = streamed(MissingDataImputerEM(), rows)
    before = found.mean_.copy()
    found.partial_fit(np.full((3, 4), np.nan))
    np.testing.assert_array_equal(found.mean_, before)


def test_only_where_there_is_a_stream(rows):
    assert not hasattr(MissingDataImputerEM(n_factors=1), "partial_fit")
    assert not hasattr(MissingDataImputerEM(model="classes"), "partial_fit")
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1.0, None, 2.0] * 10, "b": list("xyz") * 10})
    with pytest.raises(ValueError, match="takes numbers only"):
        MissingDataImputerEM().partial_fit(frame)


def test_names_and_a_later_fit(rows):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(rows, columns=list("abcd"))
    found = MissingDataImputerEM().partial_fit(frame[:900]).partial_fit(frame[900:])
    assert found.get_feature_names_out().tolist() == list("abcd")
    found.fit(rows)
    assert found.log_likelihood_ == MissingDataImputerEM().fit(rows).log_likelihood_
