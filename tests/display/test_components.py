"""What is drawn of each estimator, against what it publishes."""

import itertools

import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_hex
from scipy.stats import norm
from sklearn.datasets import load_iris

from emlearn import FiniteMixtureEM, GaussianMixtureEM, HiddenMarkovEM, MissingDataImputerEM
from emlearn.datasets import load_galaxies, load_old_faithful
from emlearn.display import MixtureDisplay
from emlearn.distributions import Gaussian, Mixture

PAIR = [2, 1]


def iris():
    return load_iris(as_frame=True).data


def lattice(n_components, n_features=2):
    """A mixture of so many components, and rows around them."""
    rng = np.random.default_rng(0)
    means = 10.0 * np.arange(n_components)[:, None] + np.zeros(n_features)
    rows = np.repeat(means, 8, axis=0) + rng.standard_normal((8 * n_components, n_features))
    mixture = GaussianMixtureEM.from_parameters(
        np.full(n_components, 1.0 / n_components),
        means,
        np.ones(n_components),
        covariance_type="spherical",
    )
    return mixture, rows


def check_ellipses(display, means, covariances, level):
    """Half-axes are roots of eigenvalues, found here from trace and determinant."""
    radius = np.sqrt(-2.0 * np.log(1.0 - level))
    for ellipse, mean, covariance in zip(display.ellipses_, means, covariances, strict=True):
        half_trace = np.trace(covariance) / 2.0
        half_gap = np.sqrt(np.maximum(half_trace**2 - np.linalg.det(covariance), 0.0))
        long, short = radius * np.sqrt(half_trace + np.array([half_gap, -half_gap]))
        np.testing.assert_allclose(ellipse.center, mean)
        np.testing.assert_allclose([ellipse.width, ellipse.height], [2 * long, 2 * short])
        direction = np.array([np.cos(np.radians(ellipse.angle)), np.sin(np.radians(ellipse.angle))])
        along = direction @ covariance @ direction
        np.testing.assert_allclose(along, half_trace + half_gap)


FULL = {
    "full": lambda S, k: S[k],
    "EEV": lambda S, k: S[k],
    "tied": lambda S, k: S,
    "diag": lambda S, k: np.diag(S[k]),
    "spherical": lambda S, k: S[k] * np.eye(4),
}


@pytest.mark.parametrize("covariance_type", FULL)
def test_gaussian_mixture(covariance_type):
    X = iris()
    mixture = GaussianMixtureEM(3, covariance_type=covariance_type, random_state=0).fit(X)
    display = MixtureDisplay.from_estimator(mixture, X, features=PAIR, levels=0.8)
    full = [FULL[covariance_type](mixture.covariances_, k) for k in range(3)]
    covariances = [S[np.ix_(PAIR, PAIR)] for S in full]
    check_ellipses(display, mixture.means_[:, PAIR], covariances, 0.8)
    labels = mixture.predict(X)
    for k, points in enumerate(display.points_):
        np.testing.assert_array_equal(points.get_offsets(), X.to_numpy()[labels == k][:, PAIR])


@pytest.mark.parametrize("kind", [FiniteMixtureEM, HiddenMarkovEM])
@pytest.mark.parametrize("covariance_type", FULL)
def test_families(kind, covariance_type):
    X = iris()
    model = kind(2, family=Gaussian(covariance_type), random_state=0).fit(X)
    display = MixtureDisplay.from_estimator(model, X, features=PAIR, levels=0.8)
    public = model.component_params_
    own = "full" if covariance_type == "tied" else covariance_type
    full = [FULL[own](public["covariance"], k) for k in range(2)]
    check_ellipses(display, public["mean"][:, PAIR], [S[np.ix_(PAIR, PAIR)] for S in full], 0.8)
    word = "state" if kind is HiddenMarkovEM else "component"
    assert display.legend_.get_texts()[1].get_text().startswith(f"{word} 1 (")


def test_states_follow_the_sequences():
    X = load_old_faithful().data
    model = HiddenMarkovEM(2, random_state=0).fit(X, lengths=[100, 172])
    display = MixtureDisplay.from_estimator(model, X, lengths=[100, 172])
    expected = model.decode(X, [100, 172], algorithm="map")[1]
    np.testing.assert_array_equal(display.labels, expected)
    share = np.mean(expected == 0)
    assert display.legend_.get_texts()[0].get_text() == f"state 0 ({share:.0%})"


def test_each_sequence_has_a_start():
    X = np.zeros((6, 2))
    model = HiddenMarkovEM.from_parameters(
        [1.0, 0.0],
        [[0.0, 1.0], [0.0, 1.0]],
        {"mean": np.zeros((2, 2)), "covariance": np.stack([np.eye(2)] * 2)},
        family="gaussian",
    )
    one = MixtureDisplay.from_estimator(model, X)
    np.testing.assert_array_equal(one.labels, [0, 1, 1, 1, 1, 1])
    three = MixtureDisplay.from_estimator(model, X, lengths=[2, 2, 2])
    np.testing.assert_array_equal(three.labels, [0, 1, 0, 1, 0, 1])


