"""The consumer thread: fetches, and says from where to where each fetch read.

Faust runs aiokafka in a thread of its own. Everything here happens in that thread; the main
thread reaches it through `call_thread`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.consumer.fetcher import FetchResult
from faust.transport.consumer import ensure_TP
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.types import TP

from streams.batches import FetchedRecord, RecordBatch, cut

if TYPE_CHECKING:
    from streams.transport import BatchTransport

Record: TypeAlias = "ConsumerRecord[bytes, bytes]"


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one fetch read of one partition.

    Attributes
    ----------
    items
        Record batches (folded topics) or records, each with the offset that follows it. Empty
        when only aborted transactions or compacted records were passed over.
    start, next_offset
        Everything of the log from `start` up to, not including, `next_offset` is in `items`.
        `start` is where the fetch handed over before it ended, or where a seek put it.
    end_offset
        End of the partition as of this fetch: what can be read at most.
    """

    items: list[tuple[RecordBatch | Record, int]]
    start: int
    next_offset: int
    end_offset: int | None


class BatchConsumerThread(AIOKafkaConsumerThread):
    """Faust's consumer thread, which also keeps count of what it handed over."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._handed_over: dict[TP, int] = {}

    @property
    def batch_transport(self) -> BatchTransport:
        return cast("BatchTransport", self.transport)

    def handed_over(self, tp: TP) -> int | None:
        """Where the next fetch of the partition will start."""
        return self._handed_over.get(tp)

    def highwater(self, tp: TP) -> int:
        """End of what can be read of a partition, as of its last fetch; 0 if not known."""
        # Faust's raises for a partition that was revoked a moment ago.
        state = _state(self._ensure_consumer(), tp)
        return (state.lso or 0) if state is not None else 0

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        # Faust has no setting for these two; aiokafka reads them when the consumer starts.
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_wait_ms = self.batch_transport.fetch_max_wait_ms
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        # Two generators and a frozen dataclass per record are most of what reading one costs.
        fetcher = self._ensure_consumer()._fetcher
        receive = fetcher._proc_fetch_request

        async def receive_unwrapped(*request: Any) -> Any:
            anything_new = await receive(*request)
            for tp, result in fetcher._records.items():
                if tp.topic in self.batch_transport.fold and isinstance(result, FetchResult):
                    _hand_over_whole(result._partition_records)
            return anything_new

        fetcher._proc_fetch_request = receive_unwrapped

    async def _fetch_records(
        self,
        consumer: AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109 - Faust's signature
        max_records: int | None = None,
    ) -> Any:
        if self.app.client_only:
            return await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        drained = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        # No await from here on: positions and records belong together.
        tps = {*active_partitions, *map(ensure_TP, drained)}
        fetched = {tp: self._fetched(consumer, tp, drained.get(tp, ())) for tp in tps}
        return {tp: fetch for tp, fetch in fetched.items() if fetch is not None}

    def _fetched(
        self, consumer: AIOKafkaConsumer, tp: TP, drained: Sequence[Any]
    ) -> Fetched | None:
        state = _state(consumer, tp)
        if state is None or not state.has_valid_position:
            return None
        folds = tp.topic in self.batch_transport.fold
        records = list(chain.from_iterable(one.records for one in drained)) if folds else drained
        position: int = state.position
        start = self._handed_over.get(tp)
        if start is None:
            start = records[0].offset if records else position
        if not records and position <= start:
            return None
        self._handed_over[tp] = position
        items: list[tuple[RecordBatch | Record, int]]
        if folds:
            limit = self.batch_transport.max_batch_records
            items = list(cut(tp.topic, tp.partition, records, position, limit))
        else:
            items = [(record, record.offset + 1) for record in records]
            if items:
                items[-1] = (items[-1][0], position)
        return Fetched(items, start, position, state.lso)

    async def move(self, positions: Mapping[TP, int]) -> None:
        """Seek those partitions that are still assigned."""
        await self.call_thread(self._move, positions)

    async def _move(self, positions: Mapping[TP, int]) -> None:
        consumer = self._ensure_consumer()
        assigned = consumer.assignment()
        for tp, offset in positions.items():
            if tp in assigned:
                consumer.seek(tp, offset)
                self._handed_over[tp] = offset

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek every assigned partition to its commit, also one at offset 0.

        A partition without a commit goes where the reset policy says, so that what was fetched
        of it before a rebalance and not delivered is read again.
        """
        return cast("Mapping[TP, int]", await self.call_thread(self._seek_to_committed))

    async def _seek_to_committed(self) -> Mapping[TP, int]:
        consumer = self._ensure_consumer()
        tps = [ensure_TP(tp) for tp in consumer.assignment()]
        committed = await asyncio.gather(*map(consumer.committed, tps))
        positions = {
            tp: offset for tp, offset in zip(tps, committed, strict=True) if offset is not None
        }
        positions |= await self._reset_positions(consumer, set(tps) - positions.keys())
        for tp, offset in positions.items():
            consumer.seek(tp, offset)
            self._handed_over[tp] = offset
        return positions

    async def _reset_positions(self, consumer: AIOKafkaConsumer, tps: set[TP]) -> dict[TP, int]:
        # Table recovery seeks the changelogs, which are never committed.
        tps = {tp for tp in tps if tp.topic not in self.app.tables.changelog_topics}
        if not tps:
            return {}
        if consumer._auto_offset_reset == "earliest":
            return {ensure_TP(tp): at for tp, at in (await consumer.beginning_offsets(tps)).items()}
        if consumer._auto_offset_reset == "latest":
            return {ensure_TP(tp): at for tp, at in (await consumer.end_offsets(tps)).items()}
        return {}  # "none": aiokafka raises at the fetch

    async def _seek_wait(self, consumer: AIOKafkaConsumer, partitions: Mapping[TP, int]) -> None:
        self._handed_over.update(partitions)
        await super()._seek_wait(consumer, partitions)

    async def commit_in(self, generation: int | None, offsets: Mapping[TP, int]) -> bool:
        """Commit, unless the group has gone on to another generation since."""
        return cast("bool", await self.call_thread(self._commit_in, generation, offsets))

    async def _commit_in(self, generation: int | None, offsets: Mapping[TP, int]) -> bool:
        if self._ensure_consumer()._coordinator.generation != generation:
            return False
        return await super()._commit(offsets)


