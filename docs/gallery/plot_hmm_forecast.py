"""
Forecasts of a hidden Markov model
==================================

A hidden Markov model fits a series to look back: which state was when? It can also look ahead. The
forecast of the next row follows from the filtered probabilities of the states, which use only the
rows so far. The data are the major earthquakes a year, 1900 to 2006 (Zucchini, MacDonald and
Langrock, "Hidden Markov Models for Time Series"; magnitude 7 or more).
"""

import matplotlib.pyplot as plt
import numpy as np

from emlearn import HiddenMarkovEM
from emlearn.distributions import Poisson

COUNTS = """
    13 14 8 10 16 26 32 27 18 32 36 24 22 23 22 18 25 21 21 14
    8 11 14 23 18 17 19 20 22 19 13 26 13 14 22 24 21 22 26 21
    23 24 27 41 31 27 35 26 28 36 39 21 17 22 17 19 15 34 10 15
    22 18 15 20 15 22 19 16 30 27 29 23 20 16 21 21 25 16 18 15
    18 14 10 15 8 15 6 11 8 7 18 16 13 12 13 20 15 16 12 18
    15 16 13 15 16 11 11
"""
X = np.array(COUNTS.split(), float)[:, None]
years = np.arange(1900, 1900 + len(X))

# %%
# The process did not begin in 1900. With ``stationary_start=True`` the first state has the
# distribution that the transitions lead to in the long run: two parameters less to estimate from
# one first year. Minus log-likelihood 329.4603, as published.

model = HiddenMarkovEM(
    3, family=Poisson(alpha=0.0), stationary_start=True, tol=1e-10, random_state=0
).fit(X)
print(f"minus log-likelihood {-model.log_likelihood_:.4f}, AIC {model.aic(X):.4f}")
print(model.durations(X).summary())

# %%
# ``predict_ahead`` forecasts each year from those before it. Its error is what a forecaster would
# have made who knew the parameters. The long-run mean is a forecast that ignores the last years.

expected, deviation = model.predict_ahead(X, return_std=True)
rate = model.component_params_["rate"][:, 0]
errors = {
    "one year ahead": X - expected,
    "three years ahead": X - model.predict_ahead(X, steps=3),
    "last year's count": np.diff(X, axis=0, prepend=X.mean()),
    "long-run mean": X - model.startprob_ @ rate,
}
for name, error in errors.items():
    print(f"{name:18} root mean square error {np.sqrt(np.mean(error**2)):.2f}")

# %%
# ``forecast`` goes on from where the series of the fit ended. The expected count returns to the
# long-run mean, and its standard deviation grows to that of the whole series.

ahead, ahead_deviation = model.forecast(15, return_std=True)
later = years[-1] + 1 + np.arange(15)
print(f"2007: {ahead[0, 0]:.1f} +- {ahead_deviation[0, 0]:.1f}")
print(f"2021: {ahead[-1, 0]:.1f} +- {ahead_deviation[-1, 0]:.1f}")

# %%
# ``sample(after=...)`` draws futures. They are what a question about several years needs: with
# which probability is there a year of more than 30 in the next ten?

n = 4000
futures, _ = model.sample(lengths=[10] * n, after=[X] * n)
most = futures.reshape(n, 10).max(axis=1)
print(f"more than 30 earthquakes in one of ten years: {np.mean(most > 30):.2f}")

# %%
# What does a forecaster know of the states while the series goes on? ``filter`` does not use the
# years that follow, ``predict_proba`` does.

order = rate.argsort()
now, afterwards = model.filter(X)[:, order], model.predict_proba(X)[:, order]

figure, (top, bottom) = plt.subplots(
    2, 1, figsize=(9, 5.5), sharex=True, layout="constrained", height_ratios=[2, 1]
)
top.bar(years, X[:, 0], color="0.8", width=0.9, label="earthquakes")
for at, center, spread, color in (
    (years, expected[:, 0], deviation[:, 0], "C0"),
    (later, ahead[:, 0], ahead_deviation[:, 0], "C3"),
):
    label = "one year ahead" if color == "C0" else "forecast from 2006"
    top.plot(at, center, color=color, lw=1.2, label=label)
    top.fill_between(at, center - spread, center + spread, color=color, alpha=0.15, lw=0)
top.set(ylim=(0, 47), ylabel="earthquakes a year")
top.legend(frameon=False, ncols=3, loc="upper right")
bottom.plot(years, now[:, -1], color="C0", lw=1, label="given the years so far")
bottom.plot(years, afterwards[:, -1], color="C1", lw=1, label="given all years")
bottom.set(
    ylim=(-0.03, 1.03),
    xlim=(1899, 2022),
    xlabel="year",
    ylabel=f"probability of\nrate {rate[order][-1]:.1f}",
)
bottom.legend(frameon=False, loc="upper right")
plt.show()
