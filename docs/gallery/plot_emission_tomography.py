"""
Emission tomography: bias, noise and when to stop
=================================================

A detector turns around a body and counts the photons that leave it along each line. EM finds the
image that makes these counts most probable. But the counts are noisy, and the most probable image
is so, too. When should EM stop, and what does a prior do?
"""

import matplotlib.pyplot as plt
import numpy as np

from emlearn.tomography import (
    ParallelBeam,
    PoissonReconstructionEM,
    RelativeDifferencePrior,
    select_n_iter,
    shepp_logan,
)

shape = (80, 80)
beam = ParallelBeam(shape, 100, 80)
phantom = shepp_logan(80)
expected = beam.forward(phantom.reshape(1, -1))
scale = 200_000 / expected.sum()
truth, expected = scale * phantom, scale * expected
rng = np.random.default_rng(0)
counts = rng.poisson(expected + 2.0)
print(f"{counts.sum()} counts in {beam.n_rays} rays, of which about {2 * beam.n_rays} are scatter")

# %%
# With each iteration the image fits the counts better; at last it fits their noise. To see when,
# some of the counts are held out at random: an image that predicts these well is good, whatever
# the truth is. Here, the truth is known.

em = PoissonReconstructionEM(beam, max_iter=60)
selection = select_n_iter(em, counts, background=2.0, fraction=0.5, random_state=0)
print(f"counts held out are predicted best after {selection.n_iter} iterations")

# %%
# EM stopped in time and not stopped; ordered subsets, which need fewer iterations for the same
# image; and a prior of relative differences, with which more iterations do no harm.


def reconstruct(counts, **settings):
    return PoissonReconstructionEM(beam, **settings).fit_transform(counts, background=2.0)


prior = RelativeDifferencePrior(gamma=2.0)
smooth = {"prior": prior, "accelerate": "auto", "max_iter": 40}
images = {
    "truth": truth.reshape(1, -1),
    f"stopped after {selection.n_iter}": reconstruct(counts, max_iter=selection.n_iter),
    "200 iterations": reconstruct(counts, max_iter=200),
    "10 subsets, 2 passes": reconstruct(counts, max_iter=2, n_subsets=10),
    "with a prior": reconstruct(counts, prior_weight=2.0, **smooth),
}
for name, image in images.items():
    error = np.linalg.norm(image - truth.ravel()) / np.linalg.norm(truth)
    print(f"{name:22} error {error:.3f}")

figure, axes = plt.subplots(1, 6, figsize=(15, 2.9), layout="constrained")
axes[0].imshow(counts.reshape(100, 80), cmap="gray", aspect="auto")
axes[0].set(xlabel="bin", ylabel="angle", title="counts")
for ax, (name, image) in zip(axes[1:], images.items(), strict=True):
    ax.imshow(image.reshape(shape), cmap="gray_r", vmin=0.0, vmax=0.6 * truth.max())
    ax.set(title=name, xticks=[], yticks=[])

# %%
# How far an image is off has two parts. Bias is what remains if counts are measured again and again
# and the images are averaged; noise is how they vary. More iterations trade one for the other,
# and so does the weight of a prior, at a better rate.

repeats = rng.poisson(np.tile(expected + 2.0, (6, 1)))
size = np.linalg.norm(truth)


def bias_and_noise(found):
    bias = np.linalg.norm(found.mean(axis=0) - truth.ravel()) / size
    noise = np.sqrt(found.var(axis=0, ddof=1).sum()) / size
    return bias, noise


numbers = [2, 4, 8, 12, 16, 24, 32, 48, 64]
weights = [20.0, 10.0, 5.0, 2.0, 1.0]
stopped = np.array([bias_and_noise(reconstruct(repeats, max_iter=n)) for n in numbers])
penalized = np.array(
    [bias_and_noise(reconstruct(repeats, prior_weight=weight, **smooth)) for weight in weights]
)

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
iterations = np.arange(61)
left.plot(iterations[1:], selection.scores[1:], label="counts held out")
left.axvline(selection.n_iter, color="0.6", linestyle=":")
left.set(xlabel="iterations", ylabel="log-likelihood, held out", title="When to stop")
left.set_ylim(selection.scores.max() - 500.0, selection.scores.max() + 150.0)
other = left.twinx()
errors = [
    np.linalg.norm(reconstruct(counts, max_iter=n)[0] - truth.ravel()) / size for n in numbers
]
other.plot(numbers, errors, "s--", color="C1", label="error of the image")
other.set(ylabel="relative error, if the truth is known")
left.legend(loc="upper right")
other.legend(loc="center right")

right.plot(100 * stopped[:, 1], 100 * stopped[:, 0], "o-", label="stopped after n iterations")
right.plot(100 * penalized[:, 1], 100 * penalized[:, 0], "s--", label="relative-difference prior")
for n, (bias, noise) in zip(numbers, stopped, strict=True):
    right.annotate(str(n), (100 * noise, 100 * bias), xytext=(4, 4), textcoords="offset points")
right.set(xlabel="noise (%)", ylabel="bias (%)", title="Bias against noise")
right.legend()
plt.show()
