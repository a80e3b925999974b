"""A process is asked to end, and killed only where it doesn't."""

from __future__ import annotations

import signal
import subprocess
import sys

from ops.local_kafka.process import ProcessId, is_running, stop, stop_child

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"  # noqa: E501
QUICK = "import time; print(1, flush=True); time.sleep(60)"


def started(code: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_one_that_hears_ends_by_itself() -> None:
    assert stop_child(started(QUICK), 30) == -signal.SIGTERM
    process = started(QUICK)
    assert stop(ProcessId.of(process.pid), 30)
    process.wait()


def test_one_that_doesn_t_is_killed() -> None:
    assert stop_child(started(DEAF), 0.1) == -signal.SIGKILL
    process = started(DEAF)
    identity = ProcessId.of(process.pid)
    assert not stop(identity, 0.1)
    assert not is_running(identity)
    process.wait()


def test_one_that_has_ended_keeps_its_code() -> None:
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    process.wait()
    assert stop_child(process, 1) == 3
