"""
A breeding population: pedigree and markers
===========================================

The best animals of each generation have the offspring. Did they become better, and which of the
young, who have no records yet, should be parents? Phenotypes alone do not say: they are partly
environment. An animal model uses the records of relatives, through a pedigree or through markers.
The population is simulated, so that the truth is known.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from emlearn.datasets import make_breeding_population
from emlearn.mixed import Genotypes, LinearMixedModelEM, Pedigree

population = make_breeding_population(
    n_generations=4, selection="phenotype", n_markers=1000, as_frame=True, random_state=1
)
X, y, generation = population.data, population.target, population.pedigree["generation"]
true = pd.Series(population.breeding_values, index=X["animal"])
print(population.pedigree.tail(3))

# %%
# The heritability that was simulated is 0.4, in the base population. Selection does not bias the
# estimate, because the records that selection was based on are in the data.

pedigree = Pedigree.from_frame(population.pedigree)
model = LinearMixedModelEM("animal", kinship=pedigree).fit(X, y)
print(model.heritability(X, y).summary())
print(model.fixed_effects(X, y).summary())
print(f"largest coefficient of inbreeding: {pedigree.inbreeding.max():.2f}")

# %%
# The genetic trend: mean breeding values of the generations, predicted and true. The predictions
# are relative to the founders.

breeding_values = model.random_effects_["animal"].to_frame()["intercept"].loc[true.index]
trend = pd.DataFrame({"predicted": breeding_values, "true": true})
trend = trend.groupby(generation.to_numpy()).mean()
print(trend.round(2))

# %%
# Now the last generation has no records. A pedigree gives full siblings the same prediction, the
# mean of their parents. Markers show which alleles each inherited.

young = (generation == generation.max()).to_numpy()
records = y.mask(young)
found = {}
for name, kinship in (
    ("pedigree", pedigree),
    ("markers", Genotypes(population.genotypes)),
):
    fit = LinearMixedModelEM("animal", kinship=kinship).fit(X, records)
    values = fit.random_effects_["animal"].to_frame()["intercept"].loc[true.index]
    found[name] = values[young]
    correlation = np.corrcoef(values[young], true[young])[0, 1]
    print(
        f"{name:8} log-likelihood {fit.log_likelihood_:.1f}, correlation of the young with the "
        f"truth {correlation:.2f}"
    )

# %%
# Predictions by markers differ more between animals, and are on the line of the truth: a difference
# that is predicted is there, on average. What is not predicted is above or below it.

figure, axes = plt.subplots(1, 3, figsize=(11, 3.8), layout="constrained")
axes[0].plot(trend.index, trend["true"] - trend["true"][0], "k--", label="true")
axes[0].plot(trend.index, trend["predicted"] - trend["predicted"][0], "o-", label="predicted")
axes[0].set(xlabel="generation", ylabel="mean breeding value", title="genetic trend")
axes[0].set_xticks(trend.index)
axes[0].legend()
differences = true[young] - true[young].mean()
for ax, (name, values) in zip(axes[1:], found.items(), strict=True):
    ax.axline((0.0, 0.0), slope=1.0, color="0.7", lw=1)
    ax.plot(values - values.mean(), differences, ".", alpha=0.6, color="tab:blue")
    ax.set(xlabel="predicted difference from their mean", title=f"young animals, by {name}")
    ax.set(xlim=(-1.2, 1.2), ylim=(-1.8, 1.8))
axes[1].set_ylabel("true difference")
plt.show()

# %%
# What is gained if the ten best of the young become parents, compared with the mean of all?

for name, values in found.items():
    best = values.nlargest(10).index
    print(f"{name:8} {true[best].mean() - true[young].mean():.2f}")
print(f"possible {true[young].nlargest(10).mean() - true[young].mean():.2f}")
