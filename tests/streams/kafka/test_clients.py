"""A Kafka client that can't start is closed: starts are retried, and each try makes a new one."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from ops.local_kafka.ports import free_ports
from schemas.errors import TransientError
from streams.checkpoints.reader import CheckpointReader
from streams.checkpoints.restore import committed_offsets, replay
from streams.checkpoints.writer import CheckpointWriter, StateTopics
from streams.kafka.log import read_from
from streams.kafka.producer import OutputProducer
from streams.transport.consumer import BatchConsumer, Group

NOBODY = {"bootstrap_servers": f"127.0.0.1:{free_ports(1)[0]}"}
TP, TOPICS = TopicPartition("events", 0), StateTopics("user-state", "counters")


async def nothing(*_: object) -> int:
    return 0


async def all_of(parts: AsyncIterator[object]) -> None:
    async for _ in parts:
        pass


async def read_checkpoint() -> None:
    async with CheckpointReader(NOBODY, TOPICS, 0) as reader:
        await reader.find()


STARTS: dict[str, Callable[[], Awaitable[object]]] = {
    "producer": lambda: OutputProducer(NOBODY, max_message_bytes=1_000).start(),
    "offsets": lambda: committed_offsets(NOBODY, "group"),
    "replay": lambda: replay(NOBODY, TP, 0, 1, nothing),
    "log": lambda: all_of(read_from(NOBODY, TP, 0)),
    "checkpoint": read_checkpoint,
    "writer": lambda: CheckpointWriter(NOBODY, "t", TOPICS, 0, max_message_bytes=1_000).start(),
    "consumer": lambda: BatchConsumer("events", NOBODY, Group("g"), nothing).on_start(),
}


@pytest.mark.parametrize("name", STARTS)
async def test_a_client_that_cannot_start_is_closed(name: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        failed = False
        with suppress(KafkaConnectionError, TransientError):
            failed = True
            await STARTS[name]()
            failed = False
        await asyncio.sleep(0)
        gc.collect()
    assert failed
    assert [str(one.message) for one in caught if "Unclosed" in str(one.message)] == []
