"""Projections, reconstructions and deconvolutions beside other packages.

    python benchmarks/bench_tomography.py [--parts projections reconstruction ...] [--turns 15]

projections     a parallel beam beside products of scipy.sparse with the same matrix (CSR) and its
                transpose, of one slice and of many at once
reconstruction  20 iterations of MLEM: of this package with the projector and with the matrix, and
                of ODL with ASTRA's projector of lines, on one CPU thread
osem            2 passes over 10 subsets, beside pytomography on the CPU
deconvolution   30 iterations beside scikit-image, and how far off the border is
memory          MiB beyond the data at the peak, for slices of 512 x 512

Times are medians of turns that rivals take one after another, in milliseconds. Packages that are
not installed are skipped by name.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from _measure import in_child, peak_beyond, seconds
from scipy import sparse
from scipy.signal import fftconvolve
from scipy.signal.windows import gaussian

from emlearn.engine.threads import available_threads
from emlearn.kernels.projections import Projection, angle_matrices
from emlearn.tomography import (
    ParallelBeam,
    PoissonReconstructionEM,
    RichardsonLucyEM,
    shepp_logan,
)


def beam(size, n_angles, n_bins=None, **options):
    return ParallelBeam((size, size), n_angles, n_bins or size, **options)


def matrix_of(projector):
    """The projector as CSR, from the equivalent of its kernels in scipy."""
    (size, _), n_bins = projector.image_shape, projector.n_bins
    half, c, s = (size - 1) / 2, np.cos(projector.angles), np.sin(projector.angles)
    flat = np.zeros_like(c)
    geometry = np.stack([n_bins / 2 - half * c + half * s, c, -s, flat, flat, flat], axis=1)
    projection = Projection(geometry, None, 1.0, 1, n_bins)
    angles = angle_matrices(projection, (size, size))
    matrix = sparse.vstack([part.tocsr() for part in angles]).tocsr()
    matrix.eliminate_zeros()
    return matrix


def medians(rivals, turns):
    """Milliseconds of each rival, the median, and of the median ratio to the first."""
    spent = {name: [] for name in rivals}
    for turn in range(turns + 1):
        for name, function in rivals.items():
            begin = time.perf_counter()
            function()
            if turn:
                spent[name].append(1e3 * (time.perf_counter() - begin))
    first = np.array(next(iter(spent.values())))
    return {name: (np.median(t), np.median(np.array(t) / first)) for name, t in spent.items()}


def show(title, rivals, turns):
    print(f"\n{title}")
    for name, (median, ratio) in medians(rivals, turns).items():
        print(f"  {name:44}{median:10.2f} ms{ratio:8.2f} x the first")


def projections(options):
    size, n_angles = options.size, options.angles
    projector = beam(size, n_angles)
    matrix = matrix_of(projector)
    rng = np.random.default_rng(0)
    for n_images in (1, 8, 64):
        images = rng.random((n_images, projector.n_pixels))
        rays = rng.random((n_images, projector.n_rays))
        columns, seen = (np.ascontiguousarray(x.T) for x in (images, rays))
        if n_images == 1:
            columns, seen = columns[:, 0], seen[:, 0]
        difference = projector.forward(images).T.squeeze() - matrix @ columns
        assert np.abs(difference).max() < 1e-10 * size
        label = f"{n_images} slice{'s' * (n_images > 1)} of {size} x {size}, {n_angles} angles"
        show(
            f"Projection, {label}; {matrix.nnz} entries",
            {
                "ParallelBeam.forward": lambda i=images: projector.forward(i),
                "scipy.sparse: CSR @ x": lambda x=columns: matrix @ x,
            },
            options.turns,
        )
        show(
            f"Back projection, {label}",
            {
                "ParallelBeam.back": lambda r=rays: projector.back(r),
                "scipy.sparse: CSR.T @ y": lambda y=seen: matrix.T @ y,
            },
            options.turns,
        )
    odd = ParallelBeam((size, size), np.sort(rng.random(n_angles)) * np.pi, size)
    images, rays = images[:1], rays[:1]
    show(
        f"Angles without symmetry, one slice of {size} x {size}, {n_angles} angles",
        {
            "ParallelBeam.forward": lambda: odd.forward(images),
            "scipy.sparse: CSR @ x": lambda: matrix @ columns[:, 0],
            "ParallelBeam.back": lambda: odd.back(rays),
            "scipy.sparse: CSR.T @ y": lambda: matrix.T @ seen[:, 0],
        },
        options.turns,
    )


def head_counts(projector, level=30.0):
    head = shepp_logan(projector.image_shape[0])
    mean = projector.forward(level * head.reshape(1, -1))
    return head, np.random.default_rng(0).poisson(mean).astype(float)


def odl_mlem(size, n_angles, counts, n_iter):
    """The MLEM of ODL, and a function that returns its image; None if it is not installed."""
    try:
        import odl
        from odl.applications import tomo
        from odl.solvers import mlem
    except ImportError:
        return None
    half = size / 2
    space = odl.uniform_discr([-half, -half], [half, half], (size, size), dtype="float32")
    angles = odl.uniform_partition(0, np.pi, n_angles)
    detector = odl.uniform_partition(-half, half, size)
    geometry = tomo.Parallel2dGeometry(angles, detector)
    operator = tomo.RayTransform(space, geometry, impl="astra_cpu")
    data = operator.range.element(counts.reshape(n_angles, size).astype("float32"))

    def run():
        image = space.one()
        mlem(operator, image, data, niter=n_iter)
        return image

    return run


def reconstruction(options):
    size, n_angles, n_iter = options.size, options.angles, 20
    projector = beam(size, n_angles)
    _, counts = head_counts(projector)
    matrix = matrix_of(projector)
    em = PoissonReconstructionEM(projector, max_iter=n_iter)
    by_matrix = PoissonReconstructionEM(matrix, max_iter=n_iter)
    rivals = {
        "PoissonReconstructionEM, ParallelBeam": lambda: em.fit(counts),
        "PoissonReconstructionEM, CSR matrix": lambda: by_matrix.fit(counts),
    }
    try:
        run = odl_mlem(size, n_angles, counts, n_iter)
        if run is None:
            print("\nODL: not installed, skipped")
        else:
            run()
            rivals["ODL, mlem with ASTRA on the CPU"] = run
    except Exception as error:  # a peer that is installed but does not run here
        print(f"\nODL: does not run here, skipped ({type(error).__name__}: {error})")
    show(f"MLEM, {n_iter} iterations, {size} x {size}, {n_angles} angles", rivals, options.turns)


def pytomography_osem(projector, counts, n_subsets, n_iter):
    """Function that runs the OSEM of pytomography on two equal slices; it refuses one."""
    import torch
    from pytomography.algorithms import OSEM
    from pytomography.likelihoods import PoissonLogLikelihood
    from pytomography.metadata.SPECT import SPECTObjectMeta, SPECTProjMeta
    from pytomography.projectors.SPECT import SPECTSystemMatrix

    n_angles, n_bins = len(projector.angles), projector.n_bins
    system = SPECTSystemMatrix(
        obj2obj_transforms=[],
        proj2proj_transforms=[],
        object_meta=SPECTObjectMeta((1.0, 1.0, 1.0), (*projector.image_shape, 2)),
        proj_meta=SPECTProjMeta((n_bins, 2), (1.0, 1.0), np.rad2deg(projector.angles)),
    )
    seen = np.repeat(counts.reshape(n_angles, n_bins, 1), 2, axis=2)
    likelihood = PoissonLogLikelihood(system, torch.tensor(seen, dtype=torch.float32))
    return lambda: OSEM(likelihood)(n_iters=n_iter, n_subsets=n_subsets)


def osem(options):
    size, n_angles = options.size, options.angles
    projector = beam(size, n_angles)
    _, counts = head_counts(projector)
    fast = PoissonReconstructionEM(projector, n_subsets=10, max_iter=2)
    plain = PoissonReconstructionEM(projector, max_iter=20)
    show(
        f"OSEM, 2 passes over 10 subsets, and MLEM, 20 iterations, {size} x {size}",
        {"OSEM": lambda: fast.fit(counts), "MLEM": lambda: plain.fit(counts)},
        options.turns,
    )
    try:
        run = pytomography_osem(projector, counts, 10, 2)
    except ImportError:
        print("  pytomography: not installed, skipped")
        return
    print(f"  pytomography, OSEM of two slices, once: {1e3 * seconds(run):.0f} ms")


def deconvolution(options):
    n_iter = 30
    for size, width in ((256, 9), (512, 9), (512, 25)):
        profile = gaussian(width, width / 6)
        psf = np.multiply.outer(profile, profile)
        psf /= psf.sum()
        y, x = np.indices((size + width - 1,) * 2)
        truth = 100.0 + 60.0 * np.sin(x / 9.0) * np.cos(y / 7.0)
        seen = np.random.default_rng(0).poisson(fftconvolve(truth, psf, mode="valid")) / 255.0
        inner = slice(width // 2, -(width // 2))
        truth = truth[inner, inner] / 255.0
        ours = RichardsonLucyEM(psf, max_iter=n_iter)
        dark = RichardsonLucyEM(psf, max_iter=n_iter, extend=False)
        rivals = {
            "RichardsonLucyEM": lambda e=ours, s=seen: e.fit_transform(s),
            "RichardsonLucyEM, extend=False": lambda e=dark, s=seen: e.fit_transform(s),
        }
        try:
            from skimage.restoration import richardson_lucy
        except ImportError:
            print("\nscikit-image: not installed, skipped")
        else:
            rivals["scikit-image, richardson_lucy"] = lambda s=seen, p=psf: richardson_lucy(
                s, p, num_iter=n_iter, clip=False
            )
        title = f"Deconvolution, {n_iter} iterations, {size} x {size}, {width} x {width}"
        show(title, rivals, options.turns)
        for name, function in rivals.items():
            error = np.abs(function() - truth) / truth
            border = np.ones(truth.shape, bool)
            border[width:-width, width:-width] = False
            print(
                f"  {name:44} mean relative error {error[~border].mean():.3f} inside, "
                f"{error[border].mean():.3f} at the border"
            )


def _peak(size, n_angles, n_images, attenuated):
    def make():
        head, options = shepp_logan(size), {}
        if attenuated:
            options["attenuation"] = shepp_logan(size, "attenuation")
        images = np.repeat(head.reshape(1, -1), n_images, axis=0)
        counts = np.empty((n_images, n_angles * size))
        return images, counts, options

    def fit(data):
        images, counts, options = data
        projector = beam(size, n_angles, **options)
        begin = time.perf_counter()
        counts[...] = projector.forward(images)
        middle = time.perf_counter()
        images[...] = projector.back(counts)
        return middle - begin, time.perf_counter() - middle

    return peak_beyond(make, fit)


def memory(options):
    print("\nPeak beyond images and sinograms, 512 x 512, 360 angles (CSR: 2.2 GiB)")
    for n_images in (1, 16):
        for attenuated in (False, True):
            peak, (forward, back) = in_child(_peak, 512, 360, n_images, attenuated)
            what = "with attenuation" if attenuated else "no attenuation"
            print(
                f"  {n_images:3} slices, {what:18}{peak:8.0f} MiB"
                f"{forward:8.2f} s forward{back:8.2f} s back"
            )


PARTS = {
    "projections": projections,
    "reconstruction": reconstruction,
    "osem": osem,
    "deconvolution": deconvolution,
    "memory": memory,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--angles", type=int, default=180)
    parser.add_argument("--turns", type=int, default=15)
    options = parser.parse_args()
    print(f"{available_threads()} threads")
    for part in options.parts:
        PARTS[part](options)


if __name__ == "__main__":
    main()
