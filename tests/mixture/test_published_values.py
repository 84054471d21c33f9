"""Published maximum-likelihood fits of real data, to six digits."""

import numpy as np
import pytest
from sklearn.datasets import load_iris

from emlearn import GaussianMixtureEM


def fit(X, n_components, covariance_type="full", **settings):
    mixture = GaussianMixtureEM(
        n_components,
        covariance_type=covariance_type,
        reg_covar=0,
        tol=1e-9,
        random_state=0,
        **{"n_init": 2, **settings},
    )
    return mixture.fit(X)


def check(mixture, X, case):
    __tracebackhide__ = True
    if "log_likelihood" in case:
        assert mixture.log_likelihood_ == pytest.approx(case["log_likelihood"], abs=1e-5)
        assert mixture.lower_bound_ * len(X) == pytest.approx(mixture.log_likelihood_)
    for name in ("bic", "icl"):
        if name in case:
            assert getattr(mixture, name)(X) == pytest.approx(case[name], abs=1e-4)
    if "weights" in case:
        assert np.sort(mixture.weights_) == pytest.approx(np.sort(case["weights"]), abs=1e-5)
    if "cluster_sizes" in case:
        sizes = np.bincount(mixture.predict(X))
        assert sorted(sizes) == sorted(case["cluster_sizes"])


def cases(table, n_components):
    return [case for case in table["gaussian_mixture"] if case["n_components"] in n_components]


def test_old_faithful(reference):
    table = reference("old_faithful")
    X = np.array(table["data"])
    for case in cases(table, {1, 2}):
        check(fit(X, case["n_components"], case["covariance_type"]), X, case)


def test_old_faithful_three_components(reference):
    """Most starts find the published optimum, but there is a higher one.

    In the higher one the 13 % of eruptions that last 1.7 to 1.93 minutes are a component of
    their own, four times narrower than the others but of 42 rows and far from singular.
    """
    table = reference("old_faithful")
    X = np.array(table["data"])
    (case,) = cases(table, {3})
    mixture = fit(X, 3, init_params="kmeans", n_init=5)
    objectives = np.array([run.objective for run in mixture.restarts_])
    assert np.isclose(objectives, case["log_likelihood"], rtol=1e-7).any()
    assert case["bic"] == pytest.approx(17 * np.log(len(X)) - 2 * case["log_likelihood"])
    duration = X[:, 0]
    labels = np.where(duration > 3.0, 0, np.where(duration <= 1.93, 1, 2))
    settings = {"reg_covar": 0, "tol": 1e-9}
    higher = GaussianMixtureEM(3, init_params=np.eye(3)[labels], **settings).fit(X)
    assert higher.log_likelihood_ == pytest.approx(-1114.43987, abs=1e-4)
    assert higher.weights_ == pytest.approx([0.643526, 0.127302, 0.229171], abs=1e-4)
    widths = [np.linalg.eigvalsh(c)[0] for c in higher.covariances_]
    assert widths == pytest.approx([0.144622, 0.003662, 0.069041], rel=1e-2)
    assert np.bincount(higher.predict(X))[1] == 42
    # But this is no reason to use three components.
    assert higher.bic(X) > fit(X, 2).bic(X)


@pytest.mark.filterwarnings(r"ignore:.*\(s\) .* rows\)")
def test_galaxies(reference):
    table = reference("galaxies")
    X = np.array(table["data"])[:, None]
    for case in cases(table, {1, 2, 3}):
        check(fit(X, case["n_components"], init_params="kmeans"), X, case)


def test_iris(reference):
    X = load_iris().data
    for case in cases(reference("iris"), {2, 3}):
        check(fit(X, case["n_components"]), X, case)


def test_the_default_ridge_changes_these_little(reference):
    table = reference("old_faithful")
    X = np.array(table["data"])
    mixture = GaussianMixtureEM(2, random_state=0).fit(X)
    assert mixture.log_likelihood_ == pytest.approx(-1130.26396, abs=1e-2)
    assert mixture.weights_ == pytest.approx([0.35587, 0.64413], abs=2e-3) or (
        mixture.weights_[::-1] == pytest.approx([0.35587, 0.64413], abs=2e-3)
    )
