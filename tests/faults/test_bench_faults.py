"""The short form of `hark bench faults`: three brokers, two workers, some of every fault."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.kafka
def test_nothing_is_lost_and_nothing_differs_whatever_breaks() -> None:
    command = ("bench", "faults", "--minutes", "0.3", "--rate", "300", "--partitions", "1",
               "--workers", "2", "--json")  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3_000:]
    found = json.loads(done.stdout)
    # Whatever is wrong makes the exit code 1; here that there was something to be wrong.
    assert found["lost"] == found["different"] == found["histories_different"] == 0
    assert found["acked"] == found["scored"] + found["dead_lettered"] + found["duplicates"]
    assert found["acked"] == found["events"] == 0.3 * 60 * 300
    assert min(found["dead_lettered"], found["duplicates"], found["users"]) > 0
    assert found["silent"] < found["scored"] / 4, "most events leave evidence of their own"
    assert found["sigkills"] >= 2
    assert min(found[fault] for fault in ("sigstops", "broker_kills", "network_cuts")) >= 1
