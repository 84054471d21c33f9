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

from emlearn import GaussianMixtureEM, ImageSegmenterEM
from emlearn.image import pixel_table

image = load_sample_image("china.jpg")
table = pixel_table(image, channel_axis=-1)
print(f"{table.sample_weight.sum()} pixels, {len(table.rows)} colors")

# %%
# Eight groups of colors, each with its own covariance: the sky is a narrow group, the roof
# a wide one.

mixture = GaussianMixtureEM(8, random_state=0)
mixture.fit(table.rows, sample_weight=table.sample_weight)

# %%
# Each pixel gets the mean color of its group. The number of one component is a mask.

segment = table.to_image(mixture.predict(table.rows))
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

# %%
# A mixture knows nothing of neighbors. `ImageSegmenterEM` couples them: segments lose
# their single pixels, and the leaves of the trees become areas.

image_classes = ImageSegmenterEM(8, covariance_type="full", channel_axis=-1, random_state=0)
image_classes.fit(image)
print(f"beta {image_classes.beta_:.2f}")
smooth = image_classes.means_.clip(0, 255).astype(np.uint8)[image_classes.labels_]

figure, axes = plt.subplots(1, 3, figsize=(12, 3.2), layout="constrained")
part = (slice(170, 400), slice(40, 380))
for ax, picture, title in zip(
    axes,
    (image, palette[segment], smooth),
    ("photograph, a part", "mixture", "with neighbors"),
    strict=True,
):
    ax.imshow(picture[part])
    ax.set_title(title)
    ax.set_axis_off()
plt.show()
