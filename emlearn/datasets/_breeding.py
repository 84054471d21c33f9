"""A simulated breeding population."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.validation import check_scalar

from emlearn.datasets._loaders import import_pandas

_COLUMNS = ["animal", "sire", "dam", "male", "generation"]
_FEATURES = ["animal", "male"]

Array = NDArray[np.float64]


def make_breeding_population(
    n_founders: int = 100,
    n_generations: int = 3,
    n_offspring: int = 200,
    *,
    n_sires: int = 10,
    n_dams: int = 50,
    heritability: float = 0.4,
    sex_effect: float = 0.5,
    selection: str = "random",
    n_markers: int = 500,
    n_chromosomes: int = 10,
    as_frame: bool = False,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Simulate a population of animals, with pedigree, phenotypes and genotypes.

    In each generation, sires and dams are chosen among the males and females of the generation
    before, and each offspring has one of each at random. Genes are dropped through the pedigree:
    an offspring receives one of the two alleles of each parent at each marker, with crossing over
    within chromosomes. The breeding value is the sum of the effects of the alleles at all
    markers.

    Parameters
    ----------
    n_founders : int, default=100
        Animals with unknown parents, generation 0. They are unrelated.
    n_generations : int, default=3
        Generations after the founders.
    n_offspring : int, default=200
        Animals of each of these generations.
    n_sires, n_dams : int, default=10, 50
        Males and females of a generation that have offspring.
    heritability : float, default=0.4
        Variance of breeding values in the base population that founders are drawn from. The
        variance of phenotypes there, of one sex, is 1.
    sex_effect : float, default=0.5
        What males have more than females.
    selection : {"random", "phenotype"}, default="random"
        Whether parents are chosen at random, or have the highest phenotypes of their sex, as in
        a breeding program.
    n_markers : int, default=500
        Loci, of two alleles each. All have an effect on the phenotype.
    n_chromosomes : int, default=10
        Chromosomes, on which the markers are spread evenly. Each is one Morgan long.
    as_frame : bool, default=False
        If True, tables are pandas DataFrames, and the target is a Series.
    random_state : int, RandomState instance or None, default=None
        Determines all that is drawn; an int for the same population at each call.

    Returns
    -------
    population : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes. There are
        n = n_founders + n_generations * n_offspring animals.

        data : {ndarray, DataFrame} of shape (n, 2)
            Identifier of the animal, from 1 to n, and 1 for males or 0 for females.
        target : {ndarray, Series} of shape (n,)
            Phenotypes.
        feature_names : list
            ``['animal', 'male']``.
        pedigree : {ndarray, DataFrame} of shape (n, 5)
            Columns animal, sire, dam, male and generation; parents come before their offspring,
            and unknown parents are 0.
        genotypes : {ndarray, DataFrame} of shape (n, n_markers)
            Copies of the second allele: 0, 1 or 2. The index of the frame is the animals.
        breeding_values : ndarray of shape (n,)
            True breeding values; their mean is 0 in the base population.
        marker_effects : ndarray of shape (n_markers,)
            Effects of one copy of the second allele.

    Raises
    ------
    ValueError
        If a number is out of its range, or if a generation has fewer males than sires or fewer
        females than dams.

    Notes
    -----
    Frequencies of alleles in the base population are uniform between 0.05 and 0.95, with
    genotypes in Hardy-Weinberg equilibrium and no linkage disequilibrium. Effects are normal, and
    scaled so that the variance of breeding values is the heritability. Crossing over is without
    interference [1]_. Every second animal of a generation is a male.

    References
    ----------
    .. [1] Haldane, J. B. S. (1919). The combination of linkage values, and the calculation of
       distances between the loci of linked factors. Journal of Genetics 8, 299-309.

    Examples
    --------
    >>> from emlearn.datasets import make_breeding_population
    >>> population = make_breeding_population(selection="phenotype", random_state=0)
    >>> population.data.shape, population.genotypes.shape
    ((700, 2), (700, 500))
    >>> generation = population.pedigree[:, 4]
    >>> values = population.breeding_values
    >>> bool(values[generation == 3].mean() > values[generation == 0].mean())
    True
    """
    _check(n_founders, n_generations, n_offspring, n_sires, n_dams, n_markers, n_chromosomes)
    check_scalar(heritability, "heritability", (int, float), min_val=0.0, max_val=1.0)
    if selection not in ("random", "phenotype"):
        raise ValueError(f'selection={selection!r} must be "random" or "phenotype".')
    pandas = import_pandas("make_breeding_population") if as_frame else None
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    rng = np.random.default_rng(seed)

    frequencies = rng.uniform(0.05, 0.95, n_markers)
    effects = rng.normal(size=n_markers)
    effects *= np.sqrt(heritability / (2.0 * frequencies * (1.0 - frequencies) @ effects**2))
    crossing = _recombination(n_markers, n_chromosomes)

    sizes = [n_founders] + [n_offspring] * n_generations
    starts = np.cumsum([0, *sizes])
    n = int(starts[-1])
    pedigree = np.zeros((n, len(_COLUMNS)), np.int64)
    haplotypes = np.empty((n, 2, n_markers), np.int8)
    values, phenotypes = np.empty(n), np.empty(n)
    for generation, size in enumerate(sizes):
        rows = np.arange(starts[generation], starts[generation + 1])
        male = np.arange(size) % 2
        if generation == 0:
            parents = np.full((size, 2), -1)
            haplotypes[rows] = rng.random((size, 2, n_markers)) < frequencies
        else:
            before = np.arange(starts[generation - 1], starts[generation])
            merit = phenotypes[before] if selection == "phenotype" else rng.random(len(before))
            best, males = before[np.argsort(-merit)], pedigree[:, 3] == 1
            chosen = best[males[best]][:n_sires], best[~males[best]][:n_dams]
            parents = np.column_stack([rng.choice(of_sex, size) for of_sex in chosen])
            for j in (0, 1):
                haplotypes[rows, j] = _gametes(haplotypes[parents[:, j]], crossing, rng)
        pedigree[rows] = np.column_stack([rows + 1, parents + 1, male, np.full(size, generation)])
        values[rows] = (haplotypes[rows].sum(axis=1) - 2.0 * frequencies) @ effects
        noise = np.sqrt(1.0 - heritability) * rng.normal(size=size)
        phenotypes[rows] = sex_effect * male + values[rows] + noise

    found = Bunch(
        data=pedigree[:, [_COLUMNS.index(name) for name in _FEATURES]],
        target=phenotypes,
        feature_names=list(_FEATURES),
        pedigree=pedigree,
        genotypes=haplotypes.sum(axis=1, dtype=np.int8),
        breeding_values=values,
        marker_effects=effects,
    )
    if pandas is not None:
        found.pedigree = pandas.DataFrame(pedigree, columns=_COLUMNS)
        found.data = found.pedigree[_FEATURES].copy()
        found.target = pandas.Series(phenotypes, name="phenotype")
        animals = pandas.Index(pedigree[:, 0], name="animal")
        found.genotypes = pandas.DataFrame(found.genotypes, index=animals)
    return found


