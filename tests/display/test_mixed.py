"""Random effects and residuals are drawn as the estimator has them."""

import numpy as np
import pytest
from matplotlib import pyplot
from scipy.stats import norm
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from emlearn import LinearMixedModelEM
from emlearn.datasets import load_dyestuff, load_penicillin, load_sleepstudy
from emlearn.display import MixedResidualsDisplay, RandomEffectsDisplay

pytest.importorskip("pandas")
ROWS = load_sleepstudy(return_X_y=True, as_frame=True)


@pytest.fixture(scope="module")
def sleep():
    return LinearMixedModelEM("Subject", random_slopes=["Days"]).fit(*ROWS)


@pytest.fixture(scope="module")
def no_variance():
    X, y = load_dyestuff(simulated=True, return_X_y=True, as_frame=True)
    return LinearMixedModelEM("Batch").fit(X, y), X, y


def ends(interval):
    """Lower and upper ends of the intervals of a panel, level by level."""
    (bars,) = interval.lines[2]
    return np.array([[line[0, 0], line[1, 0]] for line in bars.get_segments()])


def labels(ax):
    return [text.get_text() for text in ax.get_yticklabels()]


# ---- random effects ---------------------------------------------------------------------------


def test_levels_are_sorted_by_the_first_column(sleep):
    display = RandomEffectsDisplay.from_estimator(sleep, confidence=0.8)
    effects = sleep.random_effects_["Subject"]
    order = np.argsort(effects.effects[:, 0])
    assert labels(display.axes_[0]) == [str(level) for level in effects.levels[order]]
    assert labels(display.axes_[1]) == []
    for j, interval in enumerate(display.intervals_):
        x, y = interval.lines[0].get_data()
        np.testing.assert_array_equal(x, effects.effects[order, j])
        np.testing.assert_array_equal(y, np.arange(18))
        half = norm.ppf(0.9) * effects.standard_errors[order, j]
        np.testing.assert_allclose(ends(interval), np.transpose([x - half, x + half]))
    titles = [ax.get_title() for ax in display.axes_]
    assert titles == ["Subject: intercept", "Subject: Days"]


def test_all_terms_or_some():
    X, y = load_penicillin(return_X_y=True, as_frame=True)
    model = LinearMixedModelEM(["plate", "sample"]).fit(X, y)
    both = RandomEffectsDisplay.from_estimator(model)
    assert [len(labels(ax)) for ax in both.axes_] == [24, 6]
    one = RandomEffectsDisplay.from_estimator(model, terms="sample", color="red")
    assert [ax.get_title() for ax in one.axes_] == ["sample: intercept"]
    assert one.intervals_[0].lines[0].get_color() == "red"
    with pytest.raises(ValueError, match="no term 'batch'; terms are plate, sample"):
        RandomEffectsDisplay.from_estimator(model, terms=["batch"])


def test_many_levels_have_no_names_and_are_sorted_in_each_panel():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=800), np.repeat(np.arange(200), 4)])
    y = rng.normal(size=200)[X[:, 1].astype(int)] * (1 + X[:, 0]) + rng.normal(size=800)
    model = LinearMixedModelEM(1, random_slopes=[0], covariance="diag").fit(X, y)
    display = RandomEffectsDisplay.from_estimator(model)
    assert [labels(ax) for ax in display.axes_] == [[], []]
    assert [ax.get_ylabel() for ax in display.axes_] == ["200 levels", ""]
    for interval in display.intervals_:
        assert (np.diff(interval.lines[0].get_xdata()) >= 0.0).all()


def test_columns_of_a_term_are_its_levels():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    model = LinearMixedModelEM(Z={"markers": [0, 1, 2]}).fit(X, X.sum(axis=1) + rng.normal(size=40))
    display = RandomEffectsDisplay.from_estimator(model)
    assert sorted(labels(display.axes_[0])) == ["x0", "x1", "x2"]


def test_no_variance_is_said(no_variance):
    display = RandomEffectsDisplay.from_estimator(no_variance[0])
    assert display.axes_[0].get_title() == "Batch: intercept (variance 0)"
    np.testing.assert_array_equal(ends(display.intervals_[0]), 0.0)
    residuals = MixedResidualsDisplay.from_estimator(*no_variance, kind="random_effects")
    assert residuals.points_ == []
    assert residuals.axes_[0].texts[0].get_text() == "All variances of random effects are 0."


# ---- residuals ---------------------------------------------------------------------------------


def test_residuals(sleep):
    X, y = ROWS
    display = MixedResidualsDisplay.from_estimator(sleep, X, y, markersize=1.0)
    fitted, quantiles, *effects = display.points_
    expected = y - sleep.predict(X)
    np.testing.assert_array_equal(fitted.get_xdata(), sleep.predict(X))
    np.testing.assert_array_equal(fitted.get_ydata(), expected)
    np.testing.assert_array_equal(quantiles.get_ydata(), np.sort(expected))
    assert {line.get_markersize() for line in display.points_} == {1.0}
    names = [text.get_text() for text in display.legend_.get_texts()]
    assert (
        names == [line.get_label() for line in effects] == ["Subject: intercept", "Subject: Days"]
    )


def test_normal_quantiles():
    """H. L. Harter (1961), "Expected values of normal order statistics", Biometrika 48."""
    display = MixedResidualsDisplay(np.arange(10.0), np.arange(10.0), {}).plot(kind="quantiles")
    upper = [0.12267, 0.37576, 0.65606, 1.00136, 1.53875]
    x = display.points_[0].get_xdata()
    np.testing.assert_allclose(x[5:], upper, atol=0.01)
    np.testing.assert_allclose(x, -x[::-1], atol=1e-12)


