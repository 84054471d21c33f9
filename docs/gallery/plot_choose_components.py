"""
Choosing the number of components
=================================

How many kinds of eruption has the geyser Old Faithful? BIC weighs the likelihood of a mixture
against its number of parameters, and held-out likelihood asks how well the mixture predicts
eruptions that it has not seen.
"""

import matplotlib.pyplot as plt
from sklearn.model_selection import KFold, cross_val_score

from emlearn import GaussianMixtureEM
from emlearn.datasets import load_old_faithful
from emlearn.display import MixtureDisplay

X = load_old_faithful().data

# %%
# Low BIC is good, and so is high held-out likelihood.
numbers = range(1, 6)
mixtures = [GaussianMixtureEM(K, random_state=0).fit(X) for K in numbers]
bic = [mixture.bic(X) for mixture in mixtures]
folds = KFold(5, shuffle=True, random_state=0)
held_out = [cross_val_score(mixture, X, cv=folds).mean() for mixture in mixtures]

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
left.plot(numbers, bic, "o-")
left.set(xlabel="components", ylabel="BIC", xticks=numbers)
right.plot(numbers, held_out, "o-")
right.set(xlabel="components", ylabel="held-out log-likelihood of an eruption", xticks=numbers)
plt.show()

# %%
# The mixture with the lowest BIC. The ellipses hold 50 % and 95 % of a component.
# sphinx_gallery_thumbnail_number = 2
best = mixtures[bic.index(min(bic))]
display = MixtureDisplay.from_estimator(best, X)
display.ax_.set(xlabel="duration of the eruption (min)", ylabel="time to the next (min)")
plt.show()