def test_a_product_within_a_product():
    X = iris().to_numpy()
    inner = [("gaussian", [1]), (Gaussian("diag"), [0])]
    family = [(inner, [3, 1]), ("ignore", [0, 2])]
    public = {"mean_0": [[1.0], [2.0]], "covariance_0": [[[0.1]], [[0.2]]]}
    public |= {"mean_1": [[3.0], [4.0]], "covariance_1": [[0.3], [0.4]]}
    mixture = FiniteMixtureEM.from_parameters([0.5, 0.5], public, family=family, n_features=4)
    display = MixtureDisplay.from_estimator(mixture, X, features=(1, 3), levels=0.5)
    np.testing.assert_array_equal(display.means, [[1.0, 3.0], [2.0, 4.0]])
    np.testing.assert_array_equal(display.covariances[:, [0, 1], [0, 1]], [[0.1, 0.3], [0.2, 0.4]])


def test_columns_of_a_product():
    counts = np.random.default_rng(0).poisson(3, 150)
    X = np.column_stack([counts, iris()])
    family = [("poisson", [0]), (Gaussian("diag"), [4]), ("gaussian", [3, 1]), ("ignore", [2])]
    mixture = FiniteMixtureEM(2, family=family, random_state=0).fit(X)
    public = mixture.component_params_
    display = MixtureDisplay.from_estimator(mixture, X, features=(1, 4), levels=0.5)
    means = np.column_stack([public["mean_2"][:, 1], public["mean_1"][:, 0]])
    covariances = [
        np.diag([public["covariance_2"][k, 1, 1], public["covariance_1"][k, 0]]) for k in range(2)
    ]
    check_ellipses(display, means, covariances, 0.5)
    for features in [(0, 1), 2]:
        with pytest.raises(ValueError, match=f"'feature {np.min(features)}' is not Gaussian"):
            MixtureDisplay.from_estimator(mixture, X, features=features)


def test_imputer_of_incomplete_rows():
    X = iris()
    X = X.mask(np.random.default_rng(0).random(X.shape) < 0.2)
    X.insert(0, "constant", 1.0)
    imputer = MissingDataImputerEM(n_components=2, random_state=0).fit(X)
    display = MixtureDisplay.from_estimator(imputer, X, features=(3, 2), levels=0.8)
    covariances = imputer.covariances_[:, [[3], [2]], [3, 2]]
    check_ellipses(display, imputer.means_[:, [3, 2]], covariances, 0.8)
    # Whose component a row is: densities of what is observed of it, one by one.
    for row, label in zip(X.to_numpy(), display.labels, strict=True):
        seen = ~np.isnan(row)
        seen[0] = False
        joint = np.log(imputer.weights_)
        for k in range(2):
            away = (row - imputer.means_[k])[seen]
            S = imputer.covariances_[k][np.ix_(seen, seen)]
            joint[k] -= (away @ np.linalg.solve(S, away) + np.linalg.slogdet(S)[1]) / 2.0
            joint[k] -= seen.sum() * np.log(2.0 * np.pi) / 2.0
        assert label == joint.argmax()
    drawn = sum(len(points.get_offsets()) for points in display.points_)
    assert drawn == len(X[X.columns[[3, 2]]].dropna())


def test_weights_of_an_imputer_count():
    covariances = np.stack([np.eye(2)] * 2)
    imputer = MissingDataImputerEM.from_parameters(
        weights=[0.9, 0.1], means=[[0.0, 0.0], [1.0, 0.0]], covariances=covariances
    )
    X = np.array([[0.6, 0.0], [9.0, 0.0], [np.nan, 0.0]])
    np.testing.assert_array_equal(MixtureDisplay.from_estimator(imputer, X).labels, [0, 1, 0])


def test_an_imputer_may_leave_columns_out():
    X = iris().assign(empty=np.nan)[["empty", *iris().columns]]
    X.iloc[::7, 1] = np.nan
    with pytest.warns(UserWarning, match="empty"):
        imputer = MissingDataImputerEM().fit(X)
    display = MixtureDisplay.from_estimator(imputer, X, features=(1, 2), levels=0.8)
    check_ellipses(display, imputer.means_[:, :2], imputer.covariances_[:, :2, :2], 0.8)
    with pytest.raises(ValueError, match="'empty' is not Gaussian"):
        MixtureDisplay.from_estimator(imputer, X, features="empty")


def test_marks_of_missing_entries_are_not_drawn():
    X = iris().to_numpy().copy()
    X[::5, 0] = -1.0
    display = MixtureDisplay.from_estimator(MissingDataImputerEM(missing_values=-1).fit(X), X)
    assert len(display.points_[0].get_offsets()) == 120


