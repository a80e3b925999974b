"""Ports, folders and process identities of a machine."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ops.local_kafka.ports import free_ports, is_free
from ops.local_kafka.process import ProcessId, is_running, stop
from ops.local_kafka.state import cache_dir, state_dir


def test_a_taken_port_is_passed_over() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        taken = server.getsockname()[1]
        assert not is_free(taken)
        assert taken not in free_ports(3, taken)
        assert min(free_ports(3, taken)) > taken


def test_hark_home_holds_both_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HARK_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "cache"
    assert state_dir() == tmp_path / "state"


def test_xdg_folders_are_respected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HARK_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))
    assert cache_dir() == tmp_path / "c" / "hark"
    assert state_dir() == tmp_path / "s" / "hark"


def test_only_the_very_process_is_stopped_not_another_with_its_pid() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        identity = ProcessId.of(child.pid)
        other = ProcessId(child.pid, identity.started_s - 100)
        assert is_running(identity)
        assert not is_running(other)
        assert stop(other, timeout_s=1)
        assert child.poll() is None
        assert stop(identity, timeout_s=10)
        assert child.wait(10) != 0
    finally:
        child.kill()
        child.wait()


def test_a_process_that_ignores_sigterm_is_killed_and_that_is_said() -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('ready', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        assert not stop(ProcessId.of(child.pid), timeout_s=0.5)
        assert child.wait(10) == -9
    finally:
        child.kill()
        child.wait()
        if child.stdout:
            child.stdout.close()
