"""One partition's queue of records and the task that empties it, a batch at a time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

BATCH_BYTES = 256 * 1024


class Confirmed(Protocol):
    """Where a lane counts what the broker acknowledged."""

    sent: Counter[str]
    bytes: Counter[str]


Acked = Callable[[int, int, Sequence[bytes | None]], None]
"""Shown a partition, an offset, and the values that the broker acknowledged from there on."""

Headers = Sequence[tuple[str, bytes]]
"""Of every record of a lane."""


class Lane:
    """Sends one partition's records in the order they were put, several per batch.

    aiokafka's `send` costs a future per record; whole batches are ten times faster.
    """

    def __init__(
        self,
        producer: AIOKafkaProducer,
        topic: str,
        partition: int,
        on_ack: Acked | None = None,
        headers: Headers = (),
    ) -> None:
        self._on_ack = on_ack
        self._headers = list(headers)
        self.published: Confirmed | None = None
        self._producer, self._topic, self._partition = producer, topic, partition
        self._waiting: deque[tuple[bytes, bytes | None]] = deque()
        self._filled = asyncio.Event()
        self._unconfirmed: set[asyncio.Future[Any]] = set()
        self._failure: BaseException | None = None
        self._task = asyncio.create_task(self._run())

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, key: bytes, value: bytes | None) -> None:
        self._waiting.append((key, value))
        self._filled.set()

    def cancel(self) -> None:
        self._task.cancel()

    def raise_failure(self) -> None:
        """Raise what stopped this lane, if something did."""
        if self._failure is not None:
            raise self._failure

    async def drained(self) -> None:
        """Wait until the broker has acknowledged everything that was put."""
        while self._filled.is_set() or self._unconfirmed:
            self.raise_failure()
            await asyncio.sleep(0.002)
        self.raise_failure()

    async def _run(self) -> None:
        try:
            while True:
                await self._filled.wait()
                while self._waiting:
                    await self._send()
                self._filled.clear()
        except (KafkaError, OSError) as error:
            self._failure = error

    async def _send(self) -> None:
        batch = self._producer.create_batch()
        now_ms, size = int(time.time() * 1000), 0
        values: list[bytes | None] = []
        while self._waiting:
            key, value = self._waiting[0]
            made = batch.append(timestamp=now_ms, key=key, value=value, headers=self._headers)
            if made is None:
                break
            self._waiting.popleft()
            values.append(value)
            size += len(value) if value else 0
        batch.close()
        confirmed = await self._producer.send_batch(batch, self._topic, partition=self._partition)
        self._unconfirmed.add(confirmed)
        confirmed.add_done_callback(lambda future: self._confirm(future, values, size))

    def _confirm(self, future: asyncio.Future[Any], values: list[bytes | None], size: int) -> None:
        self._unconfirmed.discard(future)
        if future.cancelled():
            return
        if (error := future.exception()) is not None:
            self._failure = error
            return
        if self._on_ack is not None:
            self._on_ack(self._partition, future.result().offset, values)
        if self.published is not None:
            self.published.sent[self._topic] += len(values)
            self.published.bytes[self._topic] += size
