"""Priors of images: penalties of the differences between neighboring pixels.

A prior is ``exp(-weight * R(v))`` with ``R(v) = sum of w_jk psi(v_j, v_k)`` over pairs of
neighbors, in which `w_jk` is 1 over their distance. The M-step maximizes, for each pixel on its
own, ``e_j log v_j - s_j v_j`` minus a bound of the penalty that touches it at the present image
`a`. As `psi` is convex, its value at ``(v_j, v_k) = ((2 v_j - a_j, a_k) + (a_j, 2 v_k - a_k)) / 2``
is at most the mean of the values at the two points, each of which has only one of the pixels (De
Pierro 1995).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Pair = tuple[tuple[slice, ...], tuple[slice, ...], float]

# Newton steps for one pixel, and the relative length of the last one. Its error is the square.
_STEPS, _LAST = 30, 1e-5
# Keeps quotients of 0 by 0 at 0.
_TINY = 1e-150
# One-step-late: the smallest denominator, as a part of the sensitivity.
_LEAST = 0.1


def neighbors(shape: tuple[int, ...]) -> Iterator[Pair]:
    """Pairs of neighbors, diagonal ones too: the one half, the other half, and the weight."""
    for offset in product((-1, 0, 1), repeat=len(shape)):
        if offset > (0,) * len(shape):
            sizes = list(zip(offset, shape, strict=True))
            first = tuple(slice(max(0, -o), n - max(0, o)) for o, n in sizes)
            second = tuple(slice(max(0, o), n - max(0, -o)) for o, n in sizes)
            yield first, second, 1.0 / float(np.linalg.norm(offset))


class Prior(ABC):
    """A penalty of differences between neighbors.

    Neighbors share a side or a corner. Their weight is 1 over their distance.

    See Also
    --------
    PoissonReconstructionEM : Takes a prior.
    """

    @abstractmethod
    def value(self, image: Array) -> float:
        """The penalty R.

        Parameters
        ----------
        image : ndarray
            Image, in its shape.

        Returns
        -------
        value : float
            Sum over pairs of neighbors.
        """

    @abstractmethod
    def gradient(self, image: Array) -> Array:
        """Derivatives of the penalty.

        Parameters
        ----------
        image : ndarray
            Image, in its shape.

        Returns
        -------
        gradient : ndarray
            Of the shape of the image.
        """

    @abstractmethod
    def maximize(self, emissions: Array, sensitivity: Array, image: Array, weight: float) -> Array:
        """The M-step: the image that maximizes the separable bound of the objective.

        Parameters
        ----------
        emissions : ndarray
            Expected numbers of counts from each pixel.
        sensitivity : ndarray
            Sums of the columns of the system matrix.
        image : ndarray
            The present image, at which the bound touches the objective.
        weight : float
            Weight of the penalty.

        Returns
        -------
        image : ndarray
            The next image.
        """

    def one_step_late(
        self, emissions: Array, sensitivity: Array, image: Array, weight: float
    ) -> Array:
        """The M-step with derivatives of the penalty at the present image (Green 1990).

        It can lower the objective. The denominators are at least a tenth of the sensitivity.

        Parameters
        ----------
        emissions : ndarray
            Expected numbers of counts from each pixel.
        sensitivity : ndarray
            Sums of the columns of the system matrix.
        image : ndarray
            The present image.
        weight : float
            Weight of the penalty.

        Returns
        -------
        image : ndarray
            The next image.
        """
        denominator = sensitivity + weight * self.gradient(image)
        np.maximum(denominator, _LEAST * sensitivity, out=denominator)
        return np.divide(emissions, denominator, out=image.copy(), where=sensitivity > 0.0)


class _DifferencePrior(Prior):
    """A prior of differences that a parabola bounds: ``psi(t) <= omega(t0) t^2 / 2 + constant``."""

    @abstractmethod
    def _psi(self, difference: Array) -> Array:
        """The penalty of differences."""

    @abstractmethod
    def _omega(self, difference: Array) -> Array:
        """The derivative of the penalty over the difference: curvature of the parabola."""

    def value(self, image: Array) -> float:
        """See `Prior.value`."""
        return float(
            sum(w * self._psi(image[a] - image[b]).sum() for a, b, w in neighbors(image.shape))
        )

    def gradient(self, image: Array) -> Array:
        """See `Prior.gradient`."""
        gradient = np.zeros_like(image)
        for a, b, w in neighbors(image.shape):
            difference = image[a] - image[b]
            slope = w * self._omega(difference) * difference
            gradient[a] += slope
            gradient[b] -= slope
        return gradient

    def maximize(self, emissions: Array, sensitivity: Array, image: Array, weight: float) -> Array:
        """See `Prior.maximize`."""
        curvature, pull = np.zeros_like(image), np.zeros_like(image)
        for a, b, w in neighbors(image.shape):
            of_pair = 2.0 * weight * w * self._omega(image[a] - image[b])
            toward = of_pair * (0.5 * (image[a] + image[b]))
            for side in (a, b):
                curvature[side] += of_pair
                pull[side] += toward
        return _positive_root(curvature, sensitivity - pull, emissions, image)


def _positive_root(square: Array, linear: Array, constant: Array, otherwise: Array) -> Array:
    """The root >= 0 of ``square v^2 + linear v = constant``, where there is one."""
    root = np.sqrt(np.square(linear) + 4.0 * square * constant)
    # Of the two forms of the root, the one without cancellation.
    numerator = np.where(linear > 0.0, 2.0 * constant, root - linear)
    denominator = np.where(linear > 0.0, linear + root, 2.0 * square)
    return np.divide(numerator, denominator, out=otherwise.copy(), where=denominator > 0.0)


@dataclass(frozen=True)
class QuadraticPrior(_DifferencePrior):
    """Half the squares of differences between neighbors: a Gaussian random field.

    It smooths edges as well as noise. A pixel without sensitivity becomes the mean of its
    neighbors.

    See Also
    --------
    HuberPrior, RelativeDifferencePrior : Priors that keep edges better.

    References
    ----------
    A. R. De Pierro (1995). "A modified expectation maximization algorithm for penalized
    likelihood estimation in emission tomography". IEEE Transactions on Medical Imaging 14(1),
    132-137.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.tomography import QuadraticPrior
    >>> QuadraticPrior().value(np.array([0.0, 1.0, 3.0]))
    2.5
    """

    def _psi(self, difference: Array) -> Array:
        return 0.5 * np.square(difference)

    def _omega(self, difference: Array) -> Array:
        return np.ones_like(difference)


@dataclass(frozen=True)
class HuberPrior(_DifferencePrior):
    """Quadratic for small differences, linear for large ones, so that edges cost less.

    Parameters
    ----------
    delta : float, default=1.0
        Difference from which on the penalty is linear, in the units of the image: about that
        of noise, and less than the edges to keep.

    Raises
    ------
    ValueError
        If `delta` is not positive.

    See Also
    --------
    RelativeDifferencePrior : Does not depend on the units of the image.

    References
    ----------
    P. J. Huber (1964). "Robust estimation of a location parameter". Annals of Mathematical
    Statistics 35(1), 73-101.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.tomography import HuberPrior
    >>> HuberPrior(delta=1.0).value(np.array([0.0, 1.0, 3.0]))
    2.0
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        _require(0.0 < self.delta < np.inf, "delta", "positive and finite", self.delta)

    def _psi(self, difference: Array) -> Array:
        size = np.abs(difference)
        inside = np.minimum(size, self.delta)
        return inside * (size - 0.5 * inside)

    def _omega(self, difference: Array) -> Array:
        return self.delta / np.maximum(np.abs(difference), self.delta)


