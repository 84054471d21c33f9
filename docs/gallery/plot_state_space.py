"""
Tracking with a state-space model
=================================

Two sensors measure the position of something that moves in a plane. One of them fails from time to
time, and both fail for a while. A state-space model whose state is position and speed finds where
it was, how sure that is, and where it goes next.
"""

import matplotlib.pyplot as plt
import numpy as np

from emlearn import LinearGaussianStateSpaceEM

rng = np.random.default_rng(3)
T = 160
speed = 0.12 * rng.normal(size=(T, 2)).cumsum(axis=0) + [0.6, 0.2]
path = speed.cumsum(axis=0)
X = np.hstack((path + 2.0 * rng.normal(size=(T, 2)), path + 4.0 * rng.normal(size=(T, 2))))
X[rng.random(T) < 0.4, :2] = np.nan
X[90:115] = np.nan

# %%
# What is known: positions grow by speeds, both sensors measure positions, and both axes are alike
# but independent. What is not known: how much speeds change, and how exact the sensors are.
# ``fixed`` holds the known entries; NaN is free.

nan = np.nan
known = {
    "transition_matrix": [[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]],
    "observation_matrix": [[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]],
    "transition_covariance": np.diag([1e-6, 1e-6, nan, nan]),
}
model = LinearGaussianStateSpaceEM(
    4,
    transition_noise="diag",
    observation_noise="diag",
    fixed=known,
    initialization="diffuse",
    random_state=0,
).fit(X)
print("sensors, standard deviations:", np.sqrt(np.diagonal(model.observation_covariance_)).round(2))
print("changes of speed:", np.sqrt(np.diagonal(model.transition_covariance_)[2:]).round(3))
print(model.inference(X))

# %%
# The states given all rows, with their covariances, and a forecast of both sensors.

states, covariances = model.transform(X, return_cov=True)
ahead = model.forecast(15)[:, :2]
error = np.sqrt(np.mean(np.sum((states[:, :2] - path) ** 2, axis=1)))
print(f"root mean square error of positions: {error:.2f}; of the better sensor 2.8")

figure, (plane, axis) = plt.subplots(1, 2, figsize=(11, 4.5))
plane.plot(X[:, 2], X[:, 3], ".", color="0.75", label="worse sensor")
plane.plot(X[:, 0], X[:, 1], ".", color="C0", label="better sensor")
plane.plot(*path.T, color="black", lw=1, label="truth")
plane.plot(*states[:, :2].T, color="C1", lw=2, label="smoothed")
plane.plot(*ahead.T, "--", color="C3", lw=2, label="forecast")
plane.set(xlabel="east", ylabel="north")
plane.legend()
deviation = 1.96 * np.sqrt(covariances[:, 0, 0])
steps = np.arange(T)
axis.fill_between(
    steps, states[:, 0] - deviation, states[:, 0] + deviation, color="C1", alpha=0.3, label="95 %"
)
axis.plot(steps, states[:, 0], color="C1", label="smoothed")
axis.plot(steps, path[:, 0], color="black", lw=1, label="truth")
axis.plot(steps, X[:, 0], ".", color="C0", label="better sensor")
axis.set(xlabel="step", ylabel="east")
axis.legend()
figure.tight_layout()
plt.show()
