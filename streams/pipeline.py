"""The pipeline of a record batch through a worker: score, publish, confirm, ack.

Scoring is a synchronous function in a separate thread, so that the event loop stays free for
heartbeats and fetching. While batch N is published and confirmed, batch N + 1 is scored: up to
`MAX_SCORING` batches wait for the scorer, up to `MAX_CONFIRMING` for the broker.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeAlias, TypeVar

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
MAX_SCORING = 2
T = TypeVar("T")
Scoring: TypeAlias = "tuple[Delivery, asyncio.Future[Scored]]"


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
        self._unconfirmed = 0
        self._producer = producer
        self._metrics = metrics
        self._brake = brake
        self._confirming = asyncio.Semaphore(MAX_CONFIRMING)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hark-score")

    def in_scorer(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run `work` in the scoring thread, the only one that may touch state; calls keep order."""
        return asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def consume(self, events: AsyncIterator[Delivery]) -> None:
        """The body of the agent; any failure leaves the batch unacked and ends the agent."""
        async with asyncio.TaskGroup() as tasks:
            scoring: asyncio.Queue[Scoring | None] = asyncio.Queue(MAX_SCORING)
            tasks.create_task(self._publish(scoring, tasks))
            async for event in events:
                state = self.states[event.value.partition]
                work = partial(self._score, state, event.value)
                await scoring.put((event, self.in_scorer(work)))
            await scoring.put(None)

    def _score(self, state: PartitionState, batch: RecordBatch) -> Scored:
        self._scoring_since_s = time.monotonic()
        try:
            scored = self.scorer.score_batch(state, batch)
        finally:
            self._scoring_since_s = None
        if scored.counts.unknown_names:
            self._names.see(batch.values)
            if names := self._names.unreported():
                remedy = "they count as `other`: map them in hark.toml, [events]"
                log.warning("events.unmapped_names", names=names, remedy=remedy)
        return scored

    def doing(self) -> str:
        """What the pipeline waits for, "" if it is idle; may be called from any thread."""
        since_s = self._scoring_since_s
        if since_s is not None:
            return f"a batch has been in scoring for {time.monotonic() - since_s:.0f} s"
        if self._unconfirmed:
            return f"{self._unconfirmed} batches wait for the broker to confirm their outputs"
        return ""

    async def _publish(
        self, scoring: asyncio.Queue[Scoring | None], tasks: asyncio.TaskGroup
    ) -> None:
        """Hand each scored batch to the producer, in order, while the scorer works on the next."""
        while (following := await scoring.get()) is not None:
            event, future = following
            scored = await future
            self._log_engine_error(scored.engine_error)
            self._brake.observe(event.value.partition, scored.dead)
            await self._confirming.acquire()
            sent = await self._producer.send(scored.outputs, event.value.partition)
            tasks.create_task(self._finish(event, scored, sent))

    async def _finish(
        self, event: Delivery, scored: Scored, sent: list[asyncio.Future[Any]]
    ) -> None:
        started = time.perf_counter()
        self._unconfirmed += 1
        try:
            await self._producer.confirm(sent)
        finally:
            self._unconfirmed -= 1
            self._confirming.release()
        event.ack()
        self._metrics.observe_stage("produce", time.perf_counter() - started)
        self._metrics.observe_batch(scored.counts)
        self._metrics.observe_latency(time.time_ns() // 1_000_000, scored.broker_ms, scored.time_ms)
        for kind, severity, status in scored.alerts:
            self._metrics.observe_alert(kind, severity, status)
        log.debug("batch", partition=event.value.partition, records=scored.counts.records)

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
