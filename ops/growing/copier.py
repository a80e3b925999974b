"""Copies logs record by record, in the order of time, each exactly once.

A transaction holds records and the positions up to which they were read, so a copy that was killed
goes on where it stopped. Records of all partitions are merged by their Kafka timestamps, because
the copies of several partitions become one: a partition's clock is that of its records.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from schemas.errors import TransientError
from schemas.topics import MAX_MESSAGE_BYTES
from streams.checkpoints.restore import committed_offsets
from streams.kafka.log import Record, groupless_consumer

COPIED = "hark-copied"
"""Header of a copy: partition and offset of the record that it is a copy of, `3/4711`."""
STEP_RECORDS = 8_000
_FETCH_MS = 200
_STOP_S = 5.0
_BATCH_BYTES = 1 << 20

Offsets = dict[TopicPartition, int]
Targets = Callable[[Record], Sequence[TopicPartition]]


class Copier:
    """Copies partitions; use it in `async with`.

    Parameters
    ----------
    client
        Keyword arguments of the aiokafka client.
    transactional_id
        A second copier with the same id ends the first.
    group
        Holds how far each partition is copied; it has no members.
    partitions
        To copy.
    targets
        Where a record's copies go.
    """

    def __init__(
        self,
        client: dict[str, Any],
        transactional_id: str,
        group: str,
        partitions: Sequence[TopicPartition],
        targets: Targets,
    ) -> None:
        self._client, self._group = client, group
        self._partitions, self._targets = list(partitions), targets
        self._consumer = groupless_consumer(client, max_partition_fetch_bytes=4 << 20)
        self._producer = AIOKafkaProducer(
            **client,
            transactional_id=transactional_id,
            max_batch_size=_BATCH_BYTES,
            max_request_size=MAX_MESSAGE_BYTES,
            compression_type="zstd",
        )
        self._waiting: dict[TopicPartition, deque[Record]] = {tp: deque() for tp in partitions}
        self._clock_ms = dict.fromkeys(partitions, 0)
        self.positions: Offsets = {}
        self.copied = self.missed = 0

    async def __aenter__(self) -> Copier:
        try:
            await self._producer.start()  # ends what another copier left open
            await self._consumer.start()
            self._consumer.assign(self._partitions)
            begins = await self._consumer.beginning_offsets(self._partitions)
            known = await committed_offsets(self._client, self._group)
            for tp in self._partitions:
                self.positions[tp] = max(begins[tp], known.get(tp, 0))
                self._consumer.seek(tp, self.positions[tp])
        except (KafkaError, OSError) as error:
            await self._stop()
            raise _stopped(error) from error
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def _stop(self) -> None:
        for each in (self._consumer, self._producer):
            with suppress(KafkaError, TimeoutError, OSError):
                async with asyncio.timeout(_STOP_S):
                    await each.stop()

    async def ends(self) -> Offsets:
        """The present ends of the partitions."""
        try:
            return dict(await self._consumer.end_offsets(self._partitions))
        except (KafkaError, OSError) as error:
            raise _stopped(error) from error

    def behind(self, until: Mapping[TopicPartition, int]) -> int:
        """Offsets that are still to be copied."""
        return sum(max(0, end - self.positions[tp]) for tp, end in until.items())

    async def copy(self, until: Offsets, advance: Callable[[int], None]) -> None:
        """Copy everything below the offsets `until`; `advance` is told how many offsets it passed.

        Raises
        ------
        TransientError
            The brokers don't do their part, or another copier took over; what is copied stays.
        """
        try:
            begins = await self._consumer.beginning_offsets(self._partitions)
            for tp, begin in begins.items():
                at = await self._consumer.position(tp)
                if at < begin:  # Kafka was quicker to delete
                    self.missed += begin - at
                    self._consumer.seek(tp, begin)
            while self.behind(until):
                before = self.behind(until)
                await self._step(until)
                advance(before - self.behind(until))
        except (KafkaError, OSError, TimeoutError) as error:
            raise _stopped(error) from error

    async def _step(self, until: Offsets) -> None:
        """Copy a piece: all that is certainly older than what hasn't been fetched."""
        behind = [tp for tp, end in until.items() if self.positions[tp] < end]
        empty = [tp for tp in behind if not self._waiting[tp]]
        if empty:
            fetched = await self._consumer.getmany(
                *empty, timeout_ms=_FETCH_MS, max_records=STEP_RECORDS
            )
            for tp, records in fetched.items():
                self._waiting[tp].extend(records)
        heads: Offsets = {}
        horizon_ms: float = float("inf")
        for tp in behind:
            heads[tp] = await self._consumer.position(tp)
            if heads[tp] < until[tp]:  # what follows there isn't older than the newest fetched
                newest = max((record.timestamp for record in self._waiting[tp]), default=-1)
                newest = max(newest, self._clock_ms[tp]) if self._waiting[tp] else -1
                horizon_ms = min(horizon_ms, newest)
        taken = [self._take(tp, until[tp], horizon_ms) for tp in behind]
        merged = [record for _, record in heapq.merge(*taken, key=lambda pair: pair[0])]
        reached = {}
        for tp in behind:
            waiting = self._waiting[tp]
            reached[tp] = min(waiting[0].offset if waiting else heads[tp], until[tp])
        if any(reached[tp] > self.positions[tp] for tp in behind):
            await self._write(merged, reached)
            self.positions |= reached

    def _take(
        self, tp: TopicPartition, end: int, horizon_ms: float
    ) -> Sequence[tuple[int, Record]]:
        """Records of a partition up to the horizon, with the clock of the partition at each."""
        waiting, found = self._waiting[tp], []
        while waiting and waiting[0].offset < end:
            clock_ms = max(self._clock_ms[tp], waiting[0].timestamp)
            if clock_ms > horizon_ms:
                break
            self._clock_ms[tp] = clock_ms
            found.append((clock_ms, waiting.popleft()))
        return found

    async def _write(self, records: Sequence[Record], positions: Offsets) -> None:
        """Write the copies and the positions, all or nothing."""
        producer = self._producer
        await producer.begin_transaction()
        try:
            sent = []
            for tp, batch in self._batches(records):
                sent.append(await producer.send_batch(batch, tp.topic, partition=tp.partition))
                sent[-1].add_done_callback(_look_at)
            await asyncio.gather(*sent)
            await producer.send_offsets_to_transaction(positions, self._group)
            await producer.commit_transaction()
            self.copied += len(records)
        except BaseException:
            with suppress(Exception):  # one that was fenced can't; the next copier aborts it
                async with asyncio.timeout(_STOP_S):
                    await producer.abort_transaction()
            raise

    def _batches(self, records: Sequence[Record]) -> Iterator[tuple[TopicPartition, BatchBuilder]]:
        """The copies in batches, in order for each target."""
        open_: dict[TopicPartition, BatchBuilder] = {}
        for record in records:
            headers = [pair for pair in record.headers if pair[0] != COPIED]
            headers.append((COPIED, b"%d/%d" % (record.partition, record.offset)))
            for target in self._targets(record):
                copy = partial(
                    BatchBuilder.append,
                    timestamp=record.timestamp,
                    key=record.key,
                    value=record.value,
                    headers=headers,
                )
                if target not in open_:
                    open_[target] = self._producer.create_batch()
                if copy(open_[target]) is None:  # it is full; an empty batch takes any record
                    yield target, open_[target]
                    open_[target] = self._producer.create_batch()
                    copy(open_[target])
        yield from open_.items()


def _look_at(sent: asyncio.Future[Any]) -> None:
    """An error that nobody looks at is logged with its traceback."""
    if not sent.cancelled():
        sent.exception()


def _stopped(error: Exception) -> TransientError:
    return TransientError(
        f"copying stopped ({type(error).__name__}: {error}); what is copied counts: run the same "
        "command again"
    )
