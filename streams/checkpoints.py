"""When the states of a worker's partitions are checkpointed, and by which writer.

A state is captured between two batches, encoded in another thread, and written once the group
has committed everything it was made of: nothing in a checkpoint is ever scored again. What
couldn't be written is part of the next one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from schemas.errors import FencedError, TransientError
from schemas.topics import COUNTERS, MAX_MESSAGE_BYTES, USER_STATE, state_transaction
from streams.capture import Captured
from streams.checkpoint_head import HEAD, Head
from streams.checkpoint_metrics import CheckpointMetrics
from streams.checkpoint_writer import CheckpointWriter, StateTopics
from streams.partition import PartitionState
from streams.pipeline import Pipeline

log = structlog.get_logger(__name__)
COMMIT_S = 30.0
"""How long a captured state waits for the group's commit."""
FINAL_S = 10.0
"""How long a revoke or a stop waits for the last checkpoint."""
_POLL_S = 0.05


@dataclass
class _Owned:
    """A partition whose state this worker writes.

    Attributes
    ----------
    rows_from, parts_from
        Of the state's head; None until its state is there.
    saved
        The offset of the newest checkpoint.
    """

    writer: CheckpointWriter
    rows_from: int | None = None
    parts_from: int = 0
    saved: int | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Checkpoints:
    """The checkpoints of this worker's partitions.

    Parameters
    ----------
    client
        Keyword arguments of the aiokafka client.
    prefix, group
        Of the topics' names; the consumer group.
    interval_s
        Between two checkpoints of a partition; 0 = none are written or read.
    pipeline
        Holds the states and the thread that may touch them.
    committed
        The offset that the group has committed of a partition of `events`, None if not known.
    metrics
        Told what was written.
    """

    def __init__(
        self,
        client: dict[str, Any],
        prefix: str,
        group: str,
        interval_s: float,
        pipeline: Pipeline,
        committed: Callable[[int], int | None],
        metrics: CheckpointMetrics,
    ) -> None:
        self.topics = StateTopics(prefix + USER_STATE.name, prefix + COUNTERS.name)
        self.group = group
        self._client = client
        self._prefix = prefix
        self._interval_s = interval_s
        self._pipeline = pipeline
        self.committed = committed
        self._metrics = metrics
        self._owned: dict[int, _Owned] = {}
        self.task: asyncio.Task[None] | None = None

    @property
    def on(self) -> bool:
        """Whether there are any."""
        return self._interval_s > 0

    def writes(self, partition: int) -> bool:
        """Whether this worker can still write the state of a partition it has had until now."""
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

    async def own(self, partition: int) -> None:
        """Become the one writer of a partition: what others have in the air is void from now on."""
        await self.disown(partition)
        writer = CheckpointWriter(
            self._client,
            state_transaction(self._prefix, partition),
            self.topics,
            partition,
            max_message_bytes=MAX_MESSAGE_BYTES,
        )
        await writer.start()
        self._owned[partition] = _Owned(writer)

    async def disown(self, partition: int) -> None:
        """Write no more of a partition."""
        owned = self._owned.pop(partition, None)
        if owned is not None:
            async with owned.lock:
                await owned.writer.stop()
            self._metrics.forget(partition)

    def begin(self, partition: int, rows_from: int, parts_from: int, saved: int | None) -> None:
        """Let the state of a partition be checkpointed.

        Parameters
        ----------
        rows_from, parts_from
            Of its head: those it was restored from, or where a new state begins.
        saved
            Offset of the checkpoint it was restored from, None for a new state.
        """
        owned = self._owned[partition]
        owned.rows_from, owned.parts_from, owned.saved = rows_from, parts_from, saved
        self._metrics.as_of(partition, time.time())

    async def finish(self, deadline_s: float = FINAL_S) -> None:
        """The last checkpoints before the partitions are given up, after the last commit."""
        if not self.on:
            return
        states = dict(self._pipeline.states)
        try:
            async with asyncio.timeout(deadline_s):
                for number, state in states.items():
                    await self._checkpoint(number, state, commit_s=0.0)
        except TimeoutError:
            log.warning("checkpoint.last_one_missing", after_s=deadline_s)

    async def _rounds(self) -> None:
        while True:
            states: Mapping[int, PartitionState] = dict(self._pipeline.states)
            # Spread over the interval: the brokers and the scoring thread get small portions.
            pause_s = self._interval_s / max(1, len(states))
            if not states:
                await asyncio.sleep(min(1.0, pause_s))
            for number in states:
                await asyncio.sleep(pause_s)
                state = self._pipeline.states.get(number)
                if state is not None:
                    await self._checkpoint(number, state, commit_s=COMMIT_S)

    async def _checkpoint(self, number: int, state: PartitionState, *, commit_s: float) -> None:
        """Checkpoint one partition; what goes wrong is said, counted and tried again next time."""
        owned = self._owned.get(number)
        if owned is None or owned.rows_from is None or owned.writer.fenced:
            return
        async with owned.lock:
            if owned.saved == state.next_offset:
                self._metrics.as_of(number, time.time())  # it still is the newest
                return
            try:
                captured = await self._pipeline.in_scorer(state.capture)
            except asyncio.CancelledError:  # the thread goes on, and what was touched is not known
                owned.writer.fenced = True
                raise
            written = False
            try:
                await self._write(number, owned, captured, commit_s)
                written = True
            except FencedError as error:
                log.warning("checkpoint.fenced", partition=number, why=str(error))
                self._metrics.failed("fenced")
            except TransientError as error:
                log.warning("checkpoint.failed", partition=number, why=str(error))
                self._metrics.failed("failed")
            except Exception:
                owned.writer.fenced = True  # rather an old checkpoint than a wrong one
                log.exception("checkpoint.broken", partition=number)
                self._metrics.failed("failed")
            finally:
                if not written:
                    await self._pipeline.in_scorer(partial(state.retain, captured))

    async def _write(self, number: int, owned: _Owned, captured: Captured, commit_s: float) -> None:
        began_s = time.perf_counter()
        saved = await asyncio.to_thread(captured.encode)
        await self._until_committed(number, captured.offset, commit_s)
        now_s = time.time()
        head = Head(
            self.group, saved.offset, owned.rows_from or 0, owned.parts_from, int(now_s * 1000)
        )
        size = await owned.writer.write(saved.rows, [*saved.parts, (HEAD, head.encode())])
        owned.saved = saved.offset
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

    async def _until_committed(self, number: int, offset: int, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while (self.committed(number) or 0) < offset:
            if time.monotonic() >= deadline:
                raise TransientError(f"offset {offset} was not committed within {timeout_s:.0f} s")
            await asyncio.sleep(_POLL_S)
