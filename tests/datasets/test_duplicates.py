"""Simulated records with duplicates."""

import numpy as np
import pytest

from emlearn.datasets import make_duplicate_records


def test_rates():
    found = make_duplicate_records(
        4000, duplicates=0.5, typo=0.2, missing=0.1, moved=0.25, married=0.0, random_state=0
    )
    person, records = found.target, found.records
    assert len(person) == 6000
    assert len(np.unique(person)) == 4000
    assert all(
        np.mean([v is None for v in own]) == pytest.approx(0.1, abs=0.02)
        for own in records.values()
    )
    order = np.argsort(person, kind="stable")
    same = np.flatnonzero(np.diff(person[order]) == 0)
    first, second = order[same], order[same + 1]

    def differ(name):
        a, b = records[name][first], records[name][second]
        known = [x is not None and y is not None for x, y in zip(a, b, strict=True)]
        return np.mean(a[known] != b[known])

    # A letter may be exchanged for the same one; two of 20 cities, or a date, may be the same.
    assert 0.15 < differ("last_name") < 0.24
    assert 0.15 < differ("birth_date") < 0.24
    assert 0.2 < differ("city") < 0.28


def test_exact_copies():
    found = make_duplicate_records(
        50, duplicates=1.0, typo=0.0, missing=0.0, moved=0.0, married=0.0, random_state=1
    )
    for own in found.records.values():
        for person in range(50):
            assert len(set(own[found.target == person])) == 1


def test_seed_and_frame():
    first, again = (make_duplicate_records(100, random_state=3) for _ in range(2))
    assert all((first.records[name] == again.records[name]).all() for name in first.records)
    pandas = pytest.importorskip("pandas")
    frame = make_duplicate_records(100, as_frame=True, random_state=3).records
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == first.feature_names


@pytest.mark.parametrize("name", ["duplicates", "typo", "missing", "moved", "married"])
def test_bad_rates(name):
    with pytest.raises(ValueError, match=name):
        make_duplicate_records(10, **{name: 1.5})
