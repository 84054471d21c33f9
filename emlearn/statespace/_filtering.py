"""Filtered states of blocks of sequences, also with first states that have a flat prior."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.kernels.state_space import filter_states
from emlearn.statespace._data import Block
from emlearn.statespace._model import Prepared, StateSpaceModel
from emlearn.statespace._system import System

Array = NDArray[np.float64]

# Part of the largest precision below which a direction is not determined yet.
_UNDETERMINED = 1e-11


class FilteredBlock(NamedTuple):
    """States given observations up to each step.

    Attributes
    ----------
    predicted, filtered : ndarray of shape (n_sequences, n_steps, n_states)
        Expected states given earlier observations, and also those of the step.
    predicted_covariance, filtered_covariance : ndarray of shape (n_steps, n_states, n_states)
        Their covariances; infinite where observations do not determine a state yet.
    next_mean : ndarray of shape (n_sequences, n_states)
        Expected states after the last step.
    next_covariance : ndarray of shape (n_states, n_states)
        Their covariance.
    """

    predicted: Array
    filtered: Array
    predicted_covariance: Array
    filtered_covariance: Array
    next_mean: Array
    next_covariance: Array


def filter_block(
    model: StateSpaceModel[Any], block: Block, params: Prepared, *, covariances: bool = True
) -> FilteredBlock:
    """Filter the sequences of a block.

    Parameters
    ----------
    model : StateSpaceModel
        The model.
    block : Block
        The sequences.
    params : Prepared
        What `model.precompute` returned.
    covariances : bool, default=True
        Whether the covariances of all steps are needed; otherwise they are empty.
    """
    system, n_sequences = params.system, len(block.observed)
    problem = model.recursion(block, params)
    flat = bool(model.start.columns)
    found = filter_states(
        problem.recursion,
        problem.observations,
        problem.inputs,
        problem.initial,
        covariances=covariances or flat,
    )
    predicted, filtered = found.predicted[:n_sequences], found.filtered[:n_sequences]
    none = np.empty((0, *system.transition.shape))
    before = none if found.predicted_covariance is None else found.predicted_covariance
    after = none if found.filtered_covariance is None else found.filtered_covariance
    last = found.last_root @ found.last_root.T
    if flat:
        predicted, filtered, before, after, last = _diffuse(found, n_sequences, block)
    next_mean = filtered[:, -1] @ system.transition.T
    if system.inputs.shape[1]:
        next_mean = next_mean + block.inputs[:, -1] @ system.inputs.T
    with np.errstate(invalid="ignore"):
        ahead = propagate(last, system)
    return FilteredBlock(predicted, filtered, before, after, next_mean, ahead)


def propagate(covariance: Array, system: System) -> Array:
    """Covariances of the next states; infinite where it is not known."""
    unknown = ~np.isfinite(covariance)
    A = system.transition
    known = np.where(unknown, 0.0, covariance)
    moved = A @ known @ A.T + system.transition_covariance
    if unknown.any():
        touched = (np.abs(A) > 0.0).astype(float)
        reached = touched @ unknown.astype(float) @ touched.T > 0.0
        moved = np.where(reached, np.inf, moved)
    return moved


def _diffuse(found: Any, n_sequences: int, block: Block) -> tuple[Array, ...]:
    """Filtered states when unknown first states are estimated from the rows so far."""
    design = found.innovations[n_sequences:].T
    response = found.innovations[:n_sequences]
    k = design.shape[1]
    ends = np.cumsum(block.patterns.sum(axis=1)[block.pattern])
    squares = np.concatenate(
        (np.zeros((1, k, k)), np.cumsum(design[:, :, None] * design[:, None], axis=0))
    )
    cross = np.concatenate(
        (
            np.zeros((1, k, n_sequences)),
            np.cumsum(design[:, :, None] * response.T[:, None], axis=0),
        )
    )
    begins = np.concatenate(([0], ends[:-1]))
    results = []
    for at, means, covariances in (
        (begins, found.predicted, found.predicted_covariance),
        (ends, found.filtered, found.filtered_covariance),
    ):
        values, vectors = np.linalg.eigh(squares[at])
        largest = np.maximum(squares[-1].diagonal().max(), np.finfo(float).tiny)
        there = values > _UNDETERMINED * largest
        inverse = np.where(there, 1.0 / np.where(there, values, 1.0), 0.0)
        root = vectors * np.sqrt(inverse)[:, None, :]
        estimate = -root @ (np.swapaxes(root, 1, 2) @ cross[at])
        columns = np.swapaxes(means[n_sequences:], 0, 1)
        moved = means[:n_sequences] + np.einsum("tkg,tkn->gtn", estimate, columns)
        spread = np.einsum("tkj,tkn->tjn", root, columns)
        covariance = covariances + np.einsum("tjn,tjp->tnp", spread, spread)
        free = np.einsum("tkj,tkn->tjn", vectors * ~there[:, None, :], columns)
        loose = np.einsum("tjn,tjp->tnp", np.abs(free), np.abs(free)) > 1e-9
        results.append((moved, np.where(loose, np.inf, covariance)))
    (predicted, before), (filtered, after) = results
    return predicted, filtered, before, after, after[-1]
