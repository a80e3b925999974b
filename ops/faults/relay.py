"""A relay between one worker and the brokers: the network that can be cut.

Every broker has a second listener that is advertised at the relay's port (`Node.relay`), so a
client that comes through the relay once is sent back through it for every connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from ops.local_kafka.config import HOST, Node

_CHUNK = 65_536


class Relay:
    """Forwards connections to the brokers' second listeners until it is cut.

    Parameters
    ----------
    nodes
        Brokers with a `relay`.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._pairs = [node.relay for node in nodes if node.relay is not None]
        self._servers: list[asyncio.Server] = []
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._refuses = False

    @property
    def bootstrap_servers(self) -> str:
        """What the client behind the relay is given."""
        return ",".join(f"{HOST}:{advertised}" for _, advertised in self._pairs)

    async def start(self) -> None:
        """Listen."""
        for port, advertised in self._pairs:
            self._servers.append(
                await asyncio.start_server(
                    partial(self._connected, port), HOST, advertised, limit=_CHUNK
                )
            )

    async def stop(self) -> None:
        """Close everything."""
        for server in self._servers:
            server.close()
        self._close_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Close all connections and every new one at once."""
        self._refuses = True
        self._close_all()

    def stall(self) -> None:
        """Leave connections open, but let nothing through."""
        self._flows.clear()

    def mend(self) -> None:
        """Let everything through again; what was held back goes on."""
        self._refuses = False
        self._flows.set()

    async def _connected(
        self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        try:
            if not self._refuses:
                await self._forward(port, reader, writer)
        except OSError:
            pass  # either side went away: the other is told by the close
        finally:
            self._drop(writer)
            self._tasks.discard(task)

    async def _forward(
        self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        broker_reader, broker_writer = await asyncio.open_connection(HOST, port, limit=_CHUNK)
        self._open.add(broker_writer)
        ways = [
            asyncio.create_task(self._pump(reader, broker_writer)),
            asyncio.create_task(self._pump(broker_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._drop(broker_writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            await self._flows.wait()
            writer.write(data)
            await writer.drain()

    def _close_all(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    def _drop(self, writer: asyncio.StreamWriter) -> None:
        self._open.discard(writer)
        writer.transport.abort()
