"""From the hyperparameters of a reconstruction to its system and the plan of its iterations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from emlearn.engine import RemainingGain
from emlearn.tomography._model import Part, PoissonReconstruction, parts_of
from emlearn.tomography._reading import (
    read_image,
    read_prior,
    read_schedule,
    require_sensitivity,
)
from emlearn.tomography._rows import Plan
from emlearn.tomography._subsets import subset_parts
from emlearn.tomography._systems import System, as_system

Array = NDArray[np.float64]


def read_system(estimator: Any, n_rays: int) -> System:
    """The system of an estimator.

    Parameters
    ----------
    estimator : PoissonReconstructionEM
        The estimator.
    n_rays : int
        Number of columns of X.

    Returns
    -------
    system : System
        The system.

    Raises
    ------
    ValueError
        If it is invalid, or has another number of rays.
    """
    matrix: Any = estimator.system_matrix
    if matrix is None:
        matrix = sparse.identity(n_rays)
    system = as_system(matrix, estimator.image_shape)
    if system.n_rays != n_rays:
        raise ValueError(
            f"X has {n_rays} columns, but system_matrix has {system.n_rays} rows, one for each ray."
        )
    return system


def make_plan(estimator: Any, system: System) -> Plan:
    """How an estimator reconstructs rows.

    Parameters
    ----------
    estimator : PoissonReconstructionEM
        The estimator.
    system : System
        Its system.

    Returns
    -------
    plan : Plan
        The model, the parts of the system, and when to stop.

    Raises
    ------
    ValueError
        If a hyperparameter does not go with the system.
    """
    weight = float(estimator.prior_weight)
    prior = read_prior(estimator.prior, weight, system.image_shape)
    model = PoissonReconstruction(
        prior,
        weight if prior else 0.0,
        system.image_shape,
        estimator.prior_update == "one-step-late" and prior is not None,
        read_image(estimator.image_init, system, "image_init"),
    )
    schedule = read_schedule(estimator.n_subsets, system)
    complete = read_image(estimator.sensitivity, system, "sensitivity")
    whole, passes = plan_passes(system, schedule, estimator.max_iter, complete, model.late)
    require_sensitivity(np.sum([part.sensitivity for part in whole], axis=0))
    # Without a tolerance EM still ends where rounding errors are all that it gains.
    test = RemainingGain(0.0) if estimator.tol is None else estimator._convergence(np.float64)
    return Plan(model, whole, passes, estimator.max_iter, test, estimator._accelerator(model))


def plan_passes(
    system: System, schedule: Sequence[int], max_iter: int, sensitivity: Array | None, late: bool
) -> tuple[list[Part], list[list[Part]]]:
    """The parts of the system for EM, and the subsets of each iteration before EM.

    Parameters
    ----------
    system : System
        The system.
    schedule : sequence of int
        Number of subsets of each iteration; the last one goes on.
    max_iter : int
        Number of iterations.
    sensitivity : ndarray of shape (n_pixels,) or None
        Sums of the columns of the complete system matrix, if the rays are a list of events.
    late : bool
        Whether all iterations are passes, because the M-step can lower the objective.

    Returns
    -------
    whole : list of Part
        Parts for EM.
    passes : list of list of Part
        Subsets for each pass; equal numbers share their subsets.
    """
    numbers = [*schedule, *[schedule[-1]] * (max_iter - len(schedule))][:max_iter]
    if not late and 1 in numbers:
        tail = len(numbers) - next(
            (i for i, n in enumerate(reversed(numbers)) if n != 1), len(numbers)
        )
        numbers = numbers[:tail]
    made = {
        n: _listed(subset_parts(system, n), sensitivity, system.n_rays)
        for n in sorted(set(numbers))
    }
    whole = _listed(parts_of(system), sensitivity, system.n_rays)
    return whole, [made[n] for n in numbers]


def _listed(parts: list[Part], sensitivity: Array | None, n_rays: int) -> list[Part]:
    """Parts with their shares of the complete sensitivity, if one is given."""
    if sensitivity is None:
        return parts
    return [
        part._replace(sensitivity=sensitivity * (part.system.n_rays / n_rays), listed=True)
        for part in parts
    ]
