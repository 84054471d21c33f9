"""
Nowcasting with dynamic factors
===============================

Twenty series of one economy move together. Half of them are published two months late, and three
only once a quarter. A dynamic factor model uses whatever is there: it says what the late series
are now, before they are published.
"""

import matplotlib.pyplot as plt
import numpy as np

from emlearn import DynamicFactorEM

rng = np.random.default_rng(1)
T, n_series = 180, 20
factor = np.zeros(T)
for t in range(1, T):
    factor[t] = 0.85 * factor[t - 1] + rng.normal()
loadings = rng.uniform(0.4, 1.2, n_series)
truth = np.outer(factor, loadings) + rng.normal(size=(T, n_series))
X = truth.copy()
quarterly, late = [0, 1, 2], np.arange(10, 20)
X[np.arange(T) % 3 != 2, :3] = np.nan
X[-2:, late] = np.nan

# %%
# ``bic`` compares numbers of factors.

for n_factors in (1, 2):
    model = DynamicFactorEM(n_factors, random_state=0).fit(X)
    print(f"{n_factors} factors: BIC {model.bic(X):.1f}")
model = DynamicFactorEM(1, random_state=0).fit(X)
print("persistence of the factor:", model.transition_coefficients_.round(2).ravel())

# %%
# The late series in the last two months: what the model says now, beside a forecast that knows
# only what was published for all series.

now = model.offset_ + model.filter(X) @ model.loadings_.T
forecast = model.forecast(2, X[:-2])
for name, found in (("nowcast", now[-2:]), ("forecast", forecast)):
    error = np.sqrt(np.mean((found - truth[-2:])[:, late] ** 2))
    print(f"{name}: root mean square error {error:.2f}")

# %%
# The factor, and a quarterly series by month.

states, covariances = model.transform(X, return_cov=True)
deviation = np.sqrt(covariances[:, 0, 0])
figure, (above, below) = plt.subplots(2, 1, figsize=(9, 6), sharex=True)
months = np.arange(T)
above.fill_between(
    months,
    states[:, 0] - 1.96 * deviation,
    states[:, 0] + 1.96 * deviation,
    alpha=0.3,
    label="95 %",
)
above.plot(months, states[:, 0], label="factor")
above.plot(months, factor - factor.mean(), color="black", lw=1, label="truth, about its mean")
above.set_ylabel("factor")
above.legend(loc="lower right")
column = quarterly[0]
smoothed = model.offset_[column] + states @ model.loadings_[column]
below.plot(months, smoothed, label="by month, from the model")
below.plot(months, X[:, column], "o", ms=4, color="C1", label="published, by quarter")
below.plot(months, truth[:, column], color="black", lw=0.7, label="truth")
below.set(xlabel="month", ylabel="quarterly series")
below.legend(loc="lower left")
figure.tight_layout()
plt.show()
