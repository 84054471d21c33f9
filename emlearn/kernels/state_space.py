"""Filtering and smoothing of linear Gaussian states, in numpy and in the compiled kernels.

A group of sequences of one length, in which the same entries are observed, has the same
covariances. They are found once, and only means are found for each sequence.

The forward pass is a square-root filter: with ``P = S S'``, one observation of unit noise after
another updates S by Potter's formula, and an orthogonal transformation of ``[A S, L]``, where
``L L'`` is the noise of the states, carries S to the next step. No matrix is inverted, and
covariances stay positive semidefinite. The backward pass is that of de Jong and of Durbin and
Koopman for one observation after another: with gain K, variance F and innovation v of an
observation with row c,

    r <- r + c (v / F - K' r),    N <- c c' / F + (I - c K') N (I - K c'),

and ``r <- A' r``, ``N <- A' N A`` between steps. With the r and N of the next predicted state, the
smoothed state is ``a + P A' r``, with covariance ``P - P A' N A P``, where a and P are those of the
filtered state: they are closer to it than those of the predicted state, so that fewer digits are
lost in the differences. Where the covariances of two steps agree to rounding, they are those of
all later steps with the same observed entries.

References
----------
J. E. Potter and R. G. Stern (1963). "Statistical filtering of space navigation measurements".
AIAA Guidance and Control Conference.

J. Durbin and S. J. Koopman (2012). "Time Series Analysis by State Space Methods", second edition.
Oxford University Press. Sections 4.4, 4.5 and 6.4.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.kernels import compiled

Array = NDArray[np.float64]


class Recursion(NamedTuple):
    """What is the same for all sequences of a group.

    Attributes
    ----------
    transition : ndarray of shape (n_states, n_states)
        Transition matrix A.
    noise_root : ndarray of shape (n_states, n_noises)
        A matrix L; the noise of the states has the covariance ``L L'``.
    rows : ndarray of shape (n_rows, n_states)
        Rows of the observation matrix, scaled such that the noise has variance 1 and is
        uncorrelated.
    index : ndarray of int, of shape (n_indices,)
        Rows that are observed in each pattern, one pattern after another.
    bounds : ndarray of int, of shape (n_patterns + 1,)
        Where each pattern begins and ends in `index`.
    pattern : ndarray of int, of shape (n_steps,)
        Pattern of each step.
    initial_root : ndarray of shape (n_states, n_states)
        A square root of the covariance of the first state.
    """

    transition: Array
    noise_root: Array
    rows: Array
    index: NDArray[np.intp]  # type: ignore[assignment]  # hides tuple.index
    bounds: NDArray[np.intp]
    pattern: NDArray[np.intp]
    initial_root: Array


class Filtered(NamedTuple):
    """Result of `filter_states`.

    Attributes
    ----------
    innovations : ndarray of shape (n_sequences, n_observations)
        Observations less their expectations given earlier ones, in standard deviations.
    log_determinant : float
        Sum of the logarithms of the variances of the innovations of one sequence.
    predicted, filtered : ndarray of shape (n_sequences, n_steps, n_states)
        Expected states given earlier observations, and also those of the step.
    predicted_covariance, filtered_covariance : ndarray of shape (n_steps, n_states, n_states)
        Their covariances; None unless asked for.
    last_root : ndarray of shape (n_states, n_states)
        A square root of the covariance of the filtered state of the last step.
    """

    innovations: Array
    log_determinant: float
    predicted: Array
    filtered: Array
    predicted_covariance: Array | None
    filtered_covariance: Array | None
    last_root: Array


class Smoothed(NamedTuple):
    """Result of `smooth_states`; covariances are given all observations.

    Attributes
    ----------
    innovations, log_determinant
        See `Filtered`.
    means : ndarray of shape (n_sequences, n_steps, n_states)
        Expected states.
    of_pattern : ndarray of shape (n_patterns, n_states, n_states)
        Sum of the covariances of the states over the steps of each pattern.
    first, last : ndarray of shape (n_states, n_states)
        Covariances of the first and the last state.
    information : ndarray of shape (n_states, n_states)
        Sum of N over the transitions: the noise w of a transition has covariance Q - Q N Q.
    cross : ndarray of shape (n_states, n_states)
        Sum of ``N A P`` over the transitions, where P is the covariance of the filtered state:
        the covariance of the noise and the state before it is ``-Q N A P``.
    covariances : ndarray of shape (n_steps, n_states, n_states) or None
        Covariances of the states; None unless asked for.
    last_mean, last_root : ndarray
        Filtered states of the last step, (n_sequences, n_states), and a root of their covariance.
    """

    innovations: Array
    log_determinant: float
    means: Array
    of_pattern: Array
    first: Array
    last: Array
    information: Array
    cross: Array
    covariances: Array | None
    last_mean: Array
    last_root: Array


def filter_states(
    recursion: Recursion,
    observations: Array,
    inputs: Array | None,
    initial: Array,
    *,
    covariances: bool = False,
) -> Filtered:
    """Filter the states of a group of sequences.

    Parameters
    ----------
    recursion : Recursion
        What the sequences share.
    observations : ndarray of shape (n_sequences, n_observations)
        Observed entries, scaled as the rows, one step after another in the order of `index`.
    inputs : ndarray of shape (n_sequences, n_steps, n_states) or None
        What is added to the states after each step. None means zeros.
    initial : ndarray of shape (n_sequences, n_states)
        Expected first states.
    covariances : bool, default=False
        Whether to return the covariances of all steps.

    Returns
    -------
    filtered : Filtered
        States given observations up to them.
    """
    if compiled is not None:
        return _filter_compiled(recursion, observations, inputs, initial, covariances)
    forward = _Forward(recursion, observations, inputs, initial)
    roots = (forward.predicted_root, forward.filtered_root)
    predicted, filtered = [
        np.array([root @ root.T for root in of_step]).reshape(-1, *recursion.transition.shape)
        if covariances
        else None
        for of_step in roots
    ]
    return Filtered(
        forward.innovations,
        forward.log_determinant,
        forward.predicted,
        forward.filtered,
        predicted,
        filtered,
        forward.filtered_root[-1],
    )


def smooth_states(
    recursion: Recursion,
    observations: Array,
    inputs: Array | None,
    initial: Array,
    *,
    covariances: bool = False,
) -> Smoothed:
    """Smooth the states of a group of sequences.

    Parameters
    ----------
    recursion : Recursion
        What the sequences share.
    observations : ndarray of shape (n_sequences, n_observations)
        Observed entries, scaled as the rows, one step after another in the order of `index`.
    inputs : ndarray of shape (n_sequences, n_steps, n_states) or None
        What is added to the states after each step. None means zeros.
    initial : ndarray of shape (n_sequences, n_states)
        Expected first states.
    covariances : bool, default=False
        Whether to return the covariances of all steps.

    Returns
    -------
    smoothed : Smoothed
        States given all observations.
    """
    if compiled is not None:
        return _smooth_compiled(recursion, observations, inputs, initial, covariances)
    forward = _Forward(recursion, observations, inputs, initial)
    transition, bounds = recursion.transition, recursion.bounds
    n_steps, n_states = len(recursion.pattern), transition.shape[0]
    n_patterns = len(bounds) - 1
    of_pattern = np.zeros((n_patterns, n_states, n_states))
    every = np.zeros((n_steps, n_states, n_states))
    information, cross = np.zeros((2, n_states, n_states))
    means = np.empty_like(forward.predicted)
    r, precision = np.zeros_like(initial), np.zeros((n_states, n_states))
    end = observations.shape[1]
    for t in range(n_steps - 1, -1, -1):
        root = forward.filtered_root[t]
        carried = transition @ root
        means[:, t] = forward.filtered[:, t] + r @ carried @ root.T
        explained = carried.T @ precision @ carried
        every[t] = root @ (np.eye(n_states) - explained) @ root.T
        of_pattern[recursion.pattern[t]] += every[t]
        information += precision
        cross += precision @ carried @ root.T
        r = r @ transition
        precision = transition.T @ precision @ transition
        gains, variances, rows = forward.gains[t], forward.variances[t], forward.rows[t]
        for gain, variance, row in zip(gains[::-1], variances[::-1], rows[::-1], strict=True):
            end -= 1
            scaled = forward.innovations[:, end] / np.sqrt(variance)
            r = r + np.outer(scaled - r @ gain, row)
            moved = np.outer(row, precision @ gain)
            curvature = gain @ precision @ gain + 1.0 / variance
            precision = precision - moved - moved.T + curvature * np.outer(row, row)
    return Smoothed(
        forward.innovations,
        forward.log_determinant,
        means,
        of_pattern,
        every[0],
        every[-1],
        information,
        cross,
        every if covariances else None,
        forward.filtered[:, -1],
        forward.filtered_root[-1],
    )


def _arguments(
    recursion: Recursion, observations: Array, inputs: Array | None, initial: Array
) -> list[Any]:
    """What both compiled functions begin with."""
    A, L, rows, index, bounds, pattern, root = recursion
    observations = np.ascontiguousarray(observations)
    return [
        *(np.ascontiguousarray(matrix) for matrix in (A, L, rows)),
        *(np.ascontiguousarray(whole, dtype=np.int64) for whole in (index, bounds, pattern)),
        np.ascontiguousarray(root),
        observations,
        None if inputs is None else np.ascontiguousarray(inputs),
        np.ascontiguousarray(initial),
        TOLERANCE,
        np.empty_like(observations),
    ]


def _filter_compiled(
    recursion: Recursion,
    observations: Array,
    inputs: Array | None,
    initial: Array,
    covariances: bool,
) -> Filtered:
    arguments = _arguments(recursion, observations, inputs, initial)
    n_steps, n = len(recursion.pattern), len(recursion.transition)
    predicted, filtered = np.empty((2, len(initial), n_steps, n))
    every = np.empty((2, n_steps, n, n)) if covariances else None
    root = np.empty((n, n))
    log_determinant = compiled.filter_states(*arguments, predicted, filtered, every, root)
    before, after = (None, None) if every is None else every
    return Filtered(arguments[-1], log_determinant, predicted, filtered, before, after, root)


def _smooth_compiled(
    recursion: Recursion,
    observations: Array,
    inputs: Array | None,
    initial: Array,
    covariances: bool,
) -> Smoothed:
    arguments = _arguments(recursion, observations, inputs, initial)
    n_steps, n = len(recursion.pattern), len(recursion.transition)
    means, last_mean = np.empty((len(initial), n_steps, n)), np.empty((len(initial), n))
    of_pattern = np.empty((len(recursion.bounds) - 1, n, n))
    squares = np.empty((5, n, n))
    every = np.empty((n_steps, n, n)) if covariances else None
    log_determinant = compiled.smooth_states(
        *arguments, means, of_pattern, squares, every, last_mean
    )
    first, last, information, cross, root = squares
    return Smoothed(
        arguments[-1],
        log_determinant,
        means,
        of_pattern,
        first,
        last,
        information,
        cross,
        every,
        last_mean,
        root,
    )


class _Forward:
    """The forward pass, with all that the backward pass needs."""

    def __init__(
        self, recursion: Recursion, observations: Array, inputs: Array | None, initial: Array
    ):
        transition, bounds, pattern = recursion.transition, recursion.bounds, recursion.pattern
        n_steps, n_states = len(pattern), transition.shape[0]
        self.innovations = np.empty_like(observations)
        self.log_determinant = 0.0
        self.predicted = np.empty((len(initial), n_steps, n_states))
        self.filtered = np.empty_like(self.predicted)
        self.predicted_root: list[Array] = []
        self.filtered_root: list[Array] = []
        self.gains: list[list[Array]] = []
        self.variances: list[list[float]] = []
        self.rows: list[Array] = []
        mean, root, begin = initial, recursion.initial_root, 0
        steady = Steady()
        for t, p in enumerate(pattern):
            self.predicted[:, t] = mean
            self.predicted_root.append(root)
            if steady.holds(t, pattern):
                self.gains.append(self.gains[-1])
                self.variances.append(self.variances[-1])
                self.rows.append(self.rows[-1])
                self.filtered_root.append(self.filtered_root[-1])
            else:
                self._update_root(root, recursion.rows[recursion.index[bounds[p] : bounds[p + 1]]])
            for gain, variance, row in zip(
                self.gains[t], self.variances[t], self.rows[t], strict=True
            ):
                innovation = observations[:, begin] - mean @ row
                mean = mean + np.outer(innovation, gain)
                self.innovations[:, begin] = innovation / np.sqrt(variance)
                self.log_determinant += float(np.log(variance))
                begin += 1
            self.filtered[:, t] = mean
            mean = mean @ transition.T
            if inputs is not None:
                mean = mean + inputs[:, t]
            if not steady.holds(t + 1, pattern):
                joint = np.hstack((transition @ self.filtered_root[t], recursion.noise_root))
                following = np.asarray(np.linalg.qr(joint.T, mode="r")).T
                following = following * np.where(np.diagonal(following) < 0.0, -1.0, 1.0)
                steady.compare(t, root, following)
                root = following

    def _update_root(self, root: Array, rows: Array) -> None:
        gains, variances = [], []
        for row in rows:
            inner = row @ root
            variance = float(1.0 + inner @ inner)
            gain = root @ inner / variance
            root = root - np.outer(gain, inner) * (variance / (variance + np.sqrt(variance)))
            gains.append(gain)
            variances.append(variance)
        self.gains.append(gains)
        self.variances.append(variances)
        self.rows.append(rows)
        self.filtered_root.append(root)


class Steady:
    """Tells when covariances no longer change.

    They approach their limit geometrically: with changes d of this and e of the last step, what
    is left is about ``d / (1 - d / e)``.
    """

    def __init__(self) -> None:
        self.since: int | None = None
        self.change = np.inf

    def holds(self, t: int, pattern: NDArray[np.intp]) -> bool:
        """Whether the covariances of step t are those of the step before."""
        if self.since is None:
            return False
        if t < len(pattern) and pattern[t] != pattern[self.since]:
            self.since, self.change = None, np.inf
            return False
        return True

    def compare(self, t: int, root: Array, following: Array) -> None:
        """Note how the root of the covariance changes after step t."""
        if root.shape != following.shape:
            return
        change = float(np.abs(following - root).max() / max(np.abs(following).max(), 1e-300))
        ratio = change / self.change if self.change > 0.0 else 0.0
        self.change = change
        if change == 0.0 or (ratio < 1.0 and change / (1.0 - ratio) < TOLERANCE):
            self.since = t


#: Relative change of roots of covariances that is taken for none.
TOLERANCE = 1e-13
