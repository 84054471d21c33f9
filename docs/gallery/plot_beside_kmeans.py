"""
Clusters beside k-means
=======================

k-means divides the plane by straight lines halfway between centers. So it looks for round groups
of equal size, and its answer depends on the units of the columns. A Gaussian mixture learns the
shape and the size of each group, says how sure it is of each row, and does not depend on units.

Three species of iris, found without their names:
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler

from emlearn import GaussianMixtureEM
from emlearn.display import MixtureDisplay

iris = load_iris(as_frame=True)
X, species = iris.data, iris.target

# %%
# Agreement with the species, by the adjusted Rand index: 1 is perfect, 0 is chance.

X_scaled = StandardScaler().set_output(transform="pandas").fit_transform(X)
mixture = GaussianMixtureEM(3, random_state=0).fit(X)
found = {
    "k-means": KMeans(3, n_init=10, random_state=0).fit_predict(X),
    "k-means, standardized": KMeans(3, n_init=10, random_state=0).fit_predict(X_scaled),
    "mixture": mixture.predict(X),
    "mixture, standardized": GaussianMixtureEM(3, random_state=0).fit_predict(X_scaled),
}
agreement = {name: adjusted_rand_score(species, labels) for name, labels in found.items()}
for name, index in agreement.items():
    print(f"{name:22} {index:.3f}")

# %%
# Rows whose most probable component has a probability below 0.9 are the ones to look at again.

probability = mixture.predict_proba(X)
unsure = probability.max(axis=1) < 0.9
print(f"{unsure.sum()} of {len(X)} rows are not clear")

# %%
# The ellipses hold half and 95 % of a component. Rings: rows that are not clear. The species and
# the clusters of k-means have the color of the component that holds most of their rows.

columns = ["petal length (cm)", "petal width (cm)"]
figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained", sharex=True, sharey=True)
display = MixtureDisplay.from_estimator(mixture, X, features=tuple(columns), ax=axes[2])
axes[2].scatter(
    *X.loc[unsure, columns].to_numpy().T, s=70, facecolors="none", edgecolors="black", lw=0.8
)
for ax, labels, names in [
    (axes[0], species.to_numpy(), iris.target_names),
    (axes[1], found["k-means"], ["cluster 0", "cluster 1", "cluster 2"]),
]:
    for label, name in enumerate(names):
        component = np.bincount(found["mixture"][labels == label]).argmax()
        color = display.points_[component].get_facecolor()[:1]
        ax.scatter(*X.loc[labels == label, columns].to_numpy().T, s=16, c=color, label=name)
    ax.legend()
axes[0].set(title="species", xlabel=columns[0], ylabel=columns[1])
axes[1].set(title=f"k-means: agreement {agreement['k-means']:.2f}", xlabel=columns[0])
axes[2].set(title=f"mixture: agreement {agreement['mixture']:.2f}", ylabel="")
plt.show()
