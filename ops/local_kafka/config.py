"""What the local brokers are told: one properties file per node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
MAX_MESSAGE_BYTES = 8 * 1024 * 1024
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Node:
    """One process: a broker that is a controller too."""

    id: int  # from 1
    port: int
    controller_port: int
    folder: Path
    tls_port: int | None = None  # of a secured node: for clients with a certificate
    relay: tuple[int, int] | None = None
    """A second listener: the port it has, and the one it is advertised at, where a relay listens
    through which its clients come (`ops/faults/relay.py`)."""

    @property
    def properties_file(self) -> Path:
        """Its configuration."""
        return self.folder / "server.properties"

    @property
    def data(self) -> Path:
        """Its log segments."""
        return self.folder / "data"

    @property
    def log_file(self) -> Path:
        """What it says while it runs."""
        return self.folder / "server.log"


def bootstrap_servers(nodes: Sequence[Node]) -> str:
    """What clients are given."""
    return ",".join(f"{HOST}:{node.port}" for node in nodes)


def properties(node: Node, nodes: Sequence[Node], besides: Mapping[str, object]) -> str:
    """Text of one node's properties file: KRaft, this machine only, replicated where it can be.

    `besides` are lines over these.
    """
    replicas = min(3, len(nodes))
    in_sync = max(1, replicas - 1)
    lines: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": node.id,
        "controller.quorum.voters": ",".join(f"{n.id}@{HOST}:{n.controller_port}" for n in nodes),
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{HOST}:{node.port},CONTROLLER://{HOST}:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{node.port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": node.data,
        # Topics are made by `hark topics create`, with the partitions of the reviewed table.
        "auto.create.topics.enable": "false",
        "num.partitions": 4,
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        "message.max.bytes": MAX_MESSAGE_BYTES,
        # A record of the maximum size has to be replicated, batch overhead included.
        "replica.fetch.max.bytes": MAX_MESSAGE_BYTES + _MIB,
        # One developer's consumers needn't wait for others before they get partitions.
        "group.initial.rebalance.delay.ms": 0,
        # A broker that was killed may come back once its session is over; the default is 9 s.
        "broker.session.timeout.ms": 6000,
        "broker.heartbeat.interval.ms": 1000,
        # Kafka's default of 128 MiB would take most of a small heap.
        "log.cleaner.dedupe.buffer.size": 16 * _MIB,
    }
    lines |= besides
    if node.relay is not None:
        for key, more in _relayed(*node.relay).items():
            lines[key] = f"{lines[key]},{more}"
    return "".join(f"{key}={value}\n" for key, value in lines.items())


def _relayed(port: int, advertised: int) -> dict[str, str]:
    """What a second listener, whose clients come through a relay, adds to the lines."""
    return {
        "listeners": f"RELAYED://{HOST}:{port}",
        "advertised.listeners": f"RELAYED://{HOST}:{advertised}",
        "listener.security.protocol.map": "RELAYED:PLAINTEXT",
    }
