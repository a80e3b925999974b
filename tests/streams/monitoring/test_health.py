"""The three paths of the worker's HTTP server."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from schemas.errors import ConfigError
from streams.monitoring.health import HealthServer
from streams.monitoring.metrics import Metrics


class Check:
    """A health check that a test can break."""

    problem = ""

    def __call__(self) -> str:
        if self.problem == "raise":
            raise RuntimeError("no state")
        return self.problem


@pytest.fixture
def check() -> Check:
    return Check()


@pytest.fixture
def server(check: Check) -> Iterator[HealthServer]:
    server = HealthServer(Metrics().registry, check)
    server.start()
    yield server
    server.stop()


def get(server: HealthServer, path: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


def test_not_ready_says_why(server: HealthServer) -> None:
    assert get(server, "/readyz") == (503, "starting or draining\n")
    server.set_ready(False, "topic events is gone")
    assert get(server, "/readyz") == (503, "topic events is gone\n")
    server.set_ready(True)
    assert get(server, "/readyz")[0] == 200
    server.set_ready(False)
    assert get(server, "/readyz") == (503, "starting or draining\n")


def test_metrics_are_served_as_text(server: HealthServer) -> None:
    status, body = get(server, "/metrics")
    assert status == 200
    assert "# TYPE hark_events_total counter" in body


def test_not_ready_until_ready_and_again_while_draining(server: HealthServer) -> None:
    assert get(server, "/readyz") == (503, "starting or draining\n")
    server.set_ready(True)
    assert get(server, "/readyz") == (200, "ok\n")
    server.set_ready(False)
    assert get(server, "/readyz")[0] == 503


def test_an_unhealthy_worker_says_why_in_one_line(server: HealthServer, check: Check) -> None:
    assert get(server, "/healthz") == (200, "ok\n")
    check.problem = "the loop has been stuck\nfor 40 s"
    assert get(server, "/healthz") == (503, "the loop has been stuck for 40 s\n")


def test_a_check_that_breaks_is_unhealthy(server: HealthServer, check: Check) -> None:
    check.problem = "raise"
    status, body = get(server, "/healthz")
    assert status == 503
    assert "no state" in body


def test_other_paths_are_not_found(server: HealthServer) -> None:
    assert get(server, "/")[0] == 404


def test_a_taken_port_is_a_config_error_that_names_it(server: HealthServer) -> None:
    second = HealthServer(Metrics().registry, Check(), port=server.port)
    with pytest.raises(ConfigError, match=str(server.port)):
        second.start()


def test_after_stop_the_port_is_closed(server: HealthServer) -> None:
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        get(server, "/metrics")
    server.stop()
