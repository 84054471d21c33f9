import sys

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from emlearn.datasets import make_breeding_population
from emlearn.datasets._breeding import _gametes, _recombination


@pytest.fixture(scope="module")
def population():
    return make_breeding_population(random_state=0, as_frame=True)


def test_pedigree(population):
    pedigree = population.pedigree
    assert pedigree.animal.to_list() == list(range(1, 701))
    assert pedigree.generation.value_counts().to_dict() == {0: 100, 1: 200, 2: 200, 3: 200}
    founders = pedigree.generation == 0
    assert (pedigree[founders][["sire", "dam"]] == 0).all(axis=None)
    by_animal = pedigree.set_index("animal")
    for parent, male, n_parents in (("sire", 1, 10), ("dam", 0, 50)):
        known = by_animal.loc[pedigree[~founders][parent]]
        assert (known.male == male).all()
        assert_array_equal(known.generation, pedigree[~founders].generation - 1)
        assert (pedigree[~founders].groupby("generation")[parent].nunique() <= n_parents).all()
    assert (pedigree[["sire", "dam"]].max(axis=1) < pedigree.animal).all()
    assert pedigree.groupby("generation").male.mean().to_list() == [0.5] * 4


def test_offspring_have_an_allele_of_each_parent(population):
    genotypes, pedigree = population.genotypes, population.pedigree
    assert set(np.unique(genotypes)) == {0, 1, 2}
    assert genotypes.index.to_list() == pedigree.animal.to_list()
    offspring = pedigree[pedigree.generation > 0]
    child = genotypes.loc[offspring.animal].to_numpy()
    sire, dam = (genotypes.loc[offspring[parent]].to_numpy() for parent in ("sire", "dam"))
    assert (child >= (sire == 2).astype(int) + (dam == 2)).all()
    assert (child <= 2 - (sire == 0).astype(int) - (dam == 0)).all()
    heterozygous = (sire == 1) & (dam == 0)
    assert child[heterozygous].mean() == pytest.approx(0.5, abs=0.01)


def test_breeding_values_are_sums_of_effects(population):
    sums = population.genotypes.to_numpy() @ population.marker_effects
    difference = population.breeding_values - sums
    assert_allclose(difference, difference[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("heritability", [0.0, 0.3, 0.9])
def test_variances_of_founders(heritability):
    found = make_breeding_population(
        20_000, 0, heritability=heritability, sex_effect=2.0, n_markers=50, random_state=1
    )
    male = found.data[:, 1]
    residual = found.target - 2.0 * male - found.breeding_values
    assert found.breeding_values.var() == pytest.approx(heritability, rel=0.05, abs=1e-12)
    assert residual.var() == pytest.approx(1.0 - heritability, rel=0.05)
    assert found.breeding_values.mean() == pytest.approx(0.0, abs=0.03)
    assert residual.mean() == pytest.approx(0.0, abs=0.03)
    assert np.corrcoef(residual, male)[0, 1] == pytest.approx(0.0, abs=0.03)


def test_regression_on_parents_is_the_heritability():
    found = make_breeding_population(
        4000, 1, 8000, n_sires=2000, n_dams=2000, heritability=0.6, n_markers=60, random_state=2
    )
    animal, sire, dam, male, generation = found.pedigree.T
    phenotype = found.target - 0.5 * male
    young = generation == 1
    parents = (phenotype[sire[young] - 1] + phenotype[dam[young] - 1]) / 2.0
    slope = np.cov(parents, phenotype[young])[0, 1] / parents.var()
    assert slope == pytest.approx(0.6, abs=0.04)
    assert_array_equal(animal, np.arange(1, 12_001))


def test_relationships_of_relatives():
    found = make_breeding_population(
        1000, 1, 2000, n_sires=5, n_dams=500, n_markers=400, random_state=3
    )
    sire, dam, generation = found.pedigree[:, [1, 2, 4]].T
    young = np.flatnonzero(generation == 1)
    # Relationships by markers, with the frequencies of the founders.
    frequency = found.genotypes[generation == 0].mean(axis=0) / 2.0
    W = (found.genotypes - 2.0 * frequency) / np.sqrt(2.0 * frequency @ (1.0 - frequency))
    assert np.mean((W[young] * W[sire[young] - 1]).sum(axis=1)) == pytest.approx(0.5, abs=0.05)
    first, second = young[:-1], young[1:]
    half = (sire[first] == sire[second]) & (dam[first] != dam[second])
    related = (W[first[half]] * W[second[half]]).sum(axis=1)
    assert related.mean() == pytest.approx(0.25, abs=0.05)


def test_crossing_over():
    crossing = _recombination(12, 3)
    # Four markers on each chromosome, 1/4 Morgan apart; Haldane's function of distance.
    assert_allclose(crossing, np.tile([0.5] + [(1.0 - np.exp(-0.5)) / 2.0] * 3, 3))
    n = 20_000
    haplotypes = np.tile([[0] * 12, [1] * 12], (n, 1, 1))
    gametes = _gametes(haplotypes, crossing, np.random.default_rng(0))
    changes = (gametes[:, 1:] != gametes[:, :-1]).mean(axis=0)
    assert_allclose(changes, crossing[1:], atol=0.015)
    assert gametes[:, 0].mean() == pytest.approx(0.5, abs=0.015)
    apart = (gametes[:, 0] != gametes[:, 2]).mean()
    assert apart == pytest.approx((1.0 - np.exp(-1.0)) / 2.0, abs=0.015)


def test_selection_raises_breeding_values():
    found = make_breeding_population(
        n_generations=5, selection="phenotype", sex_effect=0.0, random_state=0
    )
    generation = found.pedigree[:, 4]
    means = [found.breeding_values[generation == g].mean() for g in range(6)]
    assert (np.diff(means) > 0.0).all()
    # Parents are the best of their sex.
    for column, male, n_parents in ((1, 1, 10), (2, 0, 50)):
        of_sex = np.flatnonzero((generation == 2) & (found.pedigree[:, 3] == male))
        best = of_sex[np.argsort(found.target[of_sex])[-n_parents:]] + 1
        assert set(found.pedigree[generation == 3, column]) <= set(best)


def test_arrays_and_frames_are_the_same(population):
    found = make_breeding_population(random_state=0)
    assert_array_equal(found.data, population.data)
    assert_array_equal(found.target, population.target)
    assert_array_equal(found.pedigree, population.pedigree)
    assert_array_equal(found.genotypes, population.genotypes)
    assert found.feature_names == list(population.data.columns)
    assert isinstance(population.target, pd.Series)
    other = make_breeding_population(random_state=1)
    assert not np.array_equal(found.target, other.target)


def test_without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    make_breeding_population(20, 0, random_state=0)
    with pytest.raises(ImportError, match="make_breeding_population with as_frame=True needs"):
        make_breeding_population(as_frame=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"n_sires": 51},
            r"n_sires=51 is more than the 50 males .* n_founders=100\. Lower n_sires",
        ),
        ({"n_dams": 101, "n_founders": 300}, r"n_dams=101 is more than the 100 females .* n_off"),
        ({"n_chromosomes": 600}, "n_chromosomes=600 must be at most n_markers=500"),
        ({"heritability": 1.5}, "heritability == 1.5, must be <= 1"),
        ({"selection": "best"}, "selection='best' must be"),
        ({"n_markers": 0}, "n_markers == 0, must be >= 1"),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        make_breeding_population(**settings)


def test_sizes_that_no_generation_needs():
    found = make_breeding_population(100, 1, 3, n_sires=50, random_state=0)
    assert found.pedigree.shape == (103, 5)
