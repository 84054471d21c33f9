"""RichardsonLucyEM: images without the blur of a known point spread function."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from emlearn._compat import Interval, StrOptions, validate_params
from emlearn.engine.acceleration import ACCELERATORS
from emlearn.tomography._convolution import Convolution, read_psf
from emlearn.tomography._priors import PRIORS, Prior
from emlearn.tomography._reading import read_background
from emlearn.tomography._reconstruction import PoissonReconstructionEM

Array = NDArray[np.float64]


class RichardsonLucyEM(TransformerMixin, BaseEstimator):
    """Deconvolution of images by the EM algorithm of Richardson and Lucy.

    Each pixel counts light: Poisson with mean ``psf * image + background``, where ``*`` is
    convolution and the image is not negative. This is `PoissonReconstructionEM` with the system
    `Convolution`. Borders leave no artifacts, because light that comes from outside of what the
    camera sees, or goes there, is part of the model.

    Parameters
    ----------
    psf : array-like
        Point spread function, not negative, with as many dimensions as an image. It is divided by
        its sum. Its middle is where a point is seen that stays in place; of an even number of
        entries this is the first of the two in the middle.
    extend : bool, default=True
        Whether the image goes on outside of the window that the camera sees, as far as its light
        is blurred into the window. False: there is nothing outside, as if the sky were dark.
    prior : {"quadratic", "huber", "relative_difference"}, Prior or None, default=None
        Penalty of differences between neighboring pixels; see `PoissonReconstructionEM`.
    prior_weight : float, default=0.0
        Weight of the penalty.
    tol : float, "auto" or None, default=None
        None makes `max_iter` iterations, the usual way to limit noise. A number or "auto" stops
        at convergence, which suits a prior.
    max_iter : int, default=30
        Largest number of iterations. More are sharper and noisier.
    accelerate : {"auto", "squarem", "quasi-newton", "anderson"} or None, default=None
        How to take longer steps than EM. None is plain EM.
    verbose : int, default=0
        As for `PoissonReconstructionEM`.
    n_jobs : int, default=None
        Number of images at the same time, in threads. None means 1, and -1 one for each core.

    Attributes
    ----------
    images_ : ndarray of the shape of X
        Deconvolved images of the fit.
    sensitivity_ : ndarray of shape (n_pixels,)
        Part of each pixel's light that falls into the window.
    reconstruction_ : PoissonReconstructionEM
        What was fitted, with `images_` that go on outside of the window, `history_`, and so on.
    log_likelihood_ : float
        Log-likelihood of the images, in nats.
    n_iter_ : int
        Number of iterations.
    converged_ : bool
        Whether the runs of all images converged.

    See Also
    --------
    PoissonReconstructionEM : The same for any system matrix.
    Convolution : The system.

    Notes
    -----
    Counts are conserved: without background and prior, the sum of sensitivity times image is the
    sum of the pixels, after each iteration. Without a prior, iterations do not depend on the
    unit, so images of integers, and of floats between 0 and 1, are taken as they are; the
    log-likelihood is of counts.

    The usual form of the algorithm takes the sensitivity as 1 everywhere and the sky outside as
    dark, and so makes borders too dark or rings along them. Where borders are out of reach, its
    iterates are the same, if both start at the same constant.

    For channels, give a stack of them: the images of a stack do not depend on each other.

    References
    ----------
    W. H. Richardson (1972). "Bayesian-based iterative method of image restoration". Journal of
    the Optical Society of America 62(1), 55-59.

    L. B. Lucy (1974). "An iterative technique for the rectification of observed distributions".
    The Astronomical Journal 79(6), 745-754.

    M. Bertero and P. Boccacci (2005). "A simple method for the reduction of boundary effects in
    the Richardson-Lucy approach to image deconvolution". Astronomy and Astrophysics 437(1),
    369-374.

    Examples
    --------
    Two points, seen blurred:

    >>> import numpy as np
    >>> from emlearn.tomography import RichardsonLucyEM
    >>> blurred = np.array([0.0, 1.0, 2.0, 1.0, 0.0, 2.0, 4.0, 2.0, 0.0])
    >>> deconvolution = RichardsonLucyEM([0.25, 0.5, 0.25], max_iter=500)
    >>> deconvolution.fit_transform(blurred).round(1)
    array([0., 0., 4., 0., 0., 0., 8., 0., 0.])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "psf": ["array-like"],
        "extend": ["boolean"],
        "prior": [StrOptions(set(PRIORS)), Prior, None],
        "prior_weight": [Interval(Real, 0.0, None, closed="left")],
        "tol": [Interval(Real, 0.0, None, closed="left"), StrOptions({"auto"}), None],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "accelerate": [StrOptions(set(ACCELERATORS)), None],
        "verbose": ["verbose"],
        "n_jobs": [Integral, None],
    }
    # Where the HTML representation links to.
    _doc_link_module = PoissonReconstructionEM._doc_link_module
    _doc_link_template = PoissonReconstructionEM._doc_link_template

    def __init__(
        self,
        psf: ArrayLike,
        *,
        extend: bool = True,
        prior: str | Prior | None = None,
        prior_weight: float = 0.0,
        tol: float | str | None = None,
        max_iter: int = 30,
        accelerate: str | None = None,
        verbose: int = 0,
        n_jobs: int | None = None,
    ):
        self.psf = psf
        self.extend = extend
        self.prior = prior
        self.prior_weight = prior_weight
        self.tol = tol
        self.max_iter = max_iter
        self.accelerate = accelerate
        self.verbose = verbose
        self.n_jobs = n_jobs

    def __sklearn_tags__(self) -> Any:
        """Tags: images are not tables."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.positive_only = True
        return tags

    def fit(self, X: ArrayLike, y: Any = None, background: ArrayLike | None = None) -> Self:
        """Deconvolve images.

        Parameters
        ----------
        X : array-like of shape window_shape or (n_images, ...)
            An image with as many dimensions as `psf`, or a stack of them, of integers or floats.
        y : Ignored
            Present for compatibility with pipelines.
        background : float or array-like of the shape of X or of an image, default=None
            Expected light that is not blurred by `psf`, such as the dark current of the camera.
            None is 0.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a hyperparameter is invalid; if images have another number of dimensions than
            `psf`; or if pixels are negative, NaN or infinite.
        """
        validate_params(self)
        stack, single = self._read(X)
        system = self._system(stack)
        fitted = self._reconstruction(system).fit(
            stack.reshape(len(stack), -1), background=_rows(background, stack)
        )
        self.reconstruction_ = fitted
        self.sensitivity_ = fitted.sensitivity_
        self.log_likelihood_ = fitted.log_likelihood_
        self.n_iter_ = fitted.n_iter_
        self.converged_ = fitted.converged_
        self.images_ = _seen(system, fitted.images_, single)
        return self

    def fit_transform(
        self, X: ArrayLike, y: Any = None, background: ArrayLike | None = None
    ) -> Array:
        """Deconvolve images and return them.

        Parameters
        ----------
        X : array-like of shape window_shape or (n_images, ...)
            Images, as for `fit`.
        y : Ignored
            Present for compatibility with pipelines.
        background : float or array-like of the shape of X or of an image, default=None
            As for `fit`.

        Returns
        -------
        images : ndarray of the shape of X
            Deconvolved images.
        """
        return self.fit(X, y, background).images_

    def transform(self, X: ArrayLike, background: ArrayLike | None = None) -> Array:
        """Deconvolve images, of any size.

        Parameters
        ----------
        X : array-like of shape window_shape or (n_images, ...)
            Images, as for `fit`.
        background : float or array-like of the shape of X or of an image, default=None
            As for `fit`.

        Returns
        -------
        images : ndarray of the shape of X
            Deconvolved images.
        """
        check_is_fitted(self)
        stack, single = self._read(X)
        system = self._system(stack)
        images = self._reconstruction(system).fit_transform(
            stack.reshape(len(stack), -1), background=_rows(background, stack)
        )
        return _seen(system, images, single)

    def inverse_transform(self, X: ArrayLike, background: ArrayLike | None = None) -> Array:
        """Blur images, as if there were nothing outside of them.

        Parameters
        ----------
        X : array-like of shape window_shape or (n_images, ...)
            Images.
        background : float or array-like of the shape of X or of an image, default=None
            Added to the blurred images. None is 0.

        Returns
        -------
        images : ndarray of the shape of X
            Blurred images.
        """
        check_is_fitted(self)
        stack, single = self._read(X)
        system = Convolution(self.psf, stack.shape[1:], extend=False)
        seen = system.forward(stack.reshape(len(stack), -1))
        seen = seen + read_background(_rows(background, stack), seen.shape)
        seen = seen.reshape(stack.shape)
        return seen[0] if single else seen

    def score(self, X: ArrayLike, y: Any = None, background: ArrayLike | None = None) -> float:
        """Mean Poisson log-likelihood of images at their deconvolutions.

        Parameters
        ----------
        X : array-like of shape window_shape or (n_images, ...)
            Images.
        y : Ignored
            Present for compatibility.
        background : float or array-like of the shape of X or of an image, default=None
            As for `fit`.

        Returns
        -------
        score : float
            In nats per image.
        """
        check_is_fitted(self)
        stack, _ = self._read(X)
        fitted = self._reconstruction(self._system(stack)).fit(
            stack.reshape(len(stack), -1), background=_rows(background, stack)
        )
        return fitted.log_likelihood_ / len(stack)

    def _read(self, X: ArrayLike) -> tuple[Array, bool]:
        """A stack of images, and whether it is of a single one."""
        n_dimensions = read_psf(self.psf).ndim
        given = np.asarray(X)
        if np.ma.is_masked(X):
            raise ValueError(
                "X has masked pixels, which deconvolution cannot leave out; fill them in first."
            )
        if given.dtype.kind not in "buif":
            raise TypeError(f"Images must have numbers, not entries of type {given.dtype}.")
        if given.ndim not in (n_dimensions, n_dimensions + 1):
            raise ValueError(
                f"X has shape {given.shape}, but must be an image of {n_dimensions} dimensions, "
                "as psf has, or a stack of such images."
            )
        if not given.size:
            raise ValueError(f"X has no pixels: its shape is {given.shape}.")
        images = given.astype(np.float64)
        for wrong, what in ((~np.isfinite(images), "not finite"), (images < 0.0, "negative")):
            if wrong.any():
                where = tuple(int(i) for i in np.argwhere(wrong)[0])
                raise ValueError(
                    f"X must have pixels >= 0, but the one at {where} is {what}: {given[where]}. "
                    "If the mean of the background was subtracted, add it again and give it as "
                    "background."
                )
        single = given.ndim == n_dimensions
        return (images[None] if single else images), single

    def _system(self, stack: Array) -> Convolution:
        return Convolution(self.psf, stack.shape[1:], extend=self.extend)

    def _reconstruction(self, system: Convolution) -> PoissonReconstructionEM:
        return PoissonReconstructionEM(
            system,
            prior=self.prior,
            prior_weight=self.prior_weight,
            tol=self.tol,
            max_iter=self.max_iter,
            accelerate=self.accelerate,
            verbose=self.verbose,
            n_jobs=self.n_jobs,
        )


def _rows(background: ArrayLike | None, stack: Array) -> Any:
    """The background with rows as flat as those of the images."""
    if background is None or np.ndim(background) == 0:
        return background
    read = np.asarray(background, dtype=np.float64)
    if read.shape not in (stack.shape, stack.shape[1:]):
        raise ValueError(
            f"background has shape {read.shape}, but must be a number or have the shape of an "
            f"image, {stack.shape[1:]}, or of all, {stack.shape}."
        )
    return np.broadcast_to(read, stack.shape).reshape(len(stack), -1)


def _seen(system: Convolution, images: Array, single: bool) -> Array:
    """The part of reconstructed images inside the window."""
    assert system.image_shape is not None
    stack = images.reshape(-1, *system.image_shape)
    stack = system.window(stack) if system.extend else stack
    return stack[0] if single else stack
