"""
Who is right when raters disagree?
==================================

Five anesthetists graded how fit 45 patients were for an operation, from 1 (fit) to 4. The first of
them graded each patient three times. Nobody knows the true grades. Dawid and Skene (1979) showed
that the grades and the errors of the anesthetists can be estimated together, from nothing but their
disagreement.
"""

import matplotlib.pyplot as plt
import numpy as np

from emlearn import DawidSkeneEM
from emlearn.datasets import load_anesthetists
from emlearn.display import ConfusionMatricesDisplay

ratings = load_anesthetists(as_frame=True).data.astype(int)
print(ratings.head(8).to_string(index=False))

# %%
# A fit gives the prevalence of the grades, and the grade of each patient. The columns are named
# item, rater and label, so the layout is clear.

model = DawidSkeneEM().fit(ratings)
print("prevalence", model.prevalence_.round(2))
sure = model.label_probabilities_.max(axis=1)
print(f"{(sure > 0.95).sum()} of 45 grades have a probability above 0.95; not so:")
for i in np.flatnonzero(sure <= 0.95):
    labels = ratings.label[ratings.item == model.items_[i]].tolist()
    print(f"  patient {model.items_[i]:2}: {labels} ->", model.label_probabilities_[i].round(2))

# %%
# Each anesthetist has a confusion matrix: rows are true grades, columns those that were given, in
# percent. Errors are nearly all between neighboring grades, and the second anesthetist often gives
# 3 where the others see 2.

display = ConfusionMatricesDisplay.from_estimator(model)
display.figure_.suptitle("Anesthetists 1 to 5")

# %%
# How good is each of them? Standard errors come from the information of the fit; the first one
# gave three times as many grades, so that less is left to chance. The prior is a few labels that
# are mostly right: with 45 patients, it still matters for the rare grades.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharey=True)
for ax, metric in zip(axes, ("accuracy", "informedness"), strict=True):
    quality = model.rater_quality(ratings, metric=metric)
    low, high = quality.confidence_interval().T
    place = np.arange(len(model.raters_))
    error = np.abs([quality.estimate - low, high - quality.estimate])
    ax.errorbar(quality.estimate, place, xerr=error, fmt="o", capsize=3)
    ax.set(xlabel=f"{metric}, with 95 % intervals", xlim=(0, 1))
    ax.set_yticks(place, [str(rater) for rater in model.raters_])
axes[0].set(ylabel="anesthetist")
axes[0].invert_yaxis()

# %%
# Must there be twelve free probabilities for each anesthetist? Grades are ordered. With the ordinal
# model each anesthetist has a discrimination and three criteria: four numbers. One matrix for all
# has twelve for all of them. AIC likes both better than the full model; BIC wants one matrix for
# all, since 45 patients are few.

print("confusion          parameters  log-likelihood    AIC    BIC")
for confusion in (
    "full",
    "class_pooled",
    "ordinal",
    "class_conditional",
    "one_coin",
    "homogeneous",
):
    other = DawidSkeneEM(confusion).fit(ratings)
    aic, bic = other.aic(ratings), other.bic(ratings)
    n_parameters = round((aic + 2 * other.log_likelihood_) / 2)
    print(f"{confusion:18} {n_parameters:10} {other.log_likelihood_:15.1f} {aic:6.1f} {bic:6.1f}")

# %%
# A new patient, whom three of them saw:

new = ratings.iloc[:3].assign(item=46, rater=[1, 2, 3], label=[2, 3, 3])
print(model.predict(new), model.predict_proba(new).round(2))
plt.show()