def test_random_effects_are_divided_by_their_standard_deviations():
    """The covariance of predictions is ``G Z' P Z G``."""
    rng = np.random.default_rng(0)
    group = np.r_[np.arange(5), rng.integers(0, 5, 25)]
    root = rng.normal(size=(7, 7))
    # Levels 5 and 6 have no rows, and 6 is not related to others.
    kinship = root @ root.T
    kinship[6, :6] = kinship[:6, 6] = 0.0
    y = (root @ rng.normal(size=7))[group] + rng.normal(size=30)
    model = LinearMixedModelEM(0, kinship=kinship).fit(group[:, None], y)
    display = MixedResidualsDisplay.from_estimator(model, group[:, None], y, kind="random_effects")
    (variance,) = model.variance_components_["x0"][0]
    Z, G, ones = np.eye(7)[group], variance * kinship, np.ones((30, 1))
    inverse = np.linalg.inv(Z @ G @ Z.T + model.variance_components_["residual"] * np.eye(30))
    P = inverse - inverse @ ones @ ones.T @ inverse / inverse.sum()
    effects = G @ Z.T @ P @ y
    spread = np.sqrt(np.diagonal(G @ Z.T @ P @ Z @ G))
    expected = np.sort(effects[:6] / spread[:6])
    np.testing.assert_allclose(display.points_[0].get_ydata(), expected, rtol=1e-6)
    assert display.legend_ is None
    assert display.axes_[0].get_title() == "x0: intercept"


def test_rows_that_do_not_count_and_weights():
    X, y = ROWS
    y = y.copy()
    y.iloc[3] = np.nan
    weight = np.linspace(0.0, 2.0, len(y))
    model = LinearMixedModelEM("Subject", weights="precision").fit(X, y, weight)
    options = {"sample_weight": weight, "kind": "fitted"}
    (points,) = MixedResidualsDisplay.from_estimator(model, X, y, **options).points_
    used = np.isfinite(y) & (weight > 0.0)
    expected = ((y - model.predict(X)) * np.sqrt(weight))[used]
    np.testing.assert_allclose(points.get_ydata(), expected)
    model.set_params(weights="copies")
    (points,) = MixedResidualsDisplay.from_estimator(model, X, y, **options).points_
    np.testing.assert_allclose(points.get_ydata(), (y - model.predict(X))[used])


def test_known_random_effects_are_used_whatever_predict_does(sleep):
    X, y = ROWS
    expected = sleep.predict(X)
    model = LinearMixedModelEM("Subject", random_slopes=["Days"], random_effects="none").fit(X, y)
    (points,) = MixedResidualsDisplay.from_estimator(model, X, y, kind="fitted").points_
    np.testing.assert_allclose(points.get_xdata(), expected)


def test_pipelines_and_given_groups():
    X, y = ROWS
    days = X[["Days"]].to_numpy()
    model = LinearMixedModelEM().fit(days, y, groups=X.Subject)
    (points,) = MixedResidualsDisplay.from_estimator(
        model, days, y, groups=X.Subject, kind=["fitted"]
    ).points_
    np.testing.assert_array_equal(points.get_xdata(), model.predict(days, groups=X.Subject))
    pipe = make_pipeline("passthrough", LinearMixedModelEM("Subject")).fit(X, y)
    assert len(MixedResidualsDisplay.from_estimator(pipe, X, y).points_) == 3
    assert len(RandomEffectsDisplay.from_estimator(pipe).intervals_) == 1


# ---- axes and messages ------------------------------------------------------------------------


def test_axes_of_the_user(sleep):
    figure, axes = pyplot.subplots(1, 2)
    display = RandomEffectsDisplay.from_estimator(sleep, ax=axes)
    assert display.figure_ is figure
    assert display.axes_ == list(axes)
    alone = MixedResidualsDisplay.from_estimator(sleep, *ROWS, kind="quantiles", ax=axes[1])
    assert alone.axes_ == [axes[1]]
    with pytest.raises(ValueError, match="ax must be 2 Axes, one for each panel; got 1"):
        RandomEffectsDisplay.from_estimator(sleep, ax=axes[0])
    with pytest.raises(TypeError, match="ax must be one Axes"):
        RandomEffectsDisplay.from_estimator(sleep, ax=[0, 1])


def test_messages(sleep):
    with pytest.raises(NotFittedError):
        RandomEffectsDisplay.from_estimator(LinearMixedModelEM())
    with pytest.raises(TypeError, match="RandomEffectsDisplay takes a LinearMixedModelEM; got"):
        RandomEffectsDisplay.from_estimator(LinearRegression())
    with pytest.raises(ValueError, match="confidence must be between 0 and 1"):
        RandomEffectsDisplay.from_estimator(sleep, confidence=95)
    regression = LinearMixedModelEM().fit(ROWS[0][["Days"]], ROWS[1])
    with pytest.raises(ValueError, match="no random effects to draw"):
        RandomEffectsDisplay.from_estimator(regression)
    with pytest.raises(ValueError, match="kind must be of 'fitted', 'quantiles', 'random_effects'"):
        MixedResidualsDisplay.from_estimator(sleep, *ROWS, kind=["fitted", "leverage"])
    with pytest.raises(ValueError, match="kind is empty"):
        MixedResidualsDisplay.from_estimator(sleep, *ROWS, kind=[])
    assert pyplot.get_fignums() == []
