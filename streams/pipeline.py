"""The pipeline of record batches through a worker: score, publish, confirm, ack.

Scoring is a synchronous function in a separate thread, so that the event loop stays free for
heartbeats and fetching. When the thread is free, it takes everything that waits, of all partitions,
and scores it together: a small batch costs almost as much as a large one, so small batches must not
queue. While some batches are published and confirmed, the next are scored.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import structlog

from streams.ingest.brake import Brake
from streams.ingest.unmapped_names import UnmappedNames
from streams.kafka.producer import OutputProducer
from streams.monitoring.metrics import Metrics
from streams.partition import PartitionState
from streams.recommendations.sent_lists import COUNTERS
from streams.scoring import Scored, Scorer
from streams.transport.consumer import Delivery
from streams.transport.record_batch import RecordBatch

log = structlog.get_logger(__name__)
MAX_CONFIRMING = 4
"""Most groups of batches that wait for the broker to confirm their outputs."""
MAX_BYTES = 2 << 20
"""About as many bytes of records are scored together, and as many wait meanwhile."""
READ_AHEAD_S = 0.05
"""The next records are read this long after a scoring began, if it hasn't ended before."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Work:
    """Consecutive batches of a partition, as one batch.

    Attributes
    ----------
    state
        Of the partition.
    deliveries
        To ack, in log order.
    batch
        Their records.
    """

    state: PartitionState
    deliveries: list[Delivery]
    batch: RecordBatch


Group = list[tuple[Work, Scored]]


class Pipeline:
    """Scores the batches of this worker's partitions.

    Parameters
    ----------
    scorer
        The pure part.
    producer
        Publishes outputs and waits for the broker.
    metrics, brake
        Observe each batch.
    """

    def __init__(
        self, scorer: Scorer, producer: OutputProducer, metrics: Metrics, brake: Brake
    ) -> None:
        self.scorer = scorer
        self.states: dict[int, PartitionState] = {}
        self._names = UnmappedNames(scorer.event_names)
        self._scoring_since_s: float | None = None
        self._waiting: deque[tuple[PartitionState, Delivery]] = deque()
        self._taken = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._unconfirmed = 0
        self._producer = producer
        self._metrics = metrics
        self._brake = brake
        self._confirming = asyncio.Semaphore(MAX_CONFIRMING)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hark-score")

    def in_scorer(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run `work` in the scoring thread, the only one that may touch state; calls keep order."""
        return asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def ready(self) -> None:
        """Return when the scoring thread can soon use more records.

        Small fetches cost as much as large ones, and would contend with the scoring.
        """
        await asyncio.sleep(0)  # the agent takes what was delivered
        with suppress(TimeoutError):
            async with asyncio.timeout(READ_AHEAD_S):
                await self._idle.wait()

    async def consume(self, events: AsyncIterator[Delivery]) -> None:
        """The body of the agent; any failure leaves the batch unacked and ends the agent."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            scoring: asyncio.Queue[asyncio.Future[Group] | None] = asyncio.Queue()
            tasks.create_task(self._publish(scoring, tasks))

            def ask() -> None:
                if self._waiting:
                    following = self.in_scorer(partial(self._score_waiting, loop))
                    following.add_done_callback(lambda _: ask())
                    scoring.put_nowait(following)
                else:
                    self._idle.set()

            async for event in events:
                self._waiting.append((self.states[event.value.partition], event))
                if self._idle.is_set():
                    self._idle.clear()
                    loop.call_soon(ask)  # when all that has arrived waits
                while sum(one.value.nbytes for _, one in tuple(self._waiting)) >= MAX_BYTES:
                    self._taken.clear()
                    await self._taken.wait()
            await self._idle.wait()
            scoring.put_nowait(None)

    def _score_waiting(self, loop: asyncio.AbstractEventLoop) -> Group:
        """Score what waits, in the scoring thread."""
        works = take(self._waiting, MAX_BYTES)
        loop.call_soon_threadsafe(self._taken.set)
        self._scoring_since_s = time.monotonic()
        try:
            scored = self.scorer.score_together([(work.state, work.batch) for work in works])
        finally:
            self._scoring_since_s = None
        for work, one in zip(works, scored, strict=True):
            if one.counts.unknown_names:
                self._names.see(work.batch.values)
                if names := self._names.unreported():
                    remedy = "they count as `other`: map them in hark.toml, [events]"
                    log.warning("events.unmapped_names", names=names, remedy=remedy)
        return list(zip(works, scored, strict=True))

    def doing(self) -> str:
        """What the pipeline waits for, "" if it is idle; may be called from any thread."""
        since_s = self._scoring_since_s
        if since_s is not None:
            return f"a batch has been in scoring for {time.monotonic() - since_s:.0f} s"
        if self._unconfirmed:
            return f"{self._unconfirmed} batches wait for the broker to confirm their outputs"
        return ""

    async def _publish(
        self, scoring: asyncio.Queue[asyncio.Future[Group] | None], tasks: asyncio.TaskGroup
    ) -> None:
        """Hand scored batches to the producer, in order, while the scorer works on the next."""
        while (following := await scoring.get()) is not None:
            group = await following
            if not group:
                continue
            self._log_engine_error(group[0][1].engine_error)
            for work, scored in group:
                self._brake.observe(work.batch.partition, scored.dead)
            await self._confirming.acquire()
            sent = [
                await self._producer.send(scored.outputs, work.batch.partition)
                for work, scored in group
            ]
            tasks.create_task(self._finish(group, sent))

    async def _finish(self, group: Group, sent: list[list[asyncio.Future[Any]]]) -> None:
        started = time.perf_counter()
        self._unconfirmed += len(group)
        try:
            await self._producer.confirm([future for futures in sent for future in futures])
        finally:
            self._unconfirmed -= len(group)
            self._confirming.release()
        self._metrics.observe_stage("produce", time.perf_counter() - started)
        now_ms = time.time_ns() // 1_000_000
        for work, scored in group:
            for delivery in work.deliveries:
                delivery.ack()
            self._metrics.observe_batch(scored.counts)
            for kind, severity, status in scored.alerts:
                self._metrics.observe_alert(kind, severity, status)
            log.debug("batch", partition=work.batch.partition, records=scored.counts.records)
        self._metrics.observe_latency(
            now_ms,
            np.concatenate([scored.broker_ms for _, scored in group]),
            np.concatenate([scored.time_ms for _, scored in group]),
        )

    async def apply(self, state: PartitionState, batch: RecordBatch) -> int:
        """Apply a batch without output (restore) -> number of accepted events."""
        accepted, engine_error = await self.in_scorer(
            partial(self.scorer.apply_batch, state, batch)
        )
        self._log_engine_error(engine_error)
        return accepted

    def _log_engine_error(self, engine_error: str) -> None:
        if engine_error:
            # `Champion` notices that the model no longer answers, and loads it again.
            log.error("model.failed", why=engine_error, answers=COUNTERS)


def take(waiting: deque[tuple[PartitionState, Delivery]], nbytes: int) -> list[Work]:
    """Take deliveries from the left until they have `nbytes` -> one `Work` per partition."""
    found: dict[int, tuple[PartitionState, list[Delivery]]] = {}
    taken = 0
    while waiting and taken < nbytes:
        state, delivery = waiting.popleft()
        _, deliveries = found.setdefault(id(state), (state, []))
        deliveries.append(delivery)
        taken += delivery.value.nbytes
    return [
        Work(state, deliveries, RecordBatch.joined([one.value for one in deliveries]))
        for state, deliveries in found.values()
    ]
