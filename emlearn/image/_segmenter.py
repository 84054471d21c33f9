"""ImageSegmenterEM: segmentation of images by Gaussian classes with a Markov random field."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from emlearn._compat import Interval, StrOptions, validate_params
from emlearn._warnings import warn_user
from emlearn.distributions import Gaussian
from emlearn.distributions._domain import ColumnError
from emlearn.distributions.gaussian.spec import GaussianSpec
from emlearn.engine import EMEstimator
from emlearn.engine.loop import run_em
from emlearn.engine.threads import blas_limited
from emlearn.image._bias import FieldBasis
from emlearn.image._coupling import axis_weights, count_edges, pseudo_likelihood_beta
from emlearn.image._model import ImageData, PottsModel, PottsParams, first_params, log_field
from emlearn.image._reading import Box, looks_like_colors, read_atlas, read_image
from emlearn.image._starting import atlas_start, mixture_start

Array = NDArray[Any]

# Estimates of beta, EM steps between them, the change that ends them, and voxels that count.
_BETA_ROUNDS, _BETA_STEPS, _BETA_CHANGE, _BETA_SITES = 30, 2, 0.02, 1 << 17
_LARGEST_SEED = np.iinfo(np.int32).max
_ADVICE = "Use fewer classes, or another covariance_type."


class ImageSegmenterEM(EMEstimator):
    """Segmentation of an image by Gaussian classes whose labels are a Markov random field.

    Each pixel belongs to a class, and the intensities (or colors) of a class are Gaussian. The
    prior probability of the labels is that of a Potts model: it is larger by a factor exp(beta)
    for each two neighbors of one class. So noise leaves fewer single pixels than in a mixture,
    which is the model with ``beta=0``.

    Parameters
    ----------
    n_classes : int, default=3
        Number of classes.
    beta : float or "auto", default="auto"
        Coupling of neighbors. "auto" alternates EM with an estimate by pseudo-likelihood.
        0 is a mixture, whose weights are estimated too.
    covariance_type : {"auto", "tied", "full", "diag", "spherical"}, default="auto"
        Covariances of the classes: one for all, or of each class a matrix, the variances of the
        channels, or one variance. "auto" is "tied", as noise mostly has the same size everywhere,
        and pixels on edges do not make a wide class of their own; with a field it is "full",
        because noise is then relative to the intensities.
    bias_degree : int or None, default=None
        Degree of the polynomials of a smooth field that multiplies the intensities, such as
        that of the coils of a magnetic resonance image; 2 or 3 is mostly enough. The model is
        then that of the logarithms. None means no field.
    spacing : array-like of float, default=None
        Distance of pixels along each axis in space. Neighbors are coupled by beta times the
        smallest spacing divided by that along their axis. None means that all are equal.
    channel_axis : int or None, default=None
        Axis of colors or channels. None means that there is one channel, and that all axes are
        in space.
    reg_covar : float or "auto", default="auto"
        Variance that is added to the covariances; see `GaussianMixtureEM`.
    {tol}
    {max_iter}
    {random_state}
    {verbose}
    {verbose_interval}

    Attributes
    ----------
    labels_ : ndarray of int
        Most probable class of each pixel, in the shape of the image without channels. Classes are
        in the order of their means (with an atlas, in its order); -1 is outside of the mask.
    means_ : ndarray of shape (n_classes, n_channels)
        Means of the classes; with a field, of the logarithms of the intensities without it.
    covariances_ : ndarray
        Covariances, in the shape of those of `GaussianMixtureEM`: (n_channels, n_channels) for
        "tied", (n_classes, n_channels, n_channels) for "full".
    weights_ : ndarray of shape (n_classes,)
        Prior probabilities of the classes: those of the mixture with ``beta=0``, otherwise equal.
    beta_ : float
        Coupling of neighbors.
    bias_field_ : ndarray or None
        The field, in the shape of the image: the image divided by it is corrected. Its geometric
        mean inside of the mask is 1, and it is 1 outside.
    n_axes_ : int
        Number of axes in space.
    {converged_}
    {n_iter_}
    {log_likelihood_}
    {lower_bound_}
    {lower_bounds_}
    {history_}
    {restarts_}

    See Also
    --------
    emlearn.image.pixel_table : Pixels as rows, for estimators that know no neighbors.
    GaussianMixtureEM : The model without neighbors.

    Notes
    -----
    The probabilities of the labels are those of the mean field, in which pixels are independent.
    The E-step updates those of one color of a checkerboard after those of the other, which never
    lowers the objective at fixed beta. The objective, published as `log_likelihood_`, is a lower
    bound on the log-likelihood. Neighbors share a face: 4 in two dimensions, 6 in three. Images of
    float32 or of integers of up to 16 bits are worked on in single precision, others in double
    precision.

    `history_` is that of the run at the final beta. Classes that have no pixels left keep their
    means, and a warning says so.

    References
    ----------
    Y. Zhang, M. Brady and S. Smith (2001). "Segmentation of brain MR images through a hidden
    Markov random field model and the expectation-maximization algorithm". IEEE Transactions on
    Medical Imaging 20(1), 45-57.

    G. Celeux, F. Forbes and N. Peyrard (2003). "EM procedures using mean field-like
    approximations for Markov model-based image segmentation". Pattern Recognition 36(1),
    131-144.

    W. M. Wells, W. E. L. Grimson, R. Kikinis and F. A. Jolesz (1996). "Adaptive segmentation of
    MRI data". IEEE Transactions on Medical Imaging 15(4), 429-442.

    Examples
    --------
    >>> from emlearn import ImageSegmenterEM
    >>> from emlearn.datasets import make_brain_phantom
    >>> phantom = make_brain_phantom((60, 72), noise=0.09, bias=0.0, random_state=0)
    >>> segmenter = ImageSegmenterEM(3, random_state=0).fit(phantom.image, phantom.mask)
    >>> segmenter.means_.round().ravel()
    array([ 54., 109., 148.])
    >>> inside = phantom.mask
    >>> round(float((segmenter.labels_ == phantom.labels)[inside].mean()), 2)
    0.94
    >>> mixture = ImageSegmenterEM(3, beta=0, random_state=0).fit(phantom.image, inside)
    >>> round(float((mixture.labels_ == phantom.labels)[inside].mean()), 2)
    0.9
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_classes": [Interval(Integral, 1, None, closed="left")],
        # Far beyond it, sums over neighbors leave the range of float32.
        "beta": [Interval(Real, 0.0, 1e6, closed="both"), StrOptions({"auto"})],
        "covariance_type": [StrOptions({"auto", "full", "tied", "diag", "spherical"})],
        "bias_degree": [Interval(Integral, 1, None, closed="left"), None],
        "spacing": ["array-like", None],
        "channel_axis": [Integral, None],
        "reg_covar": [Interval(Real, 0.0, None, closed="left"), StrOptions({"auto"})],
    }

    def __init__(
        self,
        n_classes: int = 3,
        *,
        beta: float | str = "auto",
        covariance_type: str = "auto",
        bias_degree: int | None = None,
        spacing: ArrayLike | None = None,
        channel_axis: int | None = None,
        reg_covar: float | str = "auto",
        tol: float | str = 1e-6,
        max_iter: int = 1000,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        verbose_interval: int = 10,
    ):
        self.n_classes = n_classes
        self.beta = beta
        self.covariance_type = covariance_type
        self.bias_degree = bias_degree
        self.spacing = spacing
        self.channel_axis = channel_axis
        self.reg_covar = reg_covar
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.verbose = verbose
        self.verbose_interval = verbose_interval

    # ---- fitting ----------------------------------------------------------------------

    def fit(
        self, image: ArrayLike, mask: ArrayLike | None = None, *, atlas: ArrayLike | None = None
    ) -> Self:
        """Estimate the classes, and segment the image.

        Parameters
        ----------
        image : array-like
            Image of two or three axes in space and, with `channel_axis`, one of channels. Any
            type of integers or floats. Masked entries of a masked array are outside of the mask.
        mask : array-like of bool, default=None
            Pixels to segment, in the shape of the image without channels. None means all.
        atlas : array-like, default=None
            Prior probabilities of the classes in each pixel: the shape of the image without
            channels, and a last axis of n_classes. They are divided by their sum. The classes are
            then in the order of the atlas, from which the fit starts.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a hyperparameter or the image is invalid: NaN or infinite pixels inside of the
            mask, an empty mask, a mask or an atlas of another shape, an atlas that does not tell
            two classes apart, a constant image, fewer different values than classes, or values of
            0 or less where a field multiplies them.
        """
        validate_params(self)
        box = self._read_image(image, mask)
        self._check_contrast(box)
        prior = None if atlas is None else read_atlas(atlas, self.n_classes, box)
        with blas_limited():
            family = Gaussian(self._structure, reg_covar=self.reg_covar)
            rows = self._intensities(box)
            inside = rows if box.mask is None else rows[box.mask.ravel()]
            try:
                spec = family.column_spec(inside)
            except ColumnError:
                raise ValueError(
                    "The image must be in other units: the variance of its intensities, or the "
                    f"inverse, is beyond the range of {rows.dtype}. Divide it by its standard "
                    "deviation."
                ) from None
            data = self._data(box, rows, prior, spec)
            start = self._start(family, data, inside, prior)
            beta, start = self._coupled(family, data, start)
            model = self._model(family, data, beta)
            fit = self._run_em(model, data, start=start, dtype=rows.dtype, advice=_ADVICE)
            self.beta_, self.n_axes_ = beta, len(box.shape)
            self._publish(fit.params, fit.best.statistics.q, family, data, box)
        return self._report(fit, _ADVICE)

    @property
    def _structure(self) -> str:
        """Structure of the covariances. Noise has one size, but not that of logarithms."""
        if self.covariance_type != "auto":
            return self.covariance_type
        return "tied" if self.bias_degree is None else "full"

    def _read_image(self, image: Any, mask: Any) -> Box:
        box = read_image(image, mask, channel_axis=self.channel_axis)
        shape = box.shape
        if self.channel_axis is None and looks_like_colors(shape):
            warn_user(
                f"The image has shape {shape} and is read as a volume of {shape[-1]} columns. For "
                "colors set channel_axis=-1.",
                UserWarning,
            )
        return box

    def _check_contrast(self, box: Box) -> None:
        """Raise an error if there are fewer different values than classes."""
        inside = box.inside
        # The first pixels of most images tell.
        for part in (inside[:: len(inside) // _BETA_SITES + 1], inside):
            n_found = len(np.unique(part, axis=0))
            if n_found >= max(self.n_classes, 2):
                return
        if n_found == 1:
            raise ValueError(
                f"The image is constant: all pixels inside of the mask are {inside[0].tolist()}. "
                "There is nothing to segment."
            )
        raise ValueError(
            f"n_classes={self.n_classes}, but the image has only {n_found} different values "
            "inside of the mask. Use fewer classes."
        )

    def _intensities(self, box: Box) -> Array:
        """Rows of the model: intensities, or their logarithms where a field multiplies them."""
        rows = box.values.reshape(-1, box.values.shape[-1])
        if self.bias_degree is None:
            return rows
        lowest = box.inside.min()
        if lowest <= 0.0:
            raise ValueError(
                f"bias_degree={self.bias_degree} needs positive intensities, which a field can "
                f"multiply, but there are values down to {lowest:g}. Leave them out "
                "(mask=image > 0), or use bias_degree=None."
            )
        with np.errstate(divide="ignore"):
            return np.log(rows)

    def _data(self, box: Box, rows: Array, prior: Array | None, spec: GaussianSpec) -> ImageData:
        grid = box.values.shape[:3]
        n_inside = len(rows)
        if box.mask is not None:
            rows[~box.mask.ravel()] = spec.scaling.center
            n_inside = int(np.count_nonzero(box.mask))
        log_atlas = basis = None
        if prior is not None:
            with np.errstate(divide="ignore"):
                log_atlas = np.log(prior)
        if self.bias_degree is not None:
            basis = FieldBasis(grid, self.bias_degree, box.mask)
        weights = axis_weights(self.spacing, len(box.shape))
        edges = count_edges(box.mask, grid)
        return ImageData(rows, spec, grid, box.mask, log_atlas, basis, n_inside, weights, edges)

    def _model(
        self, family: Gaussian, data: ImageData, beta: float, *, held: bool = False
    ) -> PottsModel:
        """The model. Neighbors and an atlas leave no need of prior probabilities of classes."""
        estimated = self.beta == 0.0 and data.log_atlas is None
        return PottsModel(family, data.spec, beta, estimated, held)

    def _start(
        self, family: Gaussian, data: ImageData, inside: Array, prior: Array | None
    ) -> PottsParams:
        weights = np.full(self.n_classes, 1.0 / self.n_classes)
        if prior is not None:
            own = prior if data.mask is None else prior * data.mask.ravel()
            component = atlas_start(self._model(family, data, 0.0), data, own)
        else:
            seed = int(check_random_state(self.random_state).randint(_LARGEST_SEED))
            logarithms = self.bias_degree is not None
            own, component = mixture_start(
                inside, family, data.spec, self.n_classes, seed, logarithms=logarithms
            )
            weights = own if self.beta == 0.0 else weights
        return first_params(weights, component, data)

    def _coupled(
        self, family: Gaussian, data: ImageData, params: PottsParams
    ) -> tuple[float, PottsParams]:
        """beta, and where the fit at this beta starts."""
        if self.beta != "auto":
            return float(self.beta), params
        sites = np.flatnonzero(np.ones(data.shape) if data.mask is None else data.mask)
        if len(sites) > _BETA_SITES:
            sites = np.sort(np.random.default_rng(0).choice(sites, _BETA_SITES, replace=False))
        beta = 0.0
        for _ in range(_BETA_ROUNDS):
            found = run_em(
                self._model(family, data, beta),
                data,
                params,
                convergence=self._convergence(data.values.dtype),
                max_iter=_BETA_STEPS,
            )
            if not found.status.usable:
                break
            params = found.params._replace(q=found.statistics.q)
            last, beta = beta, pseudo_likelihood_beta(params, data, sites)
            if abs(beta - last) < _BETA_CHANGE:
                break
        return beta, params

    def _publish(
        self, params: PottsParams, q: Array, family: Gaussian, data: ImageData, box: Box
    ) -> None:
        public = family.parameters(params.component, data.spec)
        means, covariances = public["mean"], public["covariance"]
        order = np.arange(len(means))
        if data.log_atlas is None:
            order = np.argsort(means.mean(axis=1), kind="stable")
        self.means_ = means[order]
        self.covariances_ = covariances if self._structure == "tied" else covariances[order]
        self.weights_ = params.weights[order]
        self.labels_ = box.put(_labels(q[order]), -1)
        self.bias_field_ = None
        if params.field is not None:
            self.bias_field_ = self._field_of(params.field, data, box)

    def _field_of(self, field: Array, data: ImageData, box: Box) -> Array:
        """The field as a factor of the intensities, in the shape of the image; 1 outside."""
        factors = np.exp(np.moveaxis(log_field(data, field), 0, -1))
        found = box.put(factors, 1.0, factors.shape[-1])
        if self.channel_axis is None:
            return found[..., 0]
        return np.moveaxis(found, -1, self.channel_axis)

    # ---- after the fit ----------------------------------------------------------------

    def fit_predict(
        self, image: ArrayLike, mask: ArrayLike | None = None, *, atlas: ArrayLike | None = None
    ) -> NDArray[np.int32]:
        """Fit, and return the labels of the same image.

        Parameters
        ----------
        image : array-like
            As for `fit`.
        mask : array-like of bool, default=None
            As for `fit`.
        atlas : array-like, default=None
            As for `fit`.

        Returns
        -------
        labels : ndarray of int
            `labels_`.
        """
        return self.fit(image, mask, atlas=atlas).labels_

    def predict(
        self, image: ArrayLike, mask: ArrayLike | None = None, *, atlas: ArrayLike | None = None
    ) -> NDArray[np.int32]:
        """Most probable class of each pixel, of an image of any size.

        The classes are those of the fit. The mean field is found anew; with `bias_degree`, so is
        the field that multiplies the intensities.

        Parameters
        ----------
        image : array-like
            Image with the channels and the number of axes of that of the fit.
        mask : array-like of bool, default=None
            As for `fit`.
        atlas : array-like, default=None
            As for `fit`. None means the prior probabilities `weights_`.

        Returns
        -------
        labels : ndarray of int
            Labels in the shape of the image without channels; -1 outside of the mask.

        Raises
        ------
        ValueError
            If the image is invalid, or has other channels or axes than that of the fit.
        """
        box, q = self._mean_field(image, mask, atlas)
        return box.put(_labels(q), -1)

    def predict_proba(
        self, image: ArrayLike, mask: ArrayLike | None = None, *, atlas: ArrayLike | None = None
    ) -> Array:
        """Probabilities of the classes of each pixel, by the mean field.

        Parameters
        ----------
        image : array-like
            As for `predict`.
        mask : array-like of bool, default=None
            As for `fit`.
        atlas : array-like, default=None
            As for `predict`.

        Returns
        -------
        probabilities : ndarray
            The shape of the image without channels, and a last axis of n_classes. 0 outside of
            the mask.

        Raises
        ------
        ValueError
            As `predict`.
        """
        box, q = self._mean_field(image, mask, atlas)
        return box.put(np.moveaxis(q, 0, -1), 0.0, len(q))

    def _mean_field(self, image: Any, mask: Any, atlas: Any) -> tuple[Box, Array]:
        """The mean field of an image, given the classes."""
        check_is_fitted(self)
        box = self._read_image(image, mask)
        found, expected = (
            (box.values.shape[-1], len(box.shape)),
            (len(self.means_[0]), self.n_axes_),
        )
        if found != expected:
            raise ValueError(
                f"The image has {found[0]} channels and {found[1]} axes in space; that of the fit "
                f"had {expected[0]} and {expected[1]}."
            )
        prior = None if atlas is None else read_atlas(atlas, len(self.means_), box)
        with blas_limited():
            family = Gaussian(self._structure, reg_covar=0.0)
            public = {"mean": self.means_, "covariance": self.covariances_}
            spec = family.spec_of(public)
            data = self._data(box, self._intensities(box), prior, spec)
            start = first_params(self.weights_, family.from_public(public, spec), data)
            result = run_em(
                self._model(family, data, self.beta_, held=True),
                data,
                start,
                convergence=self._convergence(data.values.dtype),
                max_iter=max(1, int(self.max_iter)),
            )
        if not result.status.usable:
            raise ValueError(f"The image cannot be segmented: {result.message}.")
        return box, result.statistics.q

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags


def _labels(q: Array) -> NDArray[np.int32]:
    return q.argmax(axis=0).astype(np.int32)