@dataclass(frozen=True, slots=True)
class _KafkaBatch:
    """The records of one batch of the log, at least one."""

    records: list[FetchedRecord]

    @property
    def offset(self) -> int:
        return self.records[-1].offset


class _WholeBatch:
    """A batch of the log that iterates once, over all of its records from an offset on."""

    def __init__(self, batch: Any, offset: int) -> None:
        self._batch = batch
        self._offset = offset

    def __getattr__(self, name: str) -> Any:  # its checksum, producer, offsets
        return getattr(self._batch, name)

    def __next__(self) -> Any:  # the one record of a control batch
        return next(self._batch)

    def __iter__(self) -> Iterator[_KafkaBatch]:
        records = list(self._batch)
        if records and records[0].offset < self._offset:
            records = [record for record in records if record.offset >= self._offset]
        if records:
            yield _KafkaBatch(records)


class _WholeBatches:
    """In place of aiokafka's `MemoryRecords`."""

    def __init__(self, log: Any, offset: int) -> None:
        self.has_next = log.has_next
        self._next_batch = log.next_batch
        self._offset = offset

    def next_batch(self) -> _WholeBatch:
        return _WholeBatch(self._next_batch(), self._offset)


def _hand_over_whole(fetched: Any) -> None:
    """Make aiokafka's `PartitionRecords`, not yet read, yield a `_KafkaBatch` for each batch.

    Checksums, transactions and positions stay its work.
    """
    if not isinstance(fetched._records, _WholeBatches):
        fetched._records = _WholeBatches(fetched._records, fetched.next_fetch_offset)
        fetched._consumer_record = lambda _tp, batch: batch


def _state(consumer: AIOKafkaConsumer, tp: TP) -> Any:
    """What aiokafka knows of an assigned partition: position, ends; None of any other."""
    subscription = consumer._subscription.subscription
    if subscription is None or subscription.assignment is None:
        return None
    return subscription.assignment.state_value(tp)
