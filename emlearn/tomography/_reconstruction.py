"""PoissonReconstructionEM: images from counts of their projections."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from emlearn._compat import Interval, StrOptions, validate_params
from emlearn._warnings import warn_user
from emlearn.data import read_table, read_weight
from emlearn.engine import EMEstimator, Status
from emlearn.engine.acceleration import ACCELERATORS
from emlearn.engine.progress import Printer
from emlearn.tomography._bootstrap import ImageBootstrap, resample
from emlearn.tomography._planning import make_plan, read_system
from emlearn.tomography._priors import PRIORS, Prior
from emlearn.tomography._reading import read_background, require_counts, require_seen
from emlearn.tomography._rows import Plan, Run, joint_history
from emlearn.tomography._systems import System

Array = NDArray[np.float64]


class PoissonReconstructionEM(ClassNamePrefixFeaturesOutMixin, TransformerMixin, EMEstimator):
    """Image reconstruction from Poisson counts, as in emission tomography.

    A row of `X` has the counts of all rays of one image (a sinogram). They are Poisson with means
    ``system_matrix @ image + background``, and the image has no negative pixel. The image of each
    row is found by EM (MLEM), by passes over ordered subsets (OSEM), or with a prior.

    Parameters
    ----------
    system_matrix : array-like, sparse, LinearOperator or System, default=None
        Expected count of each ray for a unit of each pixel, of shape (n_rays, n_pixels), with
        entries >= 0. A `scipy.sparse.linalg.LinearOperator` needs ``rmatvec`` (or ``rmatmat``);
        a `System` is a projector. None is the identity: each ray sees one pixel, which with a
        prior removes noise from an image of counts.
    image_shape : tuple of int, default=None
        Shape of the image, of any number of dimensions. Priors need it. Images are rows of
        arrays, flattened in C order. None takes that of a `System`.
    n_subsets : int or sequence of int, default=1
        Number of ordered subsets of the views. 1 is EM. With more, each iteration is a pass over
        the subsets, with one EM step for each: about as fast as that many EM steps, but the
        objective can fall, and the images end in a cycle, not at the maximum. A sequence has one
        number for each iteration, and its last one goes on: ``(16, 16, 8, 4, 1)`` ends with EM,
        and so converges.
    prior : {"quadratic", "huber", "relative_difference"}, Prior or None, default=None
        Penalty of differences between neighboring pixels; a name takes the default settings, an
        object such as ``HuberPrior(delta=2.0)`` its own. None is maximum likelihood.
    prior_weight : float, default=0.0
        Weight of the penalty. The objective is the log-likelihood minus this times the penalty.
    prior_update : {"surrogate", "one-step-late"}, default="surrogate"
        "surrogate" maximizes a separable bound, so that the objective never falls.
        "one-step-late" takes the derivatives of the penalty at the last image. It is common and
        simple, but can lower the objective and need not converge.
    sensitivity : array-like of shape (n_pixels,) or image_shape, default=None
        For list mode: sums of the columns of the system matrix of all possible rays.
        `system_matrix` has one row for each event detected, and `X` their weights, such as ones.
        None means that `system_matrix` has all rays.
    image_init : array-like of shape (n_pixels,) or image_shape, default=None
        Image to start from; pixels of 0 remain so without a prior. None is a constant.
    tol : float, "auto" or None, default=None
        None makes `max_iter` iterations, the usual way to limit noise without a prior, and never
        warns. A number stops when the objective has less than this to gain, in nats per ray;
        "auto" is as for other estimators of this package. Use it with a prior.
    max_iter : int, default=50
        Largest number of iterations, passes over subsets included. 0 returns the start.
    accelerate : {"auto", "squarem", "quasi-newton", "anderson"} or None, default=None
        How to take longer steps than EM, with no effect on passes over subsets. None is plain EM,
        whose number of iterations has a known relation to noise. "auto" suits a prior.
    {verbose}
    {verbose_interval}
    n_jobs : int, default=None
        Number of rows that are reconstructed at the same time, in threads. None means 1, and -1
        one for each core. Threads left over work on parts of the rays. The result has the same
        bits for any number.

    Attributes
    ----------
    images_ : ndarray of shape (n_samples, n_pixels)
        Images of the rows of the fit.
    sensitivity_ : ndarray of shape (n_pixels,)
        Sums of the columns of the system matrix, or those given. Pixels of 0 are not seen: they
        are 0 in the images, or what the prior makes of their neighbors.
    n_pixels_ : int
        Number of pixels.
    converged_ : bool
        Whether the runs of all rows converged; never true if the last iteration is a pass over
        subsets or one step late.
    n_iter_ : int
        Number of iterations of the row that took most.
    log_likelihood_ : float
        Log-likelihood of the rows at their images, weighted, in nats.
    lower_bound_ : float
        Log-likelihood minus weighted penalty, per row.
    lower_bounds_ : list of float
        The same after each iteration of EM, without those of passes over subsets.
    history_ : dict of str to ndarray
        As for other estimators, of the iterations of EM and for the rows together: a row that has
        ended keeps its last objective.
    {n_features_in_}
    {feature_names_in_}

    See Also
    --------
    emlearn.tomography.select_n_iter : How many iterations, by counts held out.
    emlearn.tomography.System : Base of projectors of your own.

    Notes
    -----
    Rows do not depend on each other, so `transform` of the rows of the fit returns the same
    images. The sum of `sensitivity_` times the image is the sum of the counts after each EM step
    if there is neither background nor prior. All sums are in float64.

    Subset t of n has the views t, t + n, t + 2n and so on. Subsets are taken in the order of their
    bits reversed: 0, 4, 2, 6, 1, 5, 3, 7 for eight.

    References
    ----------
    L. A. Shepp and Y. Vardi (1982). "Maximum likelihood reconstruction for emission tomography".
    IEEE Transactions on Medical Imaging 1(2), 113-122.

    H. M. Hudson and R. S. Larkin (1994). "Accelerated image reconstruction using ordered subsets
    of projection data". IEEE Transactions on Medical Imaging 13(4), 601-609.

    A. R. De Pierro (1995). "A modified expectation maximization algorithm for penalized
    likelihood estimation in emission tomography". IEEE Transactions on Medical Imaging 14(1),
    132-137.

    P. J. Green (1990). "Bayesian reconstructions from emission tomography data using a modified
    EM algorithm". IEEE Transactions on Medical Imaging 9(1), 84-93.

    Examples
    --------
    Two pixels, seen by three rays: one for each, and one through both.

    >>> import numpy as np
    >>> from emlearn.tomography import PoissonReconstructionEM
    >>> system = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> em = PoissonReconstructionEM(system).fit([[3, 8, 10]])
    >>> em.images_.round(2)
    array([[2.86, 7.64]])
    >>> em.inverse_transform(em.images_).round(1)
    array([[ 2.9,  7.6, 10.5]])
    >>> float((em.sensitivity_ * em.images_).sum().round(6))
    21.0
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "system_matrix": [
            "array-like",
            "sparse matrix",
            System,
            sparse.linalg.LinearOperator,
            None,
        ],
        "image_shape": ["array-like", None],
        "n_subsets": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "prior": [StrOptions(set(PRIORS)), Prior, None],
        "prior_weight": [Interval(Real, 0.0, None, closed="left")],
        "prior_update": [StrOptions({"surrogate", "one-step-late"})],
        "sensitivity": ["array-like", None],
        "image_init": ["array-like", None],
        "tol": [Interval(Real, 0.0, None, closed="left"), StrOptions({"auto"}), None],
        "accelerate": [StrOptions(set(ACCELERATORS)), None],
    }

    def __init__(
        self,
        system_matrix: Any = None,
        image_shape: Sequence[int] | None = None,
        *,
        n_subsets: int | Sequence[int] = 1,
        prior: str | Prior | None = None,
        prior_weight: float = 0.0,
        prior_update: str = "surrogate",
        sensitivity: ArrayLike | None = None,
        image_init: ArrayLike | None = None,
        tol: float | str | None = None,
        max_iter: int = 50,
        accelerate: str | None = None,
        verbose: int = 0,
        verbose_interval: int = 10,
        n_jobs: int | None = None,
    ):
        self.system_matrix = system_matrix
        self.image_shape = image_shape
        self.n_subsets = n_subsets
        self.prior = prior
        self.prior_weight = prior_weight
        self.prior_update = prior_update
        self.sensitivity = sensitivity
        self.image_init = image_init
        self.tol = tol  # type: ignore[assignment]  # None is a choice of its own here
        self.max_iter = max_iter
        self.accelerate = accelerate
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.n_jobs = n_jobs

    def __sklearn_tags__(self) -> Any:
        """Tags: counts are not negative."""
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.input_tags.allow_nan = False
        return tags

    # ---- fitting ----------------------------------------------------------------------

    def fit(
        self,
        X: ArrayLike,
        y: Any = None,
        background: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Reconstruct the images of the rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_rays)
            Counts, one row for each image. They need not be integers.
        y : Ignored
            Present for compatibility with pipelines.
        background : float or array-like of shape (n_rays,) or (n_samples, n_rays), default=None
            Expected counts that do not come from the image, such as scatter and randoms. None
            is 0.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in `log_likelihood_` and `lower_bound_`; images do not depend on
            them. None means 1 each.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a hyperparameter is invalid; if the system matrix has negative entries or another
            number of rays than `X`; if counts are negative or not finite; or if a ray has counts
            but sees no pixel and has no background. The message names the row and the ray.
        TypeError
            If a `LinearOperator` cannot be transposed.
        """
        validate_params(self)
        counts = self._read_rows(X, reset=True)
        weight = read_weight(sample_weight, len(counts))
        weight = np.ones(len(counts)) if weight is None else weight
        system = read_system(self, counts.shape[1])
        runs, plan = self._reconstruct(system, counts, background)
        self.images_ = np.array([run.result.params for run in runs])
        self.sensitivity_ = np.sum([part.sensitivity for part in plan.whole], axis=0)
        self.n_pixels_ = self._n_features_out = system.n_pixels
        self.converged_ = all(run.result.converged for run in runs)
        self.n_iter_ = max(run.n_iter for run in runs)
        self.history_ = joint_history(runs, weight)
        means = self.history_["objective"] / weight.sum()
        self.lower_bound_, self.lower_bounds_ = float(means[-1]), means[1:].tolist()
        priors = np.array([plan.model.log_prior(image) for image in self.images_])
        objectives = np.array([run.result.objective for run in runs])
        self.log_likelihood_ = float(weight @ (objectives - priors))
        return self

    def fit_transform(
        self,
        X: ArrayLike,
        y: Any = None,
        background: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Any:
        """Reconstruct the images of the rows and return them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_rays)
            Counts.
        y : Ignored
            Present for compatibility with pipelines.
        background : float or array-like of shape (n_rays,) or (n_samples, n_rays), default=None
            As for `fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            As for `fit`.

        Returns
        -------
        images : ndarray of shape (n_samples, n_pixels)
            The images.
        """
        return self.fit(X, y, background, sample_weight).images_

    def transform(self, X: ArrayLike, background: ArrayLike | None = None) -> Array:
        """Reconstruct the images of rows, with the hyperparameters as they are now.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_rays)
            Counts.
        background : float or array-like of shape (n_rays,) or (n_samples, n_rays), default=None
            As for `fit`.

        Returns
        -------
        images : ndarray of shape (n_samples, n_pixels)
            The images.
        """
        runs, _ = self._later(X, background)
        return np.array([run.result.params for run in runs])

    def inverse_transform(self, X: ArrayLike, background: ArrayLike | None = None) -> Array:
        """Expected counts of images: their projections, and the background.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_pixels)
            Images.
        background : float or array-like of shape (n_rays,) or (n_samples, n_rays), default=None
            As for `fit`.

        Returns
        -------
        counts : ndarray of shape (n_samples, n_rays)
            Expected counts.

        Raises
        ------
        ValueError
            If the images have another number of pixels, or are not finite.
        """
        check_is_fitted(self)
        images = np.asarray(X, dtype=np.float64)
        if images.ndim != 2 or images.shape[1] != self.n_pixels_:
            raise ValueError(
                f"Images have shape {images.shape}, but must be rows of {self.n_pixels_} pixels."
            )
        if not np.isfinite(images).all():
            raise ValueError("Images have pixels that are NaN or infinite.")
        rays = read_system(self, self.n_features_in_).forward(images)
        return np.asarray(rays + read_background(background, rays.shape))

    def score(
        self,
        X: ArrayLike,
        y: Any = None,
        background: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Mean Poisson log-likelihood of rows at their reconstructions.

        It rises with each iteration also where the image only fits noise; see
        `emlearn.tomography.select_n_iter` for what does not.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_rays)
            Counts.
        y : Ignored
            Present for compatibility.
        background : float or array-like of shape (n_rays,) or (n_samples, n_rays), default=None
            As for `fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        score : float
            In nats per row.
        """
        runs, plan = self._later(X, background)
        weight = read_weight(sample_weight, len(runs))
        values = [run.result.objective - plan.model.log_prior(run.result.params) for run in runs]
        return float(np.average(values, weights=weight))

    def bootstrap(
        self,
        X: ArrayLike,
        background: ArrayLike | None = None,
        *,
        n_resamples: int = 100,
        random_state: int | np.random.RandomState | None = None,
    ) -> ImageBootstrap:
        """Standard errors of the pixels by the Poisson bootstrap.

        Each count is replaced by a Poisson number with that mean, which is to take each event a
        Poisson(1) number of times, and the image is reconstructed with the same settings.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_rays)
            Counts, which should be integers.
        background : float or array-like of shape (n_rays,) or (n_samples, n_rays), default=None
            As for `fit`.
        n_resamples : int, default=100
            Number of resamples. 100 give standard errors to about 7 %.
        random_state : int, RandomState instance or None, default=None
            Seed of the resamples.

        Returns
        -------
        result : ImageBootstrap
            Means and standard errors of the pixels.

        Raises
        ------
        ValueError
            If `n_resamples` is not an integer >= 2, or a ray has counts but sees nothing.

        Notes
        -----
        The errors are those of the reconstruction as it is, with its iterations and prior. They
        do not contain its bias. Only means and sums of squares are kept, two images for each row.
        """
        check_is_fitted(self)
        counts = self._read_rows(X)
        system = read_system(self, counts.shape[1])
        plan = make_plan(self, system)
        constant = read_background(background, counts.shape)
        require_seen(counts, constant, system, plan.model.start)
        return resample(
            plan,
            counts,
            constant,
            n_resamples=n_resamples,
            random_state=random_state,
            n_jobs=self.n_jobs,
        )

    # ---- what they are made of ----------------------------------------------------------

    def _read_rows(self, X: Any, *, reset: bool = False) -> Array:
        counts: Array = read_table(self, X, reset=reset, dtype=(np.float64,), allow_nan=False)
        require_counts(counts)
        return counts

    def _later(self, X: ArrayLike, background: ArrayLike | None) -> tuple[list[Run], Plan]:
        check_is_fitted(self)
        counts = self._read_rows(X)
        return self._reconstruct(read_system(self, counts.shape[1]), counts, background)

    def _reconstruct(
        self, system: System, counts: Array, background: ArrayLike | None
    ) -> tuple[list[Run], Plan]:
        plan = make_plan(self, system)
        constant = read_background(background, counts.shape)
        require_seen(counts, constant, system, plan.model.start)
        observers = None
        if self.verbose:
            interval = self.verbose_interval if self.verbose > 1 else None
            name, n, rays = type(self).__name__, len(counts), float(system.n_rays)
            observers = [Printer(name, row, n, rays, interval) for row in range(n)]
        runs = plan.run_all(counts, constant, n_jobs=self.n_jobs, observers=observers)
        for row, run in enumerate(runs):
            if run.result.params is None or run.result.status is Status.FAILED:
                raise ValueError(f"Row {row} of X cannot be reconstructed: {run.result.message}.")
        ends_with_em = len(plan.passes) < self.max_iter
        late = [run.result for run in runs if not run.result.converged]
        if late and self.tol is not None and ends_with_em:
            advice = "Use another image_init, or counts in other units."
            if text := self._unconverged(late[0], advice):
                warn_user(text, ConvergenceWarning)
        return runs, plan


# scikit-learn requires exactly the parameters of the constructor.
PoissonReconstructionEM._parameter_constraints = {
    name: PoissonReconstructionEM._parameter_constraints[name]
    for name in PoissonReconstructionEM().get_params(deep=False)
}
