r"""The M-step of Dirichlet-multinomial distributions.

With :math:`A = \sum_w a_w`, the expected objective of a component is

.. math::

    f(a) = \sum_w \varphi_w(a_w) - \sum_w \lambda_w a_w - \Phi(A).

:math:`\varphi_w` is the sum of :math:`\log (a_w)_x` over the counts x of word w, and
:math:`\Phi` that of :math:`\log (A)_n` over the lengths n of the rows; both are concave. The prior
adds :math:`\alpha \log a_w` to the first and :math:`\alpha (V - 1) \log A + 2 \alpha \log(1 + A)`
to the second. :math:`\lambda_w` comes from rows with missing counts, whose term of the length is
replaced by its tangent.

Minka's fixed point :math:`a_w \varphi_w'(a_w) / (\Phi'(A) + \lambda_w)` never lowers f, as
:math:`-\Phi` is above its tangent, and :math:`\varphi_w` above a multiple of a logarithm. Newton's
step has a Hessian that is diagonal plus a constant, so it costs as little (Minka 2000). It is taken
unless it lowers f.

T. P. Minka (2000). "Estimating a Dirichlet distribution". Technical report, MIT.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions._rising import Steps

Array = NDArray[np.float64]

# Concentrations are between these. Beyond the last one, counts cannot be told from multinomial
# ones.
_LEAST, _LARGEST_SUM = 1e-100, 1e8

# Relative rounding error of f.
_ROUNDING = 1e-13

# Largest factor of a Newton step.
_FAR = 8.0


@dataclass(frozen=True)
class Objective:
    """The expected objective f of all components.

    Attributes
    ----------
    words, lengths : Steps
        Terms of the counts and of the lengths.
    counted_words, counted_lengths : ndarray of shape (n_terms, K)
        How often each term is counted.
    single : ndarray of shape (V, K)
        How often log a_w is counted besides, with the pseudo-counts of the prior.
    linear : ndarray of shape (V, K)
        lambda.
    alpha : float
        Strength of the prior.
    """

    words: Steps
    lengths: Steps
    counted_words: Array
    counted_lengths: Array
    single: Array
    linear: Array
    alpha: float

    def value(self, a: Array) -> Array:
        """The objective at concentrations (V, K); (K,)."""
        total = a.sum(axis=0, keepdims=True)
        found = (self.counted_words * self.words.logarithms(a)).sum(axis=0)
        found -= (self.counted_lengths * self.lengths.logarithms(total)).sum(axis=0)
        found += (self.single * np.log(a) - self.linear * a).sum(axis=0)
        found -= self.alpha * ((len(a) - 1.0) * np.log(total) + 2.0 * np.log1p(total))[0]
        return np.asarray(found)

    def derivatives(self, a: Array) -> tuple[Array, Array, Array, Array]:
        """First and second derivatives of phi, (V, K), and of Phi, (1, K)."""
        alpha = self.alpha
        first, second = self.words.derivatives(a, self.counted_words)
        first, second = first + self.single / a, second - self.single / a**2
        total = a.sum(axis=0, keepdims=True)
        down, bend = self.lengths.derivatives(total, self.counted_lengths)
        down = down + alpha * (len(a) - 1.0) / total + 2.0 * alpha / (1.0 + total)
        bend = bend - alpha * (len(a) - 1.0) / total**2 - 2.0 * alpha / (1.0 + total) ** 2
        return first, second, down, bend

    def gradient(self, a: Array) -> Array:
        """Derivatives of f, (V, K)."""
        first, _, down, _ = self.derivatives(a)
        return np.asarray(first - down - self.linear)

    def improve(self, a: Array, free: NDArray[np.bool_] | None, n_steps: int) -> Array:
        """Concentrations (V, K) after some steps, none of which lowers f."""
        value = self.value(a)
        for _ in range(n_steps):
            first, second, down, bend = self.derivatives(a)
            fixed_point = a * first / np.maximum(down + self.linear, _LEAST)
            newton = _newton(a, first - down - self.linear, second, -bend, free)
            # Near the maximum f differs by rounding errors only, and Newton's step is best.
            least = value - _ROUNDING * np.abs(value)
            trial = _within(newton, a, free)
            new = self.value(trial)
            if not (new >= least).all():
                trial = np.where(new >= least, trial, _within(fixed_point, a, free))
                new = self.value(trial)
            a = np.where(new >= least, trial, a)
            value = np.where(new >= least, new, value)
        return a


def log_prior(a: Array, alpha: float) -> Array:
    """Log prior of each component at concentrations (V, K)."""
    total = a.sum(axis=0)
    terms = np.log(a).sum(axis=0) - (len(a) - 1.0) * np.log(total) - 2.0 * np.log1p(total)
    return np.asarray(alpha * terms)


def _newton(
    a: Array, gradient: Array, diagonal: Array, constant: Array, free: NDArray[np.bool_] | None
) -> Array:
    """Newton's step where f is concave; NaN elsewhere."""
    inverse = 1.0 / np.minimum(diagonal, -_LEAST)
    if free is not None:
        inverse = np.where(free, inverse, 0.0)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        slack = 1.0 + constant * inverse.sum(axis=0)
        shift = constant * (gradient * inverse).sum(axis=0) / slack
        step = -(gradient - shift) * inverse
        valid = np.isfinite(step).all(axis=0) & (slack > 0.0)
    return np.where(valid, np.clip(a + np.where(valid, step, 0.0), a / _FAR, a * _FAR), np.nan)


def _within(trial: Array, a: Array, free: NDArray[np.bool_] | None) -> Array:
    """Concentrations within their bounds, and as they are where they are held."""
    trial = np.maximum(trial, _LEAST)
    if free is not None:
        trial = np.where(free, trial, a)
    total = trial.sum(axis=0)
    over = total > _LARGEST_SUM
    scaled = np.where(over, trial * (_LARGEST_SUM / np.where(over, total, 1.0)), trial)
    return scaled if free is None else np.where(free, scaled, a)
