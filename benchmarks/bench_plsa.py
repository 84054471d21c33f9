"""Topics of documents beside scikit-learn's NMF with the Kullback-Leibler divergence.

    python benchmarks/bench_plsa.py [--parts step memory ...] [--turns 5]

step        seconds of an EM step at 20000 x 20000 counts, 0.5 % of them not 0, and 50 topics, and
            of the multiplicative update of NMF
memory      MiB beyond the data at the peak of three steps
maximum     the log-likelihood per word against time, from the same start
prediction  perplexity of words held out, with and without tempering and priors, and E-steps
short       mixtures of multinomials and of Dirichlet-multinomials on docstrings of SciPy, whole and
            their first lines, a few of which have labels

Rivals take one turn after another; times are medians of the turns. A step of NMF updates both
factors in turn, an EM step both at once, so `maximum` says more than `step`.
"""

from __future__ import annotations

import argparse
import importlib
import time
import warnings

import numpy as np
from _measure import in_child, peak_beyond, seconds, steps
from scipy import sparse
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import CountVectorizer

from emlearn import FiniteMixtureEM
from emlearn.distributions import DirichletMultinomial, Multinomial
from emlearn.engine import RemainingGain, Threads, run_em
from emlearn.engine.threads import available_threads
from emlearn.text import PLSA
from emlearn.text._plsa_model import TopicModel

warnings.simplefilter("ignore", ConvergenceWarning)

NEVER = RemainingGain(0.0)


def table(size=20_000, filled=0.005):
    X = sparse.random_array((size, size), density=filled, format="csr", rng=0)
    X.data = 1.0 + np.random.default_rng(0).poisson(0.5, X.nnz)
    return X


def corpus(n_documents=3000, n_words=4000, n_topics=20, length=80, seed=0):
    """Words that are drawn from topics, with words of the same documents to predict."""
    rng = np.random.default_rng(seed)
    documents = rng.dirichlet(np.full(n_topics, 0.1), n_documents)
    topics = rng.dirichlet(np.full(n_words, 0.05), n_topics)
    kept, new = [], []
    for theta in documents:
        mean = theta @ topics
        kept.append(sparse.csr_array(rng.multinomial(length, mean).astype(float)[None]))
        new.append(sparse.csr_array(rng.multinomial(length, mean).astype(float)[None]))
    return sparse.vstack(kept).tocsr(), sparse.vstack(new).tocsr()


def nmf(n_topics, n_iter, **options):
    return NMF(
        n_topics,
        beta_loss="kullback-leibler",
        solver="mu",
        tol=0.0,
        max_iter=n_iter,
        random_state=0,
        **{"init": "random", **options},
    )


def step(options):
    X, k = table(options.size), 50
    model = TopicModel(k)
    data = model.prepare(X)
    start = model.initialize(data, np.random.default_rng(0))

    def ours(n_threads):
        def fit(n):
            mapper = Threads(n_threads)
            run_em(model, data, start, convergence=NEVER, max_iter=n, mapper=mapper)
            return n

        return fit

    def theirs(n):
        nmf(k, n).fit(X)
        return n

    every = available_threads()
    rivals = {"PLSA, 1 thread": (ours(1), 2, 8)}
    if every > 1:
        rivals[f"PLSA, {every} threads"] = (ours(every), 2, 8)
    rivals["NMF, mu"] = (theirs, 1, 3)
    found = steps(rivals, options.turns)
    print(f"\nA step at {X.shape[0]} x {X.shape[1]}, {X.nnz} entries, {k} topics")
    for name, value in found.items():
        print(f"  {name:24}{value:9.4f} s{found['NMF, mu'] / value:9.1f} x NMF")


def _peak_ours(size):
    return peak_beyond(lambda: table(size), lambda X: PLSA(50, max_iter=3, random_state=0).fit(X))[
        0
    ]


def _peak_nmf(size):
    return peak_beyond(lambda: table(size), lambda X: nmf(50, 3).fit(X))[0]


def memory(options):
    X = table(options.size)
    data = (X.data.nbytes + X.indices.nbytes + X.indptr.nbytes) / 2**20
    factors = 8 * 50 * sum(X.shape) / 2**20
    print(f"\nMemory at the peak of 3 steps: the data take {data:.0f} MiB, factors {factors:.0f}")
    for name, function in (("PLSA", _peak_ours), ("NMF, mu", _peak_nmf)):
        print(f"  {name:24}{in_child(function, options.size):9.0f} MiB")


