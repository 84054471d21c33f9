"""
Scoring models on a benchmark
=============================

A benchmark is a test: models are the persons and questions are the items. Few models answer many
questions, most of them too easy or too hard to tell models apart, and some with a wrong key. Item
response models weigh each question by what it tells. Here the models are classifiers and the
questions are images of digits, so that the matrix of answers is made in seconds; that of language
models looks the same.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import RidgeClassifier
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from emlearn import ItemResponseEM
from emlearn.display import ItemCurvesDisplay
from emlearn.irt import ItemPrior, item_information, person_scores

# %%
# Forty models: eight kinds of classifiers, trained on 30 to 1000 images. An entry is 1 if the model
# is right about the image.

images, digits = load_digits(return_X_y=True)
rng = np.random.default_rng(0)
order = rng.permutation(len(digits))
images, digits = images[order], digits[order]
n_questions = 200

kinds = [
    RidgeClassifier(),
    GaussianNB(),
    BernoulliNB(binarize=8),
    KNeighborsClassifier(1),
    NearestCentroid(),
    DecisionTreeClassifier(max_depth=6, random_state=0),
    RandomForestClassifier(10, max_depth=5, random_state=0),
    SVC(),
]
answers, names = [], []
for kind in kinds:
    for size in (30, 60, 120, 300, 1000):
        seen = rng.choice(np.arange(n_questions, len(digits)), size, replace=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of too few images
            kind.fit(images[seen], digits[seen])
        answers.append(kind.predict(images[:n_questions]) == digits[:n_questions])
        names.append(f"{type(kind).__name__}, {size}")
answers = np.array(answers, dtype=float)

# Three questions get a wrong key: who is right counts as wrong, and the other way round.
wrong_key = [20, 90, 150]
answers[:, wrong_key] = 1.0 - answers[:, wrong_key]

# %%
# With 40 models, the data hardly say how steep a curve is: many questions separate the models
# perfectly, and their slopes would grow without limit. A prior is needed. A first fit has one for
# the intercepts only, so that slopes can be negative: these are the questions that better models
# get wrong more often. The wrong keys are among them. So are images that look like another digit.

varied = np.flatnonzero(np.ptp(answers, axis=0))  # what all models solve tells nothing
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of negative discriminations, which we look for
    screened = ItemResponseEM("2pl", prior=ItemPrior(intercepts=(0.0, 3.0)), random_state=0)
    screened.fit(answers[:, varied])
suspicious = varied[screened.discrimination_ < 0.0]
print("questions of negative discrimination:", suspicious.tolist())

kept = np.setdiff1d(varied, suspicious)
careful = ItemPrior(slopes=(0.0, 0.5), intercepts=(0.0, 3.0))
test = ItemResponseEM("2pl", prior=careful, random_state=0).fit(answers[:, kept])

# %%
# Other random starts give the same difficulties.

again = [
    ItemResponseEM("2pl", prior=careful, random_state=seed).fit(answers[:, kept])
    for seed in (1, 2, 3)
]
lowest = min(np.corrcoef(test.difficulty_, fit.difficulty_)[0, 1] for fit in again)
print(f"lowest correlation of the difficulties of two fits: {lowest:.6f}")

# %%
# Abilities come with standard errors, which shares of right answers do not tell. A few questions
# chosen for their information give nearly the same ranking as all of them.

scores = person_scores(test, answers[:, kept])
chosen = np.argsort(-item_information(test, scores.score).sum(axis=0))[:20]
short = np.full((len(answers), len(kept)), np.nan)
short[:, chosen] = answers[:, kept][:, chosen]
few = person_scores(test, short)
agreement = spearmanr(scores.score, few.score)[0]
print(f"correlation of ranks, 20 and {len(kept)} questions: {agreement:.3f}")

# %%
# Origin and unit of the abilities depend on the priors, so only differences have a meaning.

figure, axes = plt.subplots(1, 3, figsize=(14, 6), layout="constrained")
ranked = np.argsort(scores.score)
place = np.arange(len(ranked))
axes[0].errorbar(scores.score[ranked], place, xerr=scores.standard_error[ranked], fmt="o", ms=3)
axes[0].set_yticks(place, [names[i] for i in ranked], fontsize=7)
axes[0].set(xlabel="ability, with standard error", title="Models, and number of training images")
shares = answers[:, kept].mean(axis=0)
points = axes[1].scatter(shares, test.difficulty_, s=10, c=test.discrimination_)
figure.colorbar(points, ax=axes[1], label="discrimination")
axes[1].set(xlabel="share of models that are right", ylabel="difficulty", title="Questions")
good = [int(np.flatnonzero(varied == kept[item])[0]) for item in chosen[:3]]
bad = int(np.flatnonzero(varied == wrong_key[-1])[0])
display = ItemCurvesDisplay.from_estimator(screened, items=[*good, bad], ax=axes[2])
for line in display.lines_[:3]:
    line.set(color="0.6", label="")
display.lines_[3].set_label(f"question {wrong_key[-1]}: wrong key")
axes[2].legend(loc="center left")
axes[2].set(title="Good questions (gray), and a wrong key", xlabel="ability")
plt.show()
