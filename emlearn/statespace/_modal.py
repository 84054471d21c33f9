"""Modes of structures from state-space models of their vibrations.

An eigenvalue lam of the transition matrix, at fs rows per second, is a mode of frequency
``|ln lam| fs / (2 pi)`` and damping ratio ``-Re(ln lam) / |ln lam|``; its shape is C times the
eigenvector. None of these depends on the basis of the states. Standard errors follow from those
of the matrices by the delta method [1]_.

References
----------
.. [1] M. Dohler and L. Mevel (2013). "Efficient multi-order uncertainty computation for
   stochastic subspace identification". Mechanical Systems and Signal Processing 38(2), 346-366.
.. [2] R. J. Allemang (2003). "The modal assurance criterion: twenty years of use and abuse".
   Sound and Vibration 37(8), 14-23.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from scipy.stats import chi2, norm

from emlearn.engine.inference import Inference

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

# Eigenvalues closer to the real axis than this are not oscillations.
_REAL = 1e-10


@dataclass(frozen=True, eq=False)
class ModalParameters:
    """Modes in order of their frequencies; made by `modal_parameters` of an estimator.

    Attributes
    ----------
    frequencies : ndarray of shape (n_modes,)
        Natural frequencies, in units of `fs` (in hertz if fs is in rows per second).
    damping_ratios : ndarray of shape (n_modes,)
        Damping ratios; 1 is critical.
    mode_shapes : ndarray of complex, of shape (n_features, n_modes)
        Shapes in the units of the columns. Each has norm 1, and the phase at which the sum of
        the squares of its imaginary parts is least; its largest real part is positive.
    eigenvalues : ndarray of complex, of shape (n_modes,)
        Eigenvalues of the transition matrix, those with a positive imaginary part.
    frequency_errors, damping_errors : ndarray of shape (n_modes,) or None
        Standard errors; None if `modal_parameters` was called without rows.
    shape_errors : ndarray of complex, of shape (n_features, n_modes), or None
        Standard errors of the real parts, and of the imaginary parts as imaginary parts.
    covariance : ndarray of shape (2 * n_modes, 2 * n_modes) or None
        Covariance of the frequencies and damping ratios.
    """

    frequencies: Array
    damping_ratios: Array
    mode_shapes: Complex
    eigenvalues: Complex
    frequency_errors: Array | None = None
    damping_errors: Array | None = None
    shape_errors: Complex | None = None
    covariance: Array | None = None

    def __len__(self) -> int:
        return len(self.frequencies)

    def __str__(self) -> str:
        lines = ["mode  frequency  std error   damping  std error"]
        for k in range(len(self)):
            errors = [
                "         " if every is None else f"{every[k]:9.3g}"
                for every in (self.frequency_errors, self.damping_errors)
            ]
            lines.append(
                f"{k + 1:4d}  {self.frequencies[k]:9.4g}  {errors[0]}  "
                f"{self.damping_ratios[k]:8.4f}  {errors[1]}".rstrip()
            )
        return "\n".join(lines)


class ModalComparison(NamedTuple):
    """Modes of a structure at two times; made by `compare_modes`.

    Attributes
    ----------
    before, after : ndarray of int, of shape (n_matched,)
        Modes that belong together.
    mac : ndarray of shape (n_matched,)
        Modal assurance criterion of their shapes.
    frequency_change, damping_change : ndarray of shape (n_matched,)
        Values after less values before.
    frequency_z, damping_z : ndarray of shape (n_matched,)
        The changes in standard errors.
    frequency_pvalue, damping_pvalue : ndarray of shape (n_matched,)
        Two-sided p-values of each change alone.
    statistic : float
        Wald statistic of no change of any frequency and damping ratio.
    df : int
        Its degrees of freedom.
    pvalue : float
        Its p-value.
    """

    before: NDArray[np.intp]
    after: NDArray[np.intp]
    mac: Array
    frequency_change: Array
    damping_change: Array
    frequency_z: Array
    damping_z: Array
    frequency_pvalue: Array
    damping_pvalue: Array
    statistic: float
    df: int
    pvalue: float


def find_modes(transition: Array, observation: Array, fs: float) -> ModalParameters:
    """Modes of a transition and an observation matrix."""
    values, vectors = np.linalg.eig(transition)
    chosen = np.flatnonzero(values.imag > _REAL)
    values, vectors = values[chosen], vectors[:, chosen]
    logarithm = np.log(values)
    size = np.abs(logarithm)
    order = np.argsort(size, kind="stable")
    shapes = _normalized(observation @ vectors[:, order])
    return ModalParameters(
        size[order] * fs / (2.0 * np.pi),
        -logarithm.real[order] / size[order],
        shapes,
        values[order].astype(np.complex128),
    )


def modes_with_errors(
    inference: Inference, transition: Array, observation: Array, fs: float
) -> ModalParameters:
    """Modes with standard errors by the delta method."""
    modes = find_modes(transition, observation, fs)
    n, m = len(modes), len(observation)
    if not n:
        none = np.zeros(0)
        return ModalParameters(
            *_plain(modes), none, none, np.zeros((m, 0), complex), np.zeros((0, 0))
        )

    def values(params: Mapping[str, Array]) -> Array:
        found = find_modes(params["transition_matrix"], params["observation_matrix"], fs)
        if len(found) < n:
            return np.full(n * (2 + 2 * m), np.nan)
        cost = np.abs(modes.eigenvalues[:, None] - found.eigenvalues)
        _, own = linear_sum_assignment(cost)
        shapes = found.mode_shapes[:, own]
        # The same phase and sign: a small change cannot turn a shape over.
        turn = np.sign(np.einsum("ik,ik->k", modes.mode_shapes.conj(), shapes).real)
        shapes = shapes * np.where(turn == 0.0, 1.0, turn)
        return np.concatenate(
            (
                found.frequencies[own],
                found.damping_ratios[own],
                shapes.real.ravel(),
                shapes.imag.ravel(),
            )
        )

    covariance = inference.function(values, "mode").covariance
    error = np.sqrt(np.maximum(np.diagonal(covariance), 0.0))
    real, imaginary = np.split(error[2 * n :].reshape(2, m, n), 2)
    return ModalParameters(
        *_plain(modes),
        error[:n],
        error[n : 2 * n],
        (real + 1j * imaginary)[0],
        covariance[: 2 * n, : 2 * n],
    )


def _plain(modes: ModalParameters) -> tuple[Array, Array, Complex, Complex]:
    return modes.frequencies, modes.damping_ratios, modes.mode_shapes, modes.eigenvalues


def _normalized(shapes: Complex) -> Complex:
    length = np.linalg.norm(shapes, axis=0)
    shapes = shapes / np.where(length > 0.0, length, 1.0)
    # The phase that makes the sum of squares real and positive.
    squares = (shapes**2).sum(axis=0)
    shapes = shapes * np.exp(-0.5j * np.angle(squares))
    largest = np.abs(shapes.real).argmax(axis=0)
    sign = np.sign(shapes.real[largest, np.arange(shapes.shape[1])])
    found: Complex = shapes * np.where(sign == 0.0, 1.0, sign)
    return found


def modal_assurance_criterion(first: ArrayLike, second: ArrayLike) -> Any:
    """Modal assurance criterion: squared cosine of the angle between mode shapes.

    Parameters
    ----------
    first : array-like of shape (n_features,) or (n_features, n_first)
        Mode shapes, one in each column.
    second : array-like of shape (n_features,) or (n_features, n_second)
        Mode shapes.

    Returns
    -------
    mac : float or ndarray of shape (n_first, n_second)
        1 for the same shape, whatever its scale and phase; 0 for orthogonal ones.

    Raises
    ------
    ValueError
        If the shapes have different numbers of entries, are not finite, or one of them is 0.

    References
    ----------
    R. J. Allemang (2003). "The modal assurance criterion: twenty years of use and abuse". Sound
    and Vibration 37(8), 14-23.

    Examples
    --------
    >>> from emlearn.statespace import modal_assurance_criterion
    >>> modal_assurance_criterion([1.0, 2.0], [-2.0, -4.0])
    1.0
    """
    a, b = np.asarray(first, complex), np.asarray(second, complex)
    single = a.ndim == 1 and b.ndim == 1
    a, b = (own[:, None] if own.ndim == 1 else own for own in (a, b))
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b):
        raise ValueError(
            f"Mode shapes must have the same number of entries; got arrays of shapes "
            f"{np.shape(first)} and {np.shape(second)}."
        )
    size = (np.abs(a) ** 2).sum(axis=0)[:, None] * (np.abs(b) ** 2).sum(axis=0)
    if not np.isfinite(size).all():
        raise ValueError("Mode shapes must be finite.")
    if not (size > 0.0).all():
        raise ValueError("A mode shape is 0 everywhere, so it has no direction.")
    mac = np.abs(a.conj().T @ b) ** 2 / size
    return float(mac[0, 0]) if single else mac


def compare_modes(
    before: ModalParameters, after: ModalParameters, *, min_mac: float = 0.5
) -> ModalComparison:
    """Test whether the modes of a structure have changed, for example by damage.

    Modes are matched by shape and frequency. The fits must be to different rows, so that their
    errors are independent. The joint test adds up all changes, with the covariances of the
    errors: it also sees many small ones.

    Parameters
    ----------
    before, after : ModalParameters
        Modes with standard errors: of `modal_parameters` called with the rows of the fit.
    min_mac : float, default=0.5
        Least modal assurance criterion of modes that belong together.

    Returns
    -------
    comparison : ModalComparison
        Changes, with tests of each and of all.

    Raises
    ------
    ValueError
        If standard errors are missing, sensors differ, or no modes belong together.

    Examples
    --------
    >>> from emlearn import LinearGaussianStateSpaceEM
    >>> from emlearn.datasets import make_shear_frame
    >>> from emlearn.statespace import compare_modes
    >>> modes = []
    >>> for loss in (0.0, 0.3):
    ...     frame = make_shear_frame(2, 2000, fs=20.0, stiffness_loss=[loss, 0.0], random_state=0)
    ...     model = LinearGaussianStateSpaceEM(4, random_state=0).fit(frame.data)
    ...     modes.append(model.modal_parameters(20.0, frame.data))
    >>> bool(compare_modes(*modes).pvalue < 0.001)
    True
    """
    if before.covariance is None or after.covariance is None:
        raise ValueError(
            "The modes need standard errors: call modal_parameters with the rows of the fit."
        )
    if not (isinstance(min_mac, Real) and 0.0 <= min_mac <= 1.0):
        raise ValueError(f"min_mac must be a number in [0, 1]; got {min_mac!r}.")
    if len(before.mode_shapes) != len(after.mode_shapes):
        raise ValueError(
            f"Mode shapes have {len(before.mode_shapes)} sensors before and "
            f"{len(after.mode_shapes)} after: fit the same columns both times."
        )
    for modes, when in ((before, "before"), (after, "after")):
        unknown = ~np.isfinite(np.diagonal(modes.covariance)).reshape(2, -1).all(axis=0)
        if unknown.any():
            raise ValueError(
                f"The errors of mode {int(unknown.argmax())} {when} are not known: the fit is not "
                "at a maximum, or has noise at the limit of min_noise. Fit again with a larger "
                "max_iter, a smaller min_noise, or fewer states."
            )
    mac = np.zeros((len(before), len(after)))
    if mac.size:
        mac = modal_assurance_criterion(before.mode_shapes, after.mode_shapes)
    ratio = np.abs(np.log(before.frequencies[:, None] / after.frequencies))
    one, two = linear_sum_assignment((1.0 - mac) + ratio)
    good = mac[one, two] >= min_mac
    one, two = one[good], two[good]
    if not len(one):
        raise ValueError(f"No modes have shapes with a modal assurance criterion of {min_mac:g}.")
    frequency = after.frequencies[two] - before.frequencies[one]
    damping = after.damping_ratios[two] - before.damping_ratios[one]
    covariance = np.zeros((2 * len(one),) * 2)
    for modes, own in ((before, one), (after, two)):
        assert modes.covariance is not None
        both = np.concatenate((own, own + len(modes)))
        covariance += modes.covariance[np.ix_(both, both)]
    change = np.concatenate((frequency, damping))
    error = np.sqrt(np.diagonal(covariance))
    z = change / error
    scaled = covariance / error[:, None] / error
    statistic = float(z @ np.linalg.solve(scaled, z))
    pvalue = 2.0 * norm.sf(np.abs(z))
    k, df = len(one), len(change)
    return ModalComparison(
        one.astype(np.intp),
        two.astype(np.intp),
        mac[one, two],
        frequency,
        damping,
        z[:k],
        z[k:],
        pvalue[:k],
        pvalue[k:],
        statistic,
        df,
        float(chi2.sf(statistic, df)),
    )
