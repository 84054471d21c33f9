"""
From a table with categories and holes to a regression
======================================================

How much heavier are males, among penguins of the same species and size? Sex was not determined for
a few birds. In this example it also gets lost for many others, more often where the body mass is
high, and so do flipper lengths. Birds with all values are then not like the others, and a
regression on them alone is biased.

The table has species, island and sex beside four measurements. ``MissingDataImputerEM`` takes it
as it is.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from emlearn import MissingDataImputerEM
from emlearn.datasets import load_penguins
from emlearn.impute import missing_patterns, multiple_imputation, pool_estimates

penguins = load_penguins(as_frame=True).data.dropna(subset=["body_mass"])
rng = np.random.default_rng(0)
heavy = penguins.body_mass > 4000
table = penguins.copy()
table.loc[rng.random(len(table)) < np.where(heavy, 0.6, 0.1), "sex"] = np.nan
table.loc[rng.random(len(table)) < np.where(heavy, 0.3, 0.1), "flipper_length"] = np.nan
print(missing_patterns(table))

# %%
# Probabilities of the sexes
# --------------------------
#
# For each missing category there is a probability of each level, given what is observed of the
# row. Circles are birds whose sex is missing, and small points those whose sex is known. Within a
# species, the probability changes from one sex to the other with the size.

imputer = MissingDataImputerEM(random_state=0).set_output(transform="pandas").fit(table)
male = imputer.category_proba(table)["sex"]["male"]
missing = table.sex.isna()

figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained", sharey=True)
for ax, (species, own) in zip(axes, table.groupby("species", observed=True), strict=True):
    for rows, size, edge in [(~missing, 10, "none"), (missing, 45, "0.2")]:
        some = own[rows[own.index]]
        dots = ax.scatter(
            some.bill_depth,
            some.body_mass,
            c=male[some.index],
            s=size,
            edgecolors=edge,
            linewidths=0.7,
            cmap="coolwarm",
            vmin=0,
            vmax=1,
        )
    ax.set(title=species, xlabel="depth of the bill (mm)")
axes[0].set_ylabel("body mass (g)")
figure.colorbar(dots, ax=axes, label="probability: male")
plt.show()

# %%
# The sexes that were removed are known, so the most probable level can be checked.

removed = missing & penguins.sex.notna()
filled = imputer.transform(table)
right = (filled.sex == penguins.sex)[removed].mean()
print(f"{removed.sum()} sexes were removed; {right:.0%} of them are imputed correctly")

# %%
# The analysis
# ------------
#
# Body mass on sex, species and flipper length, by least squares. It knows nothing of holes.


def regress(frame):
    """Coefficients, by name, and their covariance matrix."""
    design = pd.get_dummies(frame[["species", "sex"]], dtype=float)
    design = design.drop(columns=["species_Adelie", "sex_female"])
    design["flipper_length"] = frame.flipper_length - 200.0
    design.insert(0, "intercept", 1.0)
    A, y = design.to_numpy(), frame.body_mass.to_numpy()
    inverse = np.linalg.inv(A.T @ A)
    coefficients = inverse @ A.T @ y
    variance = np.sum((y - A @ coefficients) ** 2) / (len(A) - A.shape[1])
    return dict(zip(design, coefficients, strict=True)), variance * inverse


# %%
# Twenty tables, twenty regressions, one result. Each table is drawn from one of eight models,
# fitted to a resample of the birds, so that the spread between the tables has all that is not
# known.

tables = multiple_imputation(imputer, table, n_imputations=20)
estimates, covariances = zip(*map(regress, tables), strict=True)
pooled = pool_estimates(estimates, covariances, df_complete=len(table) - 5)
print(pooled.summary())
print(f"species, both at once: p = {pooled.wald_test(pooled.names[1:3]).pvalue:.1e}")

# %%
# Beside it: the birds with all values, all birds with the most probable sex, and the regression
# with the values that were removed, which in practice is not to be had. Complete rows are biased,
# and their intervals are wide. With single values, the
# intervals are as short as if nothing had been removed.

results = {"nothing removed": regress(penguins.dropna()), "complete rows": regress(table.dropna())}
results["filled once"] = regress(filled)

figure, axes = plt.subplots(1, 3, figsize=(11, 2.8), layout="constrained", sharey=True)
terms = {"sex_male": "male (g)", "species_Gentoo": "Gentoo (g)", "flipper_length": "flipper (g/mm)"}
for ax, (term, title) in zip(axes, terms.items(), strict=True):
    j = pooled.names.index(term)
    rows = [(fit[term], 1.96 * np.sqrt(matrix[j, j])) for fit, matrix in results.values()]
    rows.append((pooled.estimate[j], pooled.interval[j, 1] - pooled.estimate[j]))
    for i, (estimate, half) in enumerate(rows):
        ax.errorbar(estimate, i, xerr=half, fmt="o", capsize=4, color=f"C{i}")
    ax.axvline(rows[0][0], color="0.7", lw=0.8, zorder=0)
    ax.set(title=title, xlabel="coefficient, 95 % interval")
axes[0].set_yticks(range(4), [*results, "multiple imputation"])
axes[0].set_ylim(3.5, -0.5)
plt.show()
