"""
Abilities behind test scores
============================

301 children took nine tests (Holzinger and Swineford 1939): three of how they see space, three of
what they understand of language, and three of how fast they work. Factor analysis is not told so.
How many abilities are behind the scores, and which tests do they explain?
"""

import matplotlib.pyplot as plt
import numpy as np

from emlearn import FactorAnalysisEM
from emlearn.datasets import load_holzinger_swineford
from emlearn.factors import parallel_analysis, select_n_factors

X = load_holzinger_swineford(as_frame=True).data
tests = list(X)

# %%
# Three factors have the lowest BIC, and three eigenvalues are larger than those of scores that
# have nothing to do with each other. With four factors the noise of a test vanishes, which is a
# sign of too many.

print(select_n_factors(X, range(1, 5)))
parallel = parallel_analysis(X)
print(f"parallel analysis: {parallel.n_factors} factors")

# %%
# The factors are rotated so that each test loads on few of them; abilities may be correlated.
# The three kinds of tests appear. The standard errors show which small loadings may be zero: the
# speed of finding capital letters also depends on seeing space.

analysis = FactorAnalysisEM(3, rotation="oblimin").fit(X)
inference = analysis.inference(X)
loadings, errors = analysis.components_, inference.standard_errors["components"]
place = inference.names.index("components[1, letters]")
low, high = inference.confidence_interval()[place]
print(f"loading of letters on space: 95 % between {low:.2f} and {high:.2f}")
print(analysis.factor_correlation_.round(2))

# %%
# Now a third of the entries is hidden. The factors are found again, and the scores of a child
# come with standard deviations, which are larger where more is missing.

rng = np.random.default_rng(0)
holes = X.mask(rng.random(X.shape) < 1 / 3)
incomplete = FactorAnalysisEM(3, rotation="oblimin").fit(holes)
scores, deviations = incomplete.transform(holes, return_std=True)
complete = analysis.transform(X)

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
place = np.arange(1, 10)
left.plot(place, parallel.eigenvalues, "o-", label="scores")
left.plot(place, parallel.thresholds, "s--", color="0.5", label="95 % of tables of noise")
left.set(xlabel="number", ylabel="eigenvalue", title="Three eigenvalues are not chance")
left.legend()

names = ["language", "space", "speed"]
for k, (name, color) in enumerate(zip(names, ["C0", "C1", "C2"], strict=True)):
    shifted = np.arange(9) + 0.2 * (k - 1)
    middle.errorbar(
        shifted, loadings[k], 1.96 * errors[k], fmt="os^"[k], color=color, label=name, capsize=2
    )
middle.axhline(0.0, color="0.7", linewidth=0.8)
middle.set_xticks(range(9), [test.replace("_", " ") for test in tests], rotation=45, ha="right")
middle.set(ylabel="loading", ylim=(-0.4, 1.6), title="Loadings with 95 % intervals")
middle.legend(ncols=3, loc="upper center")

observed = holes.iloc[:, 3:6].notna().sum(axis=1).to_numpy()
for count in range(4):
    own = observed == count
    right.errorbar(
        complete[own, 0],
        scores[own, 0],
        deviations[own, 0],
        fmt="o",
        markersize=3,
        linewidth=0.5,
        color=plt.cm.viridis_r(0.1 + count / 3.5),
        label=f"{count} of 3",
    )
right.axline((0, 0), slope=1, color="0.5", linewidth=0.8)
right.set(
    xlabel="score from all tests",
    ylabel="score from those that are left",
    title="Ability in language",
)
right.legend(title="language tests left")
plt.show()
