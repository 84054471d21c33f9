"""Which parameters of a state-space model observations can tell.

A change of basis of the states by ``T = I + e G`` changes the matrices by

    dA = G A - A G,  dB = G B,  dC = -C G,  dQ = G Q + Q G',  dm = G m,  dP = G P + P G',

and the likelihood not at all (a diffuse likelihood by the factor ``exp(-e tr G)``, because a flat
prior has a scale). The G that change no entry that is held are a linear space, found by its
equations at parameters that are otherwise generic.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import null_space, qr

from emlearn.statespace._linear_gaussian import LinearGaussianModel
from emlearn.statespace._system import System

Array = NDArray[np.float64]


def invariances(model: LinearGaussianModel, params: System, fixed: Mapping[str, Array]) -> Array:
    """Changes of basis that keep all entries that are held, (n_invariances, n_states, n_states)."""
    system = model.system(params)
    A, B, C, Q = (
        system.transition,
        system.inputs,
        system.observation,
        system.transition_covariance,
    )
    n = len(A)
    P, m = system.initial_covariance, system.initial_mean
    public = model.public(params)
    held = {
        name: ~np.isnan(fixed[name]) if name in fixed else np.zeros(value.shape, bool)
        for name, value in public.items()
    }
    structural = model.transition_kind.structural(n)
    equations = []
    for column in np.eye(n * n):
        G = column.reshape(n, n)
        noise = G @ Q + Q @ G.T
        changes = [
            (G @ A - A @ G)[held["transition_matrix"]],
            (C @ G)[held["observation_matrix"]],
            noise[held["transition_covariance"]],
            structural(noise),
        ]
        if "input_matrix" in held:
            changes.append((G @ B)[held["input_matrix"]])
        if "initial_mean" in held:
            changes += [
                (G @ m)[held["initial_mean"]],
                (G @ P + P @ G.T)[held["initial_covariance"]],
            ]
        equations.append(np.concatenate(changes))
    matrix = np.array(equations).T
    size = np.abs(matrix).max(axis=1, initial=0.0)
    matrix = matrix[size > 0.0] / size[size > 0.0, None]
    if not len(matrix):
        return np.eye(n * n).reshape(-1, n, n)
    space: Array = null_space(matrix, rcond=1e-9).T.reshape(-1, n, n)
    return space


def n_identified(model: LinearGaussianModel, params: System, fixed: Mapping[str, Array]) -> int:
    """Number of parameters that observations can tell.

    Those of an innovations form are the most: it has a gain and a covariance of innovations in
    place of both covariances.
    """
    public = model.public(params)
    free = model.space(params).n_free(public, fixed)
    free -= len(invariances(model, params, fixed))
    free += len(model.start.columns) if model.start.profiled else 0
    n, m = len(params.transition), len(params.observation)
    regression = params.inputs.size + params.regression.size
    most = 2 * n * m + m * (m + 1) // 2 + regression
    if model.start.profiled:
        most += n
    elif not model.start.columns:
        most += n + n * (n + 1) // 2
    return min(free, most)


def hold_basis(
    model: LinearGaussianModel, params: System, fixed: Mapping[str, Array]
) -> dict[str, Array]:
    """`fixed` with more entries held, at their values, that leave a single basis of the states.

    They are the entries of A and C that tell most of the basis, by a pivoted decomposition.
    Functions of the parameters that do not depend on the basis have the same standard errors
    whatever is held.
    """
    system = model.system(params)
    A, C = system.transition, system.observation
    changes = invariances(model, params, fixed)
    public = model.public(params)
    held = {name: array.copy() for name, array in fixed.items()}
    if not len(changes):
        return held
    names = ("transition_matrix", "observation_matrix")
    space = model.space(params)
    tangents = []
    for name, moved in zip(names, (changes @ A - A @ changes, -C @ changes), strict=True):
        free = np.isnan(held.setdefault(name, np.full(public[name].shape, np.nan)))
        scale = space.parts[name].directions(public[name], np.zeros(free.shape, bool))
        unit = np.diagonal(scale).reshape(free.shape)
        tangents.append(np.where(free, moved / unit, 0.0).reshape(len(changes), -1))
    pivots = qr(np.hstack(tangents), mode="r", pivoting=True)[1][: len(changes)]
    size = A.size
    for pivot in pivots:
        name, entry = (names[0], pivot) if pivot < size else (names[1], pivot - size)
        index = np.unravel_index(entry, held[name].shape)
        held[name][index] = public[name][index]
    return held
