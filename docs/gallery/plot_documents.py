"""
Documents, a few of which have labels
=====================================

Texts are easy to collect, labels are not. A multinomial naive Bayes classifier learns only from
labelled texts. As a mixture it learns from the others too: with ``use_labels=True`` their labels
are hidden and EM fills them in (Nigam and others 2000).

The documents are in every installation: the docstrings of SciPy. Which part of SciPy is each from?
"""

import importlib

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import CountVectorizer

from emlearn import FiniteMixtureEM
from emlearn.distributions import Multinomial

parts = ["linalg", "ndimage", "signal", "special", "stats"]
texts = {}
for part in parts:
    module = importlib.import_module(f"scipy.{part}")
    for name in module.__all__:
        text = getattr(module, name).__doc__ or ""
        if len(text) > 300:
            texts[name] = (text, part)
documents, labels = map(np.array, zip(*texts.values(), strict=True))

# %%
# Words that are in at least four documents, but in no more than 30 % of them. The table is sparse,
# and stays so.

vectorizer = CountVectorizer(
    stop_words="english", token_pattern="[a-z]{3,}", min_df=4, max_df=0.3, dtype=float
)
counts = vectorizer.fit_transform(documents)
words = vectorizer.get_feature_names_out()
print(f"{counts.shape[0]} documents, {counts.shape[1]} words")

# %%
# A few documents of each part keep their label; None means that it is not known. With
# ``unlabelled_weight=0`` the others do not count: this is naive Bayes.


def classifier(unlabelled_weight):
    """Naive Bayes that also counts documents without a label."""
    return FiniteMixtureEM(
        family=Multinomial(alpha=0.1), use_labels=True, unlabelled_weight=unlabelled_weight
    )


def keep(n_known, seed):
    """Labels of which few are known."""
    rng = np.random.default_rng(seed)
    known = [rng.choice(np.flatnonzero(labels == part), n_known, False) for part in parts]
    kept = np.full(len(labels), None)
    kept[np.concatenate(known)] = labels[np.concatenate(known)]
    return kept


numbers = [1, 2, 4, 8, 16]
ways = {"labelled documents only": 0.0, "all documents": 1.0}
accuracy = {name: np.empty((len(numbers), 10)) for name in ways}
for i, n_known in enumerate(numbers):
    for seed in range(10):
        kept = keep(n_known, seed)
        hidden = np.equal(kept, None)
        for name, weight in ways.items():
            found = classifier(weight).fit(counts, kept).predict(counts)
            accuracy[name][i, seed] = np.mean((found == labels)[hidden])

print("labels of each part", *(f"{name:>24}" for name in ways))
for i, n_known in enumerate(numbers):
    print(f"{n_known:19}", *(f"{values[i].mean():24.3f}" for values in accuracy.values()))

# %%
# What the mixture has learned: the words that speak most for each part, of those that are common.

model = classifier(1.0).fit(counts, keep(4, seed=0))
probability = model.component_params_["probability"]
common = probability.max(axis=0) > 1e-3
advantage = np.log(probability / (probability.sum(axis=0) - probability))
for part, row in zip(model.classes_, advantage, strict=True):
    best = np.argsort(np.where(common, -row, np.inf))[:7]
    print(f"{part:8}", ", ".join(words[best]))

# %%

figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
for (name, values), style in zip(accuracy.items(), ["s--", "o-"], strict=True):
    mean, spread = values.mean(axis=1), values.std(axis=1)
    ax.errorbar(numbers, mean, spread, fmt=style, capsize=3, label=name)
ax.set_xscale("log", base=2)
ax.set_xticks(numbers, [str(number) for number in numbers])
ax.set(
    xlabel="labelled documents of each part",
    ylabel="accuracy on the other documents",
    title=f"{len(labels)} docstrings of SciPy",
)
ax.legend(loc="lower right")
plt.show()
