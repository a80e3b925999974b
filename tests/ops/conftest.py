"""Paths of the public data files, which are never part of the repository."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def data_file() -> Callable[[str], Path]:
    """Return a finder of data files that skips the test where a file is absent."""
    folder = os.environ.get("HARK_DATA")

    def find(name: str) -> Path:
        if not folder:
            pytest.skip("HARK_DATA isn't set to the folder of the public data files")
        path = Path(folder) / name
        if not path.is_file():
            pytest.skip(f"{path} isn't there")
        return path

    return find
