"""Which optimum EM ends at: single starts beside the race and the search.

Overlapping components, so that single runs of EM end at many different optima. The
picture is saved where you are.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from emlearn import GaussianMixtureEM

PICTURE = Path("local_optima.png")
N_RUNS = 20

rng = np.random.default_rng(0)
centers = np.array([(x, y) for x in range(4) for y in range(2)]) * 3.5
labels = rng.integers(len(centers), size=1200)
X = centers[labels] + rng.standard_normal((1200, 2)) * np.array([0.9, 0.6])


def fit(seed, **settings):
    return GaussianMixtureEM(len(centers), random_state=seed, **settings).fit(X)


kinds = {
    "one k-means start": {"init_params": "kmeans"},
    "one k-means++ start": {"init_params": "k-means++"},
    "race (default)": {},
    'search="fast"': {"init_params": "search", "search": "fast"},
    'search="default"': {"init_params": "search"},
    'search="thorough"': {"init_params": "search", "search": "thorough"},
}
fits = {kind: [fit(seed, **given) for seed in range(N_RUNS)] for kind, given in kinds.items()}
best = max((run for runs in fits.values() for run in runs), key=lambda run: run.log_likelihood_)

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
print(f"{'':22} {'best found':>10} {'mean gap':>9} {'E-steps':>8}")
for row, (kind, runs) in enumerate(fits.items()):
    gaps = np.array([best.log_likelihood_ - run.log_likelihood_ for run in runs])
    cost = np.mean([sum(start.n_e_steps for start in run.restarts_) for run in runs])
    jitter = rng.uniform(-0.25, 0.25, N_RUNS)
    left.plot(np.maximum(gaps, 1e-2), row + jitter, "o", alpha=0.6)
    print(f"{kind:22} {np.mean(gaps < 0.1):>10.0%} {gaps.mean():>9.2f} {cost:>8.0f}")
left.set_xscale("log")
left.set_yticks(range(len(fits)), list(fits))
left.invert_yaxis()
left.set(xlabel="nats below the best optimum known (0.01 or less at the left)")
left.set_title(f"{N_RUNS} seeds each")

worst = min(fits["one k-means start"], key=lambda run: run.log_likelihood_)
right.plot(*X.T, ".", color="0.75", ms=3)
angles = np.linspace(0.0, 2.0 * np.pi, 100)
circle = 1.5 * np.stack([np.cos(angles), np.sin(angles)])
for run, color, name in [(worst, "C3", "worst k-means start"), (best, "C0", "best optimum")]:
    for k, (mean, covariance) in enumerate(zip(run.means_, run.covariances_, strict=True)):
        outline = mean[:, None] + np.linalg.cholesky(covariance) @ circle
        right.plot(*outline, color=color, label=name if k == 0 else None)
right.legend()
right.set_title(f"{best.log_likelihood_ - worst.log_likelihood_:.1f} nats apart")
figure.savefig(PICTURE, dpi=120)
print(f"\npicture: {PICTURE.resolve()}")
