"""Folds of whole sequences."""

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV, KFold

from emlearn.sequences import SequenceKFold

IDS = np.repeat(["d", "a", "c", "b", "e"], [3, 1, 4, 2, 2])
X = np.arange(12.0)[:, None]


@pytest.mark.parametrize("shuffle", [False, True])
def test_whole_sequences_in_order(shuffle):
    folds = SequenceKFold(3, shuffle=shuffle, random_state=0 if shuffle else None)
    tested = []
    for train, test in folds.split(X, groups=IDS):
        assert_array_equal(np.sort(np.append(train, test)), np.arange(12))
        assert (np.diff(train) > 0).all()
        assert (np.diff(test) > 0).all()
        assert not set(IDS[train]) & set(IDS[test])
        tested.append(sorted(set(IDS[test].tolist())))
    assert sorted(name for own in tested for name in own) == ["a", "b", "c", "d", "e"]
    # As KFold divides the sequences, in the order in which they come.
    order = np.array(["d", "a", "c", "b", "e"])
    expected = KFold(3, shuffle=shuffle, random_state=0 if shuffle else None).split(order)
    assert tested == [sorted(order[chosen]) for _, chosen in expected]
    assert folds.get_n_splits() == 3


def test_lists_are_split_by_entry():
    parts = [X[:3], X[3:4], X[4:]]
    found = [test.tolist() for _, test in SequenceKFold(3).split(parts)]
    assert found == [[0], [1], [2]]


class Recorder(BaseEstimator):
    """Records what it is given."""

    def __init__(self, bonus=0.0):
        self.bonus = bonus

    def fit(self, X, y=None, sequence_ids=None):
        self.ids_ = sequence_ids
        return self

    def score(self, X, y=None, sequence_ids=None):
        assert not set(sequence_ids) & set(self.ids_)
        return self.bonus + len(set(sequence_ids))


def test_routing():
    with sklearn.config_context(enable_metadata_routing=True):
        model = Recorder().set_fit_request(sequence_ids=True).set_score_request(sequence_ids=True)
        search = GridSearchCV(model, {"bonus": [0.0, 1.0]}, cv=SequenceKFold(5))
        search.fit(X, sequence_ids=IDS)
        assert search.best_score_ == 2.0
        assert_array_equal(search.best_estimator_.ids_, IDS)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"n_splits": 1}, ValueError, "n_splits must be an int >= 2"),
        ({"n_splits": 2.0}, ValueError, "n_splits must be an int >= 2"),
        ({"shuffle": 1}, TypeError, "shuffle must be True or False"),
        ({"random_state": 0}, ValueError, "no effect without shuffle=True"),
    ],
)
def test_wrong_settings(settings, error, message):
    with pytest.raises(error, match=message):
        SequenceKFold(**settings)


def test_wrong_groups():
    folds = SequenceKFold(3)
    with pytest.raises(ValueError, match="pass groups=sequence_ids"):
        next(folds.split(X))
    with pytest.raises(ValueError, match="11 entries, but X has 12 rows"):
        next(folds.split(X, groups=IDS[1:]))
    with pytest.raises(ValueError, match="has 'a' in row 2 again"):
        next(folds.split(X[:3], groups=["a", "b", "a"]))
    with pytest.raises(ValueError, match=r"n_splits=3 folds need as many sequences, .* are 2"):
        next(folds.split(X[:3], groups=["a", "b", "b"]))
    with pytest.raises(ValueError, match="Give one of them"):
        next(folds.split(X, groups=IDS, sequence_ids=IDS))
