"""
Duplicates in a table of people
===============================

A table of 6500 records of 5000 people: 1500 of them have a second record, with typing errors,
missing entries, another address or another last name. `RecordLinkageEM` learns from the pairs
themselves, without known matches, what each comparison says.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np

from emlearn import RecordLinkageEM
from emlearn.datasets import make_duplicate_records
from emlearn.display import MatchWeightDisplay
from emlearn.linkage import DateDifference, Exact, RecordComparator

people = make_duplicate_records(5000, random_state=0)

# %%
# Pairs of records
# ----------------
# There are 21 million pairs of records. Those that agree on the birth year, on the postcode or on
# both names are compared one by one; random pairs stand for the others. "patterns" are the
# distinct comparison vectors of all pairs with their counts, "pairs" those to choose from.

comparator = RecordComparator(
    {
        "first_name": Exact(),
        "last_name": Exact(),
        "birth_date": DateDifference(limits=(0, 31, 366)),
        "city": Exact(),
        "postcode": Exact(),
    },
    block=["birth_year", "postcode", ("first_name", "last_name")],
    term_frequencies=["first_name", "last_name"],
)
patterns = comparator.patterns(people.records, random_state=0)
pairs = comparator.pairs(people.records)
match = people.target[pairs.left] == people.target[pairs.right]  # not known in practice
print(f"{patterns.counts.sum():.0f} pairs, {len(patterns)} patterns")
print(f"{len(pairs)} pairs share a key, {match.sum()} of them are matches")

# %%
# What levels say
# ---------------
# City and postcode change together when people move, and all who share a postcode share the city.
# So they are not independent within a class, and the model has their interaction. A match weight
# of 1 doubles the odds of a match.

linkage = RecordLinkageEM(interactions=[("city", "postcode")]).fit(patterns)
print(f"prevalence {linkage.prevalence_:.2e}, true {match.sum() / patterns.counts.sum():.2e}")
for name, m in zip(pairs.names, linkage.m_, strict=True):
    print(f"{name:11} agrees exactly in {m[-1]:.3f} of the matches")

MatchWeightDisplay.from_estimator(linkage)
plt.title("Match weights of the levels")
plt.show()

# %%
# One pair
# --------
# Its match weight is a sum. The prevalence comes first: two random records are hardly ever a
# match. Agreement on a rare last name says more than on a common one.

weight = linkage.decision_function(pairs)
moved = (pairs.levels[:, 4] == 0) & (pairs.levels[:, 2] == 1) & (weight > 0)
one = np.flatnonzero(moved)[:1]
for side in (pairs.left[one[0]], pairs.right[one[0]]):
    print({name: own[side] for name, own in people.records.items()})
MatchWeightDisplay.from_pair(linkage, pairs.take(one))
plt.title("Match weight of one pair")
plt.show()

# %%
# A threshold
# -----------
# The expected precision above a threshold is the mean of the probabilities there. It needs no
# known matches, and is close to the truth, which this simulation knows.

errors = linkage.inference(patterns)
found = linkage.threshold_for_precision(pairs, 0.99, inference=errors)
print(f"threshold {found.threshold:.3f}: {found.n_pairs:.0f} pairs")
print(f"expected precision {found.precision:.4f}, {found.interval[0]:.4f}-{found.interval[1]:.4f}")
print(f"true precision     {match[weight >= found.weight].mean():.4f}")

thresholds = np.linspace(-12, 20, 129)
probability = linkage.predict_proba(pairs)[:, 1]
above = [weight >= own for own in thresholds]
figure, ax = plt.subplots(layout="constrained")
ax.plot(thresholds, [match[own].mean() for own in above], "C0", label="precision, true")
ax.plot(thresholds, [probability[own].mean() for own in above], "C0--", label="precision, expected")
ax.plot(thresholds, [match[own].sum() / match.sum() for own in above], "C1", label="recall, true")
total = probability.sum()
ax.plot(
    thresholds,
    [probability[own].sum() / total for own in above],
    "C1--",
    label="recall, expected",
)
ax.axvline(found.weight, color="0.5", linewidth=1, label="threshold for 0.99")
ax.set(xlabel="threshold (match weight)", ylabel="part", title="Precision and recall by threshold")
ax.legend()
plt.show()

# %%
# Without the interaction
# -----------------------
# Two independent classes fit best as neighbors and all others: people who share a postcode. A
# warning says that these "matches" seldom agree on names, and BIC prefers the interaction.

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    plain = RecordLinkageEM().fit(patterns)
print(str(caught[0].message)[:57])
print(f"BIC {plain.bic(patterns):.0f}, with the interaction {linkage.bic(patterns):.0f}")
chosen = plain.predict(pairs) == 1
print(f"precision {match[chosen].mean():.3f}, recall {chosen[match].mean():.3f}")
chosen = linkage.predict(pairs) == 1
print(f"with the interaction {match[chosen].mean():.3f}, {chosen[match].mean():.3f}")
