"""
How many components?
====================

Three criteria for the number of components of a mixture, on the eruptions of Old Faithful (Azzalini
and Bowman 1990): likelihood of rows that were held out, BIC, and ICL.

- *Held-out likelihood* is what ``score`` returns for rows that the fit has not seen, so
  ``GridSearchCV`` finds the best density.
- *BIC* is the likelihood of all rows, less a charge for each parameter. No row is held out.
- *ICL* also charges for rows whose component is not clear. It is for clusters: two components
  that overlap can describe one group that is not Gaussian.

All components have one covariance (``covariance_type="tied"``). Then three of them describe the
density best, but two of the three overlap: there are two clusters.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold

from emlearn import GaussianMixtureEM
from emlearn.datasets import load_old_faithful
from emlearn.display import MixtureDisplay

eruptions = load_old_faithful(as_frame=True).data
numbers = list(range(1, 8))

# %%
# A mixture is an estimator like any other, so the search over its parameters is too.

search = GridSearchCV(
    GaussianMixtureEM(covariance_type="tied", random_state=0),
    {"n_components": numbers},
    cv=KFold(10, shuffle=True, random_state=0),
).fit(eruptions)
held_out = search.cv_results_["mean_test_score"]

fits = [clone(search.estimator).set_params(n_components=k).fit(eruptions) for k in numbers]
bic = np.array([fit.bic(eruptions) for fit in fits])
icl = np.array([fit.icl(eruptions) for fit in fits])

print("components  held out      BIC      ICL")
for row in zip(numbers, held_out, bic, icl, strict=True):
    print("{:10d} {:9.3f} {:8.1f} {:8.1f}".format(*row))

# %%
# BIC and ICL are drawn as differences from the best value, where low is good.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.plot(numbers, bic - bic.min(), "o-", label="BIC")
left.plot(numbers, icl - icl.min(), "s--", label="ICL")
lost = 2 * len(eruptions) * (held_out.max() - held_out)
left.plot(numbers, lost, "^:", label="held out (-2 log-likelihood)")
left.set(xlabel="number of components", ylabel="difference from the best", ylim=(-5, 110))
left.legend(loc="upper left", bbox_to_anchor=(0.18, 1.0))

best = fits[int(np.argmin(bic))]
MixtureDisplay.from_estimator(best, eruptions, ax=right)
right.set(
    title=f"BIC chooses {best.n_components}, ICL {numbers[int(np.argmin(icl))]}",
    xlabel="duration of the eruption (min)",
    ylabel="time to the next (min)",
)
plt.show()
