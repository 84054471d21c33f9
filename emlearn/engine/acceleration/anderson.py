"""Damped Anderson acceleration with restarts (DAAREM)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from emlearn.engine.acceleration.contract import Vector


@dataclass(frozen=True)
class Anderson:
    """Damped Anderson acceleration with restarts.

    A proposal is the combination of the last iterates whose combined EM step is shortest.
    A penalty on the coefficients (the damping) fades as proposals are accepted, and the
    memory is cleared when it is full. There is a proposal in every iteration, at the cost
    of one E-step.

    Parameters
    ----------
    max_order : int, default=10
        Largest number of iterates to combine; never more than half the number of parameters.
    damping_base : float, default=1.2
        Base of the logistic curve that the damping follows.
    damping_delay : float, default=25
        Number of accepted proposals after which the damping is half gone.

    References
    ----------
    N. C. Henderson and R. Varadhan (2019). "Damped Anderson acceleration with restarts
    and monotonicity control for accelerating EM and EM-like algorithms". Journal of
    Computational and Graphical Statistics 28(4), 834-846.
    """

    max_order: int = 10
    damping_base: float = 1.2
    damping_delay: float = 25.0

    def start(self) -> AndersonRun:
        """New memory for one run."""
        return AndersonRun(self)


@dataclass
class AndersonRun:
    """Memory of one run."""

    settings: Anderson
    _last: tuple[Vector, Vector] | None = None
    _moves: list[Vector] = field(default_factory=list)
    _changes: list[Vector] = field(default_factory=list)
    _n_accepted: int = 0

    def propose(self, point: Vector, image: Vector) -> Vector | None:
        """See `AcceleratorRun.propose`."""
        step = image - point
        order = min(self.settings.max_order, (len(point) + 1) // 2)
        if len(self._moves) >= order:
            self._forget()
        if self._last is not None:
            self._moves.append(point - self._last[0])
            self._changes.append(step - self._last[1])
        self._last = (point, step)
        if not self._moves:
            return None
        moves, changes = np.stack(self._moves), np.stack(self._changes)
        coefficients = _damped_least_squares(changes, step, self._kept_fraction())
        return image - coefficients @ (moves + changes)

    def update(self, accepted: bool) -> None:
        """See `AcceleratorRun.update`."""
        if accepted:
            self._n_accepted += 1
        else:
            # A rejection shows that the map is not linear here, so the damping grows again.
            self._n_accepted = max(self._n_accepted - self.settings.max_order, 0)

    def _kept_fraction(self) -> float:
        """Squared norm of the damped coefficients as a fraction of the undamped ones'."""
        settings = self.settings
        return 1.0 / (1.0 + settings.damping_base ** (settings.damping_delay - self._n_accepted))

    def _forget(self) -> None:
        self._moves.clear()
        self._changes.clear()
        self._last = None


def _damped_least_squares(rows: Vector, target: Vector, kept: float) -> Vector:
    """Coefficients of the ridge regression of `target` on `rows`.

    The ridge is chosen so that their squared norm is a given fraction of the squared norm
    of the least squares coefficients.

    Parameters
    ----------
    rows : ndarray of shape (order, n_parameters)
        The regressors.
    target : ndarray of shape (n_parameters,)
        The response.
    kept : float
        The fraction, in (0, 1).
    """
    u, singular, vt = np.linalg.svd(rows, full_matrices=False)
    usable = singular > singular[0] * len(target) * np.finfo(np.float64).eps
    u, singular, vt = u[:, usable], singular[usable], vt[usable]
    if not len(singular):
        return np.zeros(len(rows))
    projection = vt @ target
    wanted = kept * np.square(projection / singular).sum()
    # The norm decreases with the ridge. Bisection finds the logarithm of the ridge to 0.01.
    low, high = np.log(singular[-1] ** 2) - 20.0, np.log(singular[0] ** 2) + 20.0
    while high - low > 0.01:
        middle = 0.5 * (low + high)
        coefficients = projection * singular / (np.square(singular) + np.exp(middle))
        low, high = (middle, high) if np.square(coefficients).sum() > wanted else (low, middle)
    coefficients = projection * singular / (np.square(singular) + np.exp(low))
    return u @ coefficients
