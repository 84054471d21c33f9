"""Quickstart: how many kinds of eruption has Old Faithful?

Scales the data, chooses the number of components by cross-validated likelihood and by
BIC, prints what was found, and draws it. Then it fills the holes of a data set with
missing values. Run it from anywhere; the picture is saved where you are.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from emlearn import GaussianMixtureEM, MissingDataImputerEM
from emlearn.datasets import load_cholesterol, load_old_faithful
from emlearn.display import MixtureDisplay

PICTURE = Path("old_faithful.png")

eruptions = load_old_faithful().data

# A mixture is a step of a pipeline like any other; `score` is the held-out log-likelihood.
search = GridSearchCV(
    Pipeline(
        [
            ("scale", StandardScaler()),
            ("mixture", GaussianMixtureEM(init_params="search", random_state=0)),
        ]
    ),
    {"mixture__n_components": [1, 2, 3, 4, 5], "mixture__covariance_type": ["full", "tied"]},
    cv=KFold(5, shuffle=True, random_state=0),
).fit(eruptions)

settings = search.cv_results_["params"]
held_out = search.cv_results_["mean_test_score"]
bic = []
for chosen in settings:
    mixture = clone(search.estimator).set_params(**chosen)["mixture"]
    bic.append(mixture.fit(eruptions).bic(eruptions))

print(f"Old Faithful: {len(eruptions)} eruptions; duration and time to the next, in minutes\n")
print(f"{'components':>10} {'covariance':>10} {'held-out log-lik.':>18} {'BIC':>9}")
for i, chosen in enumerate(settings):
    note = "  <- best held out" if i == search.best_index_ else ""
    note += "  <- best BIC" if bic[i] == min(bic) else ""
    print(
        f"{chosen['mixture__n_components']:>10} {chosen['mixture__covariance_type']:>10} "
        f"{held_out[i]:>18.4f} {bic[i]:>9.1f}{note}"
    )

scaler, mixture = search.best_estimator_["scale"], search.best_estimator_["mixture"]
print(f"\n{'component':>10} {'weight':>7} {'duration':>9} {'waiting':>8}")
for k, (weight, mean) in enumerate(
    zip(mixture.weights_, scaler.inverse_transform(mixture.means_), strict=True)
):
    print(f"{k:>10} {weight:>7.1%} {mean[0]:>9.2f} {mean[1]:>8.1f}")
print(f"\nEM converged in {mixture.n_iter_} iterations: {mixture.converged_}")

display = MixtureDisplay.from_estimator(search, eruptions)
display.ax_.set(
    title="Old Faithful: ellipses hold 50% and 95% of a component",
    xlabel="duration of the eruption (min)",
    ylabel="time to the next (min)",
)
display.figure_.savefig(PICTURE, dpi=120)
print(f"Picture saved to {PICTURE.resolve()}")

# Holes are filled by their conditional mean, and it is known how uncertain that is.
table = load_cholesterol().data
imputer = MissingDataImputerEM().fit(table)
filled, deviation = imputer.transform(table), imputer.conditional_std(table)
holes = np.flatnonzero(np.isnan(table[:, 2]))
print(f"\nCholesterol (mg/dl) after a heart attack: {len(holes)} of {len(table)} missed day 14\n")
print(f"{'patient':>10} {'day 2':>7} {'day 4':>7} {'day 14, imputed':>17}")
for i in holes[:5]:
    day_2, day_4, day_14 = filled[i]
    print(f"{i:>10} {day_2:>7.0f} {day_4:>7.0f} {day_14:>10.0f} +- {deviation[i, 2]:.0f}")
