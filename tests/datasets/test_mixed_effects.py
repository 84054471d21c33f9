import sys
from functools import partial
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from emlearn import datasets

SETS = {
    "sleepstudy": datasets.load_sleepstudy,
    "Dyestuff": datasets.load_dyestuff,
    "Dyestuff2": partial(datasets.load_dyestuff, simulated=True),
    "Penicillin": datasets.load_penicillin,
    "Pastes": datasets.load_pastes,
}

all_sets = pytest.mark.parametrize("name", SETS)


@all_sets
def test_values_are_those_of_lme4(name, reference):
    expected = reference("mixed_data")[name]["columns"]
    bunch = SETS[name](as_frame=True)
    assert set(bunch.frame.columns) == set(expected)
    for column, values in expected.items():
        assert bunch.frame[column].to_list() == values
        dtype = "category" if isinstance(values[0], str) else "float64"
        assert bunch.frame[column].dtype == dtype


@all_sets
def test_bunch(name):
    bunch = SETS[name]()
    assert bunch.frame is None
    assert bunch.data.dtype == object
    assert bunch.target.dtype == np.float64
    assert bunch.data.shape == (len(bunch.target), len(bunch.feature_names))
    for described in bunch.feature_names + bunch.target_names:
        assert f"- {described}: " in bunch.DESCR
    assert f":Number of instances: {len(bunch.data)}\n" in bunch.DESCR
    assert (files(bunch.data_module) / bunch.filename).is_file()


@all_sets
def test_all_forms_are_the_same_data(name):
    bunch, framed = SETS[name](), SETS[name](as_frame=True)
    assert list(framed.data.columns) == framed.feature_names == bunch.feature_names
    assert list(framed.frame.columns) == framed.feature_names + framed.target_names
    assert_array_equal(framed.data.to_numpy(object), bunch.data)
    assert_array_equal(framed.target, bunch.target)
    assert framed.target.name == bunch.target_names[0]
    pd.testing.assert_frame_equal(framed.frame.drop(columns=framed.target_names), framed.data)
    X, y = SETS[name](return_X_y=True)
    assert_array_equal(X, bunch.data)
    assert_array_equal(y, bunch.target)
    X, y = SETS[name](return_X_y=True, as_frame=True)
    pd.testing.assert_frame_equal(X, framed.data)
    pd.testing.assert_series_equal(y, framed.target)


@all_sets
def test_frame_and_target_share_nothing(name):
    framed = SETS[name](as_frame=True)
    before = framed.frame.copy()
    framed.target.iloc[:] = -1.0
    framed.data.iloc[:, 0] = framed.data.iloc[0, 0]
    pd.testing.assert_frame_equal(framed.frame, before)


@all_sets
def test_without_pandas(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert SETS[name]().frame is None
    called = f"load_{name.lower().removesuffix('2')}"
    with pytest.raises(ImportError, match=rf"{called} with as_frame=True needs pandas"):
        SETS[name](as_frame=True)
