"""When the states of a worker's partitions are checkpointed, and by which writer.

A state is captured between two batches, encoded in another thread, and written after the group has
committed all its events, so that no event in a checkpoint is ever scored again. Changes that
couldn't be written are part of the next checkpoint.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from aiokafka.errors import KafkaError

from schemas.errors import FencedError, StateError, TransientError
from schemas.topics import COUNTERS, MAX_MESSAGE_BYTES, USER_STATE, state_transaction
from streams.checkpoints.capture import Captured, capture, retain, touch_all
from streams.checkpoints.head import HEAD, Head
from streams.checkpoints.output_ends import OutputEnds
from streams.checkpoints.owned import Owned
from streams.checkpoints.reader import CheckpointReader, Found
from streams.checkpoints.writer import CheckpointWriter, StateTopics
from streams.monitoring.checkpoint_metrics import CheckpointMetrics
from streams.partition import PartitionState
from streams.pipeline import Pipeline

log = structlog.get_logger(__name__)
COMMIT_S = 30.0
"""How long a captured state waits for the group's commit."""
FINAL_S = 10.0
"""How long a revoke or a stop waits for the last checkpoints."""
MANY_RECORDS = 5_000
"""A rebalance checkpoints partitions with as many new records; fewer are replayed soon."""
_POLL_S = 0.05


