"""Multiple imputation and a pooled regression.

Disease progression is regressed on body-mass index and blood pressure. Blood pressure is
missing for 40 % of the patients, more often where progression is high, so complete cases
give a biased answer. Imputing twenty times and pooling does not, and says what the holes
cost.
"""

import numpy as np
from sklearn.datasets import load_diabetes

from emlearn.impute import (
    MissingDataImputerEM,
    little_mcar_test,
    multiple_imputation,
    pool_estimates,
)

bunch = load_diabetes(scaled=False)
columns = ["bmi", "bp", "progression"]
table = np.column_stack((bunch.data[:, [2, 3]], bunch.target))
table = (table - table.mean(axis=0)) / table.std(axis=0)
rng = np.random.default_rng(0)
holes = table.copy()
holes[rng.random(len(table)) < 0.8 / (1.0 + np.exp(-2.0 * table[:, 2])), 1] = np.nan


def regress(rows):
    """Coefficients of progression on the other columns, and their squared standard errors."""
    design = np.column_stack((np.ones(len(rows)), rows[:, :2]))
    coefficients, squares = np.linalg.lstsq(design, rows[:, 2], rcond=None)[:2]
    variance = squares[0] / (len(rows) - 3)
    return coefficients, variance * np.diag(np.linalg.inv(design.T @ design))


test = little_mcar_test(holes)
print(f"Little's test: d2 = {test.statistic:.1f}, df = {test.df}, p = {test.pvalue:.1e}")

imputations = multiple_imputation(
    MissingDataImputerEM(alpha=0), holes, n_imputations=20, random_state=0
)
estimates, variances = zip(*map(regress, imputations), strict=True)
pooled = pool_estimates(estimates, variances, df_complete=len(table) - 3)
full, full_variance = regress(table)
cases, cases_variance = regress(holes[~np.isnan(holes).any(axis=1)])

print(f"{'':>10} {'no holes':>16} {'complete cases':>16} {'pooled':>16} {'95 % interval':>18} lost")
for i, name in enumerate(["intercept", *columns[:2]]):
    low, high = pooled.interval[i]
    print(
        f"{name:>10} {full[i]:8.3f} ({full_variance[i] ** 0.5:.3f}) "
        f"{cases[i]:8.3f} ({cases_variance[i] ** 0.5:.3f}) "
        f"{pooled.estimate[i]:8.3f} ({pooled.standard_error[i]:.3f}) "
        f"  [{low:6.3f}, {high:6.3f}] {pooled.fraction_missing_information[i]:4.0%}"
    )
