"""Fits are warned of if components have too few rows, or the width of the prior."""

import re
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning

from emlearn import FiniteMixtureEM, GaussianMixtureEM, HiddenMarkovEM, MissingDataImputerEM
from emlearn.distributions import Gaussian, Mixture
from emlearn.distributions.gaussian.prior import CovariancePrior
from emlearn.distributions.gaussian.soundness import held_up
from emlearn.distributions.gaussian.spec import GaussianParams
from emlearn.distributions.gaussian.structures import STRUCTURES

IRIS = load_iris().data


def told(estimator, X, **fit_params):
    """What a fit warns of: the labels named, their rows, and the rest of the message."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(X, **fit_params)
    found = []
    for one in caught:
        assert one.category is ConvergenceWarning
        match = re.match(
            r"(?:Component|State)\(s\) \[(.*?)\](?: \((.*?) rows\))?:? (.*)", str(one.message)
        )
        labels = [int(k) for k in match[1].split(", ")]
        counts = [float(n) for n in (match[2] or "").split(", ") if n]
        found.append((labels, counts, match[3]))
    return found


def groups(sizes, d=4, distance=30.0, seed=0):
    """Clusters of known sizes, far apart, whose rows follow each other."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return rng.standard_normal((len(labels), d)) + distance * np.eye(len(sizes), d)[labels]


def test_a_component_whose_rows_share_a_value_is_named():
    """Petal widths are rounded to .1: an optimum for five components uses that."""
    mixture = GaussianMixtureEM(5, random_state=0)
    ((labels, counts, message),) = told(mixture, IRIS)
    assert "reg_covar" in message
    assert counts == pytest.approx((150 * mixture.weights_)[labels], rel=0.01)
    own = mixture.predict(IRIS)
    alike = [k for k in range(5) if np.ptp(IRIS[own == k, 3]) == 0.0]
    assert labels == alike


def test_a_larger_ridge_ends_it():
    """With a ridge of a hundredth of the largest variance, it says how narrow clusters may be."""
    variance = np.linalg.eigvalsh(np.cov(IRIS.T))[-1]
    found = told(GaussianMixtureEM(5, reg_covar=0.011 * variance, random_state=0), IRIS)
    assert not [labels for labels, _, message in found if "reg_covar" in message]


def test_clusters_narrower_than_the_ridge_need_a_smaller_one():
    X = groups([50, 50], d=2, distance=1.0) * [[1.0, 1.0]]
    X = np.round(X) + 1e-4 * np.random.default_rng(1).standard_normal(X.shape)
    X = X[(np.abs(X) < 0.5).all(axis=1) | (np.abs(X - 1.0) < 0.5).all(axis=1)]
    ((labels, _, _),) = told(GaussianMixtureEM(2, reg_covar=1e-6, random_state=0), X)
    assert labels == [0, 1]
    # The default ridge leaves the gaps between clusters out.
    for ridge in ("auto", 1e-13):
        assert told(GaussianMixtureEM(2, reg_covar=ridge, random_state=0), X) == []


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "EEV"])
def test_constant_and_duplicated_columns_are_no_concern(covariance_type):
    X = np.c_[IRIS, IRIS[:, 0], np.ones(150), IRIS[:, 1] + IRIS[:, 2]]
    estimator = GaussianMixtureEM(3, covariance_type=covariance_type, random_state=0)
    assert told(estimator, X) == []


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "EEV"])
def test_a_binary_column_holds_no_component_up(covariance_type):
    X = load_diabetes().data / load_diabetes().data.std(axis=0)
    estimator = GaussianMixtureEM(3, covariance_type=covariance_type, random_state=0)
    ((labels, _, message),) = told(estimator, X)
    assert labels
    assert "few different values" in message


