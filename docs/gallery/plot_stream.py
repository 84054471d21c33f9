"""
A stream that drifts
====================

Rows come in batches, are seen once, and are forgotten: ``partial_fit``. Here a cluster moves while
it is learned. With a memory, old rows fade and the mixture follows.
"""

import matplotlib.pyplot as plt
import numpy as np

from emlearn import GaussianMixtureEM
from emlearn.engine import StepwisePlan

# %%
# 200 batches of 300 rows. The first cluster moves in a circle, the second stays.

rng = np.random.default_rng(0)
angle = np.linspace(0.0, 1.5 * np.pi, 200)
path = np.c_[4.0 * np.cos(angle), 4.0 * np.sin(angle)]
batches = []
for center in path:
    moves = rng.random(300) < 0.5
    batches.append(np.where(moves[:, None], center, 0.0) + 0.7 * rng.normal(size=(300, 2)))

# %%
# Two mixtures learn from each batch. Before that, its mean log-likelihood says how well they
# foresee it.

plans = {"memory=1500": StepwisePlan(memory=1500), "no memory": StepwisePlan()}
foreseen = {name: [] for name in plans}
means = {name: [] for name in plans}
for name, plan in plans.items():
    mixture = GaussianMixtureEM(2, stepwise=plan, random_state=0)
    for t, batch in enumerate(batches):
        if t:
            foreseen[name].append(mixture.score(batch))
        mixture.partial_fit(batch)
        far = np.argmax(np.linalg.norm(mixture.means_, axis=1))
        means[name].append(mixture.means_[far])
    print(f"{name:12} {np.mean(foreseen[name][20:]):8.3f} nats a row, {mixture.n_iter_} steps")

# %%

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
for t in range(0, 200, 20):
    left.scatter(*batches[t].T, s=3, color=plt.cm.Greys(0.25 + 0.6 * t / 200))
left.plot(*path.T, color="0.5", linewidth=5, alpha=0.5, label="center that moves")
for (name, points), style in zip(means.items(), ["-", "--"], strict=True):
    left.plot(*np.array(points).T, style, linewidth=2, label=name)
    right.plot(range(1, 200), foreseen[name], style, label=name)
left.set(xlabel="column 0", ylabel="column 1", title="Rows (darker is later), and fitted means")
left.set_aspect("equal")
left.legend(loc="lower left")
right.set(
    xlabel="batch",
    ylabel="mean log-likelihood (nats)",
    title="The next batch, before it is learned",
)
right.legend(loc="lower left")
plt.show()
