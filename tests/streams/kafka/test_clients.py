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
from streams.transport.consumer import BatchConsumer
from streams.transport.group import Group

Client = dict[str, str]
TP, TOPICS = TopicPartition("events", 0), StateTopics("user-state", "counters")


async def nothing(*_: object) -> int:
    return 0


async def all_of(parts: AsyncIterator[object]) -> None:
    async for _ in parts:
        pass


async def read_checkpoint(nobody: Client) -> None:
    async with CheckpointReader(nobody, TOPICS, 0) as reader:
        await reader.find()


STARTS: dict[str, Callable[[Client], Awaitable[object]]] = {
    "producer": lambda nobody: OutputProducer(nobody, max_message_bytes=1_000).start(),
    "offsets": lambda nobody: committed_offsets(nobody, "group"),
    "replay": lambda nobody: replay(nobody, TP, 0, 1, nothing),
    "log": lambda nobody: all_of(read_from(nobody, TP, 0)),
    "checkpoint": read_checkpoint,
    "writer": lambda nobody: CheckpointWriter(
        nobody, "t", TOPICS, 0, max_message_bytes=1_000
    ).start(),
    "consumer": lambda nobody: BatchConsumer("events", nobody, Group("g"), nothing).on_start(),
}


@pytest.mark.parametrize("name", STARTS)
async def test_a_client_that_cannot_start_is_closed(name: str) -> None:
    nobody = {"bootstrap_servers": f"127.0.0.1:{free_ports(1)[0]}"}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        failed = False
        with suppress(KafkaConnectionError, TransientError):
            failed = True
            await STARTS[name](nobody)
            failed = False
        await asyncio.sleep(0)
        gc.collect()
    assert failed
    assert [str(one.message) for one in caught if "Unclosed" in str(one.message)] == []
