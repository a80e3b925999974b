"""A real Prometheus for a test: scrapes one port, answers queries."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

RULES = Path("ops/prometheus/rules.yml").resolve()

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="prometheus is not installed (Debian: apt-get install prometheus)",
)


class Prometheus:
    """A running server, by its address."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}/api/v1/"

    def get(self, path: str, **parameters: str) -> Any:
        url = f"{self._base}{path}?{urlencode(parameters)}"
        with urlopen(url, timeout=5) as answer:  # noqa: S310 - our own http address
            return json.load(answer)["data"]

    def query(self, expr: str) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = self.get("query", query=expr)["result"]
        return result

    def wait(self, expr: str, timeout_s: float = 30) -> list[dict[str, Any]]:
        """The first answer that isn't empty."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                if found := self.query(expr):
                    return found
            except URLError:
                pass  # still starting
            time.sleep(0.1)
        raise AssertionError(f"no answer to {expr!r} in {timeout_s} s")


@contextmanager
def prometheus(folder: Path, ports: dict[str, int]) -> Iterator[Prometheus]:
    """Scrape 127.0.0.1 every half second: job name -> port."""
    config = folder / "prometheus.yml"
    config.write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
                "rule_files": [str(RULES)],
                "scrape_configs": [
                    {
                        "job_name": job,
                        "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
                    }
                    for job, port in ports.items()
                ],
            }
        )
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        own_port = free.getsockname()[1]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{own_port}",
            ],
            stdout=log,
            stderr=log,
        )
        try:
            yield Prometheus(own_port)
        finally:
            process.terminate()
            process.wait(10)
