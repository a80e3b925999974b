"""`hark`: errors are one line, exit codes mean something, a local broker is found."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ops.connection import connected_settings
from ops.local_kafka.ports import free_ports
from ops.local_kafka.process import ProcessId
from ops.local_kafka.state import BrokerState, ClusterState, forget_state, read_state, write_state


def hark(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ops.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.fixture
def local_cluster() -> ClusterState:
    """Three brokers on an unusual port, as the state file tells it; this test is their process."""
    me = ProcessId.of(os.getpid())
    brokers = tuple(
        BrokerState(id=i, pid=me.pid, started_s=me.started_s, port=9100 + i, log_file="")
        for i in (1, 2, 3)
    )
    state = ClusterState(
        bootstrap_servers="127.0.0.1:9101",
        kafka_version="4.3.1",
        java="java",
        data_dir="",
        brokers=brokers,
    )
    write_state(state)
    return state


def test_a_wrong_setting_is_one_line_and_exit_code_2() -> None:
    done = hark("topics", "list", HARK_KAFKA__NO_SUCH="1")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: ")


def test_no_broker_is_one_line_and_exit_code_1() -> None:
    done = hark("topics", "create", HARK_KAFKA__BOOTSTRAP_SERVERS=f"127.0.0.1:{free_ports(1)[0]}")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: no Kafka at 127.0.0.1:")


@pytest.mark.parametrize("arguments", [("nonsense",), ("broker", "start", "--brokers", "2")])
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...]) -> None:
    assert hark(*arguments).returncode == 2


def test_a_running_local_broker_is_found_without_any_setting(local_cluster: ClusterState) -> None:
    kafka = connected_settings("worker").kafka
    assert kafka.bootstrap_servers == local_cluster.bootstrap_servers
    assert kafka.replication_factor == 3


@pytest.mark.usefixtures("local_cluster")
def test_what_is_set_wins_over_a_running_local_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARK_KAFKA__BOOTSTRAP_SERVERS", "elsewhere:9092")
    kafka = connected_settings("worker").kafka
    assert (kafka.bootstrap_servers, kafka.replication_factor) == ("elsewhere:9092", 1)


def test_state_that_was_written_is_read_until_it_is_forgotten(local_cluster: ClusterState) -> None:
    assert read_state() == local_cluster
    forget_state()
    assert read_state() is None
