"""A model with some entries of its published parameters held at given values.

EM for it is EM for the model inside, with every M-step over the free entries alone. Entries are
those of a `ParameterSpace`, so fits, accelerators, information and degrees of freedom agree on
what is free. A start has the entries before its first E-step; otherwise the objective could fall
when they are put in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.engine.errors import DegenerateModelError
from emlearn.engine.model import LatentVariableModel, Penalty
from emlearn.engine.parameters import Array, Public
from emlearn.engine.wrapper import ModelWrapper

Model = LatentVariableModel[Any, Any, Any]

# Step of central differences of published parameters, and part of them that is 0.
_STEP = 1e-5


def n_held(model: Model, params: Any, fixed: Mapping[str, Array]) -> int:
    """By how many the entries that are held reduce the number of free parameters."""
    if not fixed:
        return 0
    public, space = model.public(params), model.space(params)
    return space.n_free(public, {}) - space.n_free(public, fixed)


def hold(public: Mapping[str, Any], fixed: Mapping[str, Array]) -> Public:
    """Published parameters with exactly the entries that are held, which arithmetic rounds.

    Arrays that all components share may be published once or for each component.
    """
    return {
        name: np.where(np.isnan(fixed[name]), value, fixed[name]) if name in fixed else value
        for name, value in public.items()
    }


@dataclass(frozen=True, eq=False)
class FixedParameters(ModelWrapper):
    """A model with entries of its published parameters held; parameters are those of the model.

    Parameters
    ----------
    model : LatentVariableModel
        The model.
    fixed : mapping of str to ndarray
        Entries to hold, by the names of `public`; NaN where free. `read_fixed` checks them.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.engine import FixedParameters, GainBelow, LatentVariableModel, run_em
    >>> class TwoCoins(LatentVariableModel):  # number of heads in ten throws of one of them
    ...     def prepare(self, X, sample_weight=None):
    ...         return np.asarray(X, float)
    ...     def initialize(self, data, rng):
    ...         return {"heads": np.array([0.4, 0.6])}
    ...     def e_step(self, block, params):
    ...         p = params["heads"][:, None]
    ...         joint = p**block * (1 - p) ** (10 - block) / 2
    ...         r = joint / joint.sum(axis=0)
    ...         return (r.sum(axis=1), r @ block), float(np.log(joint.sum(axis=0)).sum())
    ...     def m_step(self, statistics, params):
    ...         return {"heads": statistics[1] / (10 * statistics[0])}
    >>> heads, model = [5, 9, 8, 4, 7], TwoCoins()
    >>> fair = FixedParameters(model, {"heads": np.array([0.5, np.nan])})
    >>> data = fair.prepare(heads)
    >>> start = fair.initialize(data, np.random.default_rng(0))
    >>> run = run_em(fair, data, start, convergence=GainBelow(1e-9), max_iter=100)
    >>> run.params["heads"].round(2)
    array([0.5, 0.8])
    """

    fixed: Mapping[str, Array]

    # ---- starts, which get the entries before the first E-step ----------------------------

    def initialize(self, data: Any, rng: np.random.Generator) -> Any:
        """A start of the model with the entries; see `LatentVariableModel.with_fixed`."""
        return self.model.with_fixed(data, self.model.initialize(data, rng), self.fixed, rng)

    def candidates(self, data: Any, rng: np.random.Generator, n: int) -> Iterator[Any]:
        """The starts of the model with the entries; those that do not go with them are left out."""
        for params in self.model.candidates(data, rng, n):
            with suppress(DegenerateModelError):
                yield self.model.with_fixed(data, params, self.fixed, rng)

    def perturb(self, data: Any, params: Any, rng: np.random.Generator) -> Any:
        """A change of the model with the entries; None if there is none that goes with them."""
        changed = self.model.perturb(data, params, rng)
        if changed is None:
            return None
        try:
            return self.model.with_fixed(data, changed, self.fixed, rng)
        except DegenerateModelError:
            return None

    def example(self, data: Any) -> Any:
        """See `LatentVariableModel`."""
        return self.model.impose(self.model.example(data), self.fixed)

    # ---- steps ----------------------------------------------------------------------------

    def m_step(self, statistics: Any, params: Any) -> Any:
        """The M-step over the free entries."""
        return self.model.constrained_m_step(statistics, params, self.fixed)

    def constrained_m_step(
        self, statistics: Any, params: Any, fixed: Mapping[str, NDArray[np.float64]]
    ) -> Any:
        """The M-step over entries that are free here and in `fixed`."""
        return self.model.constrained_m_step(statistics, params, self._both(fixed))

    def impose(self, params: Any, fixed: Mapping[str, NDArray[np.float64]]) -> Any:
        """Parameters with the entries of both put in."""
        return self.model.impose(params, self._both(fixed))

    def _both(self, fixed: Mapping[str, Array]) -> dict[str, Array]:
        """The entries of `fixed`, and those that the model holds, which win."""
        return {**self.fixed, **hold(fixed, self.fixed)}

    def from_vector(self, vector: NDArray[np.float64], like: Any) -> Any:
        """Proposal of an accelerator, with the entries put in."""
        try:
            return self.model.impose(self.model.from_vector(vector, like), self.fixed)
        except ValueError as error:
            raise DegenerateModelError(str(error)) from None

    @property
    def has_curvature(self) -> bool:
        """Whether the model has a curvature."""
        return self.model.has_curvature

    def curvature(self, statistics: Any, params: Any) -> tuple[Array, Array] | None:
        """That of the model within the directions in which the entries do not move."""
        found = self.model.curvature(statistics, params)
        if found is None:
            return None
        gradient, information = found
        free = self._free_directions(params)
        projector = free @ free.T
        # Nothing pulls in the other directions, so that a Newton step does not go there.
        stiff = (np.eye(len(gradient)) - projector) * max(float(np.trace(information)), 1.0)
        return projector @ gradient, projector @ information @ projector + stiff

    def _free_directions(self, params: Any) -> Array:
        """Orthonormal directions of the vector form in which the entries do not move, at first."""
        vector = self.model.to_vector(params)
        derivative = []
        for i in range(len(vector)):
            step = np.zeros(len(vector))
            step[i] = _STEP * max(abs(vector[i]), _STEP)
            above, below = (
                self.model.public(self.model.from_vector(vector + side, params))
                for side in (step, -step)
            )
            change = [
                ((above[name] - below[name]) / (2.0 * step[i]))[~np.isnan(held)]
                for name, held in self.fixed.items()
            ]
            derivative.append(np.concatenate([part.ravel() for part in change]))
        moved = np.array(derivative)
        size = np.abs(moved).max(axis=0, initial=0.0)
        if not size.any():
            return np.eye(len(vector))
        moved = moved[:, size > 0.0] / size[size > 0.0]
        left, values, _ = np.linalg.svd(moved)
        rank = int(np.count_nonzero(values > _STEP * values.max(initial=0.0)))
        return left[:, rank:]

    def n_parameters(self, params: Any) -> int:
        """Number of free parameters that are not held."""
        own = self.model.n_parameters(params)
        return max(own - n_held(self.model, params, self.fixed), 0)

    def ranking_penalty(self, statistics: Any, params: Any) -> Penalty:
        """See `LatentVariableModel.constrained_penalty`."""
        return self.model.constrained_penalty(statistics, params, self.fixed)

    def unsound(self, statistics: Any, params: Any) -> list[str]:
        """See `LatentVariableModel.constrained_unsound`."""
        return self.model.constrained_unsound(statistics, params, self.fixed)
