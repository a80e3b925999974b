"""The main thread's side: delivers batches in order and commits exactly what was acked.

One invariant carries it: a fetch is delivered only if it starts where the last delivery of its
partition ended, or where a seek put it. Whatever is fetched and not delivered (a rebalance, a
pause, a cancelled fetch) breaks that chain, and the next `getmany` seeks back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from faust.transport.drivers.aiokafka import Consumer
from faust.types import TP, ConsumerMessage, Message
from faust.types.tuples import ack_lock
from mode.utils.futures import notify

from schemas.errors import ConfigError
from streams.batches import RecordBatch
from streams.fetching import BatchConsumerThread, Fetched, Record
from streams.offsets import OpenBatches, Ticket

if TYPE_CHECKING:
    from streams.transport import BatchTransport

Items: TypeAlias = "list[tuple[RecordBatch | Record, int]]"


class BatchMessage(ConsumerMessage):
    """A Faust message whose value is a `RecordBatch`; its offset is the batch's last."""

    __slots__ = ("ticket",)
    ticket: Ticket


class BatchConsumer(Consumer):
    """Faust's aiokafka consumer, folding each fetch of the topics that ask for it."""

    _thread: BatchConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        #: Per partition, the offset that the next delivery must start at.
        self._next: dict[TP, int] = {}
        self._open: dict[TP, OpenBatches] = {}
        self._committing_generation: int | None = None
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def batch_transport(self) -> BatchTransport:
        return cast("BatchTransport", self.transport)

    def _folds(self, tp: TP) -> bool:
        return tp.topic in self.batch_transport.fold

    # Deliver

    async def getmany(  # the signature is Faust's
        self,
        timeout: float,  # noqa: ASYNC109
    ) -> AsyncIterator[tuple[TP, Message]]:
        if self.app.client_only:
            async for pair in super().getmany(timeout):
                yield pair
            return
        if self.flow_active:
            await self._rewind()
        fetched = cast("dict[TP, Fetched]", (await self._wait_next_records(timeout))[0])
        generation = self.app.consumer_generation_id
        if not fetched or self.should_stop:
            return
        reached = {tp: fetch.start for tp, fetch in fetched.items()}
        in_order = {tp: self._accept(tp, fetch) for tp, fetch in fetched.items()}
        for tp, (item, follows) in self.scheduler.iterate(in_order):
            # A rebalance seeks when it is over: seeking here would race with it.
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return
            start, reached[tp] = reached[tp], follows
            # A pause or a seek since the fetch ends what can be delivered of it.
            if self._is_active(tp) and self._next.setdefault(tp, start) == start:
                self._next[tp] = follows
                yield tp, self._message(tp, item, follows)

    def _is_active(self, tp: TP) -> bool:
        return tp in self._get_active_partitions() or tp in self._buffered_partitions

    async def _getmany(
        self,
        active_partitions: set[TP] | None,
        timeout: float,  # noqa: ASYNC109
    ) -> Any:
        # A copy: a rebalance empties the set meanwhile, and aiokafka reads empty as "all".
        active = None if active_partitions is None else set(active_partitions)
        return await self._thread.getmany(active, timeout)

    async def _rewind(self) -> None:
        active = self._get_active_partitions()
        behind = {
            tp: offset
            for tp, offset in self._next.items()
            if tp in active and self._thread.handed_over(tp) != offset
        }
        if behind:
            self.log.info("Fetched but not delivered, reading again: %r", behind)
            await self._thread.move(behind)

    def _accept(self, tp: TP, fetch: Fetched) -> Items:
        """What of a fetch is next in its partition: all, or nothing after a seek or a drop."""
        expected = self._next.get(tp)
        if expected is not None and fetch.start != expected:
            return []
        if fetch.end_offset is not None:
            self.app.monitor.track_tp_end_offset(tp, fetch.end_offset)
        if fetch.next_offset < fetch.start:
            self._log_was_cut(tp, fetch)
            return fetch.items
        if not fetch.items:
            self._next[tp] = fetch.next_offset
            if self._folds(tp):
                with ack_lock:
                    self._run(tp).advance(fetch.next_offset)
            return []
        if expected is None or not self._folds(tp):
            return fetch.items
        since = [(cast("RecordBatch", item).since(expected), at) for item, at in fetch.items]
        return [(rest, at) for rest, at in since if rest is not None]

    def _log_was_cut(self, tp: TP, fetch: Fetched) -> None:
        # Only a reset by the broker goes back without a seek: the topic was made anew, or lost
        # records. What is there now is new, and the old commit means nothing.
        self.log.warning(
            "%s ended before offset %s and is read again from the start", tp, fetch.start
        )
        self._open.pop(tp, None)
        self._read_offset[tp] = None
        self._committed_offset[tp] = None

    def _run(self, tp: TP) -> OpenBatches:
        return self._open.setdefault(tp, OpenBatches())

    def _message(self, tp: TP, item: RecordBatch | Record, follows: int) -> Message:
        if not isinstance(item, RecordBatch):
            return self._to_message(tp, item)
        message = BatchMessage(
            tp.topic,
            tp.partition,
            item.last_offset,
            item.timestamps[-1] / 1000.0,
            timestamp_type=0,
            headers=None,
            key=None,
            value=cast("bytes", item),  # a folded topic's schema passes it on as it is
            checksum=None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )
        with ack_lock:
            message.ticket = self._run(tp).push(follows)
        # The drain loop sees no gap and drops nothing.
        self._read_offset[tp] = item.last_offset
        return message

    def on_buffer_full(self, tp: TP) -> None:
        # A full queue of a folded topic holds back the fetch itself.
        if not self._folds(tp):
            super().on_buffer_full(tp)

    # Ack and commit

    def ack(self, message: Message) -> bool:
        if not isinstance(message, BatchMessage):
            return super().ack(message)
        with ack_lock:
            self._unacked_messages.discard(message)
            run = self._open.get(message.tp)
            refused = (
                not message.tracked  # skipped by the stream, not seen by the agent
                or message.generation_id != self.app.consumer_generation_id
                or run is None
                or not run.ack(message.ticket)
            )
            if not refused:
                message.acked = True
                self._n_acked += 1
            notify(self._waiting_for_ack)
            return not refused

    def interrupt(self) -> None:
        """Deliver nothing until the flow resumes, and pass over what was delivered already.

        A rebalance that ends when the next one has begun resumes the flow; what comes then comes
        again after the seek.
        """
        self.stop_flow()
        self._forget(self.assignment())

    def pass_over(self, message: Message) -> bool:
        """Whether the partition was given up or sought since: then this batch is read again."""
        if not isinstance(message, BatchMessage) or self._current(message):
            return False
        with ack_lock:
            self._unacked_messages.discard(message)
        return True

    def _current(self, message: BatchMessage) -> bool:
        return self._open.get(message.tp) is message.ticket.run

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        yield from super()._filter_tps_with_pending_acks(topics)
        for tp in self._open:
            if topics is None or tp in topics or tp.topic in topics:
                yield tp

    def _new_offset(self, tp: TP) -> int | None:
        if not self._folds(tp):
            return super()._new_offset(tp)
        if self._acked.pop(tp, None):
            raise ConfigError(f"the agent of {tp.topic} acks by itself: read it with batches()")
        run = self._open.get(tp)
        return run.committable if run is not None else None

    async def _commit_offsets(
        self, offsets: Mapping[TP, int], start_new_transaction: bool = True
    ) -> bool:
        self._committing_generation = self.app.consumer_generation_id
        before = {tp: self._committed_offset[tp] for tp in offsets}
        done = await super()._commit_offsets(offsets, start_new_transaction)
        if not done:  # Faust takes a failed commit for done and would not try again
            self._committed_offset.update(before)
        return done

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        return await self._thread.commit_in(self._committing_generation, offsets)

    async def confirm(self, tp: TP) -> bool:
        """Whether the group takes a commit of this partition now: then it is this worker's."""
        offset = self._new_offset(tp) or self._committed_offset.get(tp)
        if tp not in self.assignment() or offset is None:
            return False
        self._committing_generation = self.app.consumer_generation_id
        return await self._commit({tp: offset})

    # Rebalance, seek, stop

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        self.stop_flow()
        self.app.flow_control.suspend()
        self.app.flow_control.clear()
        await self.wait_empty()
        self._forget(revoked)
        await super().on_partitions_revoked(revoked)

    async def wait_empty(self) -> None:
        """Let the agents finish the batches they have, within the drain time-out, and commit."""
        if not await self._drain():
            self.log.warning("Batches unfinished after %s s", self.batch_transport.drain_timeout_s)
        await self.commit()  # may only join a commit that runs already
        await self.commit()
        if self.batch_transport.drained is not None:
            await self.batch_transport.drained()

    async def _drain(self) -> bool:
        clock = asyncio.get_running_loop().time
        deadline = clock() + self.batch_transport.drain_timeout_s
        while self._in_flight():
            # Agents stop before the consumer does, and a crashed one never acks.
            if self.should_stop or self.app.crashed:
                return True
            if clock() >= deadline:
                return False
            self._waiting_for_ack = asyncio.get_running_loop().create_future()
            await asyncio.wait({self._waiting_for_ack}, timeout=0.1)
        return True

    def _in_flight(self) -> int:
        """How many batches agents are working on."""
        return sum(
            isinstance(message, BatchMessage) and self._current(message)
            for message in list(self._unacked_messages)
        )

    def _forget(self, tps: Iterable[TP]) -> None:
        for tp in tps:
            self._next.pop(tp, None)
            self._open.pop(tp, None)

    def _restart_at(self, positions: Mapping[TP, int]) -> None:
        self._forget(positions)
        self._next.update(positions)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        self._forget(self.assignment())
        positions = await super().seek_to_committed()
        self._restart_at(positions)
        return positions

    # Before the thread seeks: a fetch in between is then refused, not delivered.

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        self._restart_at(partitions)
        await super().seek_wait(partitions)

    async def _seek(self, partition: TP, offset: int) -> None:
        self._restart_at({partition: offset})
        await self._thread.move({partition: offset})
