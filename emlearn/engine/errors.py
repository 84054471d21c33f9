"""The error of a model that cannot continue."""

from __future__ import annotations


class DegenerateModelError(ArithmeticError):
    """A model cannot continue, for example because a covariance is singular.

    Models raise it in `initialize`, `precompute`, `e_step`, `m_step` or `from_vector`. The
    engine ends the run with the status `Status.FAILED` (or rejects the proposal, in
    `from_vector`); other runs continue.
    """
