"""`check_latent_variable_model`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.engine.threads import blas_limited
from emlearn.testing._case import Model, ModelCase, Score, Take
from emlearn.testing._checks import CHECKS


def take_rows(X: Any, index: NDArray[np.intp]) -> Any:
    """Observations of the given positions, which may repeat: of an array, list or tuple."""
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
    """Check that a model keeps its contract with the engine.

    Runs EM on the data given and raises at the first property that does not hold:

    - statistics are of types which can be added, and the log-likelihood is a number;
    - EM runs from the start for some steps, with a finite objective;
    - no method changes the model or what it is given;
    - the model and its parameters survive pickling;
    - the same seed gives the same bits;
    - blocks add up, to the same bits with one thread and with two;
    - the objective never decreases;
    - a weight w has the effect of w copies, twice the data have twice the statistics, a
      weight of zero that of an absent row, and the order of the rows has none;
    - `score`, where given, is the objective less the log prior;
    - where there is a vector form: it leads back to the parameters, vectors far off are
      survived, and where EM converges no small step raises the objective.

    Parameters
    ----------
    model : LatentVariableModel
        The model.
    X : object
        Observations which the model can be fitted to; some hundred are enough. To test
        the sums over blocks, they must be more than one block. Where neither its shape
        nor its length is the number of observations, that of `sample_weight` is.
    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of the observations; None means 1 each.
    score : callable, default=None
        Called as ``score(model, params, X, sample_weight)``: the log-likelihood of `X`,
        found independently of `e_step`.
    take : callable, default=take_rows
        Called as ``take(X, index)``: observations by their positions, with which rows
        are repeated, left out and put into another order.
    random_state : int, default=0
        Seed of the start and of all that the checks draw.
    n_iter : int, default=20
        Number of EM steps in which the objective is watched.
    max_iter : int, default=2000
        Largest number of EM steps to convergence.
    rtol : float, default=1e-8
        Relative tolerance where only rounding may differ.
    precision : float, default=machine epsilon of float64
        Relative precision of the arithmetic of the E-step. It says by how much rounding
        may lower the objective, as in `RemainingGain`; for single precision, raise `rtol`
        too.

    Raises
    ------
    AssertionError
        If a property does not hold. The message says what was found and where to look.

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
    ...         return {"share": 0.5, "rate": rng.uniform(2.0, 9.0)}
    ...
    ...     def e_step(self, block, params):
    ...         counts, weight = block
    ...         share, rate = params["share"], params["rate"]
    ...         quiet = (1.0 - share) * np.exp(-1.0 - gammaln(counts + 1))
    ...         busy = share * np.exp(counts * np.log(rate) - rate - gammaln(counts + 1))
    ...         is_busy = weight * busy / (quiet + busy)
    ...         statistics = (weight.sum(), is_busy.sum(), is_busy @ counts)
    ...         return statistics, weight @ np.log(quiet + busy)
    ...
    ...     def m_step(self, statistics, params):
    ...         days, busy, events = statistics
    ...         return {"share": busy / days, "rate": events / busy}
    >>> rng = np.random.default_rng(0)
    >>> counts = rng.poisson(np.where(rng.random(300) < 0.3, 5.0, 1.0))
    >>> check_latent_variable_model(BusyDays(), counts)

    With an M-step that is no maximiser, the message says where to look:

    >>> class Hasty(BusyDays):
    ...     def m_step(self, statistics, params):
    ...         days, busy, events = statistics
    ...         return {"share": (busy + 1.0) / days, "rate": events / busy}
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
