"""
How sure are the components?
============================

A mixture of two Gaussians describes the eruptions of Old Faithful. How far may its parameters be
off? The bootstrap answers without any formula: it fits the mixture again to resamples of the rows,
and looks at the spread of the fits.
"""

import matplotlib.pyplot as plt

from emlearn import GaussianMixtureEM
from emlearn.datasets import load_old_faithful
from emlearn.inference import bootstrap

X = load_old_faithful().data
mixture = GaussianMixtureEM(2, random_state=0).fit(X)

# %%
# Each fit starts from the estimates, so it takes a few milliseconds, and its components are matched
# with those of the mixture. Fits that fail or do not converge would be counted.

result = bootstrap(mixture, X, n_resamples=300, random_state=0)
print(result.summary())

# %%
# The same from the model: rows drawn from the mixture instead of the data. Where both agree, the
# mixture describes the data well. They do for the long eruptions. The durations of the short ones
# have a heavier tail than a Gaussian, so their variance is less sure than the model would have it.

simulated = bootstrap(mixture, X, kind="parametric", n_resamples=300, random_state=0)
short = mixture.means_[:, 0].argmin()
for name, k in (("short", short), ("long", 1 - short)):
    of_rows = result.standard_errors["covariances"][k, 0, 0]
    of_model = simulated.standard_errors["covariances"][k, 0, 0]
    print(
        f"variance of the {name} eruptions: standard error {of_rows:.4f} from rows, "
        f"{of_model:.4f} from the model"
    )

# %%
# Any function of the fit has an interval too, such as the probability that an eruption between the
# two groups (2.8 minutes, 66 until the next) is a short one. Its distribution is far from normal:
# a symmetric interval leaves the range of probabilities. BCa intervals correct the percentiles for
# bias and skewness.


def probability(fitted):
    """Probability of the short kind for an eruption between the two."""
    return fitted.predict_proba([[2.8, 66.0]])[0, short]


of_function = bootstrap(mixture, X, n_resamples=300, statistic=probability, random_state=0)
print(of_function.summary(method="bca"))

# %%

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
left.plot(*X.T, ".", color="0.75", label="eruptions")
for k, color in ((short, "C0"), (1 - short, "C1")):
    means = result.replicates["means"][:, k]
    left.plot(*means.T, ".", color=color, markersize=3, alpha=0.5)
    left.plot(*mixture.means_[k], "k+", markersize=9)
left.set(
    xlabel="duration in minutes",
    ylabel="minutes until the next eruption",
    title="Means of the components in 400 resamples",
)
left.legend(loc="upper left")

values = of_function.replicates["statistic"]
right.hist(values, bins=30, color="0.8")
for y, (method, color) in enumerate((("percentile", "C0"), ("bca", "C3"), ("normal", "C2"))):
    low, high = of_function.confidence_interval(method=method)["statistic"]
    height = 10 * (y + 1)
    right.plot([low, high], [height, height], "|-", color=color, linewidth=2, label=method)
right.axvline(of_function.estimates["statistic"], color="k", linewidth=1, label="estimate")
right.set(
    xlabel="probability that 2.8 minutes is a short eruption",
    ylabel="resamples",
    title="95 % intervals",
)
right.legend(loc="upper left")
plt.show()
