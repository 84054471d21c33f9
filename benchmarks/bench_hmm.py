"""One EM step of HiddenMarkovEM beside hmmlearn's GaussianHMM, at the same parameters.

Everything is timed in one process, in turns, and each figure is the median of the turns:

    python benchmarks/bench_hmm.py          # 50000 rows, K = 4, d = 3
    python benchmarks/bench_hmm.py --more   # other numbers of states, and the numpy form

A step is the difference of two fits from the same start with different numbers of
iterations, divided by the difference of these, with no tolerance. hmmlearn has two
implementations, "log" (its default) and "scaling"; the ratio is to the faster of the two.
hmmlearn is given one thread of BLAS, with which it is faster than with more.
"gap" is the difference of the log-likelihoods, the sums over all rows, of both libraries
("scaling", the more accurate one) at the same parameters, the fitted ones.
"""

from __future__ import annotations

import argparse
import logging
import os
import warnings

import numpy as np
from _measure import steps
from threadpoolctl import threadpool_limits

from emlearn import HiddenMarkovEM
from emlearn.distributions import Gaussian
from emlearn.engine.threads import available_threads
from emlearn.latent.chain import recursions

N_ROWS = 50_000
LENGTHS = [10, 50, N_ROWS]
TURNS = 5


def chains(seed, lengths, n_states, n_features):
    """Rows of Gaussian states that overlap and last some time."""
    rng = np.random.default_rng(seed)
    means = 2.0 * rng.standard_normal((n_states, n_features))
    states = np.zeros(lengths.sum(), int)
    begins = np.cumsum(lengths) - lengths
    for t in range(len(states)):
        states[t] = rng.integers(n_states) if rng.random() < 0.3 else states[t - 1]
    states[begins] = rng.integers(n_states, size=len(begins))
    return means[states] + rng.standard_normal((len(states), n_features)), states


def responsibilities(states, n_states):
    """A start that is right about two thirds of the rows."""
    rng = np.random.default_rng(0)
    guessed = np.where(
        rng.random(len(states)) < 0.67, states, rng.integers(n_states, size=len(states))
    )
    return np.eye(n_states)[guessed]


def fit_ours(X, lengths, start, covariance_type, n_iter):
    model = HiddenMarkovEM(
        start.shape[1],
        family=Gaussian(covariance_type, alpha=0.0),
        init_params=start,
        accelerate=None,
        tol=0.0,
        max_iter=n_iter,
    )
    return model.fit(X, lengths=lengths)


def fit_theirs(X, lengths, start, covariance_type, n_iter, implementation):
    from hmmlearn.hmm import GaussianHMM

    n_states = start.shape[1]
    model = GaussianHMM(
        n_states,
        covariance_type,
        n_iter=n_iter,
        tol=-np.inf,
        implementation=implementation,
        init_params="",
        covars_prior=0.0,
        covars_weight=0.0,
    )
    model.startprob_ = np.full(n_states, 1.0 / n_states)
    model.transmat_ = 0.5 * np.eye(n_states) + 0.5 / n_states
    counts = start.sum(axis=0)
    model.means_ = start.T @ X / counts[:, None]
    covariances = [np.cov(X.T, aweights=start[:, k], bias=True) for k in range(n_states)]
    if covariance_type == "diag":
        covariances = [np.diag(c) for c in covariances]
    model.covars_ = np.stack(covariances)
    with threadpool_limits(1, user_api="blas"):
        return model.fit(X, lengths)


def rivals(X, lengths, start, covariance_type, implementations):
    """What `steps` takes: ours, and the implementations of hmmlearn."""

    def ours(n):
        return fit_ours(X, lengths, start, covariance_type, n).n_iter_

    def theirs(implementation):
        return lambda n: (
            fit_theirs(X, lengths, start, covariance_type, n, implementation).monitor_.iter
        )

    return {"ours": (ours, 2, 12)} | {name: (theirs(name), 1, 3) for name in implementations}


def compare(length, covariance_type, n_states, n_features):
    lengths = np.full(N_ROWS // length, length)
    X, states = chains(0, lengths, n_states, n_features)
    start = responsibilities(states, n_states)
    contenders = rivals(X, lengths, start, covariance_type, ("log", "scaling"))
    times = steps(contenders, TURNS)
    ours = fit_ours(X, lengths, start, covariance_type, 3)
    theirs = fit_theirs(X, lengths, start, covariance_type, 1, "scaling")
    theirs.startprob_, theirs.transmat_ = ours.startprob_, ours.transmat_
    theirs.means_, theirs.covars_ = ours.means_, ours.covariances_
    gap = abs(theirs.score(X, lengths) - ours.log_likelihood_)
    ratio = min(times["log"], times["scaling"]) / times["ours"]
    print(
        f"{len(lengths):>6} x {length:<6} {covariance_type:>5} {n_states:>3} {n_features:>3}"
        f" {1e3 * times['ours']:>10.2f} {1e3 * times['log']:>10.2f}"
        f" {1e3 * times['scaling']:>10.2f}"
        f" {ratio:>7.1f} {gap:>10.1e}"
    )


def header():
    print(
        f"{'sequences':>15} {'cov.':>5} {'K':>3} {'d':>3} {'emlearn ms':>10} {'log ms':>10}"
        f" {'scaling ms':>10} {'ratio':>7} {'gap, nats':>10}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--more", action="store_true", help="other shapes, and without kernels")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    compiled = "compiled" if recursions.compiled is not None else "numpy"
    print(f"{os.cpu_count()} processors, {available_threads()} threads, {compiled} recursions\n")
    header()
    for covariance_type in ("full", "diag"):
        for length in LENGTHS:
            compare(length, covariance_type, 4, 3)
    if arguments.more:
        for n_states in (2, 8, 16):
            for length in LENGTHS:
                compare(length, "full", n_states, 3)
        print("\nnumpy recursions")
        header()
        recursions.compiled = None
        for length in LENGTHS:
            compare(length, "full", 4, 3)


if __name__ == "__main__":
    main()
