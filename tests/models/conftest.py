"""Model tests are small: one thread is as fast as many, and doesn't wait for busy cores."""

from __future__ import annotations

import logging

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)
    # torch.export writes thousands of empty debug lines that pytest would keep.
    logging.getLogger("torch").setLevel(logging.WARNING)
