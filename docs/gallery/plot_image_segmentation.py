"""
Segments of an image
====================

The pixels of a photograph as a mixture of colors. Equal pixels are equal rows, so the mixture is
fitted to the distinct colors, with their numbers of pixels as ``sample_weight``: a weight is a
number of copies, and the fit is the same.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from emlearn import GaussianMixtureEM

image = load_sample_image("china.jpg")
colors, pixel_color, n_pixels = np.unique(
    image.reshape(-1, 3), axis=0, return_inverse=True, return_counts=True
)
print(f"{n_pixels.sum()} pixels, {len(colors)} colors")

# %%
# Eight groups of colors, each with its own covariance: the sky is a narrow group, the roof
# a wide one.

mixture = GaussianMixtureEM(8, random_state=0)
mixture.fit(colors.astype(float), sample_weight=n_pixels)

# %%
# Each pixel gets the mean color of its group. The number of one component is a mask.

segment = mixture.predict(colors.astype(float))[pixel_color.ravel()].reshape(image.shape[:2])
palette = mixture.means_.clip(0, 255).astype(np.uint8)
largest = int(mixture.weights_.argmax())

for k in np.argsort(-mixture.weights_):
    print(f"{mixture.weights_[k]:6.1%}  rgb {palette[k]}")

# %%

figure, axes = plt.subplots(1, 3, figsize=(12, 3.2), layout="constrained")
axes[0].imshow(image)
axes[0].set_title("photograph")
axes[1].imshow(palette[segment])
axes[1].set_title("mean color of the component")
axes[2].imshow(segment == largest, cmap="Greys_r", interpolation="nearest")
axes[2].set_title("mask: the largest component")
for ax in axes:
    ax.set_axis_off()
plt.show()
