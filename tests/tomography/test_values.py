"""Images beside scikit-learn's NMF, direct maximization and formulas."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.optimize import minimize
from scipy.sparse.linalg import LinearOperator, aslinearoperator
from scipy.stats import poisson
from sklearn.decomposition import non_negative_factorization

from emlearn.tomography import (
    HuberPrior,
    PoissonReconstructionEM,
    QuadraticPrior,
    RelativeDifferencePrior,
)
from emlearn.tomography._systems import as_system

from .conftest import make_geometry


@pytest.mark.parametrize("n_iter", [1, 2, 10, 100])
@pytest.mark.filterwarnings("ignore:Maximum number of iterations")
def test_iterates_are_those_of_nmf(n_iter):
    rng = np.random.default_rng(0)
    matrix = rng.uniform(0.1, 1.0, (60, 20))
    counts = rng.poisson(rng.gamma(1.0, 5.0, (3, 20)) @ matrix.T).astype(float)
    expected, _, _ = non_negative_factorization(
        counts,
        H=matrix.T.copy(),
        n_components=20,
        update_H=False,
        solver="mu",
        beta_loss="kullback-leibler",
        tol=0.0,
        max_iter=n_iter,
    )
    start = np.full(20, np.sqrt(counts.mean() / 20))  # that of scikit-learn
    em = PoissonReconstructionEM(matrix, image_init=start, max_iter=n_iter)
    assert_allclose(em.fit_transform(counts), expected, rtol=1e-12, atol=1e-12)


def direct_maximum(geometry, counts, prior, weight):
    """The largest objective and its image, by L-BFGS-B with bounds."""
    matrix, background = geometry.matrix, geometry.background

    def loss(image):
        mean = matrix @ image + background
        grid = image.reshape(geometry.shape)
        value = (mean - counts * np.log(mean)).sum()
        slope = matrix.T @ (1.0 - counts / mean)
        if prior is not None:
            value += weight * prior.value(grid)
            slope += weight * prior.gradient(grid).ravel()
        return value, slope

    found = minimize(
        loss,
        np.full(matrix.shape[1], 3.0),
        jac=True,
        method="L-BFGS-B",
        bounds=[(1e-12, None)] * matrix.shape[1],
        options={"maxiter": 20_000, "maxfun": 50_000, "ftol": 1e-16, "gtol": 1e-10},
    )
    mean = matrix @ found.x + background
    penalty = 0.0 if prior is None else weight * prior.value(found.x.reshape(geometry.shape))
    return float(poisson.logpmf(counts, mean).sum()) - penalty, found.x


@pytest.mark.parametrize(
    "prior",
    [
        None,
        QuadraticPrior(),
        HuberPrior(1.0),
        RelativeDifferencePrior(),
        RelativeDifferencePrior(0.5, 0.1),
    ],
    ids=str,
)
def test_six_by_six_is_the_direct_maximum(prior):
    geometry = make_geometry(90, (6, 6))
    counts, weight = geometry.counts[0], 0.0 if prior is None else 0.2
    best, image = direct_maximum(geometry, counts, prior, weight)
    em = PoissonReconstructionEM(
        geometry.matrix,
        geometry.shape,
        prior=prior,
        prior_weight=weight,
        tol=1e-12,
        max_iter=20_000,
        accelerate="auto",
    ).fit(counts[None], background=geometry.background)
    assert em.converged_
    assert em.lower_bound_ >= best - 1e-7
    assert_allclose(em.lower_bound_, best, atol=1e-5)
    assert_allclose(em.images_[0], image, atol=0.02)


def test_log_likelihood_and_score(geometry):
    em = PoissonReconstructionEM(geometry.matrix, max_iter=7)
    em.fit(geometry.counts, background=geometry.background)
    mean = em.images_ @ geometry.matrix.T + geometry.background
    assert_allclose(em.inverse_transform(em.images_, geometry.background), mean)
    expected = poisson.logpmf(geometry.counts, mean).sum(axis=1)
    assert_allclose(em.log_likelihood_, expected.sum())
    assert_allclose(em.score(geometry.counts, background=geometry.background), expected.mean())
    assert_allclose(em.history_["objective"][-1], expected.sum())
    assert len(em.lower_bounds_) == em.n_iter_ == 7


@pytest.mark.parametrize(
    "form",
    [
        sparse.csr_matrix,
        sparse.coo_array,
        aslinearoperator,
        as_system,
        lambda m: as_system(sparse.csc_array(m)),
    ],
    ids=["csr_matrix", "coo_array", "LinearOperator", "System", "sparse System"],
)
@pytest.mark.parametrize("n_subsets", [1, 4], ids=["em", "subsets"])
def test_all_forms_of_the_system_give_the_same(geometry, form, n_subsets):
    settings = {"n_subsets": n_subsets, "max_iter": 5}
    dense = PoissonReconstructionEM(geometry.matrix, **settings).fit(geometry.counts)
    other = PoissonReconstructionEM(form(geometry.matrix), **settings).fit(geometry.counts)
    assert_allclose(other.images_, dense.images_, rtol=1e-10)
    assert_allclose(other.sensitivity_, geometry.matrix.sum(axis=0))


def test_parts_of_a_large_sparse_system():
    geometry = make_geometry(2600, (20, 20))
    matrix = sparse.csr_array(geometry.matrix)
    parts = as_system(matrix).parts()
    assert len(parts) > 1
    rows = np.vstack([part.matrix.toarray() for _, part in parts])
    np.testing.assert_array_equal(rows, geometry.matrix)
    assert np.shares_memory(parts[1][1].matrix.data, as_system(matrix).matrix.data)
    dense, other = (
        PoissonReconstructionEM(m, max_iter=3).fit(geometry.counts)
        for m in (geometry.matrix, matrix)
    )
    assert_allclose(other.images_, dense.images_, rtol=1e-10)


def test_operator_without_adjoint_is_named(geometry):
    operator = LinearOperator(geometry.matrix.shape, matvec=lambda v: geometry.matrix @ v)
    with pytest.raises(TypeError, match="adjoint"):
        PoissonReconstructionEM(operator).fit(geometry.counts)


def test_list_mode_is_the_same_as_counts(geometry):
    """Events are rows of the system matrix; counts of a ray are copies of its row."""
    counts = geometry.counts[0].astype(int)
    rays = np.repeat(np.arange(len(counts)), counts)
    events = geometry.matrix[rays]
    sensitivity, b = geometry.matrix.sum(axis=0), geometry.background
    settings = {"image_init": np.full(20, 3.0), "max_iter": 20}
    binned = PoissonReconstructionEM(geometry.matrix, **settings)
    binned.fit(counts[None], background=b)
    ones = np.ones((1, len(rays)))
    listed = PoissonReconstructionEM(events, sensitivity=sensitivity, **settings)
    listed.fit(ones, background=b[rays])
    assert_allclose(listed.images_, binned.images_, rtol=1e-10)
    # Subsets of the list have their shares of the sensitivity.
    subsets = PoissonReconstructionEM(events, sensitivity=sensitivity, n_subsets=4, max_iter=5)
    assert_allclose(subsets.fit(ones, background=b[rays]).sensitivity_, sensitivity)
    assert_allclose(subsets.images_, listed.images_, atol=0.1 * listed.images_.max())
    # Weights instead of copies.
    seen = counts > 0
    weighted = PoissonReconstructionEM(
        geometry.matrix[seen], sensitivity=sensitivity, **settings
    ).fit(counts[None, seen], background=b[seen])
    assert_allclose(weighted.images_, binned.images_, rtol=1e-10)
    mean = geometry.matrix @ listed.images_[0] + b
    expected = (np.log(mean[rays])).sum() - (mean - b).sum() - b[rays].sum()
    assert_allclose(listed.log_likelihood_, expected)
    assert np.diff(listed.history_["objective"]).min() > 0.0
