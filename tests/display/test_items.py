"""Curves of items are those of the estimator."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import StandardScaler

from emlearn import ItemResponseEM
from emlearn.display import ItemCurvesDisplay, ItemInformationDisplay
from emlearn.irt import item_information

BINARY = ItemResponseEM.from_parameters([1.0, 1.5, 0.7], [-1.0, 0.0, 1.0])
GRADED = ItemResponseEM.from_parameters([1.0, 1.5], [[-1.0, 0.5], [0.0, np.nan]], model="grm")


def test_curves_are_probabilities():
    theta = [-1.0, 0.0, 2.0]
    display = ItemCurvesDisplay.from_estimator(BINARY, theta=theta)
    expected = BINARY.item_probabilities(theta)[:, :, 1]
    np.testing.assert_allclose([line.get_ydata() for line in display.lines_], expected.T)
    assert [text.get_text() for text in display.legend_.get_texts()] == [
        "item 0",
        "item 1",
        "item 2",
    ]
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("trait", "probability")


def test_one_graded_item_shows_its_categories():
    display = ItemCurvesDisplay.from_estimator(GRADED, items=0)
    assert len(display.lines_) == 3
    np.testing.assert_allclose(sum(line.get_ydata() for line in display.lines_), 1.0)
    both = ItemCurvesDisplay.from_estimator(GRADED)
    assert both.ax_.get_ylabel() == "expected score"
    np.testing.assert_allclose(both.lines_[0].get_ydata()[-1], 2.0, atol=0.1)
    # An item of two categories has one curve only.
    assert len(ItemCurvesDisplay.from_estimator(GRADED, items=1).lines_) == 1


def test_information_and_its_error():
    display = ItemInformationDisplay.from_estimator(BINARY, items=[0, 2])
    theta = display.total_line_.get_xdata()
    total = item_information(BINARY, theta)[:, [0, 2]].sum(axis=1)
    np.testing.assert_allclose(display.total_line_.get_ydata(), total)
    np.testing.assert_allclose(display.error_line_.get_ydata(), total**-0.5)
    assert len(display.lines_) == 2
    alone = ItemInformationDisplay.from_estimator(BINARY, standard_error=False)
    assert alone.error_ax_ is None
    assert alone.error_line_ is None


def test_many_items_are_gray_and_without_legend():
    many = ItemResponseEM.from_parameters(np.ones(20), np.linspace(-2, 2, 20))
    display = ItemCurvesDisplay.from_estimator(many)
    assert display.legend_ is None
    assert {line.get_color() for line in display.lines_} == {"0.6"}
    information = ItemInformationDisplay.from_estimator(many)
    assert len(information.legend_.get_texts()) == 2


def test_names_of_a_frame():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    X = pandas.DataFrame(rng.integers(0, 2, (50, 3)), columns=["one", "two", "three"])
    model = ItemResponseEM("1pl").fit(X)
    display = ItemCurvesDisplay.from_estimator(model, items=["two", -1], color="red")
    assert [line.get_label() for line in display.lines_] == ["two", "three"]
    assert display.lines_[0].get_color() == "red"
    with pytest.raises(ValueError, match="no item 'four'; items are one, two, three"):
        ItemCurvesDisplay.from_estimator(model, items="four")


def test_messages():
    with pytest.raises(NotFittedError):
        ItemCurvesDisplay.from_estimator(ItemResponseEM())
    with pytest.raises(TypeError, match="ItemCurvesDisplay takes an ItemResponseEM"):
        ItemCurvesDisplay.from_estimator(StandardScaler().fit([[0.0], [1.0]]))
    with pytest.raises(TypeError, match=r"names .str. or positions"):
        ItemCurvesDisplay.from_estimator(BINARY, items=[0.5])
    with pytest.raises(ValueError, match="none at position 3"):
        ItemInformationDisplay.from_estimator(BINARY, items=3)
    with pytest.raises(ValueError, match="items is empty"):
        ItemInformationDisplay.from_estimator(BINARY, items=[])
