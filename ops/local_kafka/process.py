"""Processes that outlive the command that started them, known by pid and start time."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A pid and the start time of its process: a pid alone may be reused."""

    pid: int
    started_s: float  # Unix time in s, as the system reports it

    @staticmethod
    def of(pid: int) -> ProcessId:
        """Identity of a process that runs now."""
        return ProcessId(pid, psutil.Process(pid).create_time())


def stop_process(
    term: Callable[[], None], wait: Callable[[], bool], kill: Callable[[], None]
) -> bool:
    """Ask a process to end, wait for it, and kill it where that takes too long.

    Parameters
    ----------
    wait
        Whether it ended in time.

    Returns
    -------
    bool
        True if it ended by itself.
    """
    term()
    if wait():
        return True
    kill()
    return False


def stop_child(process: subprocess.Popen[bytes], timeout_s: float) -> int:
    """Stop a child process like `stop_process`, and return its exit code."""

    def ended() -> bool:
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    if process.poll() is None:
        stop_process(process.terminate, ended, process.kill)
    return process.wait()


def is_running(identity: ProcessId) -> bool:
    """Whether that very process still runs."""
    return _find(identity) is not None


def stop(identity: ProcessId, timeout_s: float) -> bool:
    """SIGTERM, wait, then SIGKILL; only ever to that very process.

    Returns
    -------
    bool
        True if it ended by itself within `timeout_s` (or had ended before).
    """
    process = _find(identity)
    if process is None:
        return True

    def term() -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
            process.resume()  # a stopped process (SIGSTOP) doesn't act on SIGTERM

    return stop_process(term, lambda: _gone(identity, timeout_s), lambda: kill(identity))


def pause(identity: ProcessId) -> None:
    """SIGSTOP that very process: it exists but doesn't respond."""
    process = _find(identity)
    if process is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()


def resume(identity: ProcessId) -> None:
    """SIGCONT that very process."""
    process = _find(identity)
    if process is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()


def stop_all(identities: Iterable[ProcessId], timeout_s: float) -> bool:
    """`stop` for several at the same time; True if all ended by themselves."""
    every = tuple(identities)
    if not every:
        return True
    with ThreadPoolExecutor(len(every)) as pool:
        return all(list(pool.map(lambda identity: stop(identity, timeout_s), every)))


def kill(identity: ProcessId) -> None:
    """SIGKILL that very process and wait until it's gone."""
    process = _find(identity)
    if process is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
        _gone(identity, 10)


def _gone(identity: ProcessId, timeout_s: float) -> bool:
    end = time.monotonic() + timeout_s
    while _find(identity) is not None:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _find(identity: ProcessId) -> psutil.Process | None:
    try:
        process = psutil.Process(identity.pid)
        if abs(process.create_time() - identity.started_s) > 1:
            return None
        return None if process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.NoSuchProcess:
        return None
