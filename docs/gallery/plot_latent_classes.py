"""
Latent classes of answers
=========================

216 people were asked what they would do in four situations in which a rule stands against the
interest of a friend (Stouffer and Toby 1951). Goodman (1974) found that two classes of people
explain all the relations between the answers: within a class, the four answers are independent.
"""

import itertools

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import xlogy
from scipy.stats import chi2

from emlearn import FiniteMixtureEM
from emlearn.distributions import Categorical

# %%
# The sixteen possible rows (0 for the rule, 1 for the friend), and how many people gave each. A
# weight is a number of copies.

answers = np.array(list(itertools.product([0, 1], repeat=4)))
people = np.array([42, 23, 6, 25, 6, 24, 7, 38, 1, 4, 1, 6, 2, 9, 2, 20])

# %%
# How many classes? The likelihood ratio compares the expected numbers of people with the observed
# ones; with one class (independent answers) it is far off, with two it is as small as chance makes
# it. BIC agrees. ``alpha=0`` is maximum likelihood, as in the article.


def expected(model):
    """Numbers of people that a model expects to give each row."""
    return people.sum() * np.exp(model.score_samples(answers))


models = {}
print("classes  log-likelihood  likelihood ratio  p value     BIC")
for k in (1, 2, 3):
    model = FiniteMixtureEM(k, family=Categorical(alpha=0), n_init=3, random_state=0)
    models[k] = model.fit(answers, sample_weight=people)
    ratio = 2 * xlogy(people, people / expected(model)).sum()
    # A class has four probabilities, and one weight fewer than classes is free.
    p_value = chi2.sf(ratio, len(answers) - 1 - (5 * k - 1))
    bic = model.bic(answers, sample_weight=people)
    print(f"{k:7} {model.log_likelihood_:15.4f} {ratio:17.2f} {p_value:8.2g} {bic:7.1f}")

# %%
# With two classes: a quarter of the people keep to the rule in nearly every situation. (The three
# classes have so many parameters that one row is all that is left to compare.)

model = models[2]
order = model.weights_.argsort()
friend = model.component_params_["probability"][order, :, 1]
for weight, probability in zip(model.weights_[order], friend, strict=True):
    print(
        f"{weight:.3f} of the people; probability of siding with the friend", probability.round(3)
    )

# %%

figure, (left, right) = plt.subplots(
    1, 2, figsize=(11, 4), layout="constrained", width_ratios=[2, 3]
)
situations = ["A", "B", "C", "D"]
for k, (weight, probability) in enumerate(zip(model.weights_[order], friend, strict=True)):
    left.plot(situations, probability, "os"[k] + "-", label=f"class {k + 1}: {weight:.0%}")
left.set(
    xlabel="situation",
    ylabel="probability of siding with the friend",
    ylim=(0, 1),
    title="Two classes",
)
left.legend()

rows = ["".join("RF"[answer] for answer in row) for row in answers]
place = np.arange(len(rows))
right.bar(place, people, color="0.8", label="observed")
right.plot(place, expected(models[1]), "^", color="C3", label="expected with one class")
right.plot(place, expected(models[2]), "o", color="C0", label="expected with two")
right.set_xticks(place, rows, rotation=90, family="monospace")
right.set(ylabel="people", xlabel="answers in A, B, C, D (R: the rule, F: the friend)")
right.legend()
plt.show()
