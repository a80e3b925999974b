"""`hark worker` as a process of its own, for the tests that look at it from outside."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

ROOT = Path(__file__).parents[2]


class RunningWorker:
    """A worker's process and its port."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self._log = log

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of one of its paths; status 0 while nobody listens."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except ConnectionError:
            return 0, ""
        finally:
            connection.close()

    def wait_until_ready(self, timeout_s: float = 180) -> None:
        deadline = time.monotonic() + timeout_s
        while self.get("/readyz")[0] != 200:
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        self.process.terminate()
        return self.process.wait(40)

    def log(self) -> str:
        return self._log.read_text()[-5_000:]


@contextmanager
def worker(folder: Path, bootstrap: str, prefix: str) -> Iterator[RunningWorker]:
    """Run a worker on topics with `prefix`, in a group of that name."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HARK_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
        "HARK_KAFKA__TOPIC_PREFIX": prefix,
        "HARK_KAFKA__GROUP_ID": f"{prefix}hark",
        "HARK_HTTP__PORT": str(port),
        "TMPDIR": str(folder),
    }
    log = folder / "worker.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "ops.cli", "worker"],
            cwd=folder, env=environment, stdout=file, stderr=file,
        )  # fmt: skip
    running = RunningWorker(process, port, log)
    try:
        yield running
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
