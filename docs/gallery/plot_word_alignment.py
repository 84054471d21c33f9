"""
Which word translates which
===========================

Pairs of sentences in two languages, and nothing else: no dictionary, no grammar, no links between
words. Models of word alignment find which words are translations of each other, from how often they
occur in the same pairs. The sentences are made by a small grammar of English and German, so the
true links are known.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle
from sklearn.exceptions import ConvergenceWarning

from emlearn import WordAlignmentEM
from emlearn.datasets import make_parallel_sentences
from emlearn.text import alignment_error_rate, symmetrize

corpus = make_parallel_sentences(1000, random_state=0)
for english, german in corpus.pairs[:3]:
    print(" ".join(english), "/", " ".join(german))

# %%
# Model 1 looks at words alone. What it learns is a dictionary, with the null word (None) for words
# that have no counterpart, such as the particle "ja". German articles depend on gender and case, so
# "the" has several translations.

ibm1 = WordAlignmentEM("ibm1").fit(corpus.pairs)
for word, translations in ibm1.top_translations(["house", "seen", "the", None], n=3).items():
    print(word, "->", ", ".join(f"{german} {p:.2f}" for german, p in translations))

# %%
# Model 2 and the HMM also learn where the translation of a word tends to be. With more steps the
# dictionary fits the sentences of the fit better and better, while the links become worse: early
# stopping is usual. So the curves show the error rate of the links after each step.

swapped = [(german, english) for english, german in corpus.pairs]
models = {
    "model 1": {"model": "ibm1"},
    "model 2": {"model": "ibm2"},
    "HMM": {"model": "hmm", "null_probability": 0.2},
}
steps = [1, 2, 3, 5, 8, 13, 21, 34]
rates = {name: [] for name in models}
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    for name, settings in models.items():
        for n in steps:
            both = [
                WordAlignmentEM(**settings, max_iter=n, tol=0.0).fit(pairs).predict(pairs)
                for pairs in (corpus.pairs, swapped)
            ]
            rates[name].append(
                [
                    alignment_error_rate(both[0], corpus.links),
                    alignment_error_rate(symmetrize(*both), corpus.links),
                ]
            )
for name, values in rates.items():
    print(f"{name:8}", *(f"{rate:.3f}" for rate, _ in values))
    print("  joined", *(f"{rate:.3f}" for _, rate in values))

# %%
# Probabilities of the links of one pair; frames are the true links. "ja" is the translation of no
# word. "does" and "not" always occur together, so that no model can tell which of them "nicht" is.

number = 40
english, german = corpus.pairs[number]
hmm = WordAlignmentEM("hmm", null_probability=0.2).fit(corpus.pairs)
figure, axes = plt.subplots(1, 3, figsize=(13, 4.6), layout="constrained")
for ax, (name, model) in zip(axes, {"model 1": ibm1, "HMM": hmm}.items(), strict=False):
    (probability,) = model.predict_proba([corpus.pairs[number]])
    image = ax.imshow(probability, cmap="Blues", vmin=0.0, vmax=1.0)
    for i, j in corpus.links[number]:
        ax.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, edgecolor="C1", lw=2))
    ax.set_xticks(range(len(german)), german, rotation=60, ha="right")
    ax.set_yticks(range(len(english)), english)
    ax.set(xlabel="target word", ylabel="source word", title=f"Links of {name}")
figure.colorbar(image, ax=axes[1], label="probability of the link")
for k, (name, values) in enumerate(rates.items()):
    one, joined = np.array(values).T
    axes[2].plot(steps, one, "o-", color=f"C{k}", label=name)
    axes[2].plot(steps, joined, "s--", color=f"C{k}", label=f"{name}, both directions")
axes[2].set_xscale("log")
axes[2].set_xticks(steps, [str(n) for n in steps])
axes[2].minorticks_off()
axes[2].set(xlabel="iterations", ylabel="alignment error rate", title="Error of the links")
axes[2].set_ylim(bottom=0.0)
axes[2].legend()
plt.show()
