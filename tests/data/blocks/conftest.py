"""Rows, and how blocks are read in another process."""

import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import emlearn

CHILD = """
import pickle, sys
import numpy as np
with open(sys.argv[1], "rb") as file:
    blocks = pickle.load(file)
found = [np.asarray(blocks[i]) for i in range(len(blocks))]
with open(sys.argv[2], "wb") as file:
    pickle.dump(found, file)
"""


def all_of(blocks):
    """The blocks as arrays."""
    return [np.array(blocks[i]) for i in range(len(blocks))]


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(1000, 5))


@pytest.fixture
def check_blocks(tmp_path):
    """Check that blocks are as expected; again, in threads, and from another process."""

    def check(blocks, expected, *, most_bytes=None):
        found = all_of(blocks)
        assert_array_equal(np.concatenate(found), expected)
        assert blocks.n_rows == len(expected)
        assert blocks.n_features == expected.shape[1]
        assert blocks.lengths == [len(own) for own in found]
        with ThreadPoolExecutor(4) as pool:
            order = [*range(len(blocks)), *reversed(range(len(blocks)))]
            for i, own in zip(order, pool.map(blocks.__getitem__, order), strict=True):
                assert_array_equal(np.asarray(own), found[i])
        message = pickle.dumps(blocks)
        if most_bytes is not None:
            assert len(message) < most_bytes
        # A process elsewhere on this machine.
        (tmp_path / "message").write_bytes(message)
        folder = tmp_path / "elsewhere"
        folder.mkdir(exist_ok=True)
        env = {**os.environ, "PYTHONPATH": str(Path(emlearn.__file__).parents[1])}
        names = [tmp_path / "message", tmp_path / "answer"]
        subprocess.run([sys.executable, "-c", CHILD, *names], check=True, env=env, cwd=folder)
        for own, other in zip(found, pickle.loads(names[1].read_bytes()), strict=True):
            assert_array_equal(other, own)
            assert other.dtype == own.dtype

    return check
