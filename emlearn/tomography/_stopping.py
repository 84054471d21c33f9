"""When to stop: counts held out by binomial thinning."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, xlogy
from sklearn.utils import check_random_state

from emlearn._compat import validate_params
from emlearn.data import as_numbers
from emlearn.tomography._planning import make_plan, read_system
from emlearn.tomography._reading import read_background, require_counts, require_seen
from emlearn.tomography._reconstruction import PoissonReconstructionEM

Array = NDArray[np.float64]

# All integers up to this are exact in float64.
_MOST_COUNTS = 2.0**53


def thin_counts(
    X: ArrayLike,
    fraction: float,
    *,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[Array, Array]:
    """Divide counts at random into two independent parts.

    Each event goes to the second part with probability `fraction`. If the counts are Poisson with
    mean m, the parts are independent and Poisson with means ``(1 - fraction) m`` and
    ``fraction m``.

    Parameters
    ----------
    X : array-like
        Counts, which must be integers.
    fraction : float
        Expected part of the events in the second part, between 0 and 1.
    random_state : int, RandomState instance or None, default=None
        Seed.

    Returns
    -------
    kept, held_out : ndarray
        The parts, of the shape of `X`; they sum to it.

    Raises
    ------
    ValueError
        If counts are negative or not integers, or the fraction is not between 0 and 1.

    See Also
    --------
    select_n_iter : Number of iterations by counts held out.

    Examples
    --------
    >>> from emlearn.tomography import thin_counts
    >>> kept, held_out = thin_counts([100, 0, 7], 0.2, random_state=0)
    >>> kept + held_out
    array([100.,   0.,   7.])
    """
    if not isinstance(fraction, Real) or not 0.0 < float(fraction) < 1.0:
        raise ValueError(f"fraction must be between 0 and 1, got {fraction!r}.")
    counts = as_numbers(X, "X")
    require_counts(counts.reshape(-1, counts.shape[-1] if counts.ndim else 1))
    if not (counts <= _MOST_COUNTS).all():
        raise ValueError("X must have finite counts, of at most 2**53, to be thinned.")
    if not np.array_equal(counts, np.rint(counts)):
        raise ValueError(
            "X must have integers to be thinned. Use the counts as they were detected, and give "
            "corrections as part of the system matrix or as background."
        )
    random = check_random_state(random_state)
    drawn = random.binomial(counts.astype(np.int64), float(fraction))
    held_out = np.asarray(drawn, dtype=np.float64)
    return counts - held_out, held_out


@dataclass(frozen=True)
class IterationSelection:
    """How well the image of each iteration predicts counts held out.

    Attributes
    ----------
    n_iter : int
        The iteration that predicts them best: `max_iter` for the fit to all counts.
    scores : ndarray of shape (max_iter + 1,)
        Mean log-likelihood per row of the counts held out, at the start and after each iteration.
    fitted_scores : ndarray of shape (max_iter + 1,)
        The same of the counts that the images are fitted to.
    """

    n_iter: int
    scores: Array
    fitted_scores: Array


def select_n_iter(
    estimator: PoissonReconstructionEM,
    X: ArrayLike,
    background: ArrayLike | None = None,
    *,
    fraction: float = 0.5,
    n_repeats: int = 1,
    random_state: int | np.random.RandomState | None = None,
) -> IterationSelection:
    """Number of iterations that predicts counts held out best.

    More iterations always fit the counts better, and at last their noise. So some of the events
    are held out at random (`thin_counts`), and the log-likelihood of these is computed after each
    iteration. It rises as long as the image improves and falls as soon as noise prevails.

    Parameters
    ----------
    estimator : PoissonReconstructionEM
        Need not be fitted. Its `max_iter` is the largest number that is tried; it is not changed.
        Its `accelerate` must be None.
    X : array-like of shape (n_samples, n_rays)
        Counts, which must be integers.
    background : float or array-like of shape (n_rays,) or (n_samples, n_rays), default=None
        Expected counts that do not come from the image.
    fraction : float, default=0.5
        Part of the events held out. The number of iterations is that for the counts that are
        kept; all counts have less noise and can take somewhat more. A small fraction
        comes closer to that, but its log-likelihoods are noisier.
    n_repeats : int, default=1
        Number of divisions, over which log-likelihoods are averaged.
    random_state : int, RandomState instance or None, default=None
        Seed of the division.

    Returns
    -------
    selection : IterationSelection
        The number of iterations, and the log-likelihoods.

    Raises
    ------
    ValueError
        If the counts are not integers >= 0, an argument is out of range, or the estimator
        accelerates EM or is in list mode.

    References
    ----------
    K. J. Coakley (1991). "A cross-validation procedure for stopping the EM algorithm and
    deconvolution of neutron depth profiling spectra". IEEE Transactions on Nuclear Science 38(1),
    9-15.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.tomography import PoissonReconstructionEM, select_n_iter
    >>> rng = np.random.default_rng(0)
    >>> positions = np.arange(40)
    >>> blur = np.exp(-0.5 * ((positions[:, None] - positions) / 3.0) ** 2)
    >>> image = np.where(abs(positions - 20) < 8, 20.0, 2.0)
    >>> X = rng.poisson(blur @ image)[None]
    >>> em = PoissonReconstructionEM(blur, max_iter=100)
    >>> selection = select_n_iter(em, X, random_state=0)
    >>> selection.n_iter < 100
    True
    >>> em.set_params(max_iter=selection.n_iter).fit(X).n_iter_ == selection.n_iter
    True
    """
    if not isinstance(estimator, PoissonReconstructionEM):
        raise TypeError(
            f"estimator must be a PoissonReconstructionEM, got {type(estimator).__name__}. For "
            "deconvolution, give it a Convolution as system_matrix and images as flat rows."
        )
    validate_params(estimator)
    if estimator.accelerate is not None:
        raise ValueError(
            "select_n_iter counts plain EM steps; set accelerate=None, as the relation of "
            "accelerated steps to noise differs from one division to the next."
        )
    if estimator.sensitivity is not None:
        raise ValueError("select_n_iter needs the counts of all rays; it has no list mode.")
    if not isinstance(n_repeats, Integral) or int(n_repeats) < 1:
        raise ValueError(f"n_repeats must be an integer >= 1, got {n_repeats!r}.")
    counts = np.atleast_2d(as_numbers(X, "X"))
    if counts.ndim != 2 or not counts.size:
        raise ValueError(f"X must have rows of counts, one for each image; got {counts.shape}.")
    random = check_random_state(random_state)
    constant = read_background(background, counts.shape)
    scores: list[tuple[Array, Array]] = []
    for _ in range(int(n_repeats)):
        kept, held_out = thin_counts(counts, fraction, random_state=random)
        scores += _curves(estimator, kept, held_out, constant, float(fraction))
    n_lines = max(len(held) for _, held in scores)
    fitted, held = (
        np.mean([np.pad(p[side], (0, n_lines - len(p[side])), "edge") for p in scores], axis=0)
        for side in (0, 1)
    )
    return IterationSelection(int(np.argmax(held)), held, fitted)


def _curves(
    estimator: PoissonReconstructionEM,
    kept: Array,
    held_out: Array,
    background: Array,
    fraction: float,
) -> list[tuple[Array, Array]]:
    """For each row, log-likelihoods of the counts kept and of those held out."""
    system = read_system(estimator, kept.shape[1])
    plan = make_plan(estimator, system)
    of_kept = (1.0 - fraction) * background
    require_seen(kept, of_kept, system, plan.model.start)
    odds = fraction / (1.0 - fraction)
    curves = []
    for y, new, b in zip(kept, held_out, of_kept, strict=True):
        means = [system.forward(image[None])[0] + b for image in plan.iterates(y, b)]
        curves.append(
            (
                np.array([_log_likelihood(y, mean) for mean in means]),
                np.array([_log_likelihood(new, odds * mean) for mean in means]),
            )
        )
    return curves


def _log_likelihood(counts: Array, mean: Array) -> float:
    values: Any = xlogy(counts, mean) - mean - gammaln(counts + 1.0)
    return float(values.sum())
