"""Time of a step of FiniteMixtureEM: beside StepMix on items, and on sparse documents.

    python benchmarks/bench_finite_mixture.py              all
    python benchmarks/bench_finite_mixture.py items        20000 rows, 20 items of 4 levels, K = 4
    python benchmarks/bench_finite_mixture.py documents    20000 x 20000 counts, 0.5 % filled, K=20

A step of an estimator is the difference of two fits from the same random start, of few and
of more iterations, divided by the difference in iterations: what fits cost besides steps
cancels. The two libraries take turns, and the median counts. StepMix is left out if it is not
installed.

Documents are fitted in a process of their own, which reads them from a file; its peak memory
is printed beside that before the fit. A dense copy of the counts would take 3200 MB.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import warnings
from pathlib import Path

import numpy as np
from _measure import memory, steps
from scipy.sparse import csr_array, load_npz, save_npz

from emlearn import FiniteMixtureEM
from emlearn.kernels import compiled

ROUNDS = 7


def items(n=20_000, d=20, n_levels=4, n_classes=4, seed=0):
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet(np.full(n_levels, 8.0), (n_classes, d))
    below = probability[rng.integers(n_classes, size=n)].cumsum(axis=2)[:, :, :-1]
    return (rng.random((n, d, 1)) >= below).sum(axis=2)


def documents(n=20_000, d=20_000, length=107, n_topics=20, seed=0):
    rng = np.random.default_rng(seed)
    topics = rng.dirichlet(np.full(d, 0.5), n_topics).cumsum(axis=1)
    topic = rng.integers(n_topics, size=n)
    rows, columns = [], []
    for i in range(n):
        words = np.searchsorted(topics[topic[i]], rng.random(length) * 0.999999)
        rows.append(np.full(len(words), i))
        columns.append(words)
    pairs = np.concatenate(rows), np.concatenate(columns)
    X = csr_array((np.ones(len(pairs[0])), pairs), shape=(n, d))
    X.sum_duplicates()
    return X


def rival(make, X, few, many):
    """What `steps` takes, of a function that makes an estimator of so many iterations."""

    def fit(n_iter):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make(n_iter).fit(X).n_iter_

    return fit, few, many


def ours(family, n_components):
    return lambda n_iter: FiniteMixtureEM(
        n_components,
        family=family,
        init_params="random",
        accelerate=None,
        tol=0.0,
        max_iter=n_iter,
        random_state=0,
    )


def stepmix(n_components):
    from stepmix import StepMix

    return lambda n_iter: StepMix(
        n_components,
        measurement="categorical",
        init_params="random",
        abs_tol=0.0,
        rel_tol=0.0,
        max_iter=n_iter,
        random_state=0,
        verbose=0,
        progress_bar=0,
    )


def bench_items():
    X = items()
    rivals = {"FiniteMixtureEM": rival(ours("categorical", 4), X, 2, 102)}
    try:
        rivals["StepMix"] = rival(stepmix(4), X, 2, 12)
    except ImportError:
        print("StepMix is not installed")
    times = steps(rivals, ROUNDS)
    print(f"categorical, {X.shape[0]} x {X.shape[1]}, 4 levels, K = 4")
    for name, spent in times.items():
        print(f"  {name:16} {1e3 * spent:8.2f} ms a step")
    if len(times) == 2:
        print(f"  StepMix / FiniteMixtureEM: {times['StepMix'] / times['FiniteMixtureEM']:.1f}")


def fit_documents(path):
    X = csr_array(load_npz(path))
    before = memory("VmHWM")
    (spent,) = steps({"ours": rival(ours("multinomial", 20), X, 2, 22)}, 3).values()
    peak = memory("VmHWM")
    size = (X.data.nbytes + X.indices.nbytes + X.indptr.nbytes) / 2**20
    filled = X.nnz / X.shape[0] / X.shape[1]
    print(f"multinomial, CSR {X.shape[0]} x {X.shape[1]}, {100 * filled:.2f} % filled, K = 20")
    print(f"  {1e3 * spent:.1f} ms a step")
    print(f"  peak memory {peak:.0f} MB, before fit {before:.0f} MB, X {size:.0f} MB")


def bench_documents():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "documents.npz"
        save_npz(path, documents())
        process = multiprocessing.get_context("spawn").Process(target=fit_documents, args=(path,))
        process.start()
        process.join()


if __name__ == "__main__":
    benchmarks = {"items": bench_items, "documents": bench_documents}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", help=f"some of {', '.join(benchmarks)}; default all")
    names = parser.parse_args().what or list(benchmarks)
    print("compiled kernels:", "none" if compiled is None else compiled.__name__)
    for name in names:
        benchmarks[name]()
