"""
Clusters of incomplete rows
===========================

``GaussianMixtureEM`` takes NaN as it is: missing entries are integrated out in ``fit``,
``predict`` and ``score``, which is exact if entries are missing at random. The usual ways around
are to fill each hole with the mean of its column, which draws rows together that do not belong
together, or to drop incomplete rows, of which many are left over.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline

from emlearn import GaussianMixtureEM

X, species = load_iris(return_X_y=True)
mixture = GaussianMixtureEM(3, random_state=0)


def hide(share, seed):
    """The table with holes: a share of its entries, but never a whole row."""
    rng = np.random.default_rng(seed)
    holes = rng.random(X.shape) < share
    holes[np.arange(len(X)), rng.integers(X.shape[1], size=len(X))] = False
    return np.where(holes, np.nan, X)


# %%
# Two ways. The mixture warns of means that were filled in: they are one value, on which a component
# collapses.

ways = {
    "NaN, integrated out": mixture,
    "means of columns, then a mixture": make_pipeline(SimpleImputer(), mixture),
}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    ways["means of columns, then a mixture"].fit(hide(0.3, seed=0))
for warning in caught:
    print(warning.message)

# %%
# Each share of missing entries is tried with five patterns of holes. The species are not used in
# the fit; they show afterwards what the clusters are worth.

shares = [0.0, 0.1, 0.2, 0.3, 0.4]
agreement = {name: np.empty((len(shares), 5)) for name in ways}
complete = []
for i, share in enumerate(shares):
    tables = [hide(share, seed) for seed in range(5)]
    complete.append(np.mean([~np.isnan(table).any(axis=1) for table in tables]))
    for name, way in ways.items():
        for seed, table in enumerate(tables):
            with warnings.catch_warnings():
                if name != "NaN, integrated out":
                    warnings.simplefilter("ignore", ConvergenceWarning)
                labels = way.fit_predict(table)
            agreement[name][i, seed] = adjusted_rand_score(species, labels)

print("missing  complete rows", *(f"{name:>34}" for name in ways))
for i, share in enumerate(shares):
    print(
        f"{share:7.0%} {complete[i]:14.0%}",
        *(f"{values[i].mean():34.2f}" for values in agreement.values()),
    )

# %%
# A row with holes is placed by what is known of it. With fewer columns the answer is less sure,
# and the probabilities say so.

table = hide(0.4, seed=0)
fitted = GaussianMixtureEM(3, random_state=0).fit(table)
n_seen = (~np.isnan(table)).sum(axis=1)
sureness = fitted.predict_proba(table).max(axis=1)

# %%

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for (name, values), style in zip(agreement.items(), ["o-", "s--"], strict=True):
    left.errorbar(shares, values.mean(axis=1), values.std(axis=1), fmt=style, capsize=3, label=name)
left.set(
    xlabel="share of entries that are missing",
    ylabel="agreement with the species",
    ylim=(0, 1),
)
left.legend(loc="lower left")

numbers = np.unique(n_seen)
right.boxplot([sureness[n_seen == number] for number in numbers], positions=numbers, widths=0.5)
right.set(
    xlabel="columns seen, of four",
    ylabel="probability of the most probable component",
    title="40 % of the entries missing",
)
plt.show()
