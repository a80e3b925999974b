"""A real Kafka cluster on this machine, for the demo, the tests and `hark broker`."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ops.local_kafka.access import ADMIN, Access
from ops.local_kafka.config import HOST, Node, bootstrap_servers
from ops.local_kafka.jars import Advance, cached_jars
from ops.local_kafka.java import Java, find_java
from ops.local_kafka.node import HEAP_MIB, launch, prepare, why_it_died
from ops.local_kafka.ports import free_ports
from ops.local_kafka.process import ProcessId, is_running, kill, pause, resume, stop, stop_all
from ops.local_kafka.ready import wait_ready
from ops.local_kafka.security import install, secured
from schemas.errors import TransientError

_START_TIMEOUT_S = 90
_STOP_TIMEOUT_S = 20


class LocalKafka:
    """One broker or three, each a process of its own.

    Used as a context manager it stops them at the end; the data stays in `data_dir`, and a new
    `LocalKafka` on the same folder goes on from it.

    Parameters
    ----------
    data_dir
        Folder for configuration, logs and data.
    brokers
        1, or 3 for replication (factor 3, two in sync).
    port
        First port to try; None picks free ones away from Kafka's usual ports.
    outlives_us
        Whether the brokers go on when this process ends without stopping them.
    advance
        Told of each jar that had to be downloaded.
    access
        Where keys and passwords are, or are to be made: the brokers then want TLS and a login.
    heap_mib
        Largest heap of each broker's JVM.
    relayed
        Give each broker a second listener, whose clients come through a relay (`Node.relay`).
    """

    def __init__(
        self,
        data_dir: Path,
        brokers: int = 1,
        port: int | None = None,
        *,
        outlives_us: bool = False,
        advance: Advance = lambda _done, _total: None,
        heap_mib: int = HEAP_MIB,
        relayed: bool = False,
        access: Access | None = None,
    ) -> None:
        self._outlives_us = outlives_us
        self._heap_mib = heap_mib
        self._advance = advance
        self.access = access
        self.nodes = _plan(
            data_dir.resolve(), brokers, port, secure=access is not None, relayed=relayed
        )
        self.processes: dict[int, ProcessId] = {}  # node index -> the process last started
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._java: Java | None = None
        self._jars: Sequence[Path] = ()

    @property
    def bootstrap_servers(self) -> str:
        """What clients connect to."""
        return bootstrap_servers(self.nodes)

    def client(self, nodes: Sequence[Node] | None = None) -> dict[str, Any]:
        """Arguments of an aiokafka client that may do everything, to some or all of the nodes."""
        chosen = self.nodes if nodes is None else nodes
        if self.access is None:
            return {"bootstrap_servers": bootstrap_servers(chosen)}
        servers = ",".join(f"{HOST}:{node.tls_port}" for node in chosen)
        return self.access.by_certificate(ADMIN, servers)

    def start(self, timeout_s: float = _START_TIMEOUT_S) -> None:
        """Start all brokers; return when each answers in the cluster's metadata.

        Raises
        ------
        ConfigError
            A jar isn't the reviewed one, or there is no Java.
        TransientError
            The jars can't be downloaded, or a broker didn't come up.
        """
        self._jars = cached_jars(advance=self._advance)
        self._java = java = find_java()
        if self.access:
            self.access.create()
        try:
            with ThreadPoolExecutor(len(self.nodes)) as pool:
                list(pool.map(lambda node: self._prepare(node, java), self.nodes))
            for index in range(len(self.nodes)):
                self._launch(index)
            self._await_all(timeout_s)
            if self.access:
                install(self.bootstrap_servers, self.access, self.client())
        except BaseException:
            self.stop()
            raise

    def stop(self) -> bool:
        """Stop all brokers; True if none had to be killed."""
        # All at once: a last one alone would wait for a majority of controllers in vain.
        clean = stop_all(self.processes.values(), _STOP_TIMEOUT_S)
        self._reap()
        self.processes.clear()
        return clean

    def kill(self, index: int) -> None:
        """SIGKILL one broker (0 is the first)."""
        kill(self.processes[index])
        self._reap()

    def shut_down(self, index: int) -> None:
        """Stop one broker in order: it hands its leaderships over first."""
        stop(self.processes[index], _STOP_TIMEOUT_S)
        self._reap()

    def pause(self, index: int) -> None:
        """SIGSTOP one broker: its connections stay open and nobody answers."""
        pause(self.processes[index])

    def resume(self, index: int) -> None:
        """SIGCONT one broker."""
        resume(self.processes[index])

    def restart(self, index: int, timeout_s: float | None = _START_TIMEOUT_S) -> None:
        """Start one broker again on its data, stopping it first if it runs.

        Parameters
        ----------
        timeout_s
            How long it may take until it answers; None doesn't wait for that.
        """
        self.shut_down(index)
        self._launch(index)
        if timeout_s is not None:
            self._await_all(timeout_s, running=[index])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _prepare(self, node: Node, java: Java) -> None:
        besides = secured(node, self.access) if self.access else {}
        prepare(node, self.nodes, java, self._jars, besides)

    def _launch(self, index: int) -> None:
        assert self._java is not None, "start() comes first"
        child, self.processes[index] = launch(
            self.nodes[index],
            self._java,
            self._jars,
            outlives_us=self._outlives_us,
            heap_mib=self._heap_mib,
        )
        self._children[index] = child

    def _await_all(self, timeout_s: float, running: Sequence[int] | None = None) -> None:
        watched = range(len(self.nodes)) if running is None else running
        alive = sum(is_running(process) for process in self.processes.values())
        client = self.client([self.nodes[index] for index in watched])
        if wait_ready(client, alive, timeout_s, stop_if=lambda: bool(self._ended(watched))):
            return
        ended = self._ended(watched)
        blamed = self.nodes[(ended or list(watched))[0]]
        what = "ended" if ended else f"isn't ready after {timeout_s:.0f} s"
        raise TransientError(
            f"Kafka broker {blamed.id} {what}: {why_it_died(blamed)} (log: {blamed.log_file})"
        )

    def _ended(self, watched: Sequence[int]) -> list[int]:
        return [index for index in watched if self._children[index].poll() is not None]

    def _reap(self) -> None:
        for child in self._children.values():
            child.poll()


def _plan(
    data_dir: Path, brokers: int, port: int | None, *, secure: bool, relayed: bool
) -> tuple[Node, ...]:
    ports = free_ports(brokers, port)
    others = free_ports(brokers * (1 + secure + 2 * relayed), max(ports) + 1)
    relays = others[-2 * brokers :]
    return tuple(
        Node(
            index + 1,
            ports[index],
            others[index],
            data_dir / f"broker-{index + 1}",
            tls_port=others[brokers + index] if secure else None,
            relay=(relays[2 * index], relays[2 * index + 1]) if relayed else None,
        )
        for index in range(brokers)
    )
