"""
Imputation before a classifier
==============================

``MissingDataImputerEM`` is a transformer, so it stands in a ``Pipeline``: it is fitted anew in
each fold, on the training rows only, and the model for the holes is chosen together with the
classifier.

A part of the breast-cancer measurements is hidden. Their 30 columns are strongly related, so a
hole can be filled well from the other columns of its row.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from emlearn import MissingDataImputerEM

X, y = load_breast_cancer(return_X_y=True)


def hide(share, seed):
    """The table with holes: a share of its entries."""
    return np.where(np.random.default_rng(seed).random(X.shape) < share, np.nan, X)


def pipeline(imputer):
    """Scale, impute, classify."""
    return Pipeline(
        [
            ("scale", StandardScaler()),
            ("impute", imputer),
            ("classify", LogisticRegression(solver="newton-cholesky")),
        ]
    )


# %%
# A grid search over the imputer and the classifier: a model with five factors beside the full
# covariance (``None``).

search = GridSearchCV(
    pipeline(MissingDataImputerEM()),
    {"impute__n_factors": [5, None], "classify__C": [0.1, 1.0]},
    cv=3,
).fit(hide(1 / 3, seed=0), y)
print("a third of all entries missing; accuracy in 3-fold cross-validation")
results = search.cv_results_
for setting, score in zip(results["params"], results["mean_test_score"], strict=True):
    n_factors, C = setting["impute__n_factors"], setting["classify__C"]
    print(f"  n_factors={n_factors!s:>4}  C={C:<4} {score:.3f}")

# %%
# Beside other imputers, for growing shares of missing entries: the error of the filled entries, in
# standard deviations of the column, and the accuracy of the classifier, with three patterns each.

imputers = {
    "EM": MissingDataImputerEM(),
    "nearest neighbors": KNNImputer(),
    "means of columns": SimpleImputer(),
}
shares = [0.1, 0.3, 0.5]
scaled = StandardScaler().fit_transform(X)
error = {name: np.empty((len(shares), 3)) for name in imputers}
accuracy = {name: np.empty((len(shares), 3)) for name in imputers}
for name, imputer in imputers.items():
    for i, share in enumerate(shares):
        for seed in range(3):
            table = hide(share, seed)
            holes = np.isnan(table)
            filled = imputer.fit_transform(np.where(holes, np.nan, scaled))
            error[name][i, seed] = np.sqrt(np.mean((filled - scaled)[holes] ** 2))
            accuracy[name][i, seed] = cross_val_score(pipeline(imputer), table, y, cv=3).mean()
no_holes = cross_val_score(pipeline(SimpleImputer()), X, y, cv=3).mean()

# %%

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for name, style in zip(imputers, ["o-", "s--", "^:"], strict=True):
    for ax, values in [(left, error[name]), (right, accuracy[name])]:
        ax.errorbar(
            shares, values.mean(axis=1), values.std(axis=1), fmt=style, capsize=3, label=name
        )
left.set(ylabel="root mean squared error of the entries", ylim=(0, None))
right.axhline(no_holes, color="0.6", lw=0.8)
right.annotate("without holes", (shares[-1], no_holes), xytext=(-70, 4), textcoords="offset points")
right.set(ylabel="accuracy of the classifier", ylim=(None, 0.985))
for ax in (left, right):
    ax.set(xlabel="share of entries that are missing", xticks=shares)
left.legend()
plt.show()