@dataclass(frozen=True)
class RelativeDifferencePrior(Prior):
    """Squares of differences relative to the size of the pixels.

    The penalty of a pair is ``(v_j - v_k)^2 / (v_j + v_k + gamma |v_j - v_k| + epsilon)``. An
    image in other units has the same penalty relative to its log-likelihood, if `epsilon` is 0.

    Parameters
    ----------
    gamma : float, default=2.0
        How much edges are kept: 0 is quadratic, large values are close to the absolute
        difference. 2 is common in practice.
    epsilon : float, default=0.0
        Makes the penalty smooth at 0, in the units of the image.

    Raises
    ------
    ValueError
        If `gamma` or `epsilon` is negative.

    See Also
    --------
    HuberPrior : Keeps edges above a given size.

    Notes
    -----
    Its M-step has no closed form. The derivative of the bound is monotone in each pixel, so
    Newton's method in a bracket finds the root. A pixel falls at most to half in one step, because
    the bound is valid only there; the objective still never falls.

    References
    ----------
    J. Nuyts, D. Beque, P. Dupont and L. Mortelmans (2002). "A concave prior penalizing relative
    differences for maximum-a-posteriori reconstruction in emission tomography". IEEE Transactions
    on Nuclear Science 49(1), 56-60.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.tomography import RelativeDifferencePrior
    >>> RelativeDifferencePrior(gamma=1.0).value(np.array([0.0, 1.0, 3.0]))
    1.1666666666666665
    """

    gamma: float = 2.0
    epsilon: float = 0.0

    def __post_init__(self) -> None:
        _require(0.0 <= self.gamma < np.inf, "gamma", ">= 0 and finite", self.gamma)
        _require(0.0 <= self.epsilon < np.inf, "epsilon", ">= 0 and finite", self.epsilon)

    def value(self, image: Array) -> float:
        total = 0.0
        for a, b, w in neighbors(image.shape):
            difference, size = self._parts(image[a], image[b])
            total += w * float((np.square(difference) / size).sum())
        return total

    def gradient(self, image: Array) -> Array:
        gradient = np.zeros_like(image)
        for a, b, w in neighbors(image.shape):
            for one, other in ((a, b), (b, a)):
                gradient[one] += w * self._derivatives(image[one], image[other])[0]
        return gradient

    def maximize(self, emissions: Array, sensitivity: Array, image: Array, weight: float) -> Array:
        pairs = [(*p, w) for a, b, w in neighbors(image.shape) for p in ((a, b), (b, a))]
        low, high = 0.5 * image, _ratio(emissions, sensitivity)
        for one, other, _ in pairs:
            np.maximum(high[one], 0.5 * (image[one] + image[other]), out=high[one])
        np.maximum(high, image, out=high)
        value = image.copy()
        for _ in range(_STEPS):
            of_counts = _ratio(emissions, value)
            slope, curvature = of_counts - sensitivity, -_ratio(of_counts, value)
            for one, other, w in pairs:
                moved = 2.0 * value[one] - image[one]
                first, second = self._derivatives(moved, image[other])
                slope[one] -= weight * w * first
                curvature[one] -= 2.0 * weight * w * second
            np.copyto(low, value, where=slope >= 0.0)
            np.copyto(high, value, where=slope <= 0.0)
            step = value - np.divide(
                slope, curvature, out=np.zeros_like(slope), where=curvature < 0
            )
            inside = (low <= step) & (step <= high)
            new = np.where(inside, step, 0.5 * (low + high))
            done = np.abs(new - value) <= _LAST * value
            value = new
            if done.all():
                break
        return value

    def _parts(self, one: Array, other: Array) -> tuple[Array, Array]:
        """The difference, and what its square is divided by."""
        difference = one - other
        size = np.abs(difference)
        size *= self.gamma
        size += one
        size += other
        size += self.epsilon + _TINY
        return difference, size

    def _derivatives(self, one: Array, other: Array) -> tuple[Array, Array]:
        """First and second derivative of the penalty with respect to the first pixel."""
        difference, size = self._parts(one, other)
        relative = difference / size
        # The derivative is d (2 q - d q') / q^2, in which q' = 1 + gamma sign(d).
        first = np.abs(relative)
        first *= -self.gamma
        first -= relative
        first += 2.0
        first *= relative
        second = (2.0 * other + self.epsilon) / size
        second *= second
        second /= 0.5 * size
        return first, second


def _ratio(numerator: Array, denominator: Array) -> Array:
    """Quotients, 0 where both are 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0.0)


def _require(holds: bool, name: str, what: str, value: float) -> None:
    if not holds:
        raise ValueError(f"{name} of the prior must be {what}, got {value!r}.")


#: Priors by name, with their defaults.
PRIORS: dict[str, Prior] = {
    "quadratic": QuadraticPrior(),
    "huber": HuberPrior(),
    "relative_difference": RelativeDifferencePrior(),
}
