"""Word alignment beside NLTK, and the time of a step of each model.

    python benchmarks/bench_alignment.py [--parts fits steps errors] [--turns 3]

fits    iterations of models 1 and 2 on pairs of sentences of 5 to 25 words beside NLTK: reading,
        EM and the links of the pairs of the fit, which NLTK finds too. Both have the same table:
        no word occurs twice in a target sentence, as NLTK counts such words twice
steps   an iteration of each model, for several numbers of pairs
errors  alignment error rates on `make_parallel_sentences`, and of joined links

Times are medians of turns that rivals take one after another.
"""

from __future__ import annotations

import argparse
import gc
import time
import warnings
from functools import partial

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from emlearn.datasets import make_parallel_sentences
from emlearn.text import WordAlignmentEM, alignment_error_rate, symmetrize


def make_pairs(n_pairs, n_words, seed=0):
    """Sentences of words with Zipf's frequencies, translated word by word, neighbors exchanged."""
    rng = np.random.default_rng(seed)
    chance = 1.0 / np.arange(1.0, n_words + 1.0)
    chance /= chance.sum()
    pairs = []
    for _ in range(n_pairs):
        words = rng.choice(n_words, rng.integers(5, 26), replace=False, p=chance)
        target = [f"f{w}" for w in words]
        i = rng.integers(0, len(words) - 1)
        target[i], target[i + 1] = target[i + 1], target[i]
        pairs.append(([f"e{w}" for w in words], target))
    return pairs


def clock(function):
    """Wall-clock seconds, seconds of the processor, and the value."""
    wall, own = time.perf_counter(), time.process_time()
    value = function()
    return time.perf_counter() - wall, time.process_time() - own, value


def compare_fits(turns):
    try:
        from nltk.translate import AlignedSent, IBMModel1, IBMModel2
    except ImportError:
        print("fits: NLTK is not installed")
        return

    def own(pairs, model, n):
        start = {"start_iter": 2 * n} if model == "ibm2" else {}
        fitted = WordAlignmentEM(model, max_iter=n, tol=0.0, **start).fit(pairs)
        fitted.predict(pairs)
        return fitted

    def theirs(pairs, model, n):
        sentences = [AlignedSent(target, source) for source, target in pairs]
        return (IBMModel1 if model == "ibm1" else IBMModel2)(sentences, n)

    for n_pairs, n_words in ((5000, 1000), (5000, 5000)):
        pairs = make_pairs(n_pairs, n_words)
        for model, n in (("ibm1", 5), ("ibm1", 10), ("ibm2", 5)):
            spent, found = {own: [], theirs: []}, {}
            own(pairs, model, 1)  # what is imported when it is first used
            for _ in range(turns):
                for rival in spent:
                    found.pop(rival, None)
                    if rival is own:  # NLTK's dicts slow down the garbage collector for all
                        found.clear()
                        gc.collect()
                    wall, processor, found[rival] = clock(partial(rival, pairs, model, n))
                    spent[rival].append((wall, processor))
            mine, other = (np.median(spent[rival], axis=0) for rival in (own, theirs))
            table = found[theirs].translation_table
            matrix = found[own].translation_
            words, names = found[own].source_vocabulary_, found[own].target_vocabulary_
            off = max(
                abs(table[names[j]][words[i]] - matrix.data[k])
                for i in range(0, len(words), 50)
                for k in range(matrix.indptr[i], matrix.indptr[i + 1])
                for j in [matrix.indices[k]]
            )
            print(
                f"{n_pairs} pairs, {n_words} words, {model}, {n} iterations: {mine[0]:.3f} s, "
                f"NLTK {other[0]:.2f} s; ratio {other[0] / mine[0]:.0f}, of processor time "
                f"{other[1] / mine[1]:.0f}; largest difference of t {off:.1e}"
            )


def measure_steps():
    for n_pairs in (5000, 50000):
        pairs = make_pairs(n_pairs, 5000)
        for model, options in (
            ("ibm1", {}),
            ("ibm2", {}),
            ("ibm2", {"alignment": "diagonal"}),
            ("hmm", {}),
        ):
            few, many = (
                clock(partial(WordAlignmentEM(model, max_iter=n, tol=0.0, **options).fit, pairs))[0]
                for n in (1, 6)
            )
            name = " ".join([model, *options.values()])
            print(f"{n_pairs} pairs, {name}: {(many - few) / 5 * 1e3:.0f} ms an iteration")


def compare_errors():
    corpus = make_parallel_sentences(1000, random_state=0)
    swapped = [(target, source) for source, target in corpus.pairs]
    for model, options in (
        ("ibm1", {}),
        ("ibm2", {}),
        ("ibm2", {"alignment": "diagonal"}),
        ("hmm", {}),
        ("hmm", {"null_probability": 0.2}),
    ):
        both = [
            WordAlignmentEM(model, **options).fit(pairs).predict(pairs)
            for pairs in (corpus.pairs, swapped)
        ]
        rates = [alignment_error_rate(both[0], corpus.links)]
        rates += [
            alignment_error_rate(symmetrize(*both, method), corpus.links)
            for method in ("intersection", "union", "grow-diag-final-and")
        ]
        name = " ".join(map(str, [model, *options.values()]))
        print(f"{name}: AER", *(f"{rate:.3f}" for rate in rates))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", default=["fits", "steps", "errors"])
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    if "fits" in options.parts:
        compare_fits(options.turns)
    if "steps" in options.parts:
        measure_steps()
    if "errors" in options.parts:
        compare_errors()


if __name__ == "__main__":
    main()
