"""Matrices of models x questions: do fits from different random starts agree, and do they predict?

    python benchmarks/bench_response_matrices.py [--seeds 5] [--questions 300] [--fits 1pl 2pl ...]

Two matrices:

- simulated: 1700 subjects and 20 questions from the three-parameter model, the size for which users
  of another package reported that the difficulties of two runs are hardly correlated
- digits: 60 classifiers (12 kinds, each trained on 30 to 1000 images) and images of digits of
  scikit-learn; an entry is 1 if the classifier is right. Real answers of few models to many
  questions, made in seconds.

"between seeds" are the smallest correlations of difficulties and of abilities between any two
fits from random items (log-normal slopes with sd 0.5, intercepts with sd 1.5, lower asymptotes from
0.02 to 0.4), and how far their log-likelihoods are apart, in nats. "held out"
is the mean negative log-probability, in nats, of 10 % of the entries that were hidden in another
fit. "ranking" is the correlation of ranks between scores from 30 random questions and the share of
the other questions that the models solve, mean of 50 draws, with items fitted to all questions of
half the models and scores of the other half.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

from emlearn import ItemResponseEM
from emlearn.irt import ItemPrior, person_scores

CLASSIFIERS = (
    LogisticRegression(C=0.01, max_iter=200),
    RidgeClassifier(),
    GaussianNB(),
    BernoulliNB(binarize=8),
    KNeighborsClassifier(1),
    KNeighborsClassifier(9),
    NearestCentroid(),
    DecisionTreeClassifier(max_depth=6, random_state=0),
    ExtraTreeClassifier(random_state=0),
    RandomForestClassifier(10, max_depth=5, random_state=0),
    SVC(),
    LinearDiscriminantAnalysis(),
)
SIZES = (30, 60, 120, 300, 1000)
CAREFUL = {"slopes": (0.0, 0.5), "intercepts": (0.0, 2.0)}
FITS = {
    "1pl": ("1pl", None),
    "2pl, no prior": ("2pl", None),
    "2pl, prior": ("2pl", ItemPrior(**CAREFUL)),
    "3pl, no prior": ("3pl", None),
    "3pl, default prior": ("3pl", "auto"),
    "3pl, prior": ("3pl", ItemPrior(**CAREFUL, guessing=(5, 17))),
}


def digits(n_questions):
    """Right (1) or wrong (0) of each classifier for each image."""
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(y))
    X, y = X[order], y[order]
    rows = []
    for classifier in CLASSIFIERS:
        for size in SIZES:
            seen = rng.choice(np.arange(n_questions, len(y)), size, replace=False)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                classifier.fit(X[seen], y[seen])
            rows.append(classifier.predict(X[:n_questions]) == y[:n_questions])
    return np.array(rows, dtype=float)


def simulated(n_questions):
    """Answers from the three-parameter model."""
    rng = np.random.default_rng(0)
    test = ItemResponseEM.from_parameters(
        rng.uniform(0.7, 2.0, 20),
        rng.normal(size=20),
        guessing=rng.uniform(0.1, 0.3, 20),
        model="3pl",
        random_state=0,
    )
    return test.sample(1700)[0]


def quiet(estimator, X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(X)


def far_start(model, prior, X, seed):
    """A fit that starts at random items: the starts of the estimator itself are close together."""
    fitted = ItemResponseEM(model, prior=prior, warm_start=True, max_iter=1, random_state=0)
    quiet(fitted, X)
    rng = np.random.default_rng(seed)
    slopes = rng.lognormal(0.0, 0.5, X.shape[1])
    fitted.discrimination_ = np.full_like(slopes, slopes[0]) if model == "1pl" else slopes
    fitted.intercept_ = rng.normal(0.0, 1.5, X.shape[1])
    if model == "3pl":
        fitted.guessing_ = rng.uniform(0.02, 0.4, X.shape[1])
    return quiet(fitted.set_params(max_iter=1000), X)


def lowest_correlation(rows):
    return float(np.min(np.corrcoef(rows)))


def held_out(model, prior, X):
    """Mean negative log-probability of entries that a fit did not see."""
    hidden = np.random.default_rng(1).random(X.shape) < 0.1
    seen = np.where(hidden, np.nan, X)
    fitted = quiet(ItemResponseEM(model, prior=prior, random_state=0), seen)
    # A question that no model in view solved, or all did, has only one category.
    p = np.zeros((*X.shape, 2))
    found = fitted.item_probabilities(person_scores(fitted, seen).score)
    for j, codes in enumerate(fitted.categories_):
        p[:, j, codes] = found[:, j, : len(codes)]
    chosen = np.take_along_axis(p, X.astype(int)[:, :, None], axis=2)[:, :, 0]
    return float(-np.mean(np.log(np.maximum(chosen[hidden], 1e-3))))


def ranking(model, prior, X):
    """Correlation of ranks: scores from 30 questions, and shares of the others; also raw shares."""
    rng = np.random.default_rng(2)
    order = rng.permutation(len(X))
    known, new = X[order[::2]], X[order[1::2]]
    some = np.any(known != known[0], axis=0)
    known, new = known[:, some], new[:, some]
    fitted = quiet(ItemResponseEM(model, prior=prior, random_state=0), known)
    found = []
    for _ in range(50):
        asked = rng.permutation(known.shape[1]) < 30
        score = person_scores(fitted, np.where(asked, new, np.nan)).score
        share = new[:, asked].mean(axis=1)
        rest = new[:, ~asked].mean(axis=1)
        found.append([spearmanr(score, rest)[0], spearmanr(share, rest)[0]])
    return np.mean(found, axis=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--fits", nargs="+", choices=FITS, default=list(FITS))
    parser.add_argument("--matrices", nargs="+", choices=("simulated", "digits"))
    options = parser.parse_args()
    for make in (simulated, digits):
        if options.matrices and make.__name__ not in options.matrices:
            continue
        X = make(options.questions)
        print(f"{make.__name__}: {X.shape[0]} models, {X.shape[1]} questions")
        print(f"{'':22}     between seeds: difficulty    ability    nats   held out   ranking")
        for name in options.fits:
            model, prior = FITS[name]
            begin = time.perf_counter()
            fits = [far_start(model, prior, X, seed) for seed in range(options.seeds)]
            spent = (time.perf_counter() - begin) / options.seeds
            difficulty = lowest_correlation([fit.difficulty_ for fit in fits])
            ability = lowest_correlation([fit.transform(X)[:, 0] for fit in fits])
            apart = np.ptp([fit.log_likelihood_ for fit in fits])
            print(
                f"{name:20}{difficulty:33.7f}{ability:11.7f}{apart:8.3f}"
                f"{held_out(model, prior, X):11.4f}",
                end="",
            )
            ranks = ranking(model, prior, X) if make is digits else None
            print("" if ranks is None else f"{ranks[0]:10.4f} (shares: {ranks[1]:.4f})", end="")
            print(f"   {spent:.1f} s a fit")


if __name__ == "__main__":
    main()
