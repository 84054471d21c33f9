"""Fixtures for the tests of the latent label."""

import pytest

from emlearn.distributions import _contract
from emlearn.distributions.gaussian import rows


@pytest.fixture
def small_blocks(monkeypatch):
    """Function that makes blocks have so many rows."""

    def small_blocks(n_rows):
        monkeypatch.setattr(_contract, "_BLOCK_ROWS", (n_rows, n_rows))
        monkeypatch.setattr(rows, "_BLOCK_ROWS", (n_rows, n_rows))

    return small_blocks
