"""
Crossed factors: which part of an error is whose?
=================================================

Penicillin is measured by the diameter of the zone around it in which no bacteria grow. Six samples
were each tested on the same 24 plates (Davies and Goldsmith 1972). Diameters differ because samples
differ, because plates do, and because no measurement is exact. Samples and plates are *crossed*:
neither is nested in the other. How large is each part?
"""

import matplotlib.pyplot as plt
import numpy as np

from emlearn import LinearMixedModelEM
from emlearn.datasets import load_penicillin
from emlearn.display import RandomEffectsDisplay
from emlearn.mixed import profile_intervals

X, y = load_penicillin(return_X_y=True, as_frame=True)
table = X.assign(diameter=y).pivot(index="plate", columns="sample", values="diameter")
print(table.head())

# %%
# Both factors have random intercepts, and there is no other column. The last table has standard
# deviations. The interval of samples is wide: there are six of them.

model = LinearMixedModelEM(["plate", "sample"]).fit(X, y)
print(f"-2 log-likelihood (REML): {-2.0 * model.log_likelihood_:.5f}")
print(model.inference(X, y).summary())
print(profile_intervals(model, X, y).summary())

# %%
# The variance of a measurement is the sum of the three. What part of it is between samples, and
# how well would two plates agree about the same sample? Both are functions of the variances. Their
# intervals are symmetric, so one reaches beyond 1: six samples say little about how samples vary.


def parts(variances):
    sample, plate = variances["sample"][0, 0], variances["plate"][0, 0]
    total = sample + plate + variances["residual"]
    return {
        "part of samples": sample / total,
        "part of plates": plate / total,
        "difference of two plates (sd)": np.sqrt(2.0 * (plate + variances["residual"])),
    }


print(model.inference(X, y).function(parts).summary())

# %%
# Each line is a plate, each step a sample. The lines are parallel up to the residual, and high or
# low by the effect of their plate.

plates = model.random_effects_["plate"].to_frame().sort_values("intercept").index
samples = model.random_effects_["sample"].to_frame().sort_values("intercept").index
figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
for plate, color in zip(plates, plt.cm.viridis(np.linspace(0.0, 0.9, len(plates))), strict=True):
    ax.plot(table.loc[plate, samples], color=color, lw=0.8, marker=".")
ax.set(xlabel="sample", ylabel="diameter (mm)", title="a line for each plate")

# %%
# The predicted effects are drawn toward 0: those of the samples hardly, because each has 24
# measurements, those of the plates a little. Intervals of samples are wide because they are about
# differences from the mean of all samples that there might be, which six do not show well.

RandomEffectsDisplay.from_estimator(model)

# %%
# A new measurement of sample A: on a plate that was measured before, on a new plate, and that of a
# new sample on a new plate.

new = X.iloc[[0]].astype(object)
for name, row in (
    ("plate a, sample A", {}),
    ("new plate, sample A", {"plate": "new"}),
    ("new plate, new sample", {"plate": "new", "sample": "new"}),
):
    mean, std = model.predict(new.assign(**row), return_std=True)
    print(f"{name:22} {mean[0]:.1f} mm, standard deviation {std[0]:.1f}")
