"""Effects of markers and of animals: two forms of one model, and its predictions."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold

from emlearn.datasets import make_breeding_population
from emlearn.mixed import Genotypes, LinearMixedModelEM, Pedigree


@pytest.fixture(params=[40, 200], ids=["fewer_markers", "more_markers"])
def population(request):
    """Genotypes, records of which some are missing, and the standardized genotypes."""
    rng = np.random.default_rng(request.param)
    table = rng.binomial(2, rng.uniform(0.1, 0.9, request.param), (120, request.param))
    X = pd.DataFrame({"age": rng.normal(size=120), "animal": [f"cow {i}" for i in range(120)]})
    y = table @ rng.normal(size=request.param) * np.sqrt(3 / request.param) + rng.normal(size=120)
    y[100:] = np.nan
    frequency = table.mean(axis=0) / 2
    scale = np.sqrt(2 * (frequency * (1 - frequency)).sum())
    return table, X, y, (table - 2 * frequency) / scale, scale


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_effects_of_markers_and_of_animals(population, method):
    table, X, y, markers, scale = population
    genotypes = Genotypes(pd.DataFrame(table, X["animal"]))
    animals = LinearMixedModelEM("animal", kinship=genotypes, method=method).fit(X, y)
    names = [f"snp{j}" for j in range(table.shape[1])]
    wide = pd.DataFrame(markers, columns=names).assign(age=X["age"])
    by_marker = LinearMixedModelEM(Z={"snp": names}, method=method).fit(wide, y)
    assert animals.heritability_ > 0.1
    assert_allclose(by_marker.log_likelihood_, animals.log_likelihood_, rtol=1e-11)
    for name, other in (("snp", "animal"), ("residual", "residual")):
        found, expected = by_marker.variance_components_, animals.variance_components_
        assert_allclose(found[name], expected[other], rtol=1e-6)
    assert_allclose(by_marker.coef_, animals.coef_, rtol=1e-6)
    effects = genotypes.marker_effects(animals.random_effects_["animal"].effects[:, 0])
    assert_allclose(by_marker.random_effects_["snp"].effects[:, 0] / scale, effects, atol=1e-8)
    for found, expected in zip(
        by_marker.predict(wide, return_std=True), animals.predict(X, return_std=True), strict=True
    ):
        assert_allclose(found, expected, rtol=1e-7)


def test_candidates_without_records(population):
    """Breeding values and their errors by the formulas of selection indices."""
    table, X, y, _, _ = population
    genotypes = Genotypes(pd.DataFrame(table, X["animal"]))
    model = LinearMixedModelEM("animal", kinship=genotypes).fit(X, y)
    genetic, residual = (float(np.squeeze(v)) for v in model.variance_components_.values())
    G, known = genetic * genotypes.relationship(), ~np.isnan(y)
    fixed = np.column_stack([np.ones(120), X["age"]])
    inverse = np.linalg.inv(G[np.ix_(known, known)] + residual * np.eye(known.sum()))
    of_fixed = np.linalg.inv(fixed[known].T @ inverse @ fixed[known])
    b = of_fixed @ fixed[known].T @ inverse @ y[known]
    values = G[:, known] @ inverse @ (y[known] - fixed[known] @ b)
    projected = inverse - inverse @ fixed[known] @ of_fixed @ fixed[known].T @ inverse
    explained = np.einsum("ij,jk,ik->i", G[:, known], projected, G[:, known])
    effects = model.random_effects_["animal"]
    assert_allclose(effects.effects[:, 0], values, atol=1e-10)
    assert_allclose(effects.reliabilities[:, 0], explained / np.diag(G), rtol=1e-8)
    assert (effects.accuracies[100:] < 1).all()
    assert_allclose(model.predict(X), fixed @ b + values, rtol=1e-10)


def test_kinships_are_hyperparameters():
    data = make_breeding_population(as_frame=True, random_state=0)
    chosen = np.random.default_rng(0).permutation(700)[:400]
    X, y = data.data.iloc[chosen], data.target.iloc[chosen]
    pedigree = Pedigree.from_frame(data.pedigree)
    as_frame = pd.DataFrame(pedigree.relationship(), pedigree.levels, pedigree.levels)
    kinships = [pedigree, as_frame, Genotypes(data.genotypes)]
    families = data.pedigree["sire"].iloc[chosen].to_numpy()
    for splitter, groups in ((KFold(3), None), (GroupKFold(3), families)):
        folds = list(splitter.split(X, y, groups))
        search = GridSearchCV(LinearMixedModelEM("animal"), {"kinship": kinships}, cv=folds)
        search.fit(X, y)
        scores = search.cv_results_["mean_test_score"]
        assert np.isfinite(scores).all()
        assert_allclose(scores[0], scores[1], rtol=1e-7)


def test_no_matrix_of_pairs_of_markers():
    rng = np.random.default_rng(0)
    markers, y = rng.normal(size=(60, 4000)), rng.normal(size=60)
    y += 0.1 * markers[:, :50].sum(axis=1)
    tracemalloc.start()
    # So few rows do not tell the variances.
    held = {"markers": 1.0 / 4000.0, "residual": 1.0}
    model = LinearMixedModelEM(Z={"markers": list(range(4000))}, fixed=held).fit(markers, y)
    _, std = model.predict(markers, return_std=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert std.shape == (60,)
    assert peak < 4000 * 4000 * 8 / 4
