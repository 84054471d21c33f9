"""Modes of a five-storey shear frame beside the truth and beside pyOMA2's SSI.

    python benchmarks/bench_modal.py [--parts complete missing peer iterations] [--seeds 50]

complete    errors of frequencies and damping ratios, and coverage of 95 % intervals, for
            observation_noise="full" and "diag"
missing     the same with one sensor off for half of the time, all off for a tenth of
            it, and 5 % of all entries missing
peer        errors of both packages on the same rows, ratio of root mean squares, and time. pyOMA2
            (covariance- and data-driven SSI) is told the true frequencies, to choose its poles
iterations  modes and log-likelihood after 25, 50, ... iterations, beside those of 1500

Output only, 4000 rows at 20 Hz, velocities of five floors with noise of 10 %. Each seed is another
record. pyOMA2 is skipped if it is not installed.
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings

import numpy as np

from emlearn import LinearGaussianStateSpaceEM
from emlearn.datasets import make_shear_frame

FS, N_MODES = 20.0, 5


def record(seed, n_samples, missing=False):
    frame = make_shear_frame(5, n_samples, fs=FS, random_state=seed)
    if missing:
        rng = np.random.default_rng(seed)
        frame.data[: n_samples // 2, 1] = np.nan
        frame.data[7 * n_samples // 10 : 8 * n_samples // 10] = np.nan
        frame.data[rng.uniform(size=frame.data.shape) < 0.05] = np.nan
    return frame


def fitted(X, noise, max_iter):
    model = LinearGaussianStateSpaceEM(
        2 * N_MODES, observation_noise=noise, init_params={}, max_iter=max_iter
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X)


def modes_of(model, X=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.modal_parameters(FS, X)


def values(modes):
    return np.concatenate((modes.frequencies, modes.damping_ratios))


def coverage(options, missing, noises):
    for noise in noises:
        estimates, errors, spent = [], [], []
        for seed in range(options.seeds):
            frame = record(seed, options.rows, missing)
            truth = np.concatenate((frame.frequencies, frame.damping_ratios))
            begin = time.perf_counter()
            model = fitted(frame.data, noise, options.max_iter)
            middle = time.perf_counter()
            modes = modes_of(model, frame.data)
            spent.append((middle - begin, time.perf_counter() - middle))
            if len(modes) != N_MODES:
                print(f"  seed {seed}: {len(modes)} modes, left out")
                continue
            estimates.append(values(modes))
            errors.append(np.concatenate((modes.frequency_errors, modes.damping_errors)))
        z = (np.array(estimates) - truth) / np.array(errors)
        known = np.isfinite(z)
        fit, inference = np.median(spent, axis=0)
        print(
            f"\nobservation_noise={noise!r}, {len(z)} seeds, max_iter={options.max_iter}: "
            f"fit {fit:.1f} s, standard errors {inference:.1f} s"
        )
        print("            mode     truth      bias      rmse  mean s.e.  coverage  |z| > 3")
        for i in range(2 * N_MODES):
            off = np.array(estimates)[:, i] - truth[i]
            own = z[known[:, i], i]
            print(
                f"  {'damping' if i >= N_MODES else 'frequency':9} {i % N_MODES + 1:4d} "
                f"{truth[i]:9.4f} {off.mean():9.5f} {np.sqrt((off**2).mean()):9.5f} "
                f"{np.nanmean(np.array(errors)[:, i]):10.5f} {(np.abs(own) < 1.96).mean():9.2f} "
                f"{(np.abs(own) > 3.0).sum():8d}",
                flush=True,
            )
        print(f"  {np.isnan(z).any(axis=1).sum()} records have modes without standard errors")
        for name, part in (("frequency", slice(0, N_MODES)), ("damping", slice(N_MODES, None))):
            inside = np.abs(z[:, part][known[:, part]]) < 1.96
            print(f"  {name}: coverage {inside.mean():.3f} of {inside.size} intervals")


def subspace(data, method, truth):
    from pyoma2.algorithms import SSI
    from pyoma2.setup import SingleSetup

    setup = SingleSetup(data, fs=FS)
    algorithm = SSI(name="ssi", br=20, ordmax=30, method=method)
    setup.add_algorithms(algorithm)
    begin = time.perf_counter()
    setup.run_all()
    spent = time.perf_counter() - begin
    found = {}
    for order in ("find_min", 2 * N_MODES, 20, 30):
        try:
            setup.mpe("ssi", sel_freq=list(truth), order_in=order)
        except Exception:
            continue
        result = algorithm.result
        found[order] = np.concatenate((np.ravel(result.Fn), np.ravel(result.Xi)))
    return found, spent


def peer(options):
    try:
        import pyoma2  # noqa: F401  # only whether it is there
    except ImportError:
        print("\npyOMA2 is not installed: python -m pip install pyOMA_2")
        return
    logging.disable(logging.INFO)
    off, spent = {}, {}
    for seed in range(options.seeds):
        frame = record(seed, options.rows)
        truth = np.concatenate((frame.frequencies, frame.damping_ratios))
        for noise in ("full", "diag"):
            begin = time.perf_counter()
            modes = modes_of(fitted(frame.data, noise, options.max_iter))
            spent.setdefault(noise, []).append(time.perf_counter() - begin)
            if len(modes) == N_MODES:
                off.setdefault(noise, []).append(values(modes) - truth)
        for method in ("cov", "dat"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found, seconds = subspace(frame.data, method, frame.frequencies)
            spent.setdefault(method, []).append(seconds)
            for order, own in found.items():
                off.setdefault(f"pyOMA2 {method}, order {order}", []).append(own - truth)
    reference = rmse(off["full"])
    print(f"\nroot mean square errors, {options.seeds} seeds; in brackets over those of 'full'")
    for name, own in off.items():
        own = np.array(own)
        error = rmse(own)
        ratio = np.exp(np.log(error / reference).reshape(2, N_MODES).mean(axis=1))
        lost = np.isnan(own).any(axis=1).sum() + options.seeds - len(own)
        print(
            f"  {name:28} frequency {np.round(error[:5], 4)} ({ratio[0]:.2f})"
            f"  damping {np.round(error[5:], 4)} ({ratio[1]:.2f})  not found: {lost}"
        )
    for name, seconds in spent.items():
        print(f"  {name:28} {np.median(seconds):8.3f} s")


def rmse(off):
    return np.sqrt(np.nanmean(np.array(off) ** 2, axis=0))


def iterations(options):
    for noise in options.noises:
        print(f"\nobservation_noise={noise!r}, medians of 3 seeds")
        rows = {}
        for seed in range(3):
            frame = record(seed, options.rows)
            end = fitted(frame.data, noise, 1500)
            last = modes_of(end, frame.data)
            error = np.concatenate((last.frequency_errors, last.damping_errors))
            for n in (25, 50, 100, 150, 300):
                model = fitted(frame.data, noise, n)
                moved = np.abs(values(modes_of(model)) - values(last)) / error
                rows.setdefault(n, []).append(
                    (end.log_likelihood_ - model.log_likelihood_, moved.max())
                )
            rows.setdefault("until", []).append((end.n_iter_, float(end.converged_)))
        for n, own in rows.items():
            first, second = np.median(own, axis=0)
            if n == "until":
                print(f"  converged after {first:.0f} iterations ({second:.0f})")
                continue
            print(f"  {n:4d} iterations: {first:8.2f} nats to gain, modes {second:.2f} s.e. away")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ("complete", "missing", "peer", "iterations")
    parser.add_argument("--parts", nargs="+", default=parts, choices=parts)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--noises", nargs="+", default=("full", "diag"), choices=("full", "diag"))
    parser.add_argument("--max-iter", type=int, default=150)
    options = parser.parse_args()
    for part in options.parts:
        if part == "complete":
            coverage(options, False, options.noises)
        elif part == "missing":
            coverage(options, True, options.noises)
        elif part == "peer":
            peer(options)
        else:
            iterations(options)


if __name__ == "__main__":
    main()