def maximum(options):
    X, _ = corpus()
    k = 20
    model = TopicModel(k)
    data = model.prepare(X)
    start = model.initialize(data, np.random.default_rng(0))
    total = data.word_counts.sum()
    used = np.flatnonzero(data.word_counts > 0)
    X = X[:, used]
    length = X.sum(axis=1)
    constant = float((X.data * np.log(X.data / np.repeat(length, np.diff(X.indptr)))).sum())
    W = length[:, None] * start.documents
    H = np.ascontiguousarray(start.words[used].T)
    print("\nLog-likelihood per word against seconds, from the same start")
    for n in (10, 30, 100, 300):
        begin = time.perf_counter()
        run = run_em(
            model,
            data,
            start,
            convergence=NEVER,
            max_iter=n,
            mapper=Threads(available_threads()),
        )
        middle = time.perf_counter()
        other = nmf(k, n, init="custom")
        other.fit_transform(X, W=W.copy(), H=H.copy())
        end = time.perf_counter()
        divergence = 0.5 * other.reconstruction_err_**2
        print(
            f"  {n:4} iterations   PLSA {run.objective / total:.5f} in {middle - begin:6.2f} s"
            f"   NMF {(constant - divergence) / total:.5f} in {end - middle:6.2f} s"
        )


def prediction(options):
    X, new = corpus(1000, 2000, 10, 60)
    print("\nPerplexity of other words of the same documents, of which 10 topics are true")
    for k in (10, 30):
        for name, settings in (
            ("maximum likelihood", {"word_alpha": 0.0}),
            ("the defaults", {}),
            ("document_alpha=0.1", {"document_alpha": 0.1}),
            ("the same, squarem", {"document_alpha": 0.1, "accelerate": "squarem"}),
            ("temperature='held-out'", {"temperature": "held-out"}),
            ("the same, squarem", {"temperature": "held-out", "accelerate": "squarem"}),
        ):
            analysis = PLSA(k, random_state=0, **settings)
            spent = seconds(lambda analysis=analysis: analysis.fit(X))
            kept = (analysis.components_ > 0).any(axis=0)
            words = sparse.csr_array(new @ sparse.diags_array(kept.astype(float)))
            print(
                f"  {k:3} topics  {name:26}{analysis.perplexity(X, words):8.1f}"
                f"   temperature {analysis.temperature_:.2f}"
                f"{analysis.n_iter_:6} iterations{spent:7.2f} s"
            )


def short(options):
    parts = ["linalg", "ndimage", "signal", "special", "stats"]
    texts = {}
    for part in parts:
        module = importlib.import_module(f"scipy.{part}")
        for name in module.__all__:
            text = getattr(module, name).__doc__ or ""
            if len(text) > 300:
                texts[name] = (text.strip(), part)
    documents, labels = map(np.array, zip(*texts.values(), strict=True))
    first = np.array([text.partition("\n\n")[0] for text in documents])
    families = {"multinomial": Multinomial(0.1), "dirichlet_multinomial": DirichletMultinomial(0.1)}
    print(
        "\nWhich part of SciPy: accuracy with 4 labels of each, 10 times; log-likelihood of others"
    )
    for kind, corpus in (("whole docstrings", documents), ("first lines", first)):
        counts = CountVectorizer(
            stop_words="english", token_pattern="[a-z]{3,}", min_df=4, max_df=0.3
        ).fit_transform(corpus)
        print(f"  {kind}: {counts.shape[0]}, {counts.sum() / counts.shape[0]:.1f} words on average")
        for name, family in families.items():
            right, held_out, spent = [], [], []
            for seed in range(10):
                rng = np.random.default_rng(seed)
                chosen = [rng.choice(np.flatnonzero(labels == p), 4, False) for p in parts]
                known = np.full(len(labels), None)
                known[np.concatenate(chosen)] = labels[np.concatenate(chosen)]
                hidden = np.equal(known, None)
                mixture = FiniteMixtureEM(family=family, use_labels=True)
                spent.append(seconds(lambda m=mixture, X=counts, y=known: m.fit(X, y)))
                right.append(np.mean((mixture.predict(counts) == labels)[hidden]))
                fold = rng.random(len(labels)) < 0.5
                again = FiniteMixtureEM(family=family, use_labels=True)
                again.fit(counts[fold], labels[fold])
                held_out.append(again.score(counts[~fold]))
            print(
                f"    {name:24} accuracy {np.mean(right):.3f} +- {np.std(right):.3f}"
                f"   {np.mean(held_out):9.2f} nats{np.median(spent):8.2f} s"
            )


PARTS = {
    "step": step,
    "memory": memory,
    "maximum": maximum,
    "prediction": prediction,
    "short": short,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--size", type=int, default=20_000)
    options = parser.parse_args()
    for name in options.parts:
        PARTS[name](options)


if __name__ == "__main__":
    main()
