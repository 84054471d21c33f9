"""Damped Anderson acceleration with restarts (DAAREM)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from emlearn.engine.acceleration.contract import Vector


@dataclass(frozen=True)
class Anderson:
    """Damped Anderson acceleration with restarts.

    The last iterates are combined so that the combination of their EM steps is shortest,
    with a penalty on the coefficients that fades as proposals are accepted; the memory
    is emptied when it is full. Every iteration proposes, at one E-step each.

    Parameters
    ----------
    max_order : int, default=10
        Largest number of iterates to combine; no more than half of the parameters.
    damping_base : float, default=1.2
        Base of the logistic curve by which the damping fades.
    damping_delay : float, default=25
        Accepted proposals after which half of the damping is gone.

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
        """Memory for one run."""
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
        share = _damped_least_squares(changes, step, self._kept_share())
        return image - share @ (moves + changes)

    def judge(self, accepted: bool) -> None:
        """See `AcceleratorRun.judge`."""
        if accepted:
            self._n_accepted += 1
        else:
            # The damping grows again where the linear picture of the map was wrong.
            self._n_accepted = max(self._n_accepted - self.settings.max_order, 0)

    def _kept_share(self) -> float:
        """Squared norm of the damped coefficients relative to that of the undamped."""
        settings = self.settings
        return 1.0 / (1.0 + settings.damping_base ** (settings.damping_delay - self._n_accepted))

    def _forget(self) -> None:
        self._moves.clear()
        self._changes.clear()
        self._last = None


def _damped_least_squares(rows: Vector, target: Vector, kept: float) -> Vector:
    """Ridge coefficients of `target` on `rows` with `kept` of their squared norm.

    Parameters
    ----------
    rows : ndarray of shape (order, n_parameters)
        The regressors.
    target : ndarray of shape (n_parameters,)
        What they are to explain.
    kept : float
        Squared norm of the coefficients relative to that of least squares, in (0, 1).
    """
    left, singular, right = np.linalg.svd(rows, full_matrices=False)
    usable = singular > singular[0] * len(target) * np.finfo(np.float64).eps
    left, singular, right = left[:, usable], singular[usable], right[usable]
    if not len(singular):
        return np.zeros(len(rows))
    projection = right @ target
    wanted = kept * np.square(projection / singular).sum()
    # The norm falls with the ridge; bisection on its logarithm finds it to 1 %.
    low, high = np.log(singular[-1] ** 2) - 20.0, np.log(singular[0] ** 2) + 20.0
    while high - low > 0.01:
        middle = 0.5 * (low + high)
        shares = projection * singular / (np.square(singular) + np.exp(middle))
        low, high = (middle, high) if np.square(shares).sum() > wanted else (low, middle)
    shares = projection * singular / (np.square(singular) + np.exp(low))
    return left @ shares
