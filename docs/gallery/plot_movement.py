"""
How an animal moves: steps and turning angles
=============================================

A collar records where an animal is at regular times. Two consecutive places give the length of a
step, three give a turning angle. An animal that searches for food makes short steps and turns at
random; one that travels makes long steps straight on. A hidden Markov model finds when it does
what: steps have a gamma distribution, angles a von Mises distribution, each with its own
parameters in each state. The movement is simulated, so the truth is known.
"""

import matplotlib.pyplot as plt
import numpy as np

from emlearn import HiddenMarkovEM
from emlearn.distributions import Gamma, VonMises

rng = np.random.default_rng(4)
n = 600
travels = np.zeros(n, int)
for t in range(1, n):
    travels[t] = rng.random() < (0.93 if travels[t - 1] else 0.05)
steps = rng.gamma(np.array([1.2, 6.0])[travels], np.array([0.05, 0.08])[travels])
turns = rng.vonmises(np.array([np.pi, 0.0])[travels], np.array([0.4, 6.0])[travels])
heading = np.cumsum(turns)
places = np.cumsum(steps[:, None] * np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0)

# %%
# From places back to steps and angles, as one has to do with recorded ones. The first place of a
# step has no turning angle, and some places were not recorded: these entries are NaN, and EM
# integrates them out.

seen = places.copy()
seen[rng.random(n) < 0.03] = np.nan
move = np.diff(seen, axis=0)
direction = np.arctan2(move[:, 1], move[:, 0])
X = np.column_stack([np.hypot(*move.T), np.diff(direction, prepend=np.nan)])
print(
    f"{len(X)} steps, {np.isnan(X[:, 0]).sum()} unknown; {np.isnan(X[:, 1]).sum()} unknown angles"
)

# %%
# Angles need not be wrapped: a von Mises distribution reads them modulo 2 pi.

model = HiddenMarkovEM(2, family=[(Gamma(), [0]), (VonMises(), [1])], random_state=0).fit(X)
found = model.component_params_
mean = (found["shape"] / found["rate"])[:, 0]
slow, fast = mean.argsort()
for state, name in ((slow, "searches"), (fast, "travels")):
    print(
        f"{name:9} step {mean[state]:.3f} km, shape {found['shape'][state, 0]:.2f}, "
        f"direction {found['direction'][state, 0]:+.2f}, "
        f"concentration {found['concentration'][state, 0]:.2f}"
    )
print(model.transmat_[[slow, fast]][:, [slow, fast]].round(3))
decoded = model.predict(X) == fast
print(f"states that are right: {np.mean(decoded == travels[1:]):.3f}")

# %%
# Standard errors of all parameters, from the information of the rows:

inference = model.inference(X)
for name in (f"shape[{fast}, 0]", f"rate[{fast}, 0]", f"concentration[{fast}, 0]"):
    at = inference.names.index(name)
    print(f"{name:21} {inference.standard_error[at]:.3f}")

# %%
# The path in the colors of the decoded states, and both distributions beside what was simulated.

figure = plt.figure(figsize=(10, 5.2), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=[1.15, 1.0])
path = left.subplots()
for state, color, label in ((False, "C0", "searches"), (True, "C1", "travels")):
    ends = np.flatnonzero((decoded == state) & ~np.isnan(X[:, 0]))
    segments = np.stack([seen[ends], seen[ends + 1], np.full((len(ends), 2), np.nan)], axis=1)
    path.plot(*segments.reshape(-1, 2).T, color=color, lw=1.0, label=label)
path.set(xlabel="east (km)", ylabel="north (km)", aspect="equal")
path.legend(frameon=False)

top, bottom = right.subplots(2, 1)
lengths, angles = np.linspace(1e-3, 1.2, 300), np.linspace(-np.pi, np.pi, 300)
wrapped = np.angle(np.exp(1j * X[:, 1]))
top.hist(X[:, 0], bins=60, range=(0.0, 1.2), density=True, color="0.85")
bottom.hist(wrapped[~np.isnan(wrapped)], bins=40, density=True, color="0.85")
share = np.array([np.mean(~decoded), np.mean(decoded)])
for axis, at, column in ((top, lengths, 0), (bottom, angles, 1)):
    family = (Gamma(), VonMises())[column]
    names = family.public_names
    public = {name: found[name] for name in names}
    spec = family.spec_of(public)
    density = np.zeros((2, len(at)))
    family.log_density(
        family.encode(at[:, None], spec),
        family.precompute(family.from_public(public, spec), spec),
        density,
    )
    for state, weight, color in zip((slow, fast), share, ("C0", "C1"), strict=True):
        axis.plot(at, weight * np.exp(density[state]), color=color, lw=1.5)
top.set(xlabel="length of a step (km)", ylabel="density", ylim=(0, 10))
bottom.set(xlabel="turning angle (radians)", ylabel="density")
plt.show()
