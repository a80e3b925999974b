"""The relay lets through, cuts and stalls."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ops.faults.relay import Relay
from ops.local_kafka.config import HOST, Node, properties
from ops.local_kafka.ports import free_ports


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
    writer.close()


async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> bytes:
    writer.write(line)
    async with asyncio.timeout(0.3):
        return await reader.readline()


async def closed(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


def node() -> Node:
    ports = free_ports(4)
    return Node(1, ports[0], ports[1], Path("/nowhere"), relay=(ports[2], ports[3]))


async def test_what_is_stalled_arrives_later_and_what_is_cut_is_closed() -> None:
    broker = node()
    assert broker.relay is not None
    relay = Relay([broker])
    server = await asyncio.start_server(echo, HOST, broker.relay[0])
    await relay.start()
    try:
        reader, writer = await asyncio.open_connection(HOST, broker.relay[1])
        assert await say(reader, writer, b"one\n") == b"one\n"
        relay.stall()
        with pytest.raises(TimeoutError):
            await say(reader, writer, b"two\n")
        relay.mend()
        assert await reader.readline() == b"two\n"

        relay.cut()
        assert await closed(reader)
        other, _ = await asyncio.open_connection(HOST, broker.relay[1])
        assert await closed(other), "a new one is closed at once"
        relay.mend()
        again = await asyncio.open_connection(HOST, broker.relay[1])
        assert await say(*again, b"three\n") == b"three\n"
        again[1].close()
    finally:
        await relay.stop()
        server.close()


def test_a_relayed_broker_sends_its_clients_back_through_the_relay() -> None:
    broker = node()
    assert broker.relay is not None
    listens, advertised = broker.relay
    lines = dict(line.split("=", 1) for line in properties(broker, [broker], {}).splitlines())
    assert f"RELAYED://{HOST}:{listens}" in lines["listeners"].split(",")
    assert f"RELAYED://{HOST}:{advertised}" in lines["advertised.listeners"].split(",")
    assert "RELAYED:PLAINTEXT" in lines["listener.security.protocol.map"].split(",")
