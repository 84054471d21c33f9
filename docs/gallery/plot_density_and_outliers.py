"""
Density and outliers
====================

``score_samples`` is the log-density of each row. Rows where it is low are unlike the others.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer

from emlearn import GaussianMixtureEM
from emlearn.datasets import load_old_faithful

# %%
# Eruptions of Old Faithful: a grid shows the density, and the two percent with the lowest
# log-density are marked.

eruptions = load_old_faithful().data
mixture = GaussianMixtureEM(2, random_state=0).fit(eruptions)
log_density = mixture.score_samples(eruptions)
odd = log_density < np.quantile(log_density, 0.02)

duration, waiting = np.meshgrid(np.linspace(1, 6, 150), np.linspace(38, 102, 150))
grid = mixture.score_samples(np.column_stack([duration.ravel(), waiting.ravel()]))

# %%
# Tumors: a model of benign ones only has never seen a malignant one, but finds those of the test
# set unlikely. The columns are skewed, so each is brought near to a normal shape first; one
# component is then enough. An isolation forest is shown beside it.

X, y = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, random_state=0)
benign = X_train[y_train == 1]
fits = {
    "one Gaussian": make_pipeline(PowerTransformer(), GaussianMixtureEM(1)),
    "isolation forest": IsolationForest(random_state=0),
}
oddness = {name: -fit.fit(benign).score_samples(X_test) for name, fit in fits.items()}
areas = {name: roc_auc_score(y_test == 0, values) for name, values in oddness.items()}
for name, area in areas.items():
    print(f"{name}: area under the curve {area:.3f}")

# %%

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
levels = np.quantile(log_density, [0.02, 0.1, 0.25, 0.5, 0.75])
left.contourf(
    duration,
    waiting,
    grid.reshape(duration.shape),
    levels=[*levels, grid.max()],
    cmap="Blues",
)
left.plot(*eruptions.T, ".", color="0.3", ms=3, label="eruption")
left.plot(*eruptions[odd].T, "o", color="C3", ms=7, mfc="none", label="lowest two percent")
left.set(
    title="Old Faithful",
    xlabel="duration of the eruption (min)",
    ylabel="time to the next (min)",
)
left.legend(loc="lower right")

for name, values in oddness.items():
    false_alarms, hits, _ = roc_curve(y_test == 0, values)
    right.plot(false_alarms, hits, label=f"{name}: area {areas[name]:.3f}")
right.plot([0, 1], [0, 1], color="0.7", lw=0.8)
right.set(
    title="Malignant tumors, unlike benign ones",
    xlabel="benign ones flagged",
    ylabel="malignant ones found",
)
right.legend()
plt.show()
