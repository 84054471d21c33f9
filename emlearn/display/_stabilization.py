"""Modes of models with more and more states, and the modes that stay."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.signal.windows import parzen
from scipy.spatial.distance import squareform
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from emlearn.data import read_sequences
from emlearn.display._axes import axes_or_new
from emlearn.display._columns import read_numbers
from emlearn.display._steps import model_of
from emlearn.display._style import PALETTE

if TYPE_CHECKING:
    from emlearn.statespace._modal import ModalParameters

Array = NDArray[np.float64]

_ORDERS = tuple(range(2, 21, 2))
# Lags of the spectrum.
_LAGS = 512


class StabilizationDiagramDisplay:
    """Modes found with more and more states, those that are stable, and clusters of these.

    A model of a structure with enough states has its modes, and other poles that describe noise.
    Modes of the structure are much the same whatever the number of states, others are not [1]_. A
    pole is stable if the model with the next smaller number of states has one of about the same
    frequency, damping ratio and shape. Stable poles are put into clusters by average linkage,
    with the distance ``|ln f1 - ln f2| + 1 - MAC`` [2]_, and a mode is picked for each cluster of
    poles of enough models.

    Use `from_data` or `from_models` to make one.

    Parameters
    ----------
    n_states : sequence of int
        Numbers of states of the models, ascending.
    modes : sequence of ModalParameters
        Modes of each model.
    frequency_tolerance : float, default=0.01
        Largest relative change of the frequency of a stable pole.
    damping_tolerance : float, default=0.05
        Largest relative change of its damping ratio.
    min_mac : float, default=0.98
        Least modal assurance criterion of its shape.
    max_damping : float, default=0.2
        Largest damping ratio of a mode; poles with more, and poles that grow, are not modes of a
        structure and are left out.
    min_models : int, default=None
        Number of models that have to agree on a mode. None: a fifth of all models, but at least
        two.
    spectrum : tuple of two ndarray, default=None
        Frequencies, and a spectrum to draw behind the poles.

    Attributes
    ----------
    frequencies_ : ndarray of shape (n_picked,)
        Frequencies of the modes that are picked, ascending: medians of their clusters.
    damping_ratios_ : ndarray of shape (n_picked,)
        Their damping ratios: medians too.
    mode_shapes_ : ndarray of complex, of shape (n_features, n_picked)
        Their shapes: those of the pole of each cluster that is most like the others.
    n_models_ : ndarray of int, of shape (n_picked,)
        Numbers of models that agree on each: those where it is stable, and those before them.
    pole_frequencies_, pole_damping_ratios_ : ndarray of shape (n_poles,)
        All poles within the limits of damping.
    pole_n_states_ : ndarray of int, of shape (n_poles,)
        Numbers of states of their models.
    pole_stable_ : ndarray of bool, of shape (n_poles,)
        Which are stable.
    pole_mode_ : ndarray of int, of shape (n_poles,)
        The mode that is picked for each, or -1.
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.
    spectrum_ax_ : matplotlib Axes or None
        Axes of the spectrum, at the right.
    stable_points_, other_points_ : matplotlib Line2D
        The poles.
    mode_lines_ : list of matplotlib Line2D
        The modes that are picked.
    legend_ : matplotlib Legend
        The legend.

    References
    ----------
    .. [1] B. Peeters and G. De Roeck (2001). "Stochastic system identification for operational
       modal analysis: a review". Journal of Dynamic Systems, Measurement, and Control 123(4),
       659-667.
    .. [2] F. Magalhaes, A. Cunha and E. Caetano (2009). "Online automatic identification of the
       modal parameters of a long span arch bridge". Mechanical Systems and Signal Processing
       23(2), 316-329.
    """

    def __init__(
        self,
        n_states: Sequence[int],
        modes: Sequence[ModalParameters],
        *,
        frequency_tolerance: float = 0.01,
        damping_tolerance: float = 0.05,
        min_mac: float = 0.98,
        max_damping: float = 0.2,
        min_models: int | None = None,
        spectrum: tuple[Array, Array] | None = None,
    ):
        self.n_states = n_states
        self.modes = modes
        self.frequency_tolerance = frequency_tolerance
        self.damping_tolerance = damping_tolerance
        self.min_mac = min_mac
        self.max_damping = max_damping
        self.min_models = min_models
        self.spectrum = spectrum
        self._check()
        self._find_stable()
        self._pick()

    @classmethod
    def from_data(
        cls,
        X: Any,
        n_states: Iterable[int] = _ORDERS,
        *,
        fs: float = 1.0,
        lengths: ArrayLike | None = None,
        sequence_ids: ArrayLike | None = None,
        estimator: Any = None,
        max_iter: int = 50,
        spectrum: bool = True,
        ax: Any = None,
        **limits: Any,
    ) -> Self:
        """Fit a model for each number of states, and draw.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows, one sequence after another. NaN means a missing entry.
        n_states : iterable of int, default=(2, 4, ..., 20)
            Numbers of states. A mode has two states, so numbers should be even.
        fs : float, default=1.0
            Rows per unit of time.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.
        estimator : LinearGaussianStateSpaceEM, default=None
            The model; clones of it get the numbers of states. None: one with
            ``init_params={}``, a single start by subspace identification.
        max_iter : int, default=50
            Iterations of each fit without `estimator`. Modes change little after these, and
            which are stable can be seen long before convergence.
        spectrum : bool, default=True
            Whether to draw a spectrum behind the poles: the mean over columns, each of variance
            1, by the method of Blackman and Tukey, which needs no complete rows.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **limits : float
            Parameters of the class: `frequency_tolerance`, `damping_tolerance`, `min_mac`,
            `max_damping` and `min_models`.

        Returns
        -------
        display : StabilizationDiagramDisplay
            The plot.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `estimator` has no modes, or `ax` is something else.
        ValueError
            If the numbers of states, `fs`, the rows or a limit are invalid.

        Examples
        --------
        >>> from emlearn.datasets import make_shear_frame
        >>> from emlearn.display import StabilizationDiagramDisplay
        >>> frame = make_shear_frame(2, 2000, fs=20.0, random_state=0)
        >>> display = StabilizationDiagramDisplay.from_data(frame.data, [2, 4, 6, 8], fs=20.0)
        >>> display.frequencies_.round(1)
        array([1.9, 5. ])
        """
        from emlearn.statespace._state_space import LinearGaussianStateSpaceEM

        orders = _read_orders(n_states)
        if estimator is None:
            estimator = LinearGaussianStateSpaceEM(init_params={}, max_iter=max_iter)
        elif not hasattr(estimator, "modal_parameters"):
            raise TypeError(
                "estimator must be a LinearGaussianStateSpaceEM, which has modes; got "
                f"{type(estimator).__name__}."
            )
        rate = _read_rate(fs)
        found = []
        for order in orders:
            model = clone(estimator).set_params(n_states=order)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(X, lengths=lengths, sequence_ids=sequence_ids)
            found.append(model.modal_parameters(rate))
        density = _spectrum(X, lengths, sequence_ids, rate) if spectrum else None
        return cls(orders, found, spectrum=density, **limits).plot(ax=ax)

    @classmethod
    def from_models(
        cls, models: Iterable[Any], *, fs: float = 1.0, ax: Any = None, **limits: Any
    ) -> Self:
        """Draw the modes of fitted models.

        Parameters
        ----------
        models : iterable of LinearGaussianStateSpaceEM
            Fitted estimators, with different numbers of states, in any order.
        fs : float, default=1.0
            Rows per unit of time.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **limits : float
            Parameters of the class: `frequency_tolerance`, `damping_tolerance`, `min_mac`,
            `max_damping` and `min_models`.

        Returns
        -------
        display : StabilizationDiagramDisplay
            The plot.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError
            If a model is not fitted.
        TypeError
            If a model has no modes, or `ax` is something else.
        ValueError
            If models have the same number of states, or `fs` or a limit are invalid.
        """
        fitted = [model_of(model)[1] for model in models]
        for model in fitted:
            check_is_fitted(model)
            if not hasattr(model, "modal_parameters"):
                raise TypeError(
                    "models must be fitted LinearGaussianStateSpaceEM, which have modes; got "
                    f"{type(model).__name__}."
                )
        rate = _read_rate(fs)
        fitted.sort(key=lambda model: len(model.transition_matrix_))
        orders = _read_orders(len(model.transition_matrix_) for model in fitted)
        return cls(orders, [model.modal_parameters(rate) for model in fitted], **limits).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        self : StabilizationDiagramDisplay
            With the attributes of the drawing.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `ax` is something else.
        """
        ax = axes_or_new(ax)
        self.mode_lines_ = [
            ax.axvline(f, color=PALETTE[1], linewidth=0.8, label="mode" if k == 0 else None)
            for k, f in enumerate(self.frequencies_)
        ]
        points = []
        for chosen, label, style in (
            (~self.pole_stable_, "not stable", {"marker": "o", "markerfacecolor": "none"}),
            (self.pole_stable_, "stable", {"marker": "o"}),
        ):
            points += ax.plot(
                self.pole_frequencies_[chosen],
                self.pole_n_states_[chosen],
                linestyle="none",
                color=PALETTE[0] if label == "stable" else PALETTE[4],
                markersize=5,
                label=label,
                **style,
            )
        self.other_points_, self.stable_points_ = points
        ax.set(xlabel="frequency", ylabel="number of states")
        ax.set_yticks(list(self.n_states))
        self.spectrum_ax_ = None
        if self.spectrum is not None:
            behind = ax.twinx()
            behind.semilogy(*self.spectrum, color="0.75", linewidth=1.0, zorder=0)
            behind.set_ylabel("spectrum")
            ax.set_xlim(0.0, float(self.spectrum[0][-1]))
            # The poles are drawn over the spectrum.
            ax.set_zorder(behind.get_zorder() + 1)
            ax.patch.set_visible(False)
            self.spectrum_ax_ = behind
        else:
            ax.set_xlim(left=0.0)
        self.legend_ = ax.legend(loc="upper right", fontsize="small")
        self.ax_, self.figure_ = ax, ax.figure
        return self

    # ---- parts ------------------------------------------------------------------------------

    def _check(self) -> None:
        if len(self.n_states) != len(self.modes):
            raise ValueError(
                f"There are {len(self.n_states)} numbers of states, but {len(self.modes)} modes."
            )
        for name in ("frequency_tolerance", "damping_tolerance", "min_mac", "max_damping"):
            value = getattr(self, name)
            if not (isinstance(value, Real) and 0.0 < float(value) <= 1.0):
                raise ValueError(f"{name} must be a number in (0, 1]; got {value!r}.")
        if self.min_models is not None and (
            not isinstance(self.min_models, Integral) or self.min_models < 1
        ):
            raise ValueError(f"min_models must be an int >= 1, or None; got {self.min_models!r}.")

    def _find_stable(self) -> None:
        from emlearn.statespace._modal import modal_assurance_criterion

        frequencies, damping, orders, shapes, stable = [], [], [], [], []
        last, before, agreed = None, -1, []
        for order, modes in zip(self.n_states, self.modes, strict=True):
            ratios = modes.damping_ratios
            seen = np.abs(modes.mode_shapes).max(axis=0, initial=0.0) > 0.0
            own = np.flatnonzero((ratios > 0.0) & (ratios <= self.max_damping) & seen)
            found = (modes.frequencies[own], ratios[own], modes.mode_shapes[:, own])
            agrees = np.zeros(len(own), bool)
            if last is not None and len(own) and len(last[0]):
                agrees = (
                    (_change(found[0], last[0]) <= self.frequency_tolerance)
                    & (_change(found[1], last[1]) <= self.damping_tolerance)
                    & (modal_assurance_criterion(found[2], last[2]) >= self.min_mac)
                ).any(axis=1)
            frequencies.append(found[0])
            damping.append(found[1])
            shapes.append(found[2])
            stable.append(agrees)
            orders.append(np.full(len(own), order))
            agreed.append(np.full(len(own), before))
            last, before = found, order
        self.pole_frequencies_ = np.concatenate(frequencies)
        self.pole_damping_ratios_ = np.concatenate(damping)
        self.pole_n_states_ = np.concatenate(orders)
        self._agreed = np.concatenate(agreed)
        self.pole_stable_ = np.concatenate(stable)
        self._shapes = np.concatenate(shapes, axis=1)

    def _pick(self) -> None:
        from emlearn.statespace._modal import modal_assurance_criterion

        self.pole_mode_ = np.full(len(self.pole_stable_), -1)
        stable = np.flatnonzero(self.pole_stable_)
        clusters = np.ones(len(stable), int)
        distance = np.zeros((len(stable), len(stable)))
        if len(stable) > 1:
            logarithm = np.log(self.pole_frequencies_[stable])
            mac = modal_assurance_criterion(self._shapes[:, stable], self._shapes[:, stable])
            distance = np.abs(logarithm[:, None] - logarithm) + np.maximum(1.0 - mac, 0.0)
            distance = 0.5 * (distance + distance.T)
            np.fill_diagonal(distance, 0.0)
            limit = 2.0 * (self.frequency_tolerance + 1.0 - self.min_mac)
            tree = linkage(squareform(distance), "average")
            clusters = fcluster(tree, limit, "distance")
        least = self.min_models or max(2, -(-len(self.n_states) // 5))
        picked = []
        for cluster in np.unique(clusters):
            inside = np.flatnonzero(clusters == cluster)
            poles = stable[inside]
            n_models = len(np.union1d(self.pole_n_states_[poles], self._agreed[poles]))
            if n_models >= least:
                middle = inside[distance[np.ix_(inside, inside)].sum(axis=1).argmin()]
                frequency = float(np.median(self.pole_frequencies_[poles]))
                picked.append((frequency, poles, stable[middle], n_models))
        picked.sort(key=lambda own: own[0])
        for k, (_, poles, _, _) in enumerate(picked):
            self.pole_mode_[poles] = k
        self.frequencies_ = np.array([own[0] for own in picked])
        self.damping_ratios_ = np.array(
            [np.median(self.pole_damping_ratios_[own[1]]) for own in picked]
        )
        self.mode_shapes_ = self._shapes[:, [own[2] for own in picked]]
        self.n_models_ = np.array([own[3] for own in picked], int)


def _change(one: Array, two: Array) -> Array:
    change: Array = np.abs(one[:, None] - two) / two
    return change


def _read_rate(fs: Any) -> float:
    if not (isinstance(fs, Real) and 0.0 < float(fs) < np.inf):
        raise ValueError(f"fs must be a positive number, got {fs!r}.")
    return float(fs)


def _read_orders(n_states: Iterable[int]) -> list[int]:
    orders = list(n_states)
    for order in orders:
        if not isinstance(order, Integral) or isinstance(order, bool) or order < 1:
            raise ValueError(f"Numbers of states must be ints >= 1; got {order!r}.")
    found = sorted(int(order) for order in orders)
    if len(found) < 2 or len(set(found)) < len(found):
        raise ValueError(
            f"Stable poles are those that models with different numbers of states share, so give "
            f"two or more different ones; got {found}."
        )
    return found


def _spectrum(X: Any, lengths: Any, sequence_ids: Any, fs: float) -> tuple[Array, Array]:
    """Mean spectrum of columns of variance 1, from autocovariances of observed pairs."""
    table, sizes = read_sequences(X, lengths, sequence_ids)
    rows = read_numbers(table)
    there = (~np.isnan(rows)).astype(float)
    # Rows are read by the estimators too, so that each column has entries.
    rows = np.where(there > 0.0, rows - np.nanmean(rows, axis=0), 0.0)
    n_lags = int(min(_LAGS, max(sizes) - 1))
    sums, counts = np.zeros((2, n_lags + 1, rows.shape[1]))
    begin = 0
    for size in sizes:
        size = int(size)
        for values, target in ((rows, sums), (there, counts)):
            own = values[begin : begin + size]
            power = np.abs(np.fft.rfft(own, 2 * size, axis=0)) ** 2
            lags = np.fft.irfft(power, 2 * size, axis=0)[: min(size, n_lags + 1)]
            target[: len(lags)] += lags
        begin += size
    covariances = sums / np.maximum(np.rint(counts), 1.0)
    correlation = (covariances / covariances[0]).mean(axis=1)
    correlation *= parzen(2 * n_lags + 1)[n_lags:]
    both = np.concatenate((correlation, correlation[:0:-1]))
    density = np.asarray(np.fft.rfft(both).real / fs, np.float64)
    frequencies = np.asarray(np.fft.rfftfreq(len(both), 1.0 / fs), np.float64)
    return frequencies, np.maximum(density, 1e-6 * float(density.max()))
