"""
Topics of documentation, and words held out
===========================================

Probabilistic latent semantic analysis finds topics in counts of words: distributions of words, of
which each document is a mixture. The documents are in every installation: the docstrings of SciPy.
The analysis does not know which part of SciPy they are from.
"""

import importlib

import matplotlib.pyplot as plt
import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer

from emlearn import PLSA

parts = ["fft", "integrate", "interpolate", "linalg", "ndimage", "optimize", "signal"]
parts += ["sparse", "spatial", "special", "stats"]
documents, labels = [], []
for part in parts:
    module = importlib.import_module(f"scipy.{part}")
    for name in module.__all__:
        text = getattr(module, name).__doc__ or ""
        if len(text) > 300:
            documents.append(text)
            labels.append(part)

vectorizer = CountVectorizer(
    stop_words="english", token_pattern="[a-z]{3,}", min_df=4, max_df=0.3, dtype=float
)
counts = sparse.csr_array(vectorizer.fit_transform(documents))
words = vectorizer.get_feature_names_out()
print(f"{counts.shape[0]} documents, {counts.shape[1]} words")

# %%
# Topics, and their most frequent words. ``document_alpha`` is a prior that lets no topic of a
# document go to 0, with which SQUAREM saves most of the steps.

analysis = PLSA(12, document_alpha=0.05, accelerate="squarem", random_state=0)
topics = analysis.fit_transform(counts)
order = np.argsort(-analysis.topic_weights_)
for z in order:
    best = words[np.argsort(-analysis.components_[z])[:5]]
    print(f"{analysis.topic_weights_[z]:.2f}", ", ".join(best))

# %%
# How much of each part of SciPy is from each topic.

labels = np.array(labels)
length = counts.sum(axis=1)
share = np.array(
    [np.average(topics[labels == p], axis=0, weights=length[labels == p]) for p in parts]
)

# %%
# Are more topics better? A fifth of the words of each document is held out and predicted. Here they
# are: docstrings of similar functions repeat each other. At every number of topics, a temperature
# above 1 or a prior of the documents predicts the words held out better than EM.

rng = np.random.default_rng(0)
held_out = counts.copy()
held_out.data = rng.binomial(counts.data.astype(int), 0.2).astype(float)
kept = sparse.csr_array(counts - held_out)

numbers = [2, 4, 8, 16, 32, 64]
ways = {
    "EM": {},
    "temperature 1.3": {"temperature": 1.3, "accelerate": "squarem"},
    "document_alpha=0.1": {"document_alpha": 0.1, "accelerate": "squarem"},
}
perplexity = {name: [] for name in ways}
for n in numbers:
    for name, settings in ways.items():
        fitted = PLSA(n, tol=1e-3, random_state=0, **settings).fit(kept)
        perplexity[name].append(fitted.perplexity(kept, held_out))
print("topics             ", *(f"{n:8}" for n in numbers))
for name, values in perplexity.items():
    print(f"{name:19}", *(f"{value:8.1f}" for value in values))

# %%

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
image = left.imshow(share[:, order], cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
names = [words[np.argmax(analysis.components_[z])] for z in order]
left.set_xticks(range(len(order)), names, rotation=60, ha="right")
left.set_yticks(range(len(parts)), parts)
left.set(xlabel="topic, by its most frequent word", ylabel="part of SciPy", title="Topics of words")
figure.colorbar(image, ax=left, label="share of the words")
for (name, values), style in zip(perplexity.items(), ["s--", "o-", "^-"], strict=True):
    right.plot(numbers, values, style, label=name)
right.set_xscale("log", base=2)
right.set_xticks(numbers, [str(n) for n in numbers])
right.set(xlabel="number of topics", ylabel="perplexity of words held out", title="Prediction")
right.legend()
plt.show()
