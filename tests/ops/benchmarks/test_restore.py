"""`hark bench restore`, small: the whole of it, on the real broker."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from ops.cli import hark


@pytest.mark.slow
def test_a_small_state_comes_back_whole_and_every_number_is_there(
    kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARK_KAFKA__BOOTSTRAP_SERVERS", kafka_bootstrap)
    options = ["--users", "4000", "--seconds", "3", "--checkpoint-s", "1", "--events-per-s", "400"]
    done = CliRunner().invoke(hark, ["bench", "restore", *options, "--json"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert (answer["users"], answer["rows"]) == (4_000, 4_000)
    assert answer["restore_s"] > 0
    assert answer["bytes_per_user"] > 1_000
    assert answer["core_share_with"] > 0
    assert answer["checkpoint_rows"] > 0
    assert answer["machine"]["cores"]
