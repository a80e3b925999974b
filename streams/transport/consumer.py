"""Reads a topic as a member of its group, in order and in batches, and commits the acked prefix.

It uses only the public API of aiokafka, and runs in the event loop. The life of a partition:

    assigned (paused) -> prepared -> read -> delivered -> acked -> committed -> revoked

A rebalance revokes every partition, even if the worker gets it back: its open batches end then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

import mode
import structlog
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import (
    CommitFailedError,
    ConsumerStoppedError,
    IllegalStateError,
    InconsistentGroupProtocolError,
    InvalidSessionTimeoutError,
    KafkaError,
)

from schemas.errors import ConfigError
from streams.transport.group import Group
from streams.transport.offsets import OpenBatches, Ticket
from streams.transport.record_batch import RecordBatch, cut

log = structlog.get_logger(__name__)
_POLL_S = 0.2
"""How long a poll waits; also how long it takes to pass an aborted transaction at a log's end."""
_COMMIT_S = 10.0
"""How long a commit may take; then the next commit tries again."""


@dataclass(eq=False, slots=True)
class Delivery:
    """A record batch for the agent, which acks the batch when its outputs are confirmed."""

    value: RecordBatch
    ticket: Ticket
    consumer: BatchConsumer

    def ack(self) -> bool:
        """Mark the batch as done; False if acked before, or if its partition was given up."""
        return self.consumer.ack(self)


Ready = Callable[[], Awaitable[None]]
Read = Callable[[Collection[int]], Awaitable[None]]
Prepare = Callable[[set[int], Read], Awaitable[None]]
Put = Callable[[Delivery], Awaitable[None]]


