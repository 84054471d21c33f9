"""Models behind the steps of a Pipeline, drawn in the units before them."""

import numpy as np
import pytest
from matplotlib import pyplot
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    PowerTransformer,
    StandardScaler,
)

from emlearn import GaussianMixtureEM, HiddenMarkovEM
from emlearn.display import MixtureDisplay

pl = pytest.importorskip("polars")

FRAME = load_iris(as_frame=True).data
X = FRAME.to_numpy()
NAMES = list(FRAME.columns)


def mixture():
    return GaussianMixtureEM(3, random_state=0)


def undone(pipeline, rows):
    """Means and covariances in the units of the rows, by `inverse_transform` of draws' corners."""
    *steps, model = [step for _, step in pipeline.steps]

    def back(z):
        for step in reversed(steps):
            z = step.inverse_transform(z)
        return np.asarray(z)

    means = back(model.means_)
    zero = back(np.zeros((1, model.means_.shape[1])))
    slope = (back(np.eye(model.means_.shape[1])) - zero).T
    return means, np.stack([slope @ S @ slope.T for S in model.covariances_])


@pytest.mark.parametrize(
    "steps",
    [
        (StandardScaler(),),
        (PCA(4),),
        (PCA(2),),
        (StandardScaler(), PCA(2)),
        (StandardScaler(), PCA(3, whiten=True), MinMaxScaler()),
    ],
    ids=str,
)
def test_linear_steps_are_undone(steps):
    pipeline = make_pipeline(*steps, mixture()).fit(X)
    display = MixtureDisplay.from_estimator(pipeline, X, features=(2, 1))
    means, covariances = undone(pipeline, X)
    np.testing.assert_allclose(display.means, means[:, [2, 1]], rtol=1e-8)
    expected = covariances[:, [[2], [1]], [2, 1]]
    np.testing.assert_allclose(display.covariances, expected, rtol=1e-7, atol=1e-12)
    np.testing.assert_array_equal(display.rows, X[:, [2, 1]])
    np.testing.assert_array_equal(display.labels, pipeline.predict(X))


def test_a_transformer_is_a_step():
    pipeline = make_pipeline(StandardScaler(), PCA(2), mixture()).fit(FRAME)
    one = MixtureDisplay.from_estimator(pipeline, FRAME)
    other = MixtureDisplay.from_estimator(pipeline[-1], FRAME, transformer=pipeline[:-1])
    np.testing.assert_array_equal(one.means, other.means)
    np.testing.assert_array_equal(one.covariances, other.covariances)
    np.testing.assert_array_equal(one.labels, other.labels)


def test_columns_of_very_different_units():
    units = np.array([1e-12, 1e12, 1.0, 1.0])
    pipeline = make_pipeline(StandardScaler(), mixture()).fit(X * units)
    display = MixtureDisplay.from_estimator(pipeline, X * units)
    means, covariances = undone(pipeline, X)
    np.testing.assert_allclose(display.means, means[:, :2], rtol=1e-8)
    np.testing.assert_allclose(display.covariances, covariances[:, :2, :2], rtol=1e-7)


def test_steps_without_an_inverse():
    scaler = ColumnTransformer([("scale", StandardScaler(), [NAMES[3]])], remainder="passthrough")
    pipeline = make_pipeline(scaler, mixture()).fit(FRAME)
    display = MixtureDisplay.from_estimator(pipeline, FRAME, features=(NAMES[3], NAMES[0]))
    own = scaler.fit(FRAME).named_transformers_["scale"]
    means = pipeline[-1].means_
    expected = np.column_stack([means[:, 0] * own.scale_ + own.mean_, means[:, 1]])
    np.testing.assert_allclose(display.means, expected, rtol=1e-8)
    assert display.ax_.get_xlabel() == NAMES[3]


@pytest.mark.filterwarnings(r"ignore:.*\(s\) .* rows\)")
def test_imputers_change_nothing_of_complete_rows():
    holes = FRAME.mask(np.random.default_rng(0).random(X.shape) < 0.1)
    pipeline = make_pipeline(SimpleImputer(), mixture()).fit(holes)
    display = MixtureDisplay.from_estimator(pipeline, holes)
    np.testing.assert_allclose(display.means, pipeline[-1].means_[:, :2], rtol=1e-8)
    complete = holes[NAMES[:2]].dropna()
    assert sum(len(points.get_offsets()) for points in display.points_) == len(complete)


def test_searches_nested_pipelines_and_steps_that_do_nothing():
    inner = make_pipeline(PCA(3), mixture())
    steps = [("nothing", "passthrough"), ("scale", StandardScaler()), ("inner", inner)]
    search = GridSearchCV(Pipeline(steps), {"inner__gaussianmixtureem__n_components": [2]})
    display = MixtureDisplay.from_estimator(search.fit(FRAME), FRAME)
    flat = make_pipeline(StandardScaler(), PCA(3), GaussianMixtureEM(2, random_state=0))
    means, _ = undone(flat.fit(X), X)
    np.testing.assert_allclose(display.means, means[:, :2], rtol=1e-8)


