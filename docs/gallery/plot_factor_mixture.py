"""
Clusters in many columns: mixtures of factor analyzers
======================================================

178 wines of three grape varieties, each with 13 chemical measurements (Forina et al. 1986). A full
covariance matrix has 91 parameters, and a variety has 48 to 71 wines: too few. A diagonal one says
that within a variety no two measurements have anything to do with each other. With
``covariance_type="factor"`` the measurements of a variety are related through a few factors
(Ghahramani and Hinton 1996).
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler

from emlearn import GaussianMixtureEM

wine = load_wine()
X = StandardScaler().fit_transform(wine.data)

# %%
# BIC weighs the likelihood against the number of parameters. Three components of two factors are
# best, without any knowledge of the varieties.

numbers = [1, 2, 3, 4, 5]
settings = {
    "diagonal": {"covariance_type": "diag"},
    "1 factor": {"covariance_type": "factor", "n_factors": 1},
    "2 factors": {"covariance_type": "factor", "n_factors": 2},
    "3 factors": {"covariance_type": "factor", "n_factors": 3},
    "full": {"covariance_type": "full"},
}
fits = {
    name: [GaussianMixtureEM(K, random_state=0, **setting).fit(X) for K in numbers]
    for name, setting in settings.items()
}
bic = {name: [fit.bic(X) for fit in own] for name, own in fits.items()}
for name, values in bic.items():
    print(f"{name:10}", *(f"{value:8.0f}" for value in values))

# %%
# The components are the varieties.

best = fits["2 factors"][2]
labels = best.predict(X)
print("adjusted Rand index:", round(adjusted_rand_score(wine.target, labels), 2))
order = np.array([np.bincount(wine.target[labels == k], minlength=3).argmax() for k in range(3)])

# %%
# Share of the variance of each measurement that the factors of a variety explain, which does not
# depend on how factors are turned. Where it is 1, a measurement is itself a factor. Which
# measurements go together differs between the varieties: no "tied" matrix describes them.

common = np.square(best.loadings_).sum(axis=2)
share = common / (common + best.noise_variances_)

figure, (left, right) = plt.subplots(
    1, 2, figsize=(10, 4.4), layout="constrained", width_ratios=(1.1, 1)
)
for (name, values), style in zip(bic.items(), ("o:", "s-", "D-", "^-", "v:"), strict=True):
    left.plot(numbers, values, style, label=name)
left.set(xlabel="number of components", ylabel="BIC (low is good)", ylim=(5250, 6650))
left.set_xticks(numbers)
left.legend(title="covariances")
image = right.imshow(share[np.argsort(order)].T, vmin=0.0, vmax=1.0, cmap="Blues", aspect="auto")
right.set_xticks(range(3), [f"variety {k + 1}" for k in range(3)])
names = [name.replace("_", " ").replace("/", " / ") for name in wine.feature_names]
right.set_yticks(range(13), names)
right.tick_params(length=0)
right.set_title("what factors explain")
right.spines[:].set_visible(False)
figure.colorbar(image, ax=right, label="share of variance due to the factors")
plt.show()
