"""The worker's composition root: from settings to a Faust app that runs the pipeline."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from tempfile import TemporaryDirectory

import faust
import mode
import structlog
from aiokafka import TopicPartition
from faust.types import StreamT

from models.registry.registry import Model, stored_at_s
from schemas.errors import ConfigError, HarkError
from schemas.events.codec import EventDecoder
from schemas.roles import catalogue_group
from schemas.topics import ALERTS, DEAD_LETTER_BYTES, DEAD_LETTERS, EVENTS, ITEMS
from schemas.topics import topics as topic_specs
from streams.catalogue.catalogue import Catalogue
from streams.catalogue.dead_letters import CatalogueDeadLetters
from streams.checkpoints.output_ends import OutputEnds
from streams.checkpoints.ownership import Ownership
from streams.checkpoints.schedule import Checkpoints
from streams.decisions.decider import Record
from streams.group_settings import fingerprint, settings_assignor
from streams.histories.item_table import ItemTable
from streams.ingest.brake import Brake
from streams.kafka.cluster_check import check_cluster, check_state_topics, count_partitions
from streams.kafka.producer import OutputProducer
from streams.kafka.retry import retried
from streams.kafka.settings import Kafka
from streams.kafka.topic_settings import check_settings
from streams.monitoring.batch_counts import PartitionLag
from streams.monitoring.health import HealthServer
from streams.monitoring.memory import tune_garbage_collector
from streams.monitoring.metrics import Metrics
from streams.monitoring.stalls import StallWatch
from streams.partition import PartitionState
from streams.pipeline import Pipeline
from streams.plan import Plan
from streams.scoring import Scorer
from streams.serving.champion import Champion
from streams.settings import Settings
from streams.transport.transport import Delivery, Group, Read, batches, install
from streams.warm_up import warm

log = structlog.get_logger(__name__)
REPORT_EVERY_S = 1.0


class Worker:
    """A worker process.

    Parameters
    ----------
    settings
        Validated settings.
    record
        Called with the decisions of every batch.
    """

    def __init__(self, settings: Settings, record: Record | None = None) -> None:
        self.settings = settings
        kafka = settings.kafka
        self._client = kafka.client()
        self.topic = kafka.topic_prefix + EVENTS.name
        self._items_topic = kafka.topic_prefix + ITEMS.name
        self.partitions: dict[str, int] = {}
        self.metrics = Metrics()
        self.items = ItemTable()
        self._decoder = EventDecoder(settings.product_contract())
        self.plan = Plan.from_settings(settings)
        self.producer = OutputProducer(self._client, max_message_bytes=DEAD_LETTER_BYTES)
        self._make_pipeline(record)
        self._make_checkpoints()
        self._make_catalogue()
        self.champion = Champion(
            settings.model.registry,
            settings.model.alias,
            self._swap,
            lambda: self.scorer.model_version,
            self.metrics,
            engine=settings.model.engine,
            plans=settings.model.plans,
        )
        self.metrics.set_settings(kafka.group_id, fingerprint(settings))
        self._stalls = StallWatch(settings.limits.stuck_s, self.pipeline.doing)
        self.health = HealthServer(
            self.metrics.registry, self._check, settings.http.host, settings.http.port
        )
        # Faust makes a folder for tables, although there are none.
        self._folder = TemporaryDirectory(prefix="hark-", ignore_cleanup_errors=True)
        self.app = self._faust_app(kafka)

    def _make_pipeline(self, record: Record | None) -> None:
        limits = self.settings.limits
        most = limits.max_failures
        self.scorer = Scorer(
            self.plan, self._decoder, self.items, self.metrics, record, max_failures=most
        )
        self.pipeline = Pipeline(
            self.scorer,
            self.producer,
            self.metrics,
            Brake(
                max_share=limits.dead_letter_share,
                window=limits.dead_letter_window,
                max_consecutive=limits.max_consecutive,
            ),
        )

    def _make_checkpoints(self) -> None:
        kafka = self.settings.kafka
        self.checkpoints = Checkpoints(
            self._client,
            kafka.topic_prefix,
            kafka.group_id,
            self.settings.state.checkpoint_s,
            self.pipeline,
            self._committed,
            self._owns,
            OutputEnds(self._client, self._outputs),
            self.metrics.checkpoints,
        )
        self.ownership = Ownership(
            self._client,
            kafka.group_id,
            self.topic,
            self.pipeline,
            self.checkpoints,
            self.metrics,
            self.settings.limits.retry_s,
        )

    def _make_catalogue(self) -> None:
        self.catalogue = Catalogue(
            self._client, self._items_topic, self.items, self.pipeline.in_scorer
        )
        self.catalogue_dead_letters = CatalogueDeadLetters(
            self._client,
            catalogue_group(self.settings.kafka.group_id),
            self._items_topic,
            self.plan.dead_letters,
            self.producer,
            self.metrics,
            self.plan.code_version,
            self.settings.limits.retry_s,
            settings_assignor(self.settings, f"{socket.gethostname()}:{os.getpid()}"),
        )

    def _faust_app(self, kafka: Kafka) -> faust.App:
        app = _App(kafka.group_id, web_enabled=False, store="memory://", datadir=self._folder.name)
        app.worker = self
        self.consumer, channel = install(
            app,
            self.topic,
            self._client,
            Group(
                kafka.group_id,
                session_timeout_s=kafka.session_timeout_s,
                drain_timeout_s=kafka.drain_timeout_s,
                rebalance_timeout_s=kafka.rebalance_timeout_s,
                max_fetch_bytes=kafka.max_fetch_bytes,
            ),
            prepare=self._prepare,
            drained=self.checkpoints.finish,
            ready=self.pipeline.ready,
        )

        async def score(stream: StreamT[Delivery]) -> None:
            await self.pipeline.consume(batches(stream))

        app.agent(channel, supervisor_strategy=mode.CrashingSupervisor)(score)
        return app

    async def check(self) -> None:
        """Check topics, rights and topic settings; raises `ConfigError` if the worker can't run."""
        kafka = self.settings.kafka
        specs = topic_specs(kafka.topic_prefix)
        self.partitions = await check_cluster(
            self._client, specs, role="worker", prefix=kafka.topic_prefix, group=kafka.group_id
        )
        check_state_topics(self.partitions, kafka.topic_prefix)
        await check_settings(self._client, specs, self.settings.state.checkpoint_s)

    async def _recount_partitions(self) -> str:
        """Count the topics' partitions again -> why no events can be read, "" if they can.

        Raises
        ------
        ConfigError
            `events` has more partitions now than a state topic.
        """
        found = await retried(
            "counting partitions",
            lambda: count_partitions(self._client, list(self.partitions)),
            self.settings.limits.retry_s,
        )
        if not found[self.topic]:
            return f"topic {self.topic} is gone"
        check_state_topics(found, self.settings.kafka.topic_prefix)
        self.partitions = {name: found[name] or count for name, count in self.partitions.items()}
        return ""

    async def start(self) -> None:
        """Start everything that the agent needs; the app calls this before the first batch."""
        tune_garbage_collector()
        self._serve_health()
        log.info("health.listening", url=f"http://{self.settings.http.host}:{self.health.port}")
        self.metrics.set_model("counters", "none", loaded_at_s=time.time())
        await asyncio.to_thread(warm, self.plan, self._decoder)
        retry_s = self.settings.limits.retry_s
        await retried("starting the output producer", self.producer.start, retry_s)
        await self.catalogue.start(self.partitions[self._items_topic])
        self.catalogue_dead_letters.start()
        await self.champion.start()
        self.checkpoints.start()

    def _serve_health(self) -> None:
        """Listen on the configured port, or on a free port if the default port is taken."""
        try:
            self.health.start()
        except ConfigError:
            if "port" in self.settings.http.model_fields_set:
                raise
            self.health.port = 0
            self.health.start()

    async def stop(self) -> None:
        """Stop everything; the app calls this after it has drained and committed."""
        await self.champion.stop()
        await self.catalogue_dead_letters.stop()
        await self.catalogue.stop()
        await self.checkpoints.stop()
        await self.producer.stop()
        self.health.stop()
        self._folder.cleanup()

    async def _swap(self, model: Model) -> None:
        await self.pipeline.in_scorer(lambda: self.scorer.use(model))
        self.metrics.set_model(
            model.version,
            model.engine.backend,
            loaded_at_s=time.time(),
            trained_at_s=stored_at_s(model.directory.parent, model.version),
        )

    async def _prepare(self, assigned: set[int], read: Read) -> None:
        self.health.set_ready(False, "restoring the state of its partitions")
        problem = await self._recount_partitions()
        await self.ownership.take(set() if problem else assigned, read)
        if problem:
            log.error("topic.gone", why=problem)
        self.health.set_ready(not problem, problem)

    def _committed(self, number: int) -> int | None:
        return self.consumer.committed(number)

    async def _owns(self, number: int) -> bool:
        return await self.consumer.confirm(number)

    def _outputs(self, number: int) -> tuple[TopicPartition, TopicPartition]:
        """The partitions of `alerts` and `dead-letters` with the outputs of partition `number`."""
        prefix = self.settings.kafka.topic_prefix
        names = prefix + ALERTS.name, prefix + DEAD_LETTERS.name
        alerts, letters = (TopicPartition(name, number % self.partitions[name]) for name in names)
        return alerts, letters

    async def report(self) -> None:
        """Refresh the gauges every second, until cancelled."""
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            states = dict(self.pipeline.states)
            lags = {}
            for number, state in states.items():
                records = self._behind(number, state)
                age_s = max(0.0, time.time() - state.last_broker_ms / 1000) if records else 0.0
                lags[number] = PartitionLag(records, age_s, self._committed(number) or 0)
            self.metrics.set_partitions(lags)
            waiting = {number: self._uncommitted(number, lags[number]) for number in lags}
            self._stalls.observe(waiting, time.monotonic())
            self.metrics.set_state(
                users=sum(state.users for state in states.values()),
                items=self.items.known_items,
                state_bytes=sum(state.nbytes for state in states.values()),
            )
            self.metrics.count_refused_items(self.items.refused)
            self.metrics.count_evicted(
                {number: state.histories.evicted for number, state in states.items()}
            )

    def _behind(self, number: int, state: PartitionState) -> int:
        """Number of a partition's records that aren't in any batch yet."""
        high = self.consumer.highwater(TopicPartition(self.topic, number))
        return max(0, high - state.next_offset)

    def _uncommitted(self, number: int, lag: PartitionLag) -> PartitionLag:
        """The lag with all uncommitted records, which includes the batches in work."""
        high = self.consumer.highwater(TopicPartition(self.topic, number))
        records = max(0, high - lag.committed) if lag.committed else lag.records
        return PartitionLag(records, lag.seconds, lag.committed)

    def _check(self) -> str:
        return self._stalls.problem(time.monotonic())

    def background(self) -> list[asyncio.Task[None]]:
        """The tasks that must run as long as the worker does."""
        services = self.catalogue, self.catalogue_dead_letters, self.champion, self.checkpoints
        return [service.task for service in services if service.task is not None]