def test_frames_of_every_kind():
    pipeline = make_pipeline(StandardScaler(), PCA(2), mixture())
    expected = MixtureDisplay.from_estimator(pipeline.fit(X), X, features=(2, 0)).means
    for frame in (FRAME, pl.DataFrame(FRAME)):
        for out in ("default", "pandas", "polars"):
            fitted = pipeline.set_output(transform=out).fit(frame)
            display = MixtureDisplay.from_estimator(fitted, frame, features=(NAMES[2], NAMES[0]))
            np.testing.assert_allclose(display.means, expected, rtol=1e-8)
            labels = (display.ax_.get_xlabel(), display.ax_.get_ylabel())
            assert labels == (NAMES[2], NAMES[0])
            pyplot.close("all")


@pytest.mark.parametrize(
    "step",
    [PowerTransformer(), FunctionTransformer(np.log), OneHotEncoder(sparse_output=False)],
    ids=lambda step: type(step).__name__,
)
def test_other_steps_are_named(step):
    pipeline = make_pipeline(step, GaussianMixtureEM(1, reg_covar="auto")).fit(FRAME)
    with pytest.raises(ValueError, match=rf"linear.*\({type(step).__name__}\)"):
        MixtureDisplay.from_estimator(pipeline, FRAME)
    assert pyplot.get_fignums() == []


def test_features_that_do_not_reach_the_mixture():
    threshold = make_pipeline(VarianceThreshold(0.5), StandardScaler(), mixture()).fit(FRAME)
    MixtureDisplay.from_estimator(threshold, FRAME, features=(0, 2))
    with pytest.raises(ValueError, match=r"'sepal width \(cm\)' does not reach the mixture"):
        MixtureDisplay.from_estimator(threshold, FRAME, features=(0, 1))


def test_constant_columns_do_not_hinder():
    frame = FRAME.assign(constant=1.0)
    pipeline = make_pipeline(StandardScaler(), PCA(2), mixture()).fit(frame)
    without = make_pipeline(StandardScaler(), PCA(2), mixture()).fit(FRAME)
    one = MixtureDisplay.from_estimator(pipeline, frame)
    other = MixtureDisplay.from_estimator(without, FRAME)
    np.testing.assert_allclose(one.means, other.means)
    with pytest.raises(ValueError, match="'constant' does not reach the mixture"):
        MixtureDisplay.from_estimator(pipeline, frame, features=("constant", 0))


def test_rows_of_before_a_transformer_that_was_not_given():
    fitted = mixture().fit(PCA(2).fit_transform(X))
    with pytest.raises(ValueError, match="fitted on 2 features, but 4 reach it"):
        MixtureDisplay.from_estimator(fitted, X)


def test_names_of_fit_serve_for_arrays():
    fitted = mixture().fit(FRAME)
    with pytest.warns(UserWarning, match="feature names"):
        display = MixtureDisplay.from_estimator(fitted, X, features=("petal length (cm)", 0))
    np.testing.assert_array_equal(display.rows, X[:, [2, 0]])
    assert display.ax_.get_xlabel() == "petal length (cm)"


@pytest.mark.parametrize(
    ("features", "columns"),
    [
        (None, [0, 1]),
        (-1, [3]),
        ("petal width (cm)", [3]),
        ([NAMES[1]], [1]),
        (np.array([3, 0]), [3, 0]),
        (FRAME.columns[1:3], [1, 2]),
    ],
)
def test_features_may_be_given_in_many_ways(features, columns):
    display = MixtureDisplay.from_estimator(mixture().fit(FRAME), FRAME, features=features)
    np.testing.assert_array_equal(display.rows, X[:, columns])


@pytest.mark.parametrize(
    ("error", "message", "given"),
    [
        (ValueError, "no feature named 'petal'; its features are: sepal", {"features": "petal"}),
        (ValueError, "4 features and no feature at position 4", {"features": (0, 4)}),
        (ValueError, "4 features and no feature at position -5", {"features": -5}),
        (ValueError, "two different ones", {"features": (0, NAMES[0])}),
        (ValueError, "two different ones", {"features": (0, -4)}),
        (ValueError, "two different ones", {"features": (0, 1, 2)}),
        (ValueError, "two different ones", {"features": ()}),
        (TypeError, "got 0.5", {"features": (0, 0.5)}),
        (TypeError, "got True", {"features": (True, 0)}),
        (ValueError, "levels must be probabilities", {"levels": 1.0}),
        (ValueError, "levels must be probabilities", {"levels": (0.0, 0.5)}),
        (ValueError, "levels must be probabilities", {"levels": "half"}),
        (TypeError, "got str", {"ax": "here"}),
        (TypeError, "HiddenMarkovEM", {"lengths": [150]}),
        (NotFittedError, "StandardScaler", {"transformer": StandardScaler()}),
        (TypeError, "pca", {"transformer": "pca"}),
    ],
)
def test_what_is_asked_for_wrongly(error, message, given):
    with pytest.raises(error, match=message):
        MixtureDisplay.from_estimator(mixture().fit(FRAME), FRAME, **given)
    assert pyplot.get_fignums() == []


def test_what_is_no_fitted_mixture():
    with pytest.raises(TypeError, match="Pipeline that ends with one; got KMeans"):
        MixtureDisplay.from_estimator(KMeans(2, n_init=1).fit(X), X)
    with pytest.raises(NotFittedError, match="Pipeline"):
        MixtureDisplay.from_estimator(make_pipeline(StandardScaler(), mixture()), X)
    with pytest.raises(NotFittedError, match="HiddenMarkovEM"):
        MixtureDisplay.from_estimator(HiddenMarkovEM(2), X)
