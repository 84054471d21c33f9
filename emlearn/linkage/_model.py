"""The Fellegi-Sunter model as a mixture of two classes of pairs.

A pair of records is a match (class 1) or a non-match (class 0). Its comparison vector gamma has
one level for each comparison, from 0 (disagree) to L_j - 1 (agree exactly). With the prevalence
p of matches and P(gamma | class),

    F = sum_i w_i log (p P(gamma_i | M) + (1 - p) P(gamma_i | U))  +  log prior,

where w_i is the number of pairs that have the pattern gamma_i. Comparisons that cannot be made
are summed out. With independent comparisons P(gamma | M) = prod_j m_j[gamma_j], and likewise with
u in the other class: this is latent class analysis with two classes, so the model is that of
`emlearn.latent` with the families of `emlearn.distributions`. What is added here is the prior of
the prevalence, an order of m and u (`OrderedLevels`), and interactions (`LogLinear`).

Cost of an E-step: (number of distinct patterns) x (number of comparisons), whatever the number
of pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from emlearn.distributions._exponential import log_of
from emlearn.engine.parameters import per_probability
from emlearn.latent import LabelModel, MixtureLaw, MixtureParams
from emlearn.latent.data import LabelData
from emlearn.latent.model import LabelParams, LabelStatistics

Array = NDArray[np.float64]

#: Numbers of the classes.
NON_MATCH, MATCH = 0, 1
CLASSES = ("non-match", "match")

# Prevalences that starts are made with, one after another.
_PREVALENCES = (1e-2, 1e-4, 0.3, 1e-6, 1e-3, 1e-5, 0.1, 0.03)
# Ratio of the chances of neighboring levels among matches, at a start.
_DECLINE = 10.0
# Pairs of a class below which nothing can be said about it.
_FEW = 0.5


@dataclass(frozen=True)
class MatchLaw(MixtureLaw):
    """The prevalence, with a beta prior of its own for each class.

    Parameters
    ----------
    pseudo : tuple of float, default=(0.0, 0.0)
        Pseudo-pairs that are non-matches and matches.
    """

    pseudo: tuple[float, float] = (0.0, 0.0)

    noun: ClassVar[str] = "class"

    def m_step(self, statistics: Array, params: MixtureParams) -> MixtureParams:
        """Proportions from the expected counts and the pseudo-pairs."""
        if not any(self.pseudo):
            return super().m_step(statistics, params)
        weight = statistics + np.array(self.pseudo)
        return MixtureParams(weight / weight.sum())

    def score(self, statistics: Array, params: MixtureParams) -> dict[str, Array]:
        """See `Law`."""
        return {"weights": per_probability(statistics + np.array(self.pseudo), params.weights)}

    def log_prior(self, params: MixtureParams) -> float:
        """Log density of the beta prior."""
        return float(np.array(self.pseudo) @ log_of(params.weights))

    def pseudo_rows(self) -> float:
        """See `Law`."""
        return float(sum(self.pseudo))


def read_pseudo_pairs(given: Any) -> tuple[float, float]:
    """Pseudo-pairs that are non-matches and matches, from the hyperparameter `prevalence_alpha`.

    Raises
    ------
    ValueError
        If it is neither a number >= 0 nor two of them.
    """
    both = [given, given] if isinstance(given, Real) else list(given)
    if len(both) != 2 or not all(isinstance(own, Real) and float(own) >= 0.0 for own in both):
        raise ValueError(
            "prevalence_alpha must be a number >= 0, or two: pseudo-pairs that are matches and "
            f"that are not; got {given!r}."
        )
    return float(both[1]), float(both[0])


@dataclass(frozen=True, eq=False)
class LinkageModel(LabelModel):
    """The model of pairs of records: class 1 is that of the matches."""

    def constrained_unsound(
        self, statistics: LabelStatistics, params: LabelParams, fixed: Mapping[str, Any]
    ) -> list[str]:
        """See `LatentVariableModel`: a class without pairs has parameters of its prior alone."""
        expected = self.law.rows(statistics.law)
        return [
            f"The fit expects {expected[k]:.3g} pairs of the class '{CLASSES[k]}', so nothing is "
            "learned about it. Compare fewer hopeless pairs (blocking), or hold the prevalence, u "
            "or m with fixed=."
            for k in (NON_MATCH, MATCH)
            if expected[k] < _FEW
        ]


@dataclass(frozen=True)
class MatchStart:
    """Starts in which matches agree: pairs count as matches by how much they agree.

    Non-matches have the levels of all pairs, because nearly all pairs are non-matches. Matches
    have each level ten times as often as the level below. One E-step with these and one M-step
    give the start, for any family.

    Parameters
    ----------
    n_levels : tuple of int
        Number of levels of each comparison.
    prevalence : float or None
        Prevalence, if it is known.
    """

    n_levels: tuple[int, ...]
    prevalence: float | None = None

    #: Classes keep their numbers when entries are held.
    numbered: ClassVar[bool] = True

    def __call__(self, model: LabelModel, data: LabelData, rng: np.random.Generator) -> LabelParams:
        """The start with the first prevalence."""
        return self._start(model, data, rng, _PREVALENCES[0])

    def candidates(
        self, model: LabelModel, data: LabelData, rng: np.random.Generator, n: int
    ) -> Any:
        """Starts with several prevalences."""
        n = 1 if self.prevalence is not None else n
        for prevalence in _PREVALENCES[:n]:
            yield self._start(model, data, rng, prevalence)

    def _start(
        self, model: LabelModel, data: LabelData, rng: np.random.Generator, prevalence: float
    ) -> LabelParams:
        prevalence = prevalence if self.prevalence is None else self.prevalence
        prevalence = min(max(prevalence, 1e-9), 1.0 - 1e-9)
        weight = data.row_weight
        log_odds = np.full(len(weight), np.log(prevalence / (1.0 - prevalence)))
        for levels, n in zip(data.X.T, self.n_levels, strict=True):
            seen = ~np.isnan(levels)
            codes = levels[seen].astype(np.intp)
            counts = np.bincount(codes, weight[seen], n) + 1.0 / n
            among_matches = _DECLINE ** np.arange(float(n))
            ratio = among_matches / among_matches.sum() * counts.sum() / counts
            log_odds[seen] += np.log(ratio)[codes]
        chance = expit(log_odds)
        params = model.from_responsibilities(data, np.stack([1.0 - chance, chance]) * weight, rng)
        law = MixtureParams(np.array([1.0 - prevalence, prevalence]))
        return params if self.prevalence is None else params._replace(law=law)