class BatchConsumer(mode.Service, ConsumerRebalanceListener):
    """A member of a consumer group that reads one topic.

    Parameters
    ----------
    topic
        Its name on the wire.
    client
        Keyword arguments of the aiokafka client.
    group
        Settings of the membership.
    put
        Awaited with each batch; blocks reading while enough batches wait for the agent.
    prepare
        Awaited with the assigned partitions; awaits its second argument with those of them that may
        be read already. The others are read when it returns.
    drained
        Awaited after the drain and the commit, before partitions are given up; its argument says
        whether the member leaves for good.
    ready
        Awaited before each poll; records gather meanwhile.
    """

    def __init__(
        self,
        topic: str,
        client: Mapping[str, Any],
        group: Group,
        put: Put,
        prepare: Prepare | None = None,
        drained: Callable[[bool], Awaitable[None]] | None = None,
        ready: Ready | None = None,
    ) -> None:
        super().__init__()
        self.topic = topic
        self.group = group
        self._client_options = client
        self._put = put
        self._prepare = prepare
        self._drained = drained
        self._ready = ready
        self._open: dict[TopicPartition, OpenBatches] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._in_hand: set[Delivery] = set()
        self._resting: set[TopicPartition] = set()  # not fetched until `ready` returns
        self._progress = asyncio.Event()
        self._committing, self._letting_go = asyncio.Lock(), asyncio.Lock()
        self._preparing: asyncio.Task[None] | None = None
        self.flowing = False
        """Whether partitions are read: False before they are prepared and in a rebalance."""

    # Start and stop

    async def on_start(self) -> None:
        """Connect; the listener receives the group's assignments."""
        self.client = self.group.new_client(self._client_options)
        try:
            await self.client.start()
        except BaseException:
            await self.client.stop()
            raise
        self.client.subscribe([self.topic], listener=self)

    async def on_stop(self) -> None:
        """Give up all partitions as in a rebalance, and leave the group."""
        try:
            await self._let_go(leaving=True)
        finally:
            await self.client.stop()

    # Deliver

    @mode.Service.task
    async def _read(self) -> None:
        while not self.should_stop:
            try:
                await self._deliver(await self._poll())
            except InvalidSessionTimeoutError:
                raise ConfigError(
                    f"kafka.session_timeout_s {self.group.session_timeout_s:g}: the brokers allow "
                    "only what lies between their group.min and group.max.session.timeout.ms"
                ) from None
            except InconsistentGroupProtocolError:
                raise ConfigError(
                    f"kafka.group_id {self.group.group_id}: the group has members of another "
                    "kind; stop them first, or choose another group"
                ) from None
            except ConsumerStoppedError:
                if not self.should_stop:
                    raise
            except KafkaError as error:
                if not error.retriable:
                    raise
                log.warning("consumer.retry", why=f"{type(error).__name__}: {error}")
                for tp, run in self._open.items():  # fetched and not delivered: it comes again
                    if tp in self.client.assignment():
                        self.client.seek(tp, run.reached)
                await asyncio.sleep(_POLL_S)

    async def _poll(self) -> Mapping[TopicPartition, Sequence[Any]]:
        """The next records; what gathers until the worker is ready for more comes in one fetch.

        aiokafka would fetch the first of it at once, and again when that is taken.
        """
        if self._ready is not None:
            await self._ready()
            self.client.resume(*self._resting & self.client.assignment())
        found: Mapping[TopicPartition, Sequence[Any]] = await self.client.getmany(
            timeout_ms=round(_POLL_S * 1000)
        )
        if found and self._ready is not None:
            self._resting = self._open.keys() & self.client.assignment()
            self.client.pause(*self._resting)
        return found

    async def _deliver(self, fetched: Mapping[TopicPartition, Sequence[Any]]) -> None:
        by_partition = []
        for tp in list(self._open):
            with suppress(IllegalStateError):  # revoked meanwhile
                position = await self.client.position(tp)
                if tp in self._open:
                    by_partition.append(self._in_order(tp, fetched.get(tp, ()), position))
        # Partitions take turns.
        for item in chain.from_iterable(zip_longest(*by_partition)):
            if item is None or self._open.get(item[0]) is not item[1]:  # given up or sought since
                continue
            tp, run, batch, resume_at = item
            await self._put(Delivery(batch, run.push(resume_at), self))

    def _in_order(
        self, tp: TopicPartition, records: Sequence[ConsumerRecord[bytes, bytes]], position: int
    ) -> Iterator[tuple[TopicPartition, OpenBatches, RecordBatch, int]]:
        """The new records of a fetch in batches, each with the offset to read on from."""
        run = self._open[tp]
        if position < run.reached:
            # Without a seek this means that the topic was recreated or lost records.
            log.warning("consumer.log_was_cut", partition=tp.partition, end=run.reached)
            run = self._reopen(tp, records[0].offset if records else position)
        if records and records[0].offset < run.reached:
            records = [record for record in records if record.offset >= run.reached]
        if not records:
            run.advance(position)
        limit = self.group.max_batch_records
        batches = cut(tp.topic, tp.partition, records, position, limit)
        return ((tp, run, batch, resume_at) for batch, resume_at in batches)

    def _reopen(self, tp: TopicPartition, offset: int) -> OpenBatches:
        """Start again at an offset: acks of earlier deliveries are refused."""
        old = self._open.get(tp)
        if old is not None:
            old.close()
        run = self._open[tp] = OpenBatches(offset)
        return run

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """Read on from an offset."""
        self._reopen(tp, offset)
        self.client.seek(tp, offset)

    def highwater(self, tp: TopicPartition) -> int:
        """End of a partition's readable records as of its last fetch; 0 if not known."""
        if tp not in self.client.assignment():
            return 0
        return self.client.last_stable_offset(tp) or 0

    # Ack and commit

    def start_work(self, delivery: Delivery) -> bool:
        """Whether the agent may work on a batch; False if its partition was given up meanwhile."""
        if not self.flowing or delivery.ticket.run.closed:
            return False
        self._in_hand.add(delivery)
        return True

    def ack(self, delivery: Delivery) -> bool:
        """Mark a batch as done; see `Delivery.ack`."""
        self._in_hand.discard(delivery)
        self._progress.set()
        return delivery.ticket.run.ack(delivery.ticket)

    def committed(self, partition: int) -> int | None:
        """The group's committed offset of a partition, None if not known."""
        return self._committed.get(TopicPartition(self.topic, partition))

    @mode.Service.task
    async def _commit_often(self) -> None:
        while not self.should_stop:
            await asyncio.sleep(self.group.commit_s)
            await self.commit()

    async def commit(self) -> None:
        """Commit the acked prefix of every partition; the next call retries a failed commit."""
        async with self._committing:
            offsets = {
                tp: run.committable
                for tp, run in self._open.items()
                if run.committable is not None and run.committable != self._committed.get(tp)
            }
            if not offsets:
                return
            try:
                async with asyncio.timeout(_COMMIT_S):
                    if not self.flowing:
                        offsets = await self._not_behind(offsets)
                    if offsets:
                        await self.client.commit(offsets)
            except (CommitFailedError, IllegalStateError, TimeoutError) as error:
                log.warning("consumer.commit_failed", why=f"{type(error).__name__}: {error}")
            except KafkaError as error:
                if not error.retriable:
                    raise
                log.warning("consumer.commit_failed", why=f"{type(error).__name__}: {error}")
            else:
                self._committed.update(offsets)

    async def _not_behind(self, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Drop offsets that would go back: another member may have committed later offsets."""
        found = {tp: await self.client.committed(tp) for tp in offsets}
        return {
            tp: at
            for tp, at in offsets.items()
            if found[tp] == self._committed.get(tp) or (found[tp] or 0) < at
        }

    async def confirm(self, partition: int) -> bool:
        """Whether this member owns a partition: the group accepts a commit only from the owner."""
        tp = TopicPartition(self.topic, partition)
        async with self._committing:
            run = self._open.get(tp)
            # In a rebalance nobody knows: a revoke waits for the lock, what follows it does not.
            if run is None or not self.flowing or tp not in self.client.assignment():
                return False
            offset = run.committable
            if offset is None:
                offset = self._committed.get(tp)
            if offset is None:
                return False
            try:
                async with asyncio.timeout(_COMMIT_S):
                    await self.client.commit({tp: offset})
            except (KafkaError, TimeoutError):
                return False
            self._committed[tp] = offset
            return True

    # Rebalance

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Drain, commit and give all partitions up; heartbeats go on meanwhile."""
        try:
            await self._let_go(leaving=False)
        except Exception as error:  # noqa: BLE001 - aiokafka would log it and go on
            await self.crash(error)

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Prepare in a task: heartbeats begin when this returns."""
        if self.should_stop:
            return
        self.client.pause(*assigned)
        self._preparing = asyncio.create_task(self._begin(assigned), name="hark-prepare")

    async def _begin(self, assigned: set[TopicPartition]) -> None:
        async def read(numbers: Collection[int]) -> None:
            begun = {tp for tp in assigned if tp.partition in numbers} - self._open.keys()
            for tp in begun:
                at = await self.client.committed(tp)
                if at is not None:
                    self._committed[tp] = at
                self._open[tp] = OpenBatches(await self.client.position(tp))
            self.flowing = True
            self.client.resume(*begun)

        partitions = {tp.partition for tp in assigned}
        try:
            if self._prepare is not None:
                await self._prepare(partitions, read)
            await read(partitions)
        except Exception as error:  # noqa: BLE001 - any error must stop the worker
            await self.crash(error)

    async def _let_go(self, *, leaving: bool) -> None:
        async with self._letting_go:
            self.flowing = False
            if self._preparing is not None:
                self._preparing.cancel()
                await asyncio.wait({self._preparing})
                self._preparing = None
            if self._open:
                if not await self._drain():
                    log.warning("consumer.unfinished", after_s=self.group.drain_timeout_s)
                await self.commit()
                if self._drained is not None:
                    await self._drained(leaving)
            for run in self._open.values():
                run.close()
            self._open.clear()
            self._in_hand.clear()
            self._committed.clear()
            self._resting = set()

    async def _drain(self) -> bool:
        """Wait until the agent's batches are acked; False if some aren't within the time-out."""
        try:
            async with asyncio.timeout(self.group.drain_timeout_s):
                while any(not delivery.ticket.run.closed for delivery in self._in_hand):
                    if self.crashed:  # a crashed agent never acks
                        return True
                    self._progress.clear()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._progress.wait(), timeout=0.1)
        except TimeoutError:
            return False
        return True
