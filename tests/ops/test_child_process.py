"""Commands that run beside the demo."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ops.child_process import Child
from schemas.errors import TransientError


def _ended(child: Child) -> bool:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if child.check():
            return True
        time.sleep(0.05)
    return False


def test_a_command_that_ends_well_is_done(tmp_path: Path) -> None:
    with Child(["topics", "--help"], tmp_path, {}) as child:
        assert _ended(child)
    assert "create" in child.tail()


def test_a_failure_shows_the_end_of_the_log(tmp_path: Path) -> None:
    with (
        Child(["replay", "/no/such/file.csv"], tmp_path, {}) as child,
        pytest.raises(TransientError, match=r"hark replay .* ended with 2(.|\n)*no such file"),
    ):
        _ended(child)


def test_leaving_stops_it(tmp_path: Path) -> None:
    nowhere = {"HARK_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    with Child(["worker"], tmp_path, nowhere) as child:
        pass
    assert child.stop() != 0
