import sys
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.utils import Bunch

from emlearn import datasets

#: Data with categories or a target have tests of their own.
OTHERS = ("load_penguins", "load_sleepstudy", "load_dyestuff", "load_penicillin", "load_pastes")
# Simulated data, too.
NAMES = [name for name in datasets.__all__ if name not in OTHERS and name.startswith("load_")]
LOADERS = [getattr(datasets, name) for name in NAMES]

all_loaders = pytest.mark.parametrize("load", LOADERS, ids=lambda load: load.__name__)


def name_of(load):
    return load.__name__.removeprefix("load_")


@pytest.mark.parametrize(
    ("load", "shape", "means"),
    [
        (datasets.load_old_faithful, (272, 2), [3.487783, 70.89706]),
        (datasets.load_galaxies, (82, 1), [20.82817]),
        (datasets.load_apple, (18, 2), [14.72222, 45.0]),
        (datasets.load_cholesterol, (28, 3), [253.9286, 230.6429, 221.4737]),
        (
            datasets.load_holzinger_swineford,
            (301, 9),
            [
                4.935770,
                6.088040,
                2.250415,
                3.060908,
                4.340532,
                2.185572,
                4.185902,
                5.527076,
                5.374123,
            ],
        ),
        (datasets.load_anesthetists, (315, 3), [23.0, 2.428571, 1.844444]),
        (datasets.load_lsat6, (1000, 5), [0.924, 0.709, 0.553, 0.763, 0.87]),
        (
            datasets.load_science,
            (392, 7),
            [2.119898, 1.948980, 1.721939, 1.989796, 1.997449, 2.242347, 1.836735],
        ),
    ],
)
def test_shape_and_means(load, shape, means):
    X = load().data
    assert X.shape == shape
    np.testing.assert_allclose(np.nanmean(X, axis=0), means, rtol=1e-6)


@all_loaders
def test_values(load, reference):
    expected = np.array(reference(name_of(load))["data"], dtype=float)
    X = load().data
    assert X.dtype == np.float64
    assert_array_equal(X, expected.reshape(X.shape))


def test_missing_values():
    assert_array_equal(np.isnan(datasets.load_apple().data).sum(axis=0), [0, 6])
    assert_array_equal(np.isnan(datasets.load_cholesterol().data).sum(axis=0), [0, 0, 9])


def test_galaxies_is_the_version_of_mass():
    X = datasets.load_galaxies().data
    assert X[77, 0] == 26.690
    assert (np.diff(X[:, 0]) > 0).all()


def test_feature_names():
    assert datasets.load_old_faithful().feature_names == ["eruptions", "waiting"]
    assert datasets.load_galaxies().feature_names == ["velocity"]
    assert datasets.load_apple().feature_names == ["size", "wormy"]
    assert datasets.load_cholesterol().feature_names == ["day_2", "day_4", "day_14"]


@all_loaders
def test_bunch(load):
    bunch = load()
    assert isinstance(bunch, Bunch)
    assert bunch.target is None
    assert bunch.frame is None
    assert bunch.DESCR.splitlines()[0]
    for feature in bunch.feature_names:
        assert f"- {feature}: " in bunch.DESCR
    assert f":Number of instances: {len(bunch.data)}\n" in bunch.DESCR
    assert (files(bunch.data_module) / bunch.filename).is_file()


@all_loaders
def test_return_X_y(load):
    X, y = load(return_X_y=True)
    assert isinstance(X, np.ndarray)
    assert_array_equal(X, load().data)
    assert y is None


@all_loaders
def test_as_frame(load):
    bunch = load(as_frame=True)
    assert isinstance(bunch.data, pd.DataFrame)
    assert list(bunch.data.columns) == bunch.feature_names
    assert_array_equal(bunch.data.to_numpy(), load().data)
    pd.testing.assert_frame_equal(bunch.frame, bunch.data)
    assert bunch.target is None

    X, y = load(as_frame=True, return_X_y=True)
    pd.testing.assert_frame_equal(X, bunch.data)
    assert y is None


@all_loaders
def test_calls_share_nothing(load):
    first, second = load(), load()
    before = second.data.copy()
    first.data[:] = -1.0
    first.feature_names.clear()
    assert second.data.flags.writeable
    assert_array_equal(second.data, before)
    assert second.feature_names

    framed = load(as_frame=True)
    framed.data.iloc[:] = -1.0
    assert_array_equal(framed.frame.to_numpy(), before)


@all_loaders
def test_without_pandas(load, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert load().frame is None
    with pytest.raises(ImportError, match=rf"{load.__name__} with as_frame=True needs pandas"):
        load(as_frame=True)


@all_loaders
def test_arguments_are_keywords_only(load):
    with pytest.raises(TypeError, match="positional"):
        load(True)


def test_penguins_are_numbers_and_categories():
    # Numbers of rows, and means, of the R package palmerpenguins.
    frame = datasets.load_penguins(as_frame=True).data
    assert frame.shape == (344, 7)
    assert frame.species.value_counts().to_dict() == {"Adelie": 152, "Gentoo": 124, "Chinstrap": 68}
    assert frame.island.value_counts().to_dict() == {"Biscoe": 168, "Dream": 124, "Torgersen": 52}
    assert frame.sex.value_counts().to_dict() == {"male": 168, "female": 165}
    assert frame.isna().sum().to_list() == [0, 0, 2, 2, 2, 2, 11]
    means = frame.select_dtypes("number").mean().to_list()
    np.testing.assert_allclose(means, [43.92193, 17.15117, 200.9152, 4201.754], rtol=1e-6)
    assert (frame.select_dtypes("category").columns == ["species", "island", "sex"]).all()


def test_penguins_as_array():
    bunch = datasets.load_penguins()
    assert bunch.data.dtype == object
    frame = datasets.load_penguins(as_frame=True).frame
    assert [value is None for value in bunch.data[:, 6]] == frame.sex.isna().to_list()
    assert_array_equal(bunch.data[:, 3].astype(float), frame.bill_depth)
    for feature in bunch.feature_names:
        assert f"- {feature}: " in bunch.DESCR
