"""
Vibrations of a building: modes and damage
==========================================

A building sways in the wind and in traffic. Sensors on its floors record how; the forces are not
known. From these records alone, a state-space model finds the natural frequencies, the damping and
the shapes of the modes, and how sure they are. After a damage the frequencies are a little lower:
is that more than chance?
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from emlearn import LinearGaussianStateSpaceEM
from emlearn.datasets import make_shear_frame
from emlearn.statespace import StabilizationDiagramDisplay, compare_modes

# Fits are stopped before the last digits of the noise covariances, which modes do not need.
warnings.simplefilter("ignore", ConvergenceWarning)

fs = 20.0
frame = make_shear_frame(5, 4000, fs=fs, random_state=0)

# %%
# How many modes are there? Models with more and more states answer: modes of the structure stay
# where they are, and those that describe noise come and go.

display = StabilizationDiagramDisplay.from_data(frame.data, range(4, 19, 2), fs=fs, max_iter=25)
display.ax_.set_xlabel("frequency (Hz)")
print("frequencies that stay:", display.frequencies_.round(2))
plt.show()

# %%
# Five modes have ten states. With the rows, modes have standard errors.


def find_modes(X):
    model = LinearGaussianStateSpaceEM(
        10, observation_noise="diag", init_params={}, max_iter=100
    ).fit(X)
    return model.modal_parameters(fs, X)


before = find_modes(frame.data)
print(before)
print("the truth:", frame.frequencies.round(3))

# %%
# Shapes of the modes, from the ground up, beside the true ones.

fig, axes = plt.subplots(1, 5, figsize=(8, 3.2), sharey=True, layout="constrained")
floors = np.arange(6)
for k, ax in enumerate(axes):
    found = np.append(0.0, before.mode_shapes[:, k].real)
    error = np.append(0.0, before.shape_errors[:, k].real)
    truth = np.append(0.0, frame.mode_shapes[:, k])
    truth *= np.sign(truth @ found)
    ax.plot(truth, floors, color="0.6", linewidth=4.0, label="truth")
    ax.errorbar(found, floors, xerr=1.96 * error, marker=".", capsize=2, label="found")
    ax.axvline(0.0, color="0.8", linewidth=0.8)
    ax.set(title=f"{before.frequencies[k]:.2f} Hz", xlabel="shape", xlim=(-0.85, 0.85))
axes[0].set_ylabel("floor")
axes[0].legend(fontsize="small", loc="upper left")
plt.show()

# %%
# Sensors fail. Here that of the second floor worked only in the second half, and for a tenth of the
# time there were no records at all. Nothing is filled in: the likelihood is that of what was seen.

holes = frame.data.copy()
holes[:2000, 1] = np.nan
holes[2800:3200] = np.nan
partial = find_modes(holes)
for all_rows, some in zip(before.frequency_errors, partial.frequency_errors, strict=True):
    print(f"standard error {all_rows:.4f} Hz, with holes {some:.4f} Hz")

# %%
# A new record, after the columns of the lowest storey have lost a tenth of their stiffness, and one
# of the sound frame. Each change is compared with its standard error, and all are tested at once.

records = {
    "sound": make_shear_frame(5, 4000, fs=fs, random_state=1),
    "damaged": make_shear_frame(5, 4000, fs=fs, stiffness_loss=[0.1, 0, 0, 0, 0], random_state=2),
}
fig, ax = plt.subplots(layout="constrained")
for shift, (name, record) in zip((-0.1, 0.1), records.items(), strict=True):
    change = compare_modes(before, find_modes(record.data))
    print(f"{name}: p-value {change.pvalue:.2g}, of modes {change.frequency_pvalue.round(4)}")
    relative = 100.0 * change.frequency_change / before.frequencies[change.before]
    error = np.abs(relative / change.frequency_z)
    ax.errorbar(change.before + 1 + shift, relative, yerr=1.96 * error, fmt="o", label=name)
    if name == "damaged":
        truth = 100.0 * (record.frequencies / frame.frequencies - 1.0)
        ax.plot(np.arange(1, 6) + shift, truth, "_", color="black", markersize=14, label="truth")
ax.axhline(0.0, color="0.8", linewidth=0.8)
ax.set(xlabel="mode", ylabel="change of the frequency (%)", xticks=range(1, 6))
ax.legend()
plt.show()
