"""The checks of scikit-learn, and a search."""

import warnings

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import estimator_checks_generator

from emlearn import RecordLinkageEM

INTEGERS = {
    "check_sample_weight_equivalence_on_dense_data": "levels are integers; copies and weights are "
    "compared in test_record_linkage.py",
}


def checks():
    for instance, check in estimator_checks_generator(RecordLinkageEM(max_iter=30)):
        yield pytest.param(instance, check, id=getattr(check, "func", check).__name__)


@pytest.mark.parametrize(("estimator", "check"), checks())
def test_scikit_learn(estimator, check):
    name = getattr(check, "func", check).__name__
    if name in INTEGERS:
        pytest.xfail(INTEGERS[name])
    with warnings.catch_warnings():
        # Random integers are no comparison vectors of records.
        warnings.simplefilter("ignore")
        check(estimator)


def test_search_over_interactions():
    rng = np.random.default_rng(0)
    match = rng.random(4000) < 0.2
    moved = rng.random(4000) < 0.3
    X = np.stack(
        [
            np.where(match, rng.random(4000) < 0.9, rng.random(4000) < 0.1),
            np.where(match, rng.random(4000) < 0.9, rng.random(4000) < 0.1),
            np.where(match, ~moved, rng.random(4000) < 0.2),
            np.where(match, ~moved, rng.random(4000) < 0.2),
        ],
        axis=1,
    ).astype(float)
    search = GridSearchCV(RecordLinkageEM(), {"interactions": [None, [(2, 3)]]}, cv=3).fit(X)
    assert search.best_params_ == {"interactions": [(2, 3)]}