@pytest.mark.parametrize(
    ("covariance_type", "size"), [("full", 6), ("full", 7), ("diag", 3), ("diag", 4)]
)
def test_too_few_rows(covariance_type, size):
    """d + 2 = 6 rows are too few for a covariance matrix, 3 for variances."""
    X = groups([60, 60, size])
    mixture = GaussianMixtureEM(3, covariance_type=covariance_type, random_state=0)
    found = told(mixture, X)
    if size in (4, 7):
        assert found == []
    else:
        ((labels, counts, message),) = found
        assert labels == [mixture.predict(X[-1:])[0]]
        assert counts == [size]
        assert "too few rows" in message


@pytest.mark.parametrize("covariance_type", ["tied", "EEV"])
@pytest.mark.parametrize(("size", "warned"), [(1, True), (2, False)])
def test_shared_covariances_need_more_than_one_row_of_each(covariance_type, size, warned):
    X = groups([60, 60, size])
    start = np.eye(3)[np.repeat([0, 1, 2], [60, 60, size])]
    mixture = GaussianMixtureEM(3, covariance_type=covariance_type, init_params=start)
    found = [labels for labels, _, _ in told(mixture, X)]
    assert found == ([[2]] if warned else [])


@pytest.mark.parametrize("covariance_type", ["tied", "EEV"])
@pytest.mark.parametrize(("n", "enough"), [(8, False), (9, True)])
def test_shared_covariances_need_rows_in_common(covariance_type, n, enough):
    """Of 9 rows and two means 7 residuals are left, more than d + 1 = 6."""
    rows = np.array([n / 2.0, n / 2.0])
    assert (STRUCTURES[covariance_type].sufficient(rows, 5) == enough).all()


def test_counts_of_many_rows_are_written_out():
    X = np.c_[groups([1234, 1000], d=1), np.repeat([0.0, 1.0], [1234, 1000])]
    with pytest.warns(ConvergenceWarning, match=r"\((1234, 1000|1000, 1234) rows\)"):
        GaussianMixtureEM(2, random_state=0).fit(X)


@pytest.mark.parametrize("n_components", [1, 3])
def test_fewer_rows_than_columns(n_components):
    X = np.random.default_rng(0).standard_normal((20, 50))
    ((labels, counts, _),) = told(GaussianMixtureEM(n_components, random_state=0), X)
    assert labels == list(range(n_components))
    assert sum(counts) == pytest.approx(20, rel=0.01)


def test_weights_are_copies_and_may_sum_to_one():
    X = groups([60, 60, 5])
    copies = np.r_[np.ones(120), np.full(5, 2.0)]
    repeated = GaussianMixtureEM(3, random_state=0)
    assert told(repeated, np.repeat(X, copies.astype(int), axis=0)) == []
    assert told(GaussianMixtureEM(3, random_state=0), X, sample_weight=copies) == []
    even = np.full(125, 1.0 / 125.0)
    ((labels, _, _),) = told(GaussianMixtureEM(3, random_state=0), X, sample_weight=even)
    assert len(labels) == 1
    X = groups([60, 60])
    even = np.full(120, 1.0 / 120.0)
    assert told(GaussianMixtureEM(2, random_state=0), X, sample_weight=even) == []


def test_pseudo_rows_count_as_rows():
    X = groups([60, 60, 5])
    ((_, _, message),) = told(FiniteMixtureEM(3, family="gaussian", random_state=0), X)
    assert "too few rows" in message
    strong = FiniteMixtureEM(3, family=Gaussian(alpha=2.0), random_state=0)
    assert told(strong, X) == []


def test_states_are_named_as_states():
    X = groups([60, 60, 5])
    model = HiddenMarkovEM(3, random_state=0)
    with pytest.warns(ConvergenceWarning, match=r"State\(s\) \[\d\] \(5 rows\): too few rows"):
        model.fit(X)


def test_columns_of_one_kind_among_others():
    """In a list of families, the Gaussian columns are judged."""
    X = np.c_[groups([60, 60, 3]), np.random.default_rng(1).poisson(3.0, 123)]
    family = [(Gaussian("diag"), [0, 1, 2, 3]), ("poisson", [4])]
    start = np.eye(3)[np.repeat([0, 1, 2], [60, 60, 3])]
    ((labels, counts, _),) = told(FiniteMixtureEM(3, family=family, init_params=start), X)
    assert labels == [2]
    assert counts == pytest.approx([3.0])