@pytest.mark.filterwarnings(r"ignore:.*\(s\) .* rows\)")
def test_one_feature_is_drawn_as_densities():
    X = load_galaxies(as_frame=True).data
    mixture = GaussianMixtureEM(3, random_state=0).fit(X)
    display = MixtureDisplay.from_estimator(mixture, X)
    assert display.ellipses_ == display.points_ == []
    *curves, total = display.curves_
    assert len(curves) == 3
    grid = total.get_xdata()
    sum_of_densities = np.zeros(len(grid))
    for curve, weight, mean, variance in zip(
        curves, mixture.weights_, mixture.means_[:, 0], mixture.covariances_.ravel(), strict=True
    ):
        expected = weight * norm(mean, np.sqrt(variance)).pdf(grid)
        np.testing.assert_allclose(curve.get_ydata(), expected)
        assert curve.get_ydata().max() == pytest.approx(weight / np.sqrt(2 * np.pi * variance))
        sum_of_densities += expected
    np.testing.assert_allclose(total.get_ydata(), sum_of_densities)
    bars = sum(bar.get_width() * bar.get_height() for bar in display.ax_.patches)
    assert bars == pytest.approx(1.0)
    assert display.ax_.get_xlabel() == "velocity"
    assert display.ax_.get_ylabel() == "density (per unit of velocity)"
    entries = [text.get_text() for text in display.legend_.get_texts()]
    assert len(entries) == 4
    assert entries[-1] == "sum"


def test_one_component_needs_no_legend():
    X = load_galaxies().data
    display = MixtureDisplay.from_estimator(GaussianMixtureEM().fit(X), X)
    assert display.legend_ is None
    assert len(display.curves_) == 1


@pytest.mark.parametrize("n_components", [2, 10, 11, 30])
@pytest.mark.parametrize("n_features", [1, 2])
def test_many_components_are_told_apart(n_components, n_features):
    mixture, X = lattice(n_components, n_features)
    display = MixtureDisplay.from_estimator(mixture, X, levels=(0.5, 0.95))
    drawn = display.ellipses_[::2] if n_features == 2 else display.curves_[:-1]
    colors = [to_hex(x.get_edgecolor() if n_features == 2 else x.get_color()) for x in drawn]
    assert len(set(colors)) == n_components
    texts = [text.get_text() for text in display.legend_.get_texts()]
    assert len(texts) == n_components + (n_features == 1)
    assert texts[1] == f"component 1 ({1 / n_components:.0%})"
    for color, handle in zip(colors, display.legend_.legend_handles, strict=False):
        assert to_hex(handle.get_color()) == color
    # Neighbors on the map of more than ten colors differ by line too.
    lines = [x.get_linestyle() for x in drawn]
    neighbors_differ = all(a != b for a, b in itertools.pairwise(lines))
    assert neighbors_differ == (n_components > 10)
    assert {text.get_text() for text in display.ax_.texts} == set(map(str, range(n_components)))


@pytest.mark.parametrize("layout", ["constrained", None])
def test_a_long_legend_stands_beside_the_rows(layout):
    mixture, X = lattice(12)
    figure, axes = pyplot.subplots(1, 2, figsize=(12, 4), layout=layout)
    display = MixtureDisplay.from_estimator(mixture, X, ax=axes[0])
    figure.canvas.draw()
    legend, own = display.legend_.get_window_extent(), axes[0].get_window_extent()
    assert legend.x0 >= own.x1
    assert legend.x1 <= axes[1].get_window_extent().x0
    assert axes[0].get_in_layout() == (layout is not None)


def test_a_short_legend_stands_within():
    mixture, X = lattice(6)
    display = MixtureDisplay.from_estimator(mixture, X)
    display.figure_.canvas.draw()
    assert display.legend_.get_window_extent().x1 <= display.ax_.get_window_extent().x1
    assert display.legend_.get_title().get_text() == "Ellipses: 50%, 95%"
    assert len(display.ellipses_) == 12


def test_classes_name_components():
    X, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor"], dtype=object)
    known = np.where((np.arange(150) % 3 == 0) & (y < 2), names[np.minimum(y, 1)], None)
    mixture = FiniteMixtureEM(3, use_labels=True, random_state=0).fit(X, known)
    display = MixtureDisplay.from_estimator(mixture, X)
    texts = [text.get_text() for text in display.legend_.get_texts()]
    starts = [text.split(" (")[0] for text in texts]
    assert starts == ["0: setosa", "1: versicolor", "component 2"]


def test_families_without_ellipses_are_named():
    X = np.random.default_rng(0).poisson(3, (60, 2))
    mixture = FiniteMixtureEM(2, family="poisson", random_state=0).fit(X)
    with pytest.raises(ValueError, match=r"Poisson\(alpha=0.01\) of this FiniteMixtureEM"):
        MixtureDisplay.from_estimator(mixture, X)
    X = np.random.default_rng(0).normal(size=(600, 2))
    model = HiddenMarkovEM(2, family=Mixture(Gaussian(), 2), random_state=0).fit(X)
    with pytest.raises(ValueError, match=r"Mixture\(.*of this HiddenMarkovEM"):
        MixtureDisplay.from_estimator(model, X)
