r"""Stepwise EM: parameters from rows that come batch by batch and are not kept.

Let s be the expected sufficient statistics of a row. EM alternates ``theta = M(s)`` and ``s = mean
of s_i(theta)`` over all rows. Stepwise EM replaces the mean over all rows by a running one. In it,
batch t, of weight w_t and mean statistics s_t taken at the current parameters, counts gamma_t:

    s <- (1 - gamma_t) s + gamma_t s_t,    theta <- M(W_t s),
    gamma_t = 1 - exp(-(integral of r from W_t - w_t to W_t)).

W_t is the weight seen so far, w_1 + ... + w_t, and r(W) is the rate at which the running mean
forgets, for each unit of weight. So what a row counts in the running mean depends on the rows that
came later, not on how these were divided into batches; and a batch of weight w counts as w copies.
Only the parameters at which statistics are taken depend on the batches. With B = `batch_rows`,

    r(W) = 1 / W  for W < B,    (W / B)^-kappa / B  for W >= B,    at least 1 / m with a memory m.

Where batches have the weight B, gamma_t is t^-kappa up to terms of lower order. With kappa = 1,
gamma_t = w_t / W_t and all rows count the same; where nothing is latent, theta is then the
maximum-likelihood estimate from all rows. But statistics of early batches, which were taken at poor
parameters, count the same too. With kappa < 1 they are forgotten: for 1/2 < kappa <= 1 the
parameters converge to a stationary point of the expected log-likelihood (Cappe and Moulines,
theorem 1). With a memory m, what a row counts falls by the factor e with each m later rows, and
the parameters follow a drift.

Cost: one E-step on the batch and one M-step; memory: one batch and the statistics.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

from emlearn.engine.block_table import RowPart
from emlearn.engine.blocks import (
    BlockMapper,
    add_statistics,
    current_mapper,
    scale_statistics,
)
from emlearn.engine.model import LatentVariableModel
from emlearn.engine.threads import blas_limited
from emlearn.engine.trees import leaves

# The first fraction q of the rows counts q to this power in the mean of the running means.
_AVERAGE_POWER = 4.0


@dataclass(frozen=True)
class StepwisePlan:
    """How `partial_fit` learns.

    Parameters
    ----------
    exponent : float, default=0.9
        Above 0.5 and at most 1 (kappa): batch number t, of `batch_rows` rows, counts t to the power
        of minus this. 1 is best if the burn-in is already near the optimum; smaller exponents
        forget a poor start sooner, but leave more noise. In ``python benchmarks/bench_stepwise.py``
        the default loses least in the worst case, of the problems where the stream ends at the
        optimum of the exact fit.
    batch_rows : int, default=1000
        Larger batches are cut into batches of at most so many rows, so that one call with many
        rows learns as much as many calls. Smaller batches count in proportion to their weight.
    burn_in : int or "auto", default="auto"
        Rows that are collected before the first step. While there are fewer, they are kept, and the
        model is fitted to them as in `fit`, each time they have doubled. "auto" is 3 for each
        free parameter, and at least 500.
    memory : float, default=None
        Number of rows, in units of weight, after which what a row counts has fallen by the factor
        e, for rows whose distribution changes. None: never.
    average : bool, default=False
        Whether to publish parameters from the mean of the running statistics over all rows (Polyak
        averaging), which have less noise with small exponents. The first 84 % of the rows count as
        much as the others, so that poor first steps do not count for long. Not for rows that
        drift.

    Raises
    ------
    ValueError
        If a value is out of its range.

    References
    ----------
    O. Cappe and E. Moulines (2009). "On-line expectation-maximization algorithm for latent data
    models". Journal of the Royal Statistical Society B 71(3), 593-613.
    P. Liang and D. Klein (2009). "Online EM for unsupervised models". Proceedings of NAACL-HLT,
    611-619.
    O. Shamir and T. Zhang (2013). "Stochastic gradient descent for non-smooth optimization:
    convergence results and optimal averaging schemes". Proceedings of the 30th International
    Conference on Machine Learning, 71-79.

    Examples
    --------
    >>> from emlearn.engine import StepwisePlan
    >>> StepwisePlan(memory=10_000).exponent
    0.9
    """

    exponent: float = 0.9
    batch_rows: int = 1000
    burn_in: int | Literal["auto"] = "auto"
    memory: float | None = None
    average: bool = False

    def __post_init__(self) -> None:
        if not 0.5 < self.exponent <= 1.0:
            raise ValueError(f"exponent={self.exponent!r} must be above 0.5 and at most 1.")
        if self.batch_rows < 1:
            raise ValueError(f"batch_rows={self.batch_rows!r} must be at least 1.")
        if self.burn_in != "auto" and self.burn_in < 1:
            raise ValueError(f"burn_in={self.burn_in!r} must be 'auto' or at least 1.")
        if self.memory is not None and not self.memory >= 1.0:
            raise ValueError(f"memory={self.memory!r} must be None or at least 1.")

    def n_burn_in(self, n_parameters: int) -> int:
        """Rows that are collected for a model with so many parameters."""
        return max(500, 3 * n_parameters) if self.burn_in == "auto" else int(self.burn_in)

    def fraction(self, before: float, after: float) -> float:
        """What a batch counts (gamma), from the weights before it and with it."""
        if before <= 0.0:
            return 1.0
        # The three rates, each where it holds, without differences of large numbers.
        unit, rest, memory = float(self.batch_rows), 1.0 - self.exponent, self.memory
        last = np.inf
        if memory is not None:
            ratio = memory / unit
            last = unit * ratio ** (1.0 / self.exponent) if ratio > 1.0 else memory
        edges = [0.0, min(unit, last), last, np.inf]
        forgotten = 0.0
        for regime, (start, stop) in enumerate(pairwise(edges)):
            low, high = max(before, start), min(after, stop)
            if low >= high:
                continue
            growth = float(np.log1p((high - low) / low))
            if memory is not None and regime == 2:
                forgotten += (high - low) / memory
            elif regime == 0 or rest == 0.0:
                forgotten += growth
            else:
                forgotten += (low / unit) ** rest * float(np.expm1(rest * growth)) / rest
        return float(-np.expm1(-forgotten))

    def within_memory(self, weight: float) -> float:
        """The weight that counts of the rows so far."""
        return weight if self.memory is None else min(weight, self.memory)


class Stream(NamedTuple):
    """A model and what it has learned from rows that are gone.

    Attributes
    ----------
    model : LatentVariableModel
        The model. It has the methods `prepare_part` and `recentered`.
    learned : object
        What the model learned about the columns from the first rows.
    params : object
        The parameters.
    statistics : object
        Running mean of the statistics of a row, at the parameters.
    average : object
        Mean of the running means over the rows, in which later ones count more; equal to it at
        the start.
    weight : float
        Weight of the rows so far.
    n_steps : int, default=0
        Number of steps.
    predicted : float, default=nan
        Mean log-likelihood of the last batch at the parameters before its step.
    """

    model: LatentVariableModel[Any, Any, Any]
    learned: Any
    params: Any
    statistics: Any
    average: Any
    weight: float
    n_steps: int = 0
    predicted: float = float("nan")

    @classmethod
    def after(
        cls,
        model: LatentVariableModel[Any, Any, Any],
        learned: Any,
        params: Any,
        statistics: Any,
        weight: float,
    ) -> Stream:
        """The stream after a fit, from the statistics of its rows."""
        mean = scale_statistics(statistics, 1.0 / weight)
        return cls(model, learned, params, mean, mean, weight)

    def public_params(self, plan: StepwisePlan) -> Any:
        """The parameters to publish."""
        if not plan.average or not self.n_steps:
            return self.params
        weight = plan.within_memory(self.weight)
        return self.model.m_step(scale_statistics(self.average, weight), self.params)


def advance(stream: Stream, part: RowPart, plan: StepwisePlan) -> Stream:
    """The stream after more rows.

    Parameters
    ----------
    stream : Stream
        The stream.
    part : RowPart
        More rows.
    plan : StepwisePlan
        Sizes of the steps.

    Raises
    ------
    DegenerateModelError
        If there are no parameters for the statistics, such as a covariance that is singular.
    ValueError
        If the likelihood of a row cannot be represented. It is named.
    """
    for batch in _batches(part.used, plan.batch_rows):
        stream = _step(stream, batch, plan)
    return stream


def _batches(part: RowPart, size: int) -> Iterator[RowPart]:
    n_rows = part.X.shape[0]
    n_batches = -(-n_rows // size)
    edges = np.linspace(0, n_rows, n_batches + 1).astype(int)
    for start, stop in pairwise(edges):
        yield part.take(slice(start, stop))


def _widened(stream: Stream, batch: RowPart) -> Stream:
    """The stream with room for what is new in the rows."""
    model, learned = stream.model, stream.model.widened(stream.learned, batch)
    if learned is stream.learned:
        return stream
    params, statistics = model.carried(stream.params, stream.statistics, learned)
    _, average = model.carried(stream.params, stream.average, learned)
    return stream._replace(learned=learned, params=params, statistics=statistics, average=average)


def _require_possible(
    model: LatentVariableModel[Any, Any, Any], learned: Any, params: Any, batch: RowPart
) -> None:
    """Raise ValueError that names the first row whose likelihood cannot be represented."""
    for i in range(batch.X.shape[0]):
        data = model.prepare_part(batch.take(slice(i, i + 1)), learned)
        with BlockMapper(model, data) as e_step:
            if not _is_finite(*e_step(params)):
                break
    raise ValueError(
        f"Row {batch.positions[i]} of X is so far from the rows before that its likelihood cannot "
        "be represented. The rows of this call were left out. Correct the row, or let the first "
        "rows have such rows, because the units of the columns are learned from them."
    )


def _is_finite(statistics: Any, log_likelihood: float) -> bool:
    return bool(
        np.isfinite(log_likelihood)
        and all(np.isfinite(leaf).all() for leaf in leaves(statistics).values())
    )


def _step(stream: Stream, batch: RowPart, plan: StepwisePlan) -> Stream:
    if not batch.X.shape[0]:
        return stream
    stream = _widened(stream, batch)
    model, params = stream.model, stream.params
    with blas_limited(), np.errstate(over="ignore", invalid="ignore"):
        data = model.prepare_part(batch, stream.learned)
        own = model.total_weight(data)
        if own == 0.0:
            return stream
        with BlockMapper(model, data, current_mapper()) as e_step:
            statistics, log_likelihood = e_step(params)
        if not _is_finite(statistics, log_likelihood):
            _require_possible(model, stream.learned, params, batch)
        weight = stream.weight + own
        counted = plan.within_memory(weight)
        gamma = plan.fraction(stream.weight, weight)
        mixed = add_statistics(
            scale_statistics(stream.statistics, 1.0 - gamma),
            scale_statistics(statistics, gamma / own),
        )
        moved = model.m_step(scale_statistics(mixed, counted), params)
        mean = model.recentered(mixed, params, moved)
        rate = 1.0 - (stream.weight / weight) ** _AVERAGE_POWER
        before = model.recentered(stream.average, params, moved)
        average = add_statistics(scale_statistics(before, 1.0 - rate), scale_statistics(mean, rate))
    return Stream(
        model,
        stream.learned,
        moved,
        mean,
        average,
        weight,
        stream.n_steps + 1,
        log_likelihood / own,
    )
