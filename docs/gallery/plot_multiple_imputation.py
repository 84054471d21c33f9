"""
A regression with missing values, and honest standard errors
============================================================

The progression of diabetes is regressed on body-mass index and blood pressure. Blood pressure is
missing for 40 % of the patients, more often where progression is high. So the patients with all
values are not like the others, and a regression on them alone is biased. Filling each hole once
is no remedy either: the filled values are taken for measured ones, and the standard errors come
out too small.

Multiple imputation fills the holes twenty times with draws, analyzes each table as if it were
complete, and pools the results by Rubin's rules. The spread between the tables is what the holes
cost.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes

from emlearn.impute import (
    MissingDataImputerEM,
    little_mcar_test,
    multiple_imputation,
    pool_estimates,
)

bunch = load_diabetes(scaled=False)
names = ["intercept", "body-mass index", "blood pressure"]
table = np.column_stack((bunch.data[:, [2, 3]], bunch.target))
table = (table - table.mean(axis=0)) / table.std(axis=0)
rng = np.random.default_rng(0)
holed = table.copy()
holed[rng.random(len(table)) < 0.8 / (1.0 + np.exp(-2.0 * table[:, 2])), 1] = np.nan

# %%
# Little's test says that the entries are not missing completely at random.

test = little_mcar_test(holed)
print(f"Little's test: d2 = {test.statistic:.1f}, df = {test.df}, p = {test.pvalue:.1e}")


# %%
# The analysis, which knows nothing of holes:


def regress(rows):
    """Coefficients of progression on the other columns, and their squared standard errors."""
    design = np.column_stack((np.ones(len(rows)), rows[:, :2]))
    coefficients, squares = np.linalg.lstsq(design, rows[:, 2], rcond=None)[:2]
    variance = squares[0] / (len(rows) - 3)
    return coefficients, variance * np.diag(np.linalg.inv(design.T @ design))


# %%
# Twenty imputations, twenty analyses, one result. The outcome is in the imputed table too: a model
# for the holes that leaves it out would weaken the very relation that is studied.

imputations = multiple_imputation(MissingDataImputerEM(), holed, n_imputations=20, random_state=0)
estimates, variances = zip(*map(regress, imputations), strict=True)
pooled = pool_estimates(estimates, variances, df_complete=len(table) - 3)

for i, name in enumerate(names):
    low, high = pooled.interval[i]
    lost = pooled.fraction_missing_information[i]
    print(f"{name:16} {pooled.estimate[i]:6.3f}  [{low:6.3f}, {high:6.3f}]  {lost:4.0%} lost")

# %%
# Beside it: the regression without holes, which in practice is not to be had, the patients with
# all values, and blood pressures that are filled once with their mean.

means = np.where(np.isnan(holed), np.nanmean(holed, axis=0), holed)
others = {
    "no holes": regress(table),
    "complete rows only": regress(holed[~np.isnan(holed).any(axis=1)]),
    "mean of the column": regress(means),
}
results = {name: (fit[0], 1.96 * np.sqrt(fit[1])) for name, fit in others.items()}
results["multiple imputation"] = (pooled.estimate, pooled.interval[:, 1] - pooled.estimate)

figure, axes = plt.subplots(1, 3, figsize=(11, 3), layout="constrained", sharey=True)
for i, ax in enumerate(axes):
    for row, (estimate, half) in enumerate(results.values()):
        ax.errorbar(estimate[i], row, xerr=half[i], fmt="o", capsize=4, color=f"C{row}")
    ax.axvline(results["no holes"][0][i], color="0.7", lw=0.8, zorder=0)
    ax.set(title=names[i], xlabel="coefficient, 95 % interval")
axes[0].set_yticks(range(len(results)), list(results))
axes[0].invert_yaxis()
plt.show()