class _App(faust.App):
    worker: Worker

    async def on_start(self) -> None:
        await super().on_start()
        await self.worker.start()

    async def on_stop(self) -> None:
        self.worker.health.set_ready(False)
        await super().on_stop()

    async def on_shutdown(self) -> None:
        """The consumer has drained, and the agent has ended."""
        await super().on_shutdown()
        await self.worker.stop()


Stopping = Callable[[float, Callable[[], str]], None]


async def run(settings: Settings, stopping: Stopping = lambda _limit_s, _doing: None) -> None:
    """Run a worker until SIGTERM, SIGINT, SIGHUP or a failure.

    Parameters
    ----------
    stopping
        Called when the stop begins, with the seconds that it may take, and a function that says
        what the worker waits for. The caller must end the process if it exceeds the limit, because
        a thread that hangs outlives every coroutine.

    Raises
    ------
    ConfigError
        The worker can't run on this cluster.
    HarkError
        The worker stopped because of a failure.
    """
    worker = Worker(settings)
    await worker.check()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await worker.app.start()
    reporting = asyncio.create_task(worker.report(), name="hark-report")
    signalled = asyncio.create_task(stop.wait())
    crashed = asyncio.create_task(worker.app._crashed.wait())
    background = [reporting, *worker.background()]
    await asyncio.wait({signalled, crashed, *background}, return_when=asyncio.FIRST_COMPLETED)
    ended = [task for task in background if task.done()]
    worker.health.set_ready(False)
    stopping(settings.limits.stop_timeout_s, worker.pipeline.doing)
    log.info("worker.stopping", asked=signalled.done())
    reporting.cancel()
    await worker.app.stop()
    if crashed.done():
        reason = worker.app.crash_reason
        raise HarkError(f"worker stopped: {what_happened(reason)}") from reason
    for task in ended:
        error = None if task.cancelled() else task.exception()
        raise HarkError(f"worker stopped: {task.get_name()} ended: {what_happened(error)}")


def what_happened(error: BaseException | None) -> str:
    """One line for an error; for a group, its first error.

    Examples
    --------
    >>> what_happened(ExceptionGroup("tasks", [ExceptionGroup("more", [OSError("no disk left")])]))
    'OSError: no disk left'
    >>> what_happened(HarkError("60 dead letters in a row"))
    '60 dead letters in a row'
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if error is None:
        return "for no reason given"
    text = " ".join(str(error).split())
    name = type(error).__name__  # aiokafka's texts begin with the name
    named = isinstance(error, HarkError) or text == name or text.startswith(f"{name}: ")
    return text if named else f"{name}: {text}"
