"""Confusion matrices of raters are drawn as they are."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from emlearn import DawidSkeneEM, GaussianMixtureEM
from emlearn.datasets import load_anesthetists
from emlearn.display import ConfusionMatricesDisplay


@pytest.fixture(scope="module")
def model():
    return DawidSkeneEM(layout="long").fit(load_anesthetists().data)


def test_matrices(model):
    display = ConfusionMatricesDisplay.from_estimator(model)
    assert [ax.get_title() for ax in display.axes_] == ["1", "2", "3", "4", "5"]
    for image, matrix in zip(display.images_, model.confusion_matrices_, strict=True):
        np.testing.assert_array_equal(image.get_array(), matrix)
    numbers = [int(text.get_text()) for text in display.texts_]
    np.testing.assert_array_equal(numbers, np.rint(100 * model.confusion_matrices_.ravel()))
    assert display.axes_[0].get_ylabel() == "class"
    assert {ax.get_xlabel() for ax in display.axes_} == {"label"}
    assert [tick.get_text() for tick in display.axes_[2].get_xticklabels()] == list("1234")


def test_chosen_raters(model):
    display = ConfusionMatricesDisplay.from_estimator(model, raters=[4, 1], cmap="Greens")
    assert [ax.get_title() for ax in display.axes_] == ["4", "1"]
    assert display.images_[0].get_cmap().name == "Greens"
    again = ConfusionMatricesDisplay.from_estimator(model, raters=2, ax=display.axes_[0])
    assert again.axes_ == display.axes_[:1]


def test_many_raters_and_classes():
    rng = np.random.default_rng(0)
    X = (rng.integers(12, size=(300, 1)) + rng.integers(2, size=(300, 11))) % 12
    X = X.astype(float)
    X[:200, :3] = np.nan
    display = ConfusionMatricesDisplay.from_estimator(DawidSkeneEM().fit(X))
    assert [ax.get_title() for ax in display.axes_] == [str(r) for r in range(3, 11)]
    assert display.texts_ == []


def test_errors(model):
    with pytest.raises(NotFittedError):
        ConfusionMatricesDisplay.from_estimator(DawidSkeneEM())
    with pytest.raises(TypeError, match="GaussianMixtureEM, which has no confusion matrices"):
        ConfusionMatricesDisplay.from_estimator(GaussianMixtureEM().fit(np.arange(20.0)[:, None]))
    with pytest.raises(ValueError, match="no rater 9; raters are 1, 2"):
        ConfusionMatricesDisplay.from_estimator(model, raters=[9])
    with pytest.raises(ValueError, match="raters is empty"):
        ConfusionMatricesDisplay.from_estimator(model, raters=[])
    with pytest.raises(ValueError, match="ax must be 5 Axes"):
        ConfusionMatricesDisplay.from_estimator(
            model, ax=ConfusionMatricesDisplay.from_estimator(model, raters=[1]).axes_
        )
