"""
A component that is known
=========================

On Dream Island two species of penguins were measured, and on Torgersen Island only Adelies (Gorman,
Williams and Fraser 2014). Suppose that on Dream nobody looked at the bills, by which the species
are told apart, and that flippers and weights are all there is. The species overlap in these. But
the birds of Torgersen say where Adelies are, so one of two components is known: it is held, and the
other one and the proportions are estimated.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Ellipse
from scipy.stats import chi2

from emlearn import GaussianMixtureEM
from emlearn.datasets import load_penguins

birds = load_penguins(as_frame=True).frame.dropna(subset=["body_mass"])
columns = ["flipper_length", "body_mass"]
known = birds.loc[birds["island"] == "Torgersen", columns].to_numpy()
dream = birds.loc[birds["island"] == "Dream"]
X = dream[columns].to_numpy()
is_adelie = (dream["species"] == "Adelie").to_numpy()

# %%
# ``fixed`` has the name of the attribute without its underscore, and the shape of its array; NaN is
# free. Here component 0 is held and component 1 is free.

mean, covariance = known.mean(axis=0), np.cov(known.T, bias=True)
held = {
    "means": np.stack([mean, np.full(2, np.nan)]),
    "covariances": np.stack([covariance, np.full((2, 2), np.nan)]),
}
free = GaussianMixtureEM(2, random_state=0).fit(X)
mixture = GaussianMixtureEM(2, fixed=held, random_state=0).fit(X)
print("share of Adelies on Dream:", round(float(is_adelie.mean()), 3))
print(mixture.inference(X).summary())

# %%
# Without the birds of Torgersen, the two components are other groups than the species: the heaviest
# birds and the rest. With them, the share of Adelies is close to the true one. Component 0 is the
# Adelies if it is held. Otherwise components have no names, and are taken in the order that fits
# better.


def accuracy(model):
    agree = float(np.mean((model.predict(X) == 0) == is_adelie))
    return agree if model is mixture else max(agree, 1.0 - agree)


for name, model in (("component 0 held", mixture), ("nothing held", free)):
    print(
        f"{name:16}: shares {model.weights_.round(2)}, right species {accuracy(model):.0%}, "
        f"BIC {model.bic(X):.1f}"
    )

# %%
# Are the Adelies of Dream those of Torgersen? Twice the difference of the log-likelihoods is about
# chi-squared with as many degrees of freedom as there are numbers held.

statistic = 2.0 * (free.log_likelihood_ - mixture.log_likelihood_)
print(f"likelihood ratio {statistic:.2f}, p = {chi2.sf(statistic, 5):.3f} (5 degrees of freedom)")


# %%
def draw(ax, mean, covariance, **style):
    values, vectors = np.linalg.eigh(covariance)
    angle = np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1]))
    size = 2.0 * np.sqrt(values * chi2.ppf(0.9, 2))
    ax.add_patch(Ellipse(mean, size[1], size[0], angle=angle, fill=False, lw=2, **style))


figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), sharex=True, sharey=True, layout="constrained")
for ax, model, title in zip(
    axes, (free, mixture), ("nothing held", "one component held"), strict=True
):
    for species, color in ((True, "tab:blue"), (False, "tab:orange")):
        rows = X[is_adelie == species]
        ax.plot(*rows.T, ".", color=color, label="Adelie" if species else "Chinstrap")
    for k in range(2):
        style = {"color": "0.2", "ls": "--" if model is mixture and k == 0 else "-"}
        draw(ax, model.means_[k], model.covariances_[k], **style)
    ax.set(
        title=f"{title}: {accuracy(model):.0%} of the species right", xlabel="flipper length (mm)"
    )
axes[0].set_ylabel("body mass (g)")
axes[0].legend(loc="lower right")
axes[1].plot([], [], color="0.2", ls="--", label="from Torgersen")
axes[1].plot([], [], color="0.2", label="estimated")
axes[1].legend(loc="lower right")
plt.show()
