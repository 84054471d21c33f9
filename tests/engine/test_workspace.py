"""Scratch memory: reused where it can be, and never shared by threads."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from emlearn.engine.workspace import Workspace


def test_memory_is_reused_for_a_name():
    workspace = Workspace()
    one = workspace.array("a", (3, 4), np.float64)
    two = workspace.array("a", (2, 5), np.float64)
    assert np.shares_memory(one, two)
    assert two.shape == (2, 5)
    assert two.flags.c_contiguous
    assert not np.shares_memory(one, workspace.array("b", (3, 4), np.float64))


def test_larger_arrays_and_other_dtypes_get_memory_of_their_own():
    workspace = Workspace()
    one = workspace.array("a", (3, 4), np.float64)
    assert workspace.array("a", (5, 4), np.float64).shape == (5, 4)
    other = workspace.array("a", (3, 4), np.float32)
    assert other.dtype == np.float32
    assert not np.shares_memory(one, other)


def test_threads_do_not_share_memory():
    workspace = Workspace()
    mine = workspace.array("a", (3, 4), np.float64)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(workspace.array, "a", (3, 4), np.float64).result()
    assert not np.shares_memory(mine, other)


def test_a_copy_in_another_process_is_empty():
    workspace = Workspace()
    workspace.array("a", (3, 4), np.float64)
    assert not pickle.loads(pickle.dumps(workspace))._buffers
