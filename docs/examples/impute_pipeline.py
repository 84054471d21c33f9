"""Imputation inside a pipeline: the model for the holes is chosen together with the classifier.

A third of the breast-cancer measurements is hidden. The imputer is refitted in each fold,
on its training rows only, and the grid search compares factor models of several ranks
with the full covariance.
"""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from emlearn.impute import MissingDataImputerEM

X, y = load_breast_cancer(return_X_y=True)
rng = np.random.default_rng(0)
holes = np.where(rng.random(X.shape) < 1 / 3, np.nan, X)


def pipeline(imputer):
    """Impute, scale, classify."""
    return Pipeline(
        [
            ("impute", imputer),
            ("scale", StandardScaler()),
            ("classify", LogisticRegression(max_iter=2000)),
        ]
    )


search = GridSearchCV(
    pipeline(MissingDataImputerEM(tol=1e-4)),
    {"impute__n_factors": [2, 5, None], "classify__C": [0.1, 1.0]},
    cv=3,
)
search.fit(holes, y)
print("Breast cancer, a third of all entries missing; accuracy in 3-fold cross-validation")
for setting, score in zip(
    search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
):
    n_factors, C = setting["impute__n_factors"], setting["classify__C"]
    print(f"  n_factors={n_factors!s:>4}  C={C:<4} {score:.3f}")
print(f"best: {search.best_params_}")
baseline = cross_val_score(pipeline(SimpleImputer()), holes, y, cv=3).mean()
complete = cross_val_score(pipeline(SimpleImputer()), X, y, cv=3).mean()
print(f"column means instead: {baseline:.3f}; without any holes: {complete:.3f}")
