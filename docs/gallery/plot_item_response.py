"""
Attitudes to science: graded responses
======================================

392 people in Great Britain said in 1992 how far they agree with statements about science and
technology. Four of the statements are positive. A graded response model explains the answers by
one trait, the attitude to science, and says how much each statement tells about it.
"""

import matplotlib.pyplot as plt
import numpy as np

from emlearn import ItemResponseEM
from emlearn.datasets import load_science

# %%
# Answers are 0 (strongly disagree) to 3 (strongly agree).

science = load_science(as_frame=True).data[["comfort", "work", "future", "benefit"]]
print(science.apply(lambda column: column.value_counts()).T)

# %%
# Each statement has a discrimination, and a threshold for each category but the first: the attitude
# at which half of the people give this answer or a higher one. Standard errors come from the second
# derivatives of the likelihood.

model = ItemResponseEM("grm", random_state=0).fit(science)
errors = model.inference(science).standard_errors
print(f"log-likelihood {model.log_likelihood_:.4f}")
for j, name in enumerate(science):
    print(
        f"{name:8} discrimination {model.discrimination_[j]:.2f} "
        f"({errors['discrimination'][j]:.2f}), thresholds {model.thresholds_[j].round(2)}"
    )

# %%
# "Future" (science gives more opportunities to future generations) discriminates most: its curves
# are steep. "Comfort" is so easy to agree with that hardly anyone strongly disagrees.

theta = np.linspace(-4.0, 4.0, 201)
chance = model.item_probabilities(theta)

figure, axes = plt.subplots(2, 2, figsize=(9, 6), layout="constrained", sharex=True, sharey=True)
words = ["strongly disagree", "disagree", "agree", "strongly agree"]
for j, (name, ax) in enumerate(zip(science, axes.flat, strict=True)):
    for k, word in enumerate(words):
        ax.plot(theta, chance[:, j, k], label=word, color=plt.cm.viridis(k / 3.3))
    ax.set_title(name)
axes[0, 0].legend(fontsize="small")
for ax in axes[1]:
    ax.set_xlabel("attitude to science")
for ax in axes[:, 0]:
    ax.set_ylabel("probability")

# %%
# The attitude of each person, with its uncertainty: a point for each pattern of answers, as
# large as many people gave it. Four answers tell an attitude to within about 0.6 standard
# deviations of the population, and less of those who strongly agree with everything.

patterns = science.value_counts().reset_index()
answers, people = patterns[science.columns], patterns["count"]
trait, deviation = model.transform(answers, return_std=True)
total = answers.sum(axis=1)

figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
place = total + np.random.default_rng(0).uniform(-0.3, 0.3, len(total))
ax.errorbar(place, trait[:, 0], deviation[:, 0], fmt="none", ecolor="0.8", linewidth=0.7, zorder=0)
ax.scatter(place, trait[:, 0], s=8.0 * people, alpha=0.6, edgecolor="none")
ax.set(xlabel="sum of the answers", ylabel="attitude to science")

# %%
# People with the same sum do not have the same attitude: answers to statements that discriminate
# more count more.

same = total == 8
print(f"people whose answers sum to 8: attitudes from {trait[same].min():.2f} ", end="")
print(f"to {trait[same].max():.2f}")
