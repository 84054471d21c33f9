"""Bars of match weights."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from emlearn import FiniteMixtureEM, RecordLinkageEM
from emlearn.linkage import RecordPairs

plt = pytest.importorskip("matplotlib.pyplot")
plt.switch_backend("Agg")


@pytest.fixture
def display():
    from emlearn.display import MatchWeightDisplay

    yield MatchWeightDisplay
    plt.close("all")


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    match = rng.random((400, 1)) < 0.2
    levels = np.where(match, rng.random((400, 3)) < 0.9, rng.random((400, 3)) < 0.1)
    names = (("different", "equal"),) * 3
    return RecordPairs(levels.astype(np.int8), ("first", "last", "city"), names)


def test_waterfall(display, pairs):
    model = RecordLinkageEM().fit(pairs)
    one = pairs.take([0])
    drawn = display.from_pair(model, one)
    assert drawn.names == ["prevalence", "first", "last", "city"]
    bars = drawn.bars_.patches
    # Each bar starts where the last one ended; the last one is the sum.
    ends = [bar.get_x() + bar.get_width() for bar in bars]
    for before, bar in zip(ends[:-2], bars[1:-1], strict=True):
        assert bar.get_x() == pytest.approx(before)
    assert bars[-1].get_width() == pytest.approx(model.decision_function(one)[0])
    low, high = drawn.ax_.get_xlim()
    assert low < min(*ends, 0)
    assert high > max(*ends, 0)
    same = display.from_pair(model, one.to_frame())
    assert same.weights == pytest.approx(drawn.weights)


def test_one_vector_with_frequency(display, pairs):
    model = RecordLinkageEM().fit(pairs.X)
    drawn = display.from_pair(model, [1, 1, 0], frequency=[0.001, np.nan, np.nan])
    assert drawn.names[-1] == "frequency of 0"
    _, ax = plt.subplots()
    assert display.from_pair(model, [1, 1, 0], ax=ax, color="k").ax_ is ax


def test_weights_of_levels(display, pairs):
    model = RecordLinkageEM().fit(pairs)
    drawn = display.from_estimator(model)
    assert drawn.names[:2] == ["first: 1", "first: 0"]
    widths = [bar.get_width() for bar in drawn.bars_.patches]
    assert widths == pytest.approx([w for own in model.match_weights_ for w in own[::-1]])
    assert drawn.ax_.get_xlabel()


def test_errors(display, pairs):
    model = RecordLinkageEM().fit(pairs)
    with pytest.raises(ValueError, match="one pair can be drawn; X has 2"):
        display.from_pair(model, pairs.take([0, 1]))
    with pytest.raises(NotFittedError):
        display.from_pair(RecordLinkageEM(), pairs.take([0]))
    with pytest.raises(TypeError, match="draws a RecordLinkageEM, not a FiniteMixtureEM"):
        display.from_estimator(FiniteMixtureEM(1).fit(pairs.X))
