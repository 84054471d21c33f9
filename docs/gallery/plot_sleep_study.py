"""
Sleep study: lines for people, drawn toward the line of all
===========================================================

Eighteen people slept three hours a night, and their reaction time was measured on ten days (Belenky
and others 2003). Everybody becomes slower, but not equally so. One line for all ignores this; a
regression for each person has ten points and believes each of them. The mixed model is between: it
estimates how much people differ, and draws their lines toward the mean line accordingly.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Ellipse
from scipy.stats import chi2
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, cross_val_score

from emlearn import LinearMixedModelEM
from emlearn.datasets import load_sleepstudy
from emlearn.display import MixedResidualsDisplay, RandomEffectsDisplay
from emlearn.mixed import profile_intervals, random_effect_tests

X, y = load_sleepstudy(return_X_y=True, as_frame=True)
print(X.assign(Reaction=y).head())

# %%
# The grouping factor is a column of X, so that `predict` knows whose line to take. The average
# person becomes 10.5 ms slower each day; the standard deviation of this slope between people is
# about 6 ms.

model = LinearMixedModelEM("Subject", random_slopes=["Days"]).fit(X, y)
print(f"-2 log-likelihood (REML): {-2.0 * model.log_likelihood_:.4f}")
print(model.fixed_effects(X, y).summary())
print(model.inference(X, y).summary())

# %%
# Intervals of standard deviations and of the correlation, which is about 0, by the profile
# likelihood. They are more reliable than those of standard errors if there are few people.

print(profile_intervals(model, X, y).summary())

# %%
# Do people have slopes of their own? The likelihood is compared with that of a model without them;
# and cross-validation over rows asks how well other days of the same people are predicted.

print(random_effect_tests(model, X, y).summary())

rows = KFold(10, shuffle=True, random_state=0)
for name, candidate in (
    ("one line for all", LinearMixedModelEM()),
    ("intercepts", LinearMixedModelEM("Subject")),
    ("intercepts and slopes", model),
):
    table = X if candidate.groups else X[["Days"]]
    print(f"{name:22} R^2 {cross_val_score(candidate, table, y, cv=rows).mean():.2f}")

# %%
# Three ways to draw a line for each person. The residuals are large, so ten points do not fix a
# line well, and the mixed model draws extreme ones toward the mean line.

pooled = LinearRegression().fit(X[["Days"]], y)
people = X["Subject"].unique().tolist()
own = {
    person: np.polyfit(X["Days"][X["Subject"] == person], y[X["Subject"] == person], 1)
    for person in people
}
days = np.array([0.0, 9.0])
center = np.array([model.intercept_, model.coef_[0]])
figure, axes = plt.subplots(3, 6, figsize=(11, 6), sharex=True, sharey=True, layout="constrained")
effects = model.random_effects_["Subject"]
for ax, person in zip(axes.flat, people, strict=True):
    here = X["Subject"] == person
    ax.plot(X["Days"][here], y[here], ".", color="0.4")
    ax.plot(days, pooled.intercept_ + pooled.coef_[0] * days, color="0.7", label="one line for all")
    ax.plot(days, np.polyval(own[person], days), "--", color="tab:orange", label="own regression")
    intercept, slope = center + effects.of(person)
    ax.plot(days, intercept + slope * days, color="tab:blue", label="mixed model")
    ax.set_title(person, fontsize="small")
figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
figure.supxlabel("days of sleep deprivation")
figure.supylabel("reaction time (ms)")

# %%
# The same as points: intercept and slope of each person. Arrows lead from the regressions to the
# mixed model. The ellipse has 95 % of people, by the estimated covariance. The predictions vary
# less than the regressions do, whose errors make people look more different than they are.

covariance = model.variance_components_["Subject"]
values, vectors = np.linalg.eigh(covariance)
size = 2.0 * np.sqrt(values * chi2.ppf(0.95, 2))
angle = np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1]))
start = np.array([own[person][::-1] for person in people])
end = center + np.array([effects.of(person) for person in people])

figure, ax = plt.subplots(figsize=(6.5, 4.5), layout="constrained")
ax.add_patch(Ellipse(center, size[1], size[0], angle=angle, fc="0.95", ec="0.7", zorder=0))
for a, b in zip(start, end, strict=True):
    ax.annotate("", b, a, arrowprops={"arrowstyle": "->", "color": "0.6", "shrinkA": 3})
ax.plot(*start.T, "o", color="tab:orange", label="own regression")
ax.plot(*end.T, "o", color="tab:blue", label="mixed model")
ax.plot(*center, "k+", ms=12, mew=2, label="fixed effects")
ax.set(xlabel="reaction time on day 0 (ms)", ylabel="slope (ms a day)")
ax.legend(loc="lower right", fontsize="small")
print("standard deviation of           intercepts  slopes")
for name, spread in (
    ("own regressions", start.std(axis=0, ddof=1)),
    ("people, as estimated", np.sqrt(np.diagonal(covariance))),
    ("predictions of the mixed model", end.std(axis=0, ddof=1)),
):
    print(f"{name:32}{spread[0]:10.1f}{spread[1]:8.1f}")

# %%
# All effects with intervals. People are in the order of their intercepts; that slopes are in no
# order says that the two are hardly correlated.

RandomEffectsDisplay.from_estimator(model)

# %%
# Does the model fit? Points should be around the lines. Random effects are about normal; a few
# residuals are much larger than normal ones.

MixedResidualsDisplay.from_estimator(model, X, y)
