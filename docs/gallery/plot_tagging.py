"""
Parts of speech from few tagged sentences
=========================================

A hidden Markov model of the words of sentences: its states are parts of speech. It can be fitted
to sentences whose tags are all known, known for some words, or not known at all. The sentences are
made by a grammar with English structure and made-up stems, so that new sentences have words that
were never seen; their suffix tells what they can be.
"""

from collections import Counter

import matplotlib.pyplot as plt
import numpy as np

from emlearn import PartOfSpeechTaggerEM
from emlearn.datasets import make_tagged_sentences

corpus = make_tagged_sentences(1600, random_state=0)
train, test = corpus.sentences[:1000], corpus.sentences[1000:]
known, true = corpus.tags[:1000], corpus.tags[1000:]
print(" ".join(f"{word}/{tag}" for word, tag in zip(train[3], known[3], strict=True)))
seen = {word for sentence in train for word in sentence}
words = [word for sentence in test for word in sentence]
print(f"words of new sentences never seen before: {np.mean([w not in seen for w in words]):.0%}")

# %%
# All tags known: the fit counts. Without suffixes, words never seen are told apart by their place
# alone.

supervised = PartOfSpeechTaggerEM().fit(train, known)
print(f"all tags:          {supervised.score(test, true):.3f}")
without = PartOfSpeechTaggerEM(suffix_length=0).fit(train, known)
print(f"without suffixes:  {without.score(test, true):.3f}")

# %%
# Some tags known: those of the first sentences, or of words at random. EM uses all sentences, a
# supervised tagger the first ones only. From 5 % on the supervised one is better: the many
# sentences without tags outweigh those with tags, and what explains the words best are not quite
# the parts of speech (Merialdo 1994 found the same of English). A low weight of them helps.

rng = np.random.default_rng(0)
shares = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5]
whole, spread, light = [], [], []
for share in shares:
    n = int(share * len(train))
    whole.append(PartOfSpeechTaggerEM().fit(train[:n], known[:n]).score(test, true))
    some = [[tag if rng.random() < share else None for tag in tags] for tags in known]
    spread.append(PartOfSpeechTaggerEM(random_state=0).fit(train, some).score(test, true))
    first = [*known[:n], *[None] * (len(train) - n)]
    weight = [1.0] * n + [0.05] * (len(train) - n)
    tagger = PartOfSpeechTaggerEM(random_state=0).fit(train, first, sample_weight=weight)
    light.append(tagger.score(test, true))
print("part of the tags        ", *(f"{share:6.2f}" for share in shares))
for name, values in {"first": whole, "at random": spread, "first, light": light}.items():
    print(f"{name:24}", *(f"{value:6.3f}" for value in values))

# %%
# No tags at all: twelve states, named by the tag that is most frequent in each.

free = PartOfSpeechTaggerEM(12, random_state=0).fit(train)
found = [tag for tags in free.predict(test) for tag in tags]
answers = [tag for tags in true for tag in tags]
table = Counter(zip(found, answers, strict=True))
names = sorted(set(answers))
share = np.array([[table[state, tag] for tag in names] for state in free.tags_], float)
untagged = share.max(axis=1).sum() / share.sum()
print(f"without tags: {untagged:.3f}, each state as its most frequent tag")

# %%

order = np.argsort(share.argmax(axis=1), kind="stable")
share = share[order] / np.maximum(share[order].sum(axis=1, keepdims=True), 1.0)
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
left.plot(shares, whole, "s--", label="supervised, first sentences")
left.plot(shares, light, "^-", label="EM, first sentences; others have weight 0.05")
left.plot(shares, spread, "o-", label="EM, tags at random")
left.axhline(supervised.score(test, true), color="0.4", lw=1, label="all tags")
left.axhline(untagged, color="0.4", lw=1, ls=":", label="no tags")
left.set_xscale("log")
left.set_xticks(shares, [f"{share:g}" for share in shares])
left.minorticks_off()
left.set(xlabel="part of the tags that is known", ylabel="accuracy of new sentences")
left.set_title("Tags of new sentences")
left.legend()
image = right.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
right.set_xticks(range(len(names)), names, rotation=60, ha="right")
right.set_yticks(range(len(share)), np.arange(1, len(share) + 1))
right.set(xlabel="true tag", ylabel="state", title="States that EM finds without tags")
figure.colorbar(image, ax=right, label="part of the words of a state")
plt.show()
