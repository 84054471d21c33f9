"""
Tissues of a brain
==================

A slice of a simulated magnetic resonance image, with noise and a smooth field that multiplies the
intensities. A mixture of intensities leaves single pixels in the wrong class. Coupling of
neighbors removes them, and the field is estimated together with the classes.
"""

import matplotlib.pyplot as plt
import numpy as np

from emlearn import ImageSegmenterEM
from emlearn.datasets import make_brain_phantom

phantom = make_brain_phantom((217, 181), noise=0.07, bias=0.4, random_state=0)
image, inside = phantom.image, phantom.mask

# %%
# Three models: without neighbors (``beta=0``), with them, and with a field too. beta is estimated.

models = {
    "mixture": ImageSegmenterEM(3, beta=0, random_state=0),
    "neighbors": ImageSegmenterEM(3, random_state=0),
    "neighbors and bias field": ImageSegmenterEM(3, bias_degree=2, random_state=0),
}
for name, model in models.items():
    model.fit(image, inside)
    right = (model.labels_ == phantom.labels)[inside].mean()
    print(f"{name}: beta {model.beta_:.2f}, {right:.1%} of the pixels right")

# %%

figure, axes = plt.subplots(1, 5, figsize=(14, 3.8), layout="constrained")
axes[0].imshow(image, cmap="gray")
axes[0].set_title("image")
axes[1].imshow(np.ma.masked_less(phantom.labels, 0), cmap="viridis", interpolation="nearest")
axes[1].set_title("truth")
for ax, (name, model) in zip(axes[2:], models.items(), strict=True):
    ax.imshow(np.ma.masked_less(model.labels_, 0), cmap="viridis", interpolation="nearest")
    ax.set_title(name)
for ax in axes:
    ax.set_axis_off()

# %%
# The image divided by the field is corrected: in the histogram, its tissues are farther apart.
# Both fields are shown with a geometric mean of 1.

model = models["neighbors and bias field"]
figure, axes = plt.subplots(1, 3, figsize=(11, 3.8), layout="constrained")
shown = axes[0].imshow(np.ma.masked_where(~inside, model.bias_field_), cmap="viridis")
figure.colorbar(shown, ax=axes[0], label="factor of the intensity")
axes[0].set_title("estimated field")
truth = phantom.bias_field / np.exp(np.log(phantom.bias_field[inside]).mean())
shown = axes[1].imshow(np.ma.masked_where(~inside, truth), cmap="viridis")
figure.colorbar(shown, ax=axes[1], label="factor of the intensity")
axes[1].set_title("true field")
bins = np.linspace(20, 200, 80)
axes[2].hist(image[inside], bins, histtype="step", label="image")
axes[2].hist((image / model.bias_field_)[inside], bins, histtype="step", label="corrected")
axes[2].set_xlabel("intensity")
axes[2].legend()
for ax in axes[:2]:
    ax.set_axis_off()
plt.show()
