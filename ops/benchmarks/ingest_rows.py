"""What the ingest benchmark compares: each function reads `n_events` events of a filled topic.

Every one is measured alone, in a process of its own, and returns events per second from the
first delivery to the last; start and join are not counted.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import faust
import mode
from aiokafka import AIOKafkaConsumer

from streams.kafka.settings import Kafka
from streams.transport.transport import Group, batches, install

_TIMEOUT_S = 120.0


class Meter:
    """Counts events and the time between the first delivery and the last."""

    def __init__(self, n_events: int) -> None:
        self.n_events = n_events
        self.done = asyncio.Event()
        self.first = 0  # events of the first delivery: they came before the clock started
        self.count = 0

    def add(self, n_events: int) -> None:
        if self.count == 0:
            self.first, self._started = n_events, time.perf_counter()
        self.count += n_events
        if self.count >= self.n_events and not self.done.is_set():
            self._ended = time.perf_counter()
            self.done.set()

    async def events_per_s(self) -> float:
        async with asyncio.timeout(_TIMEOUT_S):
            await self.done.wait()
        return (self.count - self.first) / (self._ended - self._started)


def raw(kafka: Kafka, topic: str, n_events: int) -> float:
    """Raw aiokafka `getmany`: the ceiling."""

    async def read() -> float:
        meter = Meter(n_events)
        consumer = AIOKafkaConsumer(
            topic,
            **kafka.client(),
            group_id=f"bench-{uuid.uuid4().hex}",
            auto_offset_reset="earliest",
        )
        async with consumer:
            while not meter.done.is_set():
                for records in (await consumer.getmany(timeout_ms=1000)).values():
                    meter.add(len(records))
            return await meter.events_per_s()

    return asyncio.run(read())


def faust_each(kafka: Kafka, topic: str, n_events: int) -> float:
    """Faust as it comes: JSON values, one event at a time, empty body."""

    def declare(app: faust.App, meter: Meter) -> None:
        @app.agent(app.topic(topic))
        async def agent(stream: Any) -> None:
            async for _ in stream:
                meter.add(1)

    return _faust(kafka, n_events, declare)


def faust_take(kafka: Kafka, topic: str, n_events: int) -> float:
    """Faust's own batching, `stream.take(1000)` of JSON values, empty body."""

    def declare(app: faust.App, meter: Meter) -> None:
        @app.agent(app.topic(topic))
        async def agent(stream: Any) -> None:
            async for values in stream.take(1000, within=1.0):
                meter.add(len(values))

    return _faust(kafka, n_events, declare)


def transport(kafka: Kafka, topic: str, n_events: int) -> float:
    """One Faust message per fetched record batch, acked, empty body."""

    def declare(app: faust.App, meter: Meter) -> None:
        _, events = install(app, topic, kafka.client(), Group(app.conf.id))

        @app.agent(events, supervisor_strategy=mode.CrashingSupervisor)
        async def agent(stream: Any) -> None:
            async for event in cast("AsyncIterator[Any]", batches(stream)):
                meter.add(len(event.value))
                event.ack()

    return _faust(kafka, n_events, declare)


def _faust(kafka: Kafka, n_events: int, declare: Callable[[faust.App, Meter], None]) -> float:
    async def read(folder: str) -> float:
        meter = Meter(n_events)
        app = faust.App(
            f"bench-{uuid.uuid4().hex}",
            broker=[f"kafka://{server}" for server in kafka.bootstrap_servers.split(",")],
            broker_credentials=_credentials(kafka),
            web_enabled=False,
            topic_disable_leader=True,
            store="memory://",
            datadir=folder,
        )
        declare(app, meter)
        app.finalize()
        await app.start()
        try:
            return await meter.events_per_s()
        finally:
            await app.stop()

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(read(folder))


def _credentials(kafka: Kafka) -> Any:
    """What Faust's own consumer logs in with, None for a plain connection."""
    context = kafka.ssl_context()
    if kafka.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=kafka.username,
            password=kafka.secret(),
            ssl_context=context,
            mechanism=kafka.sasl_mechanism,
        )
    return faust.SSLCredentials(context) if context else None