def test_a_part_of_a_component():
    X = groups([40, 40, 5])
    known = np.repeat([0, 1, 1], [40, 40, 5])
    family = Mixture(Gaussian("full"), n_parts=2)
    found = told(FiniteMixtureEM(family=family, use_labels=True, random_state=0), X, y=known)
    assert any(1 in labels and "in one of the parts" in text for labels, _, text in found)


def test_components_of_the_imputer():
    """Its prior is one pseudo-row for each."""
    X = np.random.default_rng(0).standard_normal((12, 6))
    X[3, 1] = np.nan
    imputer = MissingDataImputerEM(n_components=2, random_state=0)
    ((labels, counts, message),) = told(imputer, X)
    assert labels == np.flatnonzero(12 * imputer.weights_ + 1.0 <= 8.0).tolist()
    assert counts == pytest.approx(12 * imputer.weights_[labels], rel=0.01)
    assert "n_factors" in message
    assert "covariance_type" not in message


def test_an_empty_component_is_named_once():
    X = groups([60, 60])
    start = np.random.default_rng(0).dirichlet([1.0] * 3, size=120)
    mixture = GaussianMixtureEM(3, weights_init=[0.6, 0.4, 0.0], init_params=start)
    ((labels, _, message),) = told(mixture, X)
    assert labels == [2]
    assert message.startswith("lost all rows")


# ---- the test of one component ------------------------------------------------------------


def made(name, narrow, wide, ridge, turn):
    """Two Gaussians with one narrow direction, in which all rows have the variance `wide`."""
    structure = STRUCTURES[name]
    d = len(turn)
    offset = np.sqrt(wide - narrow)
    means = np.stack([turn[:, 0] * offset, -turn[:, 0] * offset])
    covariance = (turn * np.r_[narrow, np.ones(d - 1)]) @ turn.T
    if name == "diag":
        covariances = np.stack([np.diagonal(covariance)] * 2)
    elif name == "tied":
        covariances = covariance
    else:
        covariances = np.stack([covariance] * 2)
    params = GaussianParams(means, covariances, structure.factor(covariances, d, 0.0))
    prior = CovariancePrior(ridge=np.full(d, ridge))
    return held_up(structure, np.array([50.0, 50.0]), params, prior).tolist()


@pytest.mark.parametrize("name", ["full", "tied", "diag", "EEV"])
@pytest.mark.parametrize(
    ("narrow", "wide", "expected"),
    [(1.9, 101.0, True), (2.1, 101.0, False), (1.9, 99.0, False), (1.9, 1e9, True)],
)
def test_held_up_in_a_direction(name, narrow, wide, expected):
    """Less than two ridges in a component, more than a hundred in all rows."""
    ridge = 1e-6
    turn = np.eye(3)
    if name != "diag":
        turn = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    found = made(name, narrow * ridge, wide * ridge, ridge, turn)
    assert found == [expected, expected]


def test_pseudo_rows_hold_up_in_proportion():
    """One pseudo-row of variance 1 gives 99 rows a variance of .01."""
    structure = STRUCTURES["diag"]
    prior = CovariancePrior(1.0, np.ones(1))
    means = np.array([[5.0], [-5.0]])
    for variance, expected in ((0.019, True), (0.021, False)):
        covariances = np.full((2, 1), variance)
        params = GaussianParams(means, covariances, structure.factor(covariances, 1, 0.0))
        found = held_up(structure, np.array([99.0, 99.0]), params, prior)
        assert found.tolist() == [expected] * 2


def test_maximum_likelihood_holds_nothing_up():
    mixture = GaussianMixtureEM(3, reg_covar=0, random_state=0)
    assert told(mixture, IRIS) == []
