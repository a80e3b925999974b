"""`hark broker`: what it starts, says and leaves behind."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner, Result

from ops.cli import hark
from ops.local_kafka.broker import USUAL_PORT
from ops.local_kafka.ports import free_ports
from ops.local_kafka.process import ProcessId, is_running
from schemas.errors import ConfigError, TransientError
from tests.ops.local_kafka.listening import listening_on

LOG_AT_A_CLEAN_END = "shut down completed"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(hark, arguments)


@pytest.fixture
def started_here() -> Iterator[None]:
    yield
    run("broker", "stop")


@pytest.mark.kafka
@pytest.mark.usefixtures("started_here")
def test_a_broker_is_started_found_left_alone_and_stopped_cleanly() -> None:
    with listening_on(USUAL_PORT):
        first = run("broker", "start")
    assert first.exit_code == 0, first.output
    assert f"port {USUAL_PORT} is taken" in first.output

    status = run("broker", "status", "--json")
    told = json.loads(status.output)
    assert (status.exit_code, told["state"], told["ready"]) == (0, "running", True)
    port, pid = told["brokers"][0]["port"], told["brokers"][0]["pid"]
    process = ProcessId(pid, told["brokers"][0]["started_s"])
    assert told["bootstrap_servers"] == f"127.0.0.1:{port}"
    assert port != USUAL_PORT
    assert is_running(process)
    addresses = {c.laddr.ip for c in psutil.Process(pid).net_connections() if c.status == "LISTEN"}
    assert {address.removeprefix("::ffff:") for address in addresses} == {"127.0.0.1"}

    again = json.loads(run("broker", "start", "--json").output)
    assert again["brokers"][0]["pid"] == pid
    assert isinstance(run("broker", "start", "--brokers", "3").exception, ConfigError)

    assert run("broker", "stop").output == "stopped\n"
    assert not is_running(process)
    assert LOG_AT_A_CLEAN_END in Path(told["brokers"][0]["log_file"]).read_text()
    after = run("broker", "status", "--json")
    assert (after.exit_code, json.loads(after.output)["state"]) == (1, "stopped")


@pytest.mark.usefixtures("started_here")
def test_a_port_asked_for_and_taken_is_an_error_and_nothing_starts() -> None:
    port = free_ports(1)[0]
    with listening_on(port):
        outcome = run("broker", "start", "--port", str(port))
    assert isinstance(outcome.exception, ConfigError)
    assert f"port {port} is taken" in str(outcome.exception)
    assert run("broker", "status").exit_code == 1


def test_stop_with_nothing_running_is_not_an_error() -> None:
    outcome = run("broker", "stop")
    assert (outcome.exit_code, outcome.output) == (0, "no local Kafka is running\n")


def test_a_state_file_of_a_dead_process_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    state = Path(os.environ["HARK_HOME"]) / "state"
    state.mkdir()
    brokers = [{"id": 1, "pid": os.getpid(), "started_s": 1.0, "port": 1, "log_file": ""}]
    (state / "broker.json").write_text(
        json.dumps(
            {
                "bootstrap_servers": "127.0.0.1:1",
                "kafka_version": "4.3.1",
                "java": "",
                "data_dir": "",
                "brokers": brokers,
            }
        )
    )
    assert run("broker", "status").exit_code == 1
    assert run("broker", "stop").output == "no local Kafka is running\n"  # and this test goes on


def test_an_existing_cluster_is_used_and_nothing_started(
    kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARK_KAFKA__BOOTSTRAP_SERVERS", kafka_bootstrap)
    outcome = run("broker", "start")
    assert outcome.exit_code == 0
    assert "nothing was started" in outcome.output
    told = json.loads(run("broker", "status", "--json").output)
    assert (told["state"], told["ready"]) == ("external", True)
    monkeypatch.delenv("HARK_KAFKA__BOOTSTRAP_SERVERS")
    assert run("broker", "status").exit_code == 1


def test_an_existing_cluster_that_does_not_answer_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    servers = f"127.0.0.1:{free_ports(1)[0]}"
    monkeypatch.setenv("HARK_KAFKA__BOOTSTRAP_SERVERS", servers)
    outcome = run("broker", "start")
    assert isinstance(outcome.exception, TransientError)
    assert str(outcome.exception).startswith(f"no Kafka answers at {servers}")
    assert "unset" in str(outcome.exception)
