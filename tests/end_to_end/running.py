"""A worker in the test's own process, on topics of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer

from ops.dead_letters.letters import Letter, Wanted, read_letters
from streams.settings import Http, Kafka, Settings
from streams.worker import Worker
from tests.few_partitions import topics


def settings(bootstrap: str, prefix: str, **sections: Any) -> Settings:
    kafka = Kafka(bootstrap_servers=bootstrap, topic_prefix=prefix, group_id=f"{prefix}hark")
    return Settings(kafka=kafka, http=Http(port=0), **sections)


@asynccontextmanager
async def running(chosen: Settings) -> AsyncIterator[Worker]:
    worker = Worker(chosen)
    await worker.check()
    await worker.app.start()
    try:
        yield worker
    finally:
        await worker.app.stop()


async def until(condition: Callable[[], Any], what: str, timeout_s: float = 60) -> None:
    """Wait until `condition` holds; it may be a coroutine function."""
    deadline = time.monotonic() + timeout_s
    while True:
        held = condition()
        if await held if asyncio.iscoroutine(held) else held:
            return
        assert time.monotonic() < deadline, f"still waiting until {what}"
        await asyncio.sleep(0.1)


async def publish(
    bootstrap: str, topic: str, values: list[bytes], partition: int = 0, **options: Any
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value, b"ann", partition=partition, **options)
    finally:
        await producer.stop()


async def letters(bootstrap: str, prefix: str) -> list[Letter]:
    topic = next(one for one in topics(prefix) if one.name.endswith("dead-letters"))
    found = read_letters({"bootstrap_servers": bootstrap}, topic, Wanted())
    return [letter async for letter in found]