def _recombination(n_markers: int, n_chromosomes: int) -> Array:
    """Probability that a gamete crosses over before each marker; 1/2 between chromosomes."""
    chromosome = np.arange(n_markers) * n_chromosomes // n_markers
    begins = np.diff(chromosome, prepend=-1) > 0
    distance = n_chromosomes / n_markers  # in Morgans
    return np.where(begins, 0.5, 0.5 * -np.expm1(-2.0 * distance))


def _gametes(haplotypes: Any, crossing: Array, rng: np.random.Generator) -> Any:
    """One gamete of each parent, (n, n_markers), of haplotypes (n, 2, n_markers)."""
    crossed = rng.random((len(haplotypes), len(crossing))) < crossing
    phase = np.cumsum(crossed, axis=1) % 2
    return np.where(phase == 0, haplotypes[:, 0], haplotypes[:, 1])


def _check(
    n_founders: int,
    n_generations: int,
    n_offspring: int,
    n_sires: int,
    n_dams: int,
    n_markers: int,
    n_chromosomes: int,
) -> None:
    counts = {"n_founders": n_founders, "n_offspring": n_offspring, "n_sires": n_sires}
    counts |= {"n_dams": n_dams, "n_markers": n_markers, "n_chromosomes": n_chromosomes}
    check_scalar(n_generations, "n_generations", (int, np.integer), min_val=0)
    for name, count in counts.items():
        check_scalar(count, name, (int, np.integer), min_val=1)
    if n_chromosomes > n_markers:
        raise ValueError(
            f"n_chromosomes={n_chromosomes} must be at most n_markers={n_markers}: each "
            "chromosome needs a marker."
        )
    sizes = {"n_founders": n_founders, "n_offspring": n_offspring}
    parents = [
        name for name, least in (("n_founders", 1), ("n_offspring", 2)) if n_generations >= least
    ]
    for of in parents:
        n_males = sizes[of] // 2
        for name, count, there, sex in (
            ("n_sires", n_sires, n_males, "males"),
            ("n_dams", n_dams, sizes[of] - n_males, "females"),
        ):
            if count > there:
                raise ValueError(
                    f"{name}={count} is more than the {there} {sex} of a generation with "
                    f"{of}={sizes[of]}. Lower {name} or raise {of}."
                )
