"""
Raters who may be wrong: how sure are the classes?
==================================================

Seven pathologists classified 118 slides of the uterine cervix: carcinoma or not (Agresti,
"Categorical Data Analysis", 13.1). Latent classes of slides explain where they agree. How well are
the classes and the errors of each rater known from so few slides?
"""

import matplotlib.pyplot as plt
import numpy as np

from emlearn import FiniteMixtureEM
from emlearn.distributions import Categorical

PATTERNS = """
    0000000 34  0000100 2  0100000 6  0100001 1  0100100 4  0100101 5  1000000 2  1010101 1
    1100000 2  1100001 1  1100100 2  1100101 7  1100111 1  1101001 1  1101101 2  1101111 3
    1110101 13  1110111 5  1111101 10  1111111 16
"""
patterns, counts = PATTERNS.split()[::2], PATTERNS.split()[1::2]
answers = np.array([list(map(int, pattern)) for pattern in patterns])
slides = np.array(counts, float)
raters = list("ABCDEFG")

# %%
# Patterns with their counts as weights are the same as all slides. ``alpha=0`` is maximum
# likelihood.

model = FiniteMixtureEM(3, family=Categorical(alpha=0), tol=1e-10, random_state=0)
model.fit(answers, sample_weight=slides)
print(f"{slides.sum():.0f} slides, log-likelihood {model.log_likelihood_:.4f}")

# %%
# Some raters never call a slide of a class carcinoma: those estimates are at a bound, and have no
# standard error. The others have one.

inference = model.inference(answers, sample_weight=slides)
frame = inference.to_frame()
print(frame.loc[frame.index.str.startswith("weights")].round(3))
print(frame["remark"].value_counts())

# %%
# Does rater D call fewer of the clear cases carcinoma than rater B? The question is about a
# function of the parameters, so the delta method answers it.

clear = int(model.component_params_["probability"][:, :, 1].mean(axis=1).argmax())
difference = inference.function(
    lambda p: p["probability"][clear, 1, 1] - p["probability"][clear, 3, 1], "B - D"
)
print(difference.summary())

# %%
# All probabilities of "carcinoma", with intervals on the logit scale. The middle class is where the
# raters differ, and where the intervals are wide.

order = model.component_params_["probability"][:, :, 1].mean(axis=1).argsort()
names = ["no carcinoma", "raters differ", "carcinoma"]
figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), sharey=True, layout="constrained")
for ax, k, name in zip(axes, order, names, strict=True):
    rows = frame.loc[[f"probability[{k}, {j}, 1]" for j in range(7)]]
    inside = rows["remark"] == ""
    x = np.arange(7)
    error = np.abs(rows[["low", "high"]].to_numpy().T - rows["estimate"].to_numpy())
    ax.errorbar(x[inside], rows["estimate"][inside], error[:, inside], fmt="o", capsize=3)
    ax.plot(x[~inside], rows["estimate"][~inside], "o", mfc="white", label="at a bound")
    ax.set_xticks(x, raters)
    ax.set(title=f"{name} ({model.weights_[k]:.0%})", xlabel="rater")
axes[0].set(ylabel='probability of "carcinoma"', ylim=(-0.05, 1.05))
axes[0].legend(loc="upper left", frameon=False)
plt.show()
