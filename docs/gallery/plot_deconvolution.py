"""
A sharper photograph
====================

A photograph that is out of focus and noisy, and the camera's blur is known. The algorithm of
Richardson and Lucy is EM for the Poisson counts of its pixels. How many iterations are enough, and
what becomes of the borders?
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import fftconvolve
from sklearn.datasets import load_sample_image

from emlearn.tomography import RichardsonLucyEM

# Channels first: a stack of three images.
scene = np.moveaxis(load_sample_image("china.jpg")[150:310, 240:480], -1, 0).astype(float)

# %%
# Out of focus, a point of light becomes a disk. The camera does not see the margin of the scene,
# but some of the light from there. Counts are Poisson.

radius = 4
y, x = np.indices((2 * radius + 1, 2 * radius + 1)) - radius
disk = np.clip(radius + 0.5 - np.hypot(x, y), 0.0, 1.0)
disk /= disk.sum()
photons = 8.0
rng = np.random.default_rng(0)
blurred = fftconvolve(scene, disk[None], mode="valid", axes=(1, 2)).clip(0.0)
seen = rng.poisson(photons * blurred)
truth = scene[:, radius:-radius, radius:-radius]

sharper = RichardsonLucyEM(disk, max_iter=40, n_jobs=3).fit_transform(seen)


def photograph(image, level=1.0):
    return np.moveaxis(image / level, 0, -1).clip(0.0, 255.0).astype(np.uint8)


figure, axes = plt.subplots(1, 3, figsize=(10, 2.8), layout="constrained")
pictures = {
    "what the camera sees": photograph(seen, photons),
    "40 iterations": photograph(sharper, photons),
    "the scene": photograph(truth),
}
for ax, (title, picture) in zip(axes, pictures.items(), strict=True):
    ax.imshow(picture)
    ax.set_title(title)
    ax.axis("off")

# %%
# The first iterations make the image sharper, later ones fit noise: the likelihood rises all the
# time, while the error falls and then rises again. With a prior, EM can go on. The error is that of
# the green channel.

n_iters = [1, 3, 10, 30, 100]
settings = {
    "no prior": {},
    "relative differences": {"prior": "relative_difference", "prior_weight": 0.03},
}


def error(n_iter, **options):
    image = RichardsonLucyEM(disk, max_iter=n_iter, **options).fit_transform(seen[1])
    return np.sqrt(np.mean(np.square(image / photons - truth[1])))


errors = {name: [error(n, **options) for n in n_iters] for name, options in settings.items()}
for name, values in errors.items():
    print(f"{name:22}", "  ".join(f"{n}: {v:.1f}" for n, v in zip(n_iters, values, strict=True)))

figure, ax = plt.subplots(figsize=(5, 3.2), layout="constrained")
for name, values in errors.items():
    ax.plot(n_iters, values, "o-", label=name)
ax.set(xscale="log", xlabel="iterations", ylabel="root mean square error, of 255")
ax.set_xticks(n_iters, n_iters)
ax.minorticks_off()
ax.legend(frameon=False)

# %%
# Borders: with ``extend=False`` the scene ends where the photograph does, so that all light near
# the border has to come from inside. By default the image goes on outside.

corner = np.s_[:, :60, :60]
dark = RichardsonLucyEM(disk, max_iter=40, extend=False, n_jobs=3).fit_transform(seen)
figure, axes = plt.subplots(1, 3, figsize=(8, 2.9), layout="constrained")
pictures = {
    "extend=False": photograph(dark[corner], photons),
    "extend=True": photograph(sharper[corner], photons),
    "the scene": photograph(truth[corner]),
}
for ax, (title, picture) in zip(axes, pictures.items(), strict=True):
    ax.imshow(picture)
    ax.set_title(title)
    ax.axis("off")
plt.show()
