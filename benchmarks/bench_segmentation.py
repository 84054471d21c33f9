"""ImageSegmenterEM beside a plain mixture, k-means, dipy and scikit-image.

Mean Dice overlap of three tissues of a simulated brain with noise and fields of several sizes.
Each peer has what it needs to do well: dipy and scikit-image get the best of several settings for
each image, which cannot be known without the true labels. Peers that are not installed are left
out by name. `--volume` instead segments an image of 181 x 217 x 181, with time and memory:

    python benchmarks/bench_segmentation.py [--size 90] [--volume]
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import time
import warnings

import numpy as np
from _measure import peak_beyond
from sklearn.cluster import KMeans

from emlearn import GaussianMixtureEM
from emlearn.datasets import make_brain_phantom
from emlearn.image import ImageSegmenterEM, pixel_table

NOISE, BIAS = (0.01, 0.03, 0.05, 0.07, 0.09), (0.0, 0.2, 0.4)
VOLUME = (181, 217, 181)


def dice(labels, truth):
    """Mean overlap of the tissues; labels are put in the order of the tissues by their means."""
    shares = [
        2.0 * np.sum((labels == k) & (truth == k)) / (np.sum(labels == k) + np.sum(truth == k))
        for k in range(3)
    ]
    return float(np.mean(shares))


def by_mean(labels, image, mask):
    """Labels numbered by the mean intensity of their voxels."""
    found = np.unique(labels[mask])
    order = sorted(found, key=lambda k: image[mask & (labels == k)].mean())
    out = np.full(image.shape, -1)
    for new, old in enumerate(order):
        out[mask & (labels == old)] = new
    return out


def ours(phantom, **settings):
    model = ImageSegmenterEM(3, random_state=0, **settings)
    return [model.fit_predict(phantom.image, phantom.mask)]


def mixture(phantom):
    table = pixel_table(phantom.image, phantom.mask)
    fit = GaussianMixtureEM(3, random_state=0).fit(table.rows, sample_weight=table.sample_weight)
    return [table.to_image(fit.predict(table.rows))]


def k_means(phantom):
    table = pixel_table(phantom.image, phantom.mask, unique=False)
    fit = KMeans(3, n_init=3, random_state=0).fit(table.rows)
    return [table.to_image(fit.labels_)]


def dipy(phantom):
    from dipy.segment.tissue import TissueClassifierHMRF

    # It has no mask: the background is a class of its own, as in its documentation.
    image = np.where(phantom.mask, phantom.image, 0.0)
    for beta in (0.0, 0.1, 0.3, 1.0):
        with contextlib.redirect_stdout(io.StringIO()):
            yield TissueClassifierHMRF(verbose=False).classify(image, 3, beta)[1]


def random_walker(phantom):
    from skimage.filters import threshold_multiotsu
    from skimage.segmentation import random_walker

    inside = phantom.image[phantom.mask]
    label = np.digitize(phantom.image, threshold_multiotsu(inside, 3))
    seeds = np.where(phantom.mask, 0, -1)
    for k in range(3):
        own = phantom.image[phantom.mask & (label == k)]
        near = np.abs(phantom.image - np.median(own)) < 0.5 * own.std()
        seeds[phantom.mask & (label == k) & near] = k + 1
    for beta in (10, 130):
        yield random_walker(phantom.image, seeds, beta=beta, mode="cg_j")


def otsu(phantom):
    from skimage.filters import gaussian, threshold_multiotsu

    for sigma in (0.0, 0.5, 1.0):
        image = gaussian(phantom.image, sigma)
        yield np.digitize(image, threshold_multiotsu(image[phantom.mask], 3))


SEGMENTERS = {
    "field": (lambda phantom: ours(phantom), None),
    "field and bias": (lambda phantom: ours(phantom, bias_degree=3), None),
    "mixture": (mixture, None),
    "k-means": (k_means, None),
    "dipy HMRF": (dipy, "dipy"),
    "skimage Otsu": (otsu, "skimage"),
    "skimage walker": (random_walker, "skimage"),
}


def table(size):
    shape = (size, int(1.2 * size), size)
    present = {}
    for name, (segment, package) in SEGMENTERS.items():
        if package is not None and importlib.util.find_spec(package) is None:
            print(f"{name} is left out: {package} is not installed")
        else:
            present[name] = segment
    print(f"mean Dice of the tissues, {shape}")
    print("| noise | bias | " + " | ".join(present) + " |")
    print("|---" * (2 + len(present)) + "|")
    spent = dict.fromkeys(present, 0.0)
    for noise in NOISE:
        for bias in BIAS:
            phantom = make_brain_phantom(shape, noise=noise, bias=bias, random_state=0)
            cells = []
            for name, segment in present.items():
                begin, best, tried = time.process_time(), -1.0, 0
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    for labels in segment(phantom):
                        ordered = by_mean(labels, phantom.image, phantom.mask)
                        best, tried = max(best, dice(ordered, phantom.labels)), tried + 1
                spent[name] += (time.process_time() - begin) / tried
                cells.append(f"{best:.3f}")
            print(f"| {noise:.0%} | {bias:.0%} | " + " | ".join(cells) + " |", flush=True)
    runs = len(NOISE) * len(BIAS)
    seconds = " | ".join(f"{spent[name] / runs:.1f}" for name in present)
    print(f"| seconds of the processor | | {seconds} |")


def volume():
    phantom = make_brain_phantom(VOLUME, noise=0.05, bias=0.2, random_state=0)
    size = phantom.image.nbytes / 2**20
    print(f"{VOLUME}, {phantom.mask.sum()} voxels inside, image {size:.0f} MiB")
    for name, settings, mask in (
        ("beta=1, mask", {"beta": 1.0}, phantom.mask),
        ("beta=1, no mask, 4 classes", {"beta": 1.0, "n_classes": 4}, None),
        ("beta='auto', mask", {}, phantom.mask),
        ("beta='auto', bias_degree=3, mask", {"bias_degree": 3}, phantom.mask),
    ):
        begin = time.process_time()

        def fit(image, settings=settings, mask=mask):
            return ImageSegmenterEM(random_state=0, **settings).fit(image, mask)

        peak, found = peak_beyond(lambda: phantom.image, fit)
        took = time.process_time() - begin
        print(
            f"{name}: {took:.1f} s of the processor, {peak:.0f} MiB besides the image, "
            f"{found.n_iter_} iterations"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=90)
    parser.add_argument("--volume", action="store_true")
    arguments = parser.parse_args()
    volume() if arguments.volume else table(arguments.size)
