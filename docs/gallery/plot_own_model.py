"""
A model of one's own
====================

Forty motor insulations were kept at four temperatures until they failed or the test ended, which
more than half of them outlived (Crawford 1970; Schmee and Hahn 1979). The model is a linear
regression of the logarithm of the lifetime; what is hidden is when those that lasted would have
failed.

It is written against the contract of the engine, checked by the conformance kit, and fitted with
restarts and acceleration. Then it becomes an estimator.
"""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import log_ndtr
from scipy.stats import norm
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted, check_X_y

from emlearn.display import ConvergenceDisplay
from emlearn.engine import (
    DegenerateModelError,
    EMEstimator,
    LatentVariableModel,
    RemainingGain,
    find_accelerator,
    search,
)
from emlearn.testing import check_latent_variable_model

# %%
# The model
# ---------
# Parameters and statistics are plain tuples. ``prepare``, ``initialize``, ``e_step`` and ``m_step``
# are a model; ``to_vector`` and ``from_vector`` are for acceleration.


class Params(NamedTuple):
    slopes: np.ndarray
    sigma: float


class Statistics(NamedTuple):
    weight: float
    gram: np.ndarray
    cross: np.ndarray
    square: float


class CensoredRegression(LatentVariableModel):
    """y = x'b + noise of standard deviation sigma; of some rows only y > limit is known."""

    def __init__(self, ridge=0.0):
        self.ridge = ridge  # keeps sigma from 0 where all rows are fitted exactly

    def prepare(self, X, sample_weight=None):
        x, y, is_limit = X[:, :-2], X[:, -2], X[:, -1] > 0
        return x, y, is_limit, np.ones(len(X)) if sample_weight is None else sample_weight

    def total_weight(self, data):
        return data[3].sum()

    def initialize(self, data, rng):
        x, y, _, weight = data
        sqrt_weight = np.sqrt(weight)
        slopes = np.linalg.lstsq(x * sqrt_weight[:, None], y * sqrt_weight, rcond=None)[0]
        return Params(slopes * rng.uniform(0.5, 1.5, len(slopes)), rng.uniform(0.5, 2.0))

    def e_step(self, block, params):
        x, y, is_limit, weight = block
        sigma = params.sigma
        z = (y - x @ params.slopes) / sigma
        hazard = np.exp(norm.logpdf(z) - log_ndtr(-z))
        # Mean and variance of the noise, given that it is more than z sigma.
        noise = sigma * np.where(is_limit, hazard, z)
        variance = sigma**2 * np.where(is_limit, 1.0 + z * hazard - hazard**2, 0.0)
        density = np.where(is_limit, log_ndtr(-z), norm.logpdf(z) - np.log(sigma))
        wx = weight * x.T
        square = weight @ (noise**2 + variance)
        return Statistics(weight.sum(), wx @ x, wx @ noise, square), weight @ density

    def m_step(self, statistics, params):
        change = np.linalg.lstsq(statistics.gram, statistics.cross, rcond=1e-10)[0]
        square = max(statistics.square - change @ statistics.cross, 0.0) + self.ridge
        if square == 0.0:
            raise DegenerateModelError("the rows are fitted exactly, so sigma is 0")
        return Params(params.slopes + change, np.sqrt(square / statistics.weight))

    def log_prior(self, params):
        return -0.5 * self.ridge / params.sigma**2

    def to_vector(self, params):
        return np.append(params.slopes, np.log(params.sigma))

    def from_vector(self, vector, like):
        if abs(vector[-1]) > 100.0:
            raise DegenerateModelError("sigma is beyond all bounds")
        return Params(vector[:-1], np.exp(vector[-1]))


# %%
# The estimator
# -------------
# ``EMEstimator`` brings parameters and their documentation, the reading of tables, warnings and the
# report.


class CensoredRegressionEM(RegressorMixin, EMEstimator):
    """Linear regression with normal noise, where some targets are only lower limits.

    Parameters
    ----------
    {tol}
    {max_iter}
    {accelerate}
    {random_state}
    {verbose}

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Slopes.
    intercept_ : float
        Intercept.
    sigma_ : float
        Standard deviation of the noise.
    {converged_}
    {n_iter_}
    {log_likelihood_}
    {history_}
    """

    def __init__(self, tol=1e-12, max_iter=1000, accelerate="auto", random_state=None, verbose=0):
        self.tol = tol
        self.max_iter = max_iter
        self.accelerate = accelerate
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X, y, is_limit=None, sample_weight=None):
        """Fit; where `is_limit` is true, the target is only known to be above `y`."""
        rows, weight = self._read(X, sample_weight)
        rows, y = check_X_y(rows, y, y_numeric=True, estimator=self)
        limits = np.zeros(len(y)) if is_limit is None else np.asarray(is_limit, float)
        model = CensoredRegression(ridge=1e-12 * np.abs(y).max() ** 2)
        table = np.column_stack([np.ones(len(y)), rows, y, limits])
        fit = self._run_em(model, model.prepare(table, weight))
        self.intercept_, *slopes = fit.params.slopes
        self.coef_, self.sigma_ = np.array(slopes), fit.params.sigma
        return self._report(fit)

    def predict(self, X):
        """Expected targets."""
        check_is_fitted(self)
        return self.intercept_ + self._read_rows(X) @ self.coef_


