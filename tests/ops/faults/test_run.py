"""The short form of `hark bench faults`: three brokers, two workers, some of every fault."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest


@pytest.mark.slow
@pytest.mark.kafka
def test_nothing_is_lost_and_nothing_differs_whatever_breaks() -> None:
    command = ("bench", "faults", "--minutes", "0.2", "--rate", "300", "--partitions", "1",
               "--workers", "2", "--json")  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3_000:]
    found = json.loads(done.stdout)
    # Whatever is wrong makes the exit code 1; here that there was something to be wrong.
    assert found["lost"] == found["different"] == found["histories_different"] == 0
    assert found["acked"] == found["scored"] + found["dead_lettered"] + found["duplicates"]
    assert found["acked"] == found["events"] == 0.2 * 60 * 300
    assert min(found["dead_lettered"], found["duplicates"], found["users"]) > 0
    assert found["silent"] < found["scored"] / 4, "most events leave evidence of their own"
    assert found["sigkills"] >= 2
    assert min(found[fault] for fault in ("sigstops", "broker_kills", "network_cuts")) >= 1


@pytest.mark.slow
@pytest.mark.kafka
def test_ctrl_c_leaves_no_process_behind(tmp_path: Path) -> None:
    command = ("bench", "faults", "--minutes", "5", "--workers", "2", "--keep", str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-m", "ops.cli", *command], stderr=subprocess.PIPE, text=True
    ) as running:
        begun = time.monotonic()
        while not (tmp_path / "worker-1" / "worker.log").exists():
            assert running.poll() is None
            assert time.monotonic() < begun + 90
            time.sleep(0.2)
        ours = psutil.Process(running.pid).children(recursive=True)
        assert len(ours) >= 5, "three brokers and two workers"
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert [one.pid for one in ours if runs(one)] == []


def runs(process: psutil.Process) -> bool:
    """Whether it still does; one that nobody has asked for its exit code doesn't."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
