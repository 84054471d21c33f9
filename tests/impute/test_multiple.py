"""Multiple imputation: seeds, errors, warnings."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from emlearn.impute import MissingDataImputerEM, multiple_imputation

nan = np.nan


def holes(n=60, d=3, rate=0.3):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    X[rng.random((n, d)) < rate] = nan
    return X


def tables(imputer, random_state=None, **options):
    return np.array(
        list(
            multiple_imputation(
                imputer, holes(), n_imputations=3, random_state=random_state, **options
            )
        )
    )


@pytest.mark.parametrize("make", [lambda: 0, lambda: np.random.RandomState(0)])
def test_the_seed_of_the_imputer_counts(make):
    imputer = MissingDataImputerEM(random_state=make())
    first = tables(imputer)
    assert_array_equal(tables(imputer), first)
    assert_array_equal(tables(imputer, n_jobs=2), first)
    assert_array_equal(tables(MissingDataImputerEM(), random_state=0), first)
    assert (tables(imputer, random_state=1) != first).any()
    assert (first[0] != first[1]).any()


def test_without_any_seed_imputations_differ():
    assert (tables(MissingDataImputerEM()) != tables(MissingDataImputerEM())).any()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"imputer": "mean"}, TypeError, "must be a MissingDataImputerEM"),
        ({"n_imputations": 0}, ValueError, "n_imputations"),
        ({"n_imputations": True}, ValueError, "n_imputations"),
        ({"n_jobs": 0}, ValueError, "n_jobs"),
        ({"n_jobs": 1.5}, ValueError, "n_jobs"),
        ({"random_state": "a"}, ValueError, "seed"),
        ({"X": [[np.inf, 1.0], [1.0, 2.0]]}, ValueError, "column 0"),
        ({"imputer": MissingDataImputerEM(alpha=-1)}, ValueError, "alpha"),
        ({"imputer": MissingDataImputerEM(bounds={9: (0, 1)})}, ValueError, "no column 9"),
    ],
)
def test_errors_come_at_the_call(arguments, error, message):
    with pytest.raises(error, match=message):
        multiple_imputation(**{"imputer": MissingDataImputerEM(), "X": holes(), **arguments})


def test_a_column_that_resamples_lose():
    X = holes(n=400)
    X[2:, 0] = nan
    X[:2, 0] = [1.0, 2.0]
    X[1:, 0] = nan
    X[0, 0] = 1.0
    X = np.column_stack((X, np.arange(400.0)))
    imputations = multiple_imputation(MissingDataImputerEM(), X, n_imputations=200, random_state=0)
    assert np.isfinite(list(imputations)).all()


def test_warnings_are_counted_and_given_once():
    imputer = MissingDataImputerEM(max_iter=2, random_state=0)
    for n_jobs in (None, 2):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = multiple_imputation(imputer, holes(), n_imputations=6, n_jobs=n_jobs)
        with pytest.warns(ConvergenceWarning) as caught:
            list(found)
        assert len(caught) == 1
        assert "of 6 imputations: EM did not converge" in str(caught[0].message)
        assert caught[0].filename == __file__


def test_what_the_data_lack_is_said_once_at_the_call():
    X = np.column_stack((holes(), np.full(60, nan)))
    with pytest.warns(UserWarning, match="column 3") as caught:
        found = multiple_imputation(MissingDataImputerEM(), X, n_imputations=5, random_state=0)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(found)) == 5


def test_warnings_of_fit_point_at_the_caller():
    pd = pytest.importorskip("pandas")
    imputer = MissingDataImputerEM(max_iter=1).set_output(transform="pandas")
    for fit in (imputer.fit, imputer.fit_transform):
        with pytest.warns(ConvergenceWarning) as caught:
            fit(pd.DataFrame(holes(), columns=list("abc")))
        assert caught[0].filename == __file__
        assert "inf" not in str(caught[0].message)
