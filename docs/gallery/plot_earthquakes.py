"""
Earthquakes as a chain of hidden states
=======================================

The number of major earthquakes a year, 1900 to 2006, is more variable than independent Poisson
counts, and years with many follow each other. A hidden Markov model explains both: each year is in
a state with its own rate, and the states form a chain. (Data: Zucchini, MacDonald and Langrock,
"Hidden Markov Models for Time Series"; magnitude 7 or more.)
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
# How many states? BIC chooses two, AIC three. ``alpha=0`` is maximum likelihood, as in the book,
# whose log-likelihoods these are.

print("states  log-likelihood     AIC     BIC")
models = {}
for n_components in range(1, 5):
    model = HiddenMarkovEM(n_components, family=Poisson(alpha=0.0), n_init=3, random_state=0)
    models[n_components] = model.fit(X)
    print(f"{n_components:6} {model.log_likelihood_:15.4f} {model.aic(X):7.1f} {model.bic(X):7.1f}")

model = models[min(models, key=lambda k: models[k].bic(X))]
rates = model.component_params_["rate"].ravel()
order = rates.argsort()
print("\nrates a year:", rates[order].round(3))
print("transitions:")
print(model.transmat_[np.ix_(order, order)].round(3))

# %%
# Which state was when? ``predict`` is the most probable path, ``predict_proba`` the probability of
# each state in each year, given all years.

path = model.predict(X)
probability = model.predict_proba(X)[:, order]

# %%
# Years without a count are steps of the chain of which nothing is known. If the forties had not
# been observed, the years around them would still say that the rate was high.

holed = X.copy()
holed[40:50] = np.nan
across = model.predict_proba(holed)[40:50, order]
print("1940 to 1949 unseen: probability of the highest rate", across[:, -1].round(2))

# %%
# What is to come? The last state is carried on by the transitions.

state = model.predict_proba(X)[-1]
for ahead in (1, 5, 20):
    expected = state @ np.linalg.matrix_power(model.transmat_, ahead) @ rates
    print(f"expected {ahead:2} years on: {expected:.1f}")

# %%
# A model that never goes back: zeros in ``transmat_init`` stay zero. Three regimes in a row
# describe the century worse than a chain that returns.

regimes = HiddenMarkovEM(
    3,
    family=Poisson(alpha=0.0),
    startprob_init=[1, 0, 0],
    transmat_init=[[0.95, 0.05, 0], [0, 0.95, 0.05], [0, 0, 1]],
    random_state=0,
).fit(X)
changes = years[1:][np.diff(regimes.predict(X)) > 0]
print(f"changes in {changes.tolist()}, BIC {regimes.bic(X):.1f} instead of {model.bic(X):.1f}")

# %%

figure, (top, bottom) = plt.subplots(
    2, 1, figsize=(9, 5), sharex=True, layout="constrained", height_ratios=[2, 1]
)
top.bar(years, X.ravel(), color="0.8", width=0.9)
top.step(years, rates[path], where="mid", color="C3", label="rate of the most probable path")
top.plot(years, probability @ rates[order], color="C0", lw=1, label="expected rate, smoothed")
top.set(ylabel="earthquakes a year")
top.legend(frameon=False)
labels = [f"rate {rate:.1f}" for rate in rates[order]]
bottom.stackplot(years, probability.T, labels=labels, colors=plt.cm.Blues([0.25, 0.5, 0.8, 1.0]))
bottom.set(ylim=(0, 1), xlim=(1899.5, 2006.5), ylabel="probability")
bottom.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
plt.show()
