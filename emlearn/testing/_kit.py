"""`check_latent_variable_model`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.engine.threads import blas_limited
from emlearn.testing._case import Model, ModelCase, Score, Take
from emlearn.testing._checks import CHECKS


def take_rows(X: Any, index: NDArray[np.intp]) -> Any:
    """Items of an array, list or tuple at the given positions, which may repeat.

    Parameters
    ----------
    X : array, list or tuple
        The items.
    index : ndarray of shape (n_items,)
        Positions.

    Returns
    -------
    items : array or list
        The items at these positions.
    """
    return [X[i] for i in index] if isinstance(X, list | tuple) else X[index]


def check_latent_variable_model(
    model: Model,
    X: Any,
    *,
    sample_weight: NDArray[Any] | None = None,
    score: Score | None = None,
    take: Take = take_rows,
    random_state: int = 0,
    n_iter: int = 20,
    max_iter: int = 2000,
    rtol: float = 1e-8,
    precision: float = float(np.finfo(np.float64).eps),
) -> None:
    """Check that a model fulfills its contract with the engine.

    Runs EM on the data. The first property that does not hold raises an error:

    - statistics have types that can be added, and the log-likelihood is a number;
    - EM takes its first steps with a finite objective;
    - no method changes the model or its arguments;
    - the model and its parameters survive pickling;
    - the same seed gives the same bits;
    - blocks add up to the same bits with one thread and with two;
    - the objective never decreases;
    - a weight w has the same effect as w copies, twice the data give twice the statistics, a
      row of weight zero has no effect, and the order of the rows does not matter;
    - `score`, if given, is the objective minus the log prior;
    - if there is a vector form: `from_vector` undoes `to_vector`, vectors far from valid
      parameters do no harm, and where EM converges no small step increases the objective;
    - `from_public` undoes `public`. As far as the model defines them: `space` describes each
      published array, `score` is the gradient of the objective, `log_likelihoods` add up to the
      log-likelihood, and `constrained_m_step` keeps the entries that are held and does not
      lower the objective.

    Parameters
    ----------
    model : LatentVariableModel
        The model.
    X : object
        Observations to fit; a few hundred are enough. To test the sums over blocks, they
        must form more than one block. If neither the shape nor the length of `X` is the
        number of observations, pass `sample_weight`.
    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of the observations. None means 1 each.
    score : callable, default=None
        Called as ``score(model, params, X, sample_weight)``. Returns the log-likelihood of
        `X`, computed independently of `e_step`.
    take : callable, default=take_rows
        Called as ``take(X, index)``. Returns the observations at these positions. The
        checks use it to repeat, drop and reorder rows.
    random_state : int, default=0
        Seed of the start and of all random numbers of the checks.
    n_iter : int, default=20
        Number of EM steps in which the objective is checked.
    max_iter : int, default=2000
        Maximum number of EM steps to convergence.
    rtol : float, default=1e-8
        Relative tolerance for differences by rounding.
    precision : float, default=machine epsilon of float64
        Relative precision of the arithmetic of the E-step. It limits how much rounding may
        decrease the objective, as in `RemainingGain`. For single precision, increase `rtol`
        too.

    Raises
    ------
    AssertionError
        If a property does not hold. The message says what is wrong and where to look.

    Examples
    --------
    Counts of two kinds of days, quiet ones with Poisson(1) and busy ones with an unknown
    rate, in unknown proportions:

    >>> import numpy as np
    >>> from scipy.special import gammaln
    >>> from emlearn.engine import LatentVariableModel
    >>> from emlearn.testing import check_latent_variable_model
    >>> class BusyDays(LatentVariableModel):
    ...     def prepare(self, X, sample_weight=None):
    ...         return X, np.ones(len(X)) if sample_weight is None else sample_weight
    ...
    ...     def initialize(self, data, rng):
    ...         return {"fraction": 0.5, "rate": rng.uniform(2.0, 9.0)}
    ...
    ...     def e_step(self, block, params):
    ...         counts, weight = block
    ...         fraction, rate = params["fraction"], params["rate"]
    ...         quiet = (1.0 - fraction) * np.exp(-1.0 - gammaln(counts + 1))
    ...         busy = fraction * np.exp(counts * np.log(rate) - rate - gammaln(counts + 1))
    ...         is_busy = weight * busy / (quiet + busy)
    ...         statistics = (weight.sum(), is_busy.sum(), is_busy @ counts)
    ...         return statistics, weight @ np.log(quiet + busy)
    ...
    ...     def m_step(self, statistics, params):
    ...         days, busy, events = statistics
    ...         return {"fraction": busy / days, "rate": events / busy}
    >>> rng = np.random.default_rng(0)
    >>> counts = rng.poisson(np.where(rng.random(300) < 0.3, 5.0, 1.0))
    >>> check_latent_variable_model(BusyDays(), counts)

    If the M-step does not maximize, the message says where to look:

    >>> class Hasty(BusyDays):
    ...     def m_step(self, statistics, params):
    ...         days, busy, events = statistics
    ...         return {"fraction": (busy + 1.0) / days, "rate": events / busy}
    >>> check_latent_variable_model(Hasty(), counts)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    AssertionError: Hasty: the objective fell by ...
    """
    case = ModelCase(
        model, X, sample_weight, score, take, random_state, n_iter, max_iter, rtol, precision
    )
    with blas_limited():
        for check in CHECKS:
            check(case)
