"""How fast EM converges, and how far from its limit it stops.

Three components for Old Faithful, from the same start: plain EM and the accelerators,
and where the usual stopping rule would have ended. The picture is saved where you are.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from emlearn import GaussianMixtureEM
from emlearn.datasets import load_old_faithful

PICTURE = Path("convergence.png")

eruptions = load_old_faithful().data
labels = {
    None: "plain EM",
    "squarem": "SQUAREM",
    "quasi-newton": "quasi-Newton",
    "anderson": "Anderson",
    "auto": "auto (default)",
}


def fit(accelerate, tol):
    mixture = GaussianMixtureEM(
        3, init_params="kmeans", accelerate=accelerate, tol=tol, max_iter=5000, random_state=0
    )
    return mixture.fit(eruptions).history_


runs = {accelerate: fit(accelerate, tol=1e-13) for accelerate in labels}
limit = max(run["objective"].max() for run in runs.values())

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
for accelerate, run in runs.items():
    gap = np.maximum(limit - run["objective"], 1e-9)
    left.semilogy(run["e_steps"], gap, label=labels[accelerate])
left.axhline(1e-6 * len(eruptions), color="0.6", lw=0.8, ls=":")
left.set(xlabel="E-steps", ylabel="nats below the limit", xlim=(0, 300), ylim=(1e-8, None))
left.set_title("The same start, the same limit")
left.legend()

plain = runs[None]
gap = limit - plain["objective"]
right.semilogy(plain["e_steps"], np.maximum(gap, 1e-9), color="C0", label="still to be gained")
right.semilogy(plain["e_steps"], plain["gain"], color="C3", label="last gain")
right.semilogy(plain["e_steps"], plain["remaining"], "k--", lw=1, label="estimate (remaining)")
stop = int(np.argmax(plain["gain"] < 1e-3 * len(eruptions)))
right.annotate(
    f"a gain below 1e-3 a row stops here,\n{gap[stop]:.2g} nats too early",
    (plain["e_steps"][stop], gap[stop]),
    xytext=(40, 15),
    textcoords="offset points",
    arrowprops={"arrowstyle": "->"},
)
right.set(xlabel="E-steps", ylabel="nats", xlim=(0, 300), ylim=(1e-6, None))
right.set_title("Plain EM: what the last gain hides")
right.legend()
figure.savefig(PICTURE, dpi=120)

print(f"{'':16} {'E-steps to 1e-6 a row':>22} {'E-steps, tol=1e-7':>21} {'nats short':>11}")
for accelerate, run in runs.items():
    close = run["e_steps"][np.argmax(run["objective"] >= limit - 1e-6 * len(eruptions))]
    stopped = fit(accelerate, tol=1e-7)
    short = limit - stopped["objective"][-1]
    print(f"{labels[accelerate]:16} {close:>22} {stopped['e_steps'][-1]:>21} {short:>11.1e}")
print(f"\npicture: {PICTURE.resolve()}")