# %%
# The data
# --------
# Columns: 1, 1000 / temperature in kelvin, log10 of hours, whether it lasted.

ENDED = {150: (8064, 10), 170: (5448, 3), 190: (1680, 5), 220: (528, 5)}
FAILED = {
    170: [1764, 2772, 3444, 3542, 3780, 4860, 5196],
    190: [408, 408, 1344, 1344, 1440],
    220: [408, 408, 504, 504, 504],
}


def motorettes():
    """The forty insulations."""
    rows = [(t, hours, 0) for t, times in FAILED.items() for hours in times]
    rows += [(t, hours, 1) for t, (hours, number) in ENDED.items() for _ in range(number)]
    celsius, hours, lasted = np.array(rows, float).T
    inverse = 1000.0 / (celsius + 273.2)
    return np.column_stack([np.ones(len(rows)), inverse, np.log10(hours), lasted])


def log_likelihood(model, params, X, sample_weight):
    """Found another way, for the conformance kit."""
    noise = norm(X[:, :-2] @ params.slopes, params.sigma)
    density = np.where(X[:, -1] > 0, noise.logsf(X[:, -2]), noise.logpdf(X[:, -2]))
    return density @ (np.ones(len(X)) if sample_weight is None else sample_weight)


# %%
# Checked
# -------
# The kit wants the log-likelihood found in another way, which is above.

X = motorettes()
check_latent_variable_model(CensoredRegression(), X, score=log_likelihood)
print("The model keeps its contract.")

# %%
# Fitted by the engine
# --------------------
# The best of several starts, which end at the same optimum.


def fit(accelerate, n_starts=5):
    """Fit the model; the result has all starts."""
    model = CensoredRegression()
    return search(
        model,
        model.prepare(X),
        seeds=np.random.SeedSequence(0).spawn(n_starts),
        convergence=RemainingGain(1e-12),
        max_iter=1000,
        accelerator=find_accelerator(accelerate),
    )


found = fit(None)
for restart in found.restarts:
    print(f"start {restart.seed[0]}: {restart.status}, {restart.objective:.6f}")
slopes, sigma = found.best.params
print(f"log10(hours) = {slopes[0]:.3f} + {slopes[1]:.3f} x 1000/K, sigma = {sigma:.4f}")

# %%
# As an estimator: how long do insulations last at 130 degrees?

regression = CensoredRegressionEM().fit(X[:, 1:2], X[:, 2], is_limit=X[:, 3])
at_130 = 10.0 ** regression.predict([[1000.0 / (130 + 273.2)]])[0]
print(f"at 130 degrees half of them last longer than {at_130:.0f} hours")

# %%
# What acceleration saves
# -----------------------

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
lasted = X[:, 3] > 0
celsius = 1000.0 / X[:, 1] - 273.2
left.semilogy(celsius[~lasted], 10.0 ** X[~lasted, 2], "o", color="C3", label="failed")
left.semilogy(celsius[lasted], 10.0 ** X[lasted, 2], "^", color="C0", label="lasted longer")
grid = np.linspace(125.0, 225.0, 100)
median = 10.0 ** regression.predict(1000.0 / (grid[:, None] + 273.2))
left.semilogy(grid, median, color="0.3", label="half of them last longer")
left.set(title="Lifetimes of motor insulations", xlabel="temperature (Celsius)", ylabel="hours")
left.legend()

for name in (None, "squarem", "quasi-newton"):
    run = fit(name, n_starts=1).best
    history, label = run.history.as_arrays(), name or "plain EM"
    display = ConvergenceDisplay(history["objective"], history["e_steps"], found.best.objective)
    display.plot(name=label, ax=right)
    print(f"{label:12} {run.n_e_steps:3d} E-steps")
right.set(title="Convergence", ylim=(1e-9, None))
plt.show()
