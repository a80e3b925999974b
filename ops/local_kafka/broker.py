"""`hark broker`: a real local Kafka, one broker or three, with nothing but Python."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click
import msgspec
from rich.console import Console

from ops.local_kafka.access import ADMIN, Access
from ops.local_kafka.cluster import LocalKafka
from ops.local_kafka.jars import download_progress
from ops.local_kafka.java import find_java
from ops.local_kafka.ports import is_free
from ops.local_kafka.process import stop_all
from ops.local_kafka.ready import brokers_seen
from ops.local_kafka.state import (
    BrokerState,
    ClusterState,
    forget_state,
    read_state,
    state_dir,
    write_state,
)
from schemas.errors import ConfigError, TransientError
from streams.kafka.settings import Kafka
from streams.settings import load_settings

KAFKA_VERSION = "4.3.1"
USUAL_PORT = 9092
SERVERS_VARIABLE = "HARK_KAFKA__BOOTSTRAP_SERVERS"
_STOP_TIMEOUT_S = 30


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What `start` and `status` answer with `--json`."""

    state: Literal["running", "degraded", "stopped", "external"]
    ready: bool
    bootstrap_servers: str | None = None
    kafka_version: str | None = None
    java: str | None = None
    data_dir: str | None = None
    brokers: tuple[BrokerState, ...] = ()
    access: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What `start` is to bring up; without a port any will do."""

    brokers: int
    port: int | None
    secure: bool


@click.group()
def broker() -> None:
    """Run a real local Kafka: start, stop, status."""


@broker.command()
@click.option("--brokers", type=click.Choice(["1", "3"]), default="1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65_535), help="First port [default: 9092 or next].")
@click.option(
    "--secure",
    is_flag=True,
    help="With TLS, a login and rights per role: makes certificates and users (docs/security.md).",
)
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON on standard output.")
def start(brokers: str, port: int | None, secure: bool, as_json: bool) -> None:
    """Start Apache Kafka on 127.0.0.1 and wait until it answers.

    The first time its jars are downloaded (56 MB). Data and logs stay until
    `hark broker stop --delete-data`.
    """
    console = Console(stderr=as_json)
    asked = Asked(int(brokers), port, secure)
    report = _external() or _already(asked) or _start(asked, console)
    if as_json:
        click.echo(msgspec.json.encode(report))
    elif report.state == "external" and report.ready:
        console.print(
            f"using the cluster at {report.bootstrap_servers} ({SERVERS_VARIABLE}); "
            "nothing was started",
            soft_wrap=True,
        )
    elif report.state != "external":
        _print(report, console)
    if report.state == "external" and not report.ready:
        raise TransientError(
            f"no Kafka answers at {report.bootstrap_servers}, where {SERVERS_VARIABLE} says it is: "
            "nothing was started; unset that to start one here, or correct it"
        )
    if not report.ready:
        raise TransientError(f"no Kafka answers at {report.bootstrap_servers}")


@broker.command()
@click.option("--delete-data", is_flag=True, help="Delete its topics, records and logs too.")
def stop(delete_data: bool) -> None:
    """Stop the local Kafka that `start` started."""
    state = read_state()
    if state is None:
        click.echo("no local Kafka is running")
    else:
        clean = stop_all((running.process for running in state.running()), _STOP_TIMEOUT_S)
        click.echo("stopped" if clean else "stopped; some had to be killed")
    forget_state()
    if delete_data:
        for count in (1, 3):
            for secure in (False, True):
                shutil.rmtree(_data_dir(count, secure), ignore_errors=True)


@broker.command()
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Say whether Kafka answers; exits with 1 if not."""
    state = read_state()
    report = _external() or (Report(state="stopped", ready=False) if not state else _report(state))
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        _print(report, Console())
    context.exit(0 if report.ready else 1)


def _external() -> Report | None:
    servers = os.environ.get(SERVERS_VARIABLE)
    if not servers:
        return None
    return Report(
        state="external",
        ready=brokers_seen(load_settings().kafka.client()) > 0,
        bootstrap_servers=servers,
    )


def _already(asked: Asked) -> Report | None:
    state = read_state()
    if state is None:
        return None
    found = Asked(len(state.brokers), asked.port and state.brokers[0].port, bool(state.access))
    if found != asked:
        kind = "secured" if state.access else "plain"
        raise ConfigError(
            f"a {kind} local Kafka of {found.brokers} broker(s) runs at {state.bootstrap_servers}: "
            "`hark broker stop` first"
        )
    return _report(state)


def _start(asked: Asked, console: Console) -> Report:
    port = asked.port
    if port and not is_free(port):
        raise ConfigError(f"port {port} is taken: leave --port out to get a free one")
    if not port and not is_free(USUAL_PORT):
        console.print(f"port {USUAL_PORT} is taken, taking the next free one")
    data_dir = _data_dir(asked.brokers, asked.secure)
    access = Access(data_dir / "access") if asked.secure else None
    with download_progress(console) as advance:
        cluster = LocalKafka(
            data_dir,
            asked.brokers,
            port or USUAL_PORT,
            outlives_us=True,
            advance=advance,
            access=access,
        )
        console.print(
            f"starting Apache Kafka {KAFKA_VERSION} at {cluster.bootstrap_servers}", soft_wrap=True
        )
        cluster.start()
    state = ClusterState(
        bootstrap_servers=cluster.bootstrap_servers,
        kafka_version=KAFKA_VERSION,
        java=str(find_java().path),
        data_dir=str(data_dir),
        access=str(access.folder) if access else None,
        brokers=tuple(
            BrokerState(
                id=node.id,
                pid=cluster.processes[index].pid,
                started_s=cluster.processes[index].started_s,
                port=node.port,
                log_file=str(node.log_file),
            )
            for index, node in enumerate(cluster.nodes)
        ),
    )
    write_state(state)
    return _report(state)


def _report(state: ClusterState) -> Report:
    seen = brokers_seen(_client(state))
    whole = seen == len(state.brokers) == len(state.running())
    return Report(
        state="running" if whole else "degraded",
        ready=whole,
        bootstrap_servers=state.bootstrap_servers,
        kafka_version=state.kafka_version,
        java=state.java,
        data_dir=state.data_dir,
        brokers=state.running(),
        access=state.access,
    )


def _print(report: Report, console: Console) -> None:
    if report.bootstrap_servers is None:
        console.print("no local Kafka is running (`hark broker start`)")
        return
    answer = "answers" if report.ready else "does not answer as it should"
    console.print(f"{report.state}: Kafka at {report.bootstrap_servers} {answer}", soft_wrap=True)
    if report.access:
        console.print(
            f"  each command of Hark logs in as its own role; other clients: {report.access}",
            soft_wrap=True,
        )
    for running in report.brokers:
        console.print(
            f"  broker {running.id}: pid {running.pid}, log {running.log_file}", soft_wrap=True
        )


def _client(state: ClusterState) -> dict[str, Any]:
    if state.access is None:
        return {"bootstrap_servers": state.bootstrap_servers}
    return Kafka.model_validate(Access(Path(state.access)).settings(ADMIN)).client()


def _data_dir(brokers: int, secure: bool) -> Path:
    # One folder per size: a node remembers the voters that it was formatted with.
    return state_dir() / f"kafka-{brokers}{'-secure' if secure else ''}"
