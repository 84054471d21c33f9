"""Ordered subsets: a pass over subsets of the views is about as many M-steps as there are subsets.

Subset t has views t, t + n, t + 2n and so on, if n is the number of subsets. The subsets are taken
in the order of their bits reversed, so that each is far from those before it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emlearn.tomography._model import Counts, Part, PoissonReconstruction
from emlearn.tomography._systems import System

Array = NDArray[np.float64]


def subset_order(n_subsets: int) -> list[int]:
    """Order of the subsets: that of their numbers with the bits reversed.

    Parameters
    ----------
    n_subsets : int
        Number of subsets.

    Returns
    -------
    order : list of int
        Each subset once; 0, 4, 2, 6, 1, 5, 3, 7 for eight.
    """
    n_bits = (n_subsets - 1).bit_length()
    return [t for t in (_reversed(t, n_bits) for t in range(2**n_bits)) if t < n_subsets]


def _reversed(number: int, n_bits: int) -> int:
    return int(f"{number:0{n_bits}b}"[::-1], 2) if n_bits else 0


def subset_parts(system: System, n_subsets: int) -> list[Part]:
    """The subsets of a system, in their order.

    Parameters
    ----------
    system : System
        The system.
    n_subsets : int
        Number of subsets, at most the number of views.

    Returns
    -------
    parts : list of Part
        One for each subset.
    """
    views = np.arange(system.n_rays).reshape(system.n_views, -1)
    parts = []
    for t in subset_order(n_subsets):
        rays = views[t::n_subsets].ravel()
        subset = system.subset(rays)
        parts.append(Part(rays, subset, subset.sensitivity()))
    return parts


def one_pass(model: PoissonReconstruction, data: Counts, image: Array) -> Array:
    """One iteration of ordered subsets: an EM step for each block of the data in turn.

    Each takes its subset for as many copies as there are subsets, so the prior has that part of
    its weight. The objective can fall.

    Parameters
    ----------
    model : PoissonReconstruction
        The model.
    data : Counts
        One block for each subset.
    image : ndarray of shape (n_pixels,)
        Image to start from.

    Returns
    -------
    image : ndarray of shape (n_pixels,)
        The image after the pass.
    """
    model = replace(model, prior_weight=model.prior_weight / len(data.blocks))
    for block in data.blocks:
        statistics, _ = model.e_step(block, image)
        image = model.m_step(statistics, image)
    return image
