"""FiniteMixtureEM on data at the edge of what can be learned."""

import numpy as np
import pytest

from emlearn import FiniteMixtureEM
from emlearn.distributions import (
    DirichletMultinomial,
    Gaussian,
    Multinomial,
    NegativeBinomial,
    Poisson,
)


def edges():
    rng = np.random.default_rng(0)
    for kind in ("counts", "real"):
        base = (
            rng.poisson(3.0, (30, 3)).astype(float)
            if kind == "counts"
            else (rng.normal(size=(30, 3)))
        )
        holes = np.where(rng.random(base.shape) < 0.9, np.nan, base)
        column = base.copy()
        column[:, 1] = np.nan
        constant = base.copy()
        constant[:, 1] = constant[0, 1]
        for rows in (
            holes,
            column,
            constant,
            np.full((5, 2), np.nan),
            base[:2],
            np.zeros((9, 2)),
            np.repeat(base[:1], 10, axis=0),
            base * 1e9,
            base.astype(np.float32),
        ):
            yield kind, rows


@pytest.mark.parametrize("n_components", [1, 2])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_nothing_is_nan(n_components):
    families = {
        "counts": [
            family(**alpha)
            for family in (Poisson, NegativeBinomial, Multinomial, DirichletMultinomial)
            for alpha in ({}, {"alpha": 0.0})
        ],
        "real": [Gaussian(kind) for kind in ("full", "tied", "diag", "spherical")],
    }
    for kind, X in edges():
        for family in families[kind]:
            mixture = FiniteMixtureEM(
                n_components, family=family, init_params="rows", random_state=0, max_iter=100
            )
            empty = np.flatnonzero(np.isnan(np.asarray(X, float)).all(axis=0))
            if kind == "real" and empty.size:
                with pytest.raises(ValueError, match=f"Column {empty[0]} of X has no observed"):
                    mixture.fit(X)
                continue
            mixture.fit(X)
            found = [mixture.predict_proba(X), mixture.score_samples(X), mixture.bic(X)]
            found += list(mixture.component_params_.values())
            assert all(np.isfinite(values).all() for values in found), (family, X)


def test_singular_covariances_are_explained():
    X = np.ones((10, 2))
    with pytest.raises(ValueError, match=r"covariance of component 0 is singular.*stronger prior"):
        FiniteMixtureEM(2, family=Gaussian(reg_covar=0.0), random_state=0).fit(X)
    with pytest.raises(ValueError, match="Column 0 of X has no observed value"):
        FiniteMixtureEM(1, family=Gaussian(reg_covar=0.0)).fit(np.full((4, 2), np.nan))


def test_strings_are_refused_with_advice():
    for strings in (np.array([["a", "b"], ["c", "d"]]), np.array([["a", 1], ["c", 2]], object)):
        with pytest.raises(ValueError, match="OrdinalEncoder"):
            FiniteMixtureEM(2, family="categorical").fit(strings)