class Checkpoints:
    """The checkpoints of this worker's partitions.

    Parameters
    ----------
    client
        Keyword arguments of the aiokafka client.
    prefix, group
        Prefix of the topic names, and the consumer group.
    interval_s
        Seconds between two checkpoints of a partition; 0 = none are written or read.
    pipeline
        Holds the states, and the thread that may touch them.
    committed
        Returns the group's committed offset of a partition of `events`, None if not known.
    owns
        Asks the group whether this worker owns a partition of `events` now.
    ends
        The ends of a partition's output topics.
    metrics
        Counts the checkpoints.
    """

    def __init__(
        self,
        client: dict[str, Any],
        prefix: str,
        group: str,
        interval_s: float,
        pipeline: Pipeline,
        committed: Callable[[int], int | None],
        owns: Callable[[int], Awaitable[bool]],
        ends: OutputEnds,
        metrics: CheckpointMetrics,
    ) -> None:
        self.topics = StateTopics(prefix + USER_STATE.name, prefix + COUNTERS.name)
        self.group = group
        self._client = client
        self._prefix = prefix
        self._interval_s = interval_s
        self._pipeline = pipeline
        self.committed = committed
        self._owns = owns
        self.ends = ends
        self._metrics = metrics
        self._owned: dict[int, Owned] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self.task: asyncio.Task[None] | None = None

    @property
    def on(self) -> bool:
        """Whether checkpoints are written and read."""
        return self._interval_s > 0

    @property
    def owned(self) -> set[int]:
        """The partitions that this worker has a writer for."""
        return set(self._owned)

    def writes(self, partition: int) -> bool:
        """Whether this worker can still write the state of a partition that it has."""
        owned = self._owned.get(partition)
        return not self.on or (owned is not None and not owned.writer.fenced)

    def start(self) -> None:
        """Begin the rounds."""
        if self.on:
            self.task = asyncio.create_task(self._rounds(), name="hark-checkpoints")

    async def stop(self) -> None:
        """End the rounds and close the writers."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait({self.task})
        await asyncio.gather(*map(self.disown, list(self._owned)))
        if self._closing:
            await asyncio.wait(self._closing)
        await self.ends.stop()

    async def own(self, partition: int) -> None:
        """Become the only writer of a partition; unfinished writes of other workers are void."""
        await self.disown(partition)
        writer = self._writer(partition)
        await writer.start()
        self._owned[partition] = Owned(writer)

    def _writer(self, partition: int) -> CheckpointWriter:
        return CheckpointWriter(
            self._client,
            state_transaction(self._prefix, partition),
            self.topics,
            partition,
            max_message_bytes=MAX_MESSAGE_BYTES,
        )

    async def disown(self, partition: int) -> None:
        """Write no more of a partition; its writer is closed also if this is cancelled."""
        owned = self._owned.pop(partition, None)
        if owned is None:
            return
        owned.leaving = True
        closing = asyncio.create_task(self._close(partition, owned), name="hark-close-writer")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        await asyncio.shield(closing)

    async def _close(self, partition: int, owned: Owned) -> None:
        async with owned.lock:
            await owned.writer.stop()
        if partition not in self._owned:
            self._metrics.forget(partition)

    def begin(self, partition: int, head: bytes | None, rows_from: int, parts_from: int) -> None:
        """Start the checkpoints of a new state of a partition.

        Parameters
        ----------
        head
            The value of the newest head found, None without one; the state didn't come from it.
        rows_from, parts_from
            Offsets of `user-state` and `counters` at which the state begins.
        """
        owned = self._owned[partition]
        owned.known, owned.rows_from, owned.parts_from = head, rows_from, parts_from
        self._metrics.as_of(partition, time.time())

    def go_on(self, partition: int, value: bytes, head: Head) -> None:
        """Continue the checkpoints of a state that was restored from the checkpoint of `head`."""
        owned = self._owned[partition]
        owned.note(head)
        owned.known, owned.rows_from, owned.parts_from = value, head.rows_from, head.parts_from
        self._metrics.as_of(partition, time.time())

    def outputs_from(self, partition: int) -> tuple[int, int]:
        """`alerts_from` and `letters_from` of the newest checkpoint, -1 if there is none."""
        owned = self._owned.get(partition)
        return (owned.alerts_from, owned.letters_from) if owned is not None else (-1, -1)

    async def finish(self, leaving: bool = True, deadline_s: float = FINAL_S) -> None:
        """Write the last checkpoints, after the last commit and before partitions are given up.

        Parameters
        ----------
        leaving
            Whether the worker leaves the group. In a rebalance most partitions stay, and those that
            stay would wait for the checkpoints of all.
        deadline_s
            Seconds for all partitions together. What isn't written by then is only logged: the
            next owner replays the log from the checkpoint before.
        """
        if not self.on:
            return
        states = {
            number: state
            for number, state in self._pipeline.states.items()
            if leaving or self._new_records(number, state) >= MANY_RECORDS
        }
        ending = [self._owned[number] for number in states if number in self._owned]
        for owned in ending:
            owned.leaving = True
        try:
            async with asyncio.timeout(deadline_s):
                await asyncio.gather(
                    *(
                        self._checkpoint(number, state, commit_s=0.0, last=True)
                        for number, state in states.items()
                    )
                )
        except TimeoutError:
            log.warning("checkpoint.last_one_missing", after_s=deadline_s)
        finally:
            for owned in ending:
                owned.leaving = False  # the group may well give it back

    def _new_records(self, number: int, state: PartitionState) -> int:
        """Records since a partition's newest checkpoint."""
        owned = self._owned.get(number)
        return state.next_offset - (owned.saved or 0) if owned is not None else 0

    async def _rounds(self) -> None:
        while True:
            states: Mapping[int, PartitionState] = dict(self._pipeline.states)
            # Spread over the interval, to spare the brokers and the scoring thread.
            pause_s = self._interval_s / max(1, len(states))
            if not states:
                await asyncio.sleep(min(1.0, pause_s))
            for number in states:
                await asyncio.sleep(pause_s)
                state = self._pipeline.states.get(number)
                if state is not None:
                    await self._checkpoint(number, state, commit_s=COMMIT_S)

    async def _checkpoint(
        self, number: int, state: PartitionState, *, commit_s: float, last: bool = False
    ) -> None:
        """Checkpoint a partition; an error is logged and counted, and the next round retries."""
        owned = self._owned.get(number)
        if owned is None or owned.rows_from is None:
            return
        async with owned.lock:
            if owned.saved == state.next_offset and not owned.writer.fenced:
                self._metrics.as_of(number, time.time())  # nothing has changed since
                return
            try:
                if owned.writer.fenced and (
                    last
                    or not await self._own_again(number, owned, state)
                    or owned.saved == state.next_offset
                ):
                    return
                outputs_from = await self.ends.of(number)
            except TransientError as error:
                self._failed(number, error)
                return
            captured: list[Captured] = []
            written = False

            def retain_captured() -> None:
                for each in captured:
                    retain(state, each)

            try:
                await self._pipeline.in_scorer(lambda: captured.append(capture(state)))
                await self._write(number, owned, captured[0], outputs_from, commit_s)
                written = True
            except (FencedError, TransientError) as error:
                self._failed(number, error)
            except Exception:
                owned.writer.fenced = True  # an old checkpoint is better than a wrong checkpoint
                log.exception("checkpoint.broken", partition=number)
                self._metrics.failed("failed")
            finally:
                if not written:  # after a cancellation too: the thread captures, then does this
                    await self._pipeline.in_scorer(retain_captured)

    def _failed(self, number: int, error: FencedError | TransientError) -> None:
        outcome = "fenced" if isinstance(error, FencedError) else "failed"
        log.warning(f"checkpoint.{outcome}", partition=number, why=str(error))
        self._metrics.failed(outcome)

    async def _own_again(self, number: int, owned: Owned, state: PartitionState) -> bool:
        """Replace a fenced writer if this worker still owns the partition -> whether it does.

        The group is asked before and after the new writer fences all others. If another worker got
        the partition in between, nothing is written, and that worker owns the state again soon.
        """
        if not await self._owns(number) or await self._of_another_group(number):
            return False
        await owned.writer.stop()
        writer = self._writer(number)
        await writer.start()
        try:
            found = await self._find(number)
            still = await self._owns(number) and self._owned.get(number) is owned
        except BaseException:
            await writer.stop()
            raise
        if not still:
            await writer.stop()
            return False
        owned.writer = writer
        ours = found.head in (owned.known, owned.tried)
        if ours and found.head is not None and found.head == owned.tried:
            owned.note(Head.decode(found.head))
        if not ours:  # by another owner, meanwhile: what it wrote is not known
            await self._pipeline.in_scorer(lambda: touch_all(state))
            owned.known, owned.saved = found.head, None
            owned.rows_from, owned.parts_from = found.rows_end, found.parts_end
        log.warning("checkpoint.owned_again", partition=number, anew=not ours)
        return True

    async def _find(self, number: int) -> Found:
        try:
            async with CheckpointReader(self._client, self.topics, number) as reader:
                return await reader.find()
        except (KafkaError, OSError) as error:
            raise TransientError(f"reading the head: {type(error).__name__}: {error}") from error

    async def _of_another_group(self, number: int) -> bool:
        """Whether another group with the same prefix writes the checkpoints now."""
        value = (await self._find(number)).head
        try:
            return value is not None and Head.decode(value).group != self.group
        except StateError:
            return False

    async def _write(
        self,
        number: int,
        owned: Owned,
        captured: Captured,
        outputs_from: tuple[int, int],
        commit_s: float,
    ) -> None:
        began_s = time.perf_counter()
        saved = await asyncio.to_thread(captured.encode)
        await self._until_committed(number, owned, captured.offset, commit_s)
        now_s = time.time()
        head = Head(
            self.group,
            saved.offset,
            owned.rows_from or 0,
            owned.parts_from,
            int(now_s * 1000),
            *outputs_from,
        )
        owned.tried = head.encode()
        size = await owned.writer.write(saved.rows, [*saved.parts, (HEAD, owned.tried)])
        owned.note(head)
        self._metrics.written(len(saved.rows), size)
        self._metrics.as_of(number, now_s)
        log.info(
            "checkpoint.written",
            partition=number,
            offset=saved.offset,
            rows=len(saved.rows),
            mib=round(size / 2**20, 1),
            seconds=round(time.perf_counter() - began_s, 2),
        )

    async def _until_committed(
        self, number: int, owned: Owned, offset: int, timeout_s: float
    ) -> None:
        deadline = time.monotonic() + timeout_s
        while (self.committed(number) or 0) < offset:
            if owned.leaving:
                raise TransientError(f"offset {offset} was not committed before the last commit")
            if time.monotonic() >= deadline:
                raise TransientError(f"offset {offset} was not committed within {timeout_s:.0f} s")
            await asyncio.sleep(_POLL_S)
