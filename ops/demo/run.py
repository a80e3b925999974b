"""The demo's steps, one after the other: first part, training, worker, live part, results."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from ops.child_process import Child
from ops.demo.cluster import As, environment
from ops.demo.list_quality import Standing, judge
from ops.demo.live_view import LiveView
from ops.demo.scrape import Scrape, answers, latency_ms, scrape
from ops.demo.summary import accounting, model_version, summarise
from ops.event_files.adapters import Source
from ops.local_kafka.ports import free_ports
from ops.publish.feed import feed
from ops.publish.pace import Pace, at_rate
from ops.publish.publisher import Publisher
from ops.tail_command import follow
from schemas.errors import HarkError, TransientError
from schemas.outputs import Alert, Recommendation
from schemas.topics import ALERTS, EVENTS, RECOMMENDATIONS, TopicSpec, topics
from streams.kafka.log import Record

_STUCK_S = 90.0
_decode_recommendation = msgspec.json.Decoder(Recommendation).decode
_decode_alert = msgspec.json.Decoder(Alert).decode


class Run:
    """One run of the demo on a cluster that is ready.

    Parameters
    ----------
    settings
        Of the cluster, the worker's port and the registry, for each part by its role.
    source
        All events, sorted by time; the first `first` of them are for training.
    folder
        Where the children run and log.
    view
        Told what is going on.
    """

    def __init__(
        self, settings: As, source: Source, first: int, folder: Path, view: LiveView
    ) -> None:
        self.recommendations: list[Recommendation] = []
        self.alerts: list[Alert] = []
        self._as, self._settings = settings, settings("worker")
        self._source, self._first = source, first
        self._folder, self._view, self._picture = folder, view, view.picture
        self._prefix = self._settings.kafka.topic_prefix
        self._topics = {
            base.name: spec for base, spec in zip(topics(), topics(self._prefix), strict=True)
        }
        self._url = ""
        self._sent = 0
        self._caught_up_per_s = self._cores = 0.0
        self._seconds: dict[str, float] = {}
        self._training: dict[str, Any] = {}
        self._last: Scrape | None = None
        self._live_from: Scrape | None = None
        self._read_s = time.monotonic()
        self._standings: dict[str, Standing] = {}

    async def everything(self, stack: ExitStack, live_seconds: float) -> None:
        """Do it all; `stack` stops what was started."""
        events, first = self._source.events, self._first
        await self._timed("publish the first part", self._publish(0, first, None))
        env = environment(self._as("trainer"))
        trainer = stack.enter_context(Child(["train", "--json"], self._folder, env))
        await self._timed("train", self._until(trainer.check))
        self._training = trainer.answer()
        # Not before now: another program may have taken it while we trained.
        port = self._settings.http.port or free_ports(1)[0]
        self._url = f"http://{self._settings.http.host}:{port}"
        env = {**environment(self._settings), "HARK_HTTP__PORT": str(port)}
        worker = stack.enter_context(Child(["worker"], self._folder, env))
        await self._timed("start the worker", self._until_ready(worker))
        began = time.monotonic()
        await self._timed("catch up", self._until_scored(worker))
        self._caught_up_per_s = self._sent / (time.monotonic() - began)
        self._live_from = self._last
        used_s, live_s = worker.cpu_s(), time.monotonic()
        watching = [
            asyncio.create_task(self._watch(RECOMMENDATIONS, self._saw_recommendation)),
            asyncio.create_task(self._watch(ALERTS, self._saw_alert)),
            asyncio.create_task(self._measure(worker)),
        ]
        pace = at_rate((len(events) - first) / live_seconds)
        await self._timed("stream live", self._publish(first, len(events), pace))
        await self._timed("finish", self._until_scored(worker))
        self._cores = (worker.cpu_s() - used_s) / (time.monotonic() - live_s)
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        self._view.phase("stopping the worker")
        if worker.stop() != 0:
            raise TransientError(f"the worker didn't end well; its log ends with\n{worker.tail()}")
        await self._timed("judge", self._collect())

    def summary(self) -> dict[str, Any]:
        """What came of it."""
        assert self._last is not None
        assert self._live_from is not None
        return {
            **summarise(
                self._last,
                sent=self._sent,
                recommendations=len(self.recommendations),
                alerts=self.alerts,
                latency_ms=latency_ms(self._live_from, self._last),
                standings=self._standings,
                events_per_s=self._caught_up_per_s,
                cores=self._cores,
            ),
            "skipped": dict(self._source.skipped),
            "training": self._training,
            "seconds": self._seconds,
        }

    def check(self) -> None:
        """Raise if an event isn't accounted for."""
        found = self.summary()
        counted = sum(found[name] for name in ("ingested", "duplicates", "dead_letters"))
        if counted != self._sent:
            raise HarkError(f"{self._sent:,} events sent but {counted:,} accounted for")

    async def _timed(self, phase: str, work: Awaitable[None]) -> None:
        self._view.phase(phase)
        began = time.monotonic()
        await work
        self._seconds[phase] = round(time.monotonic() - began, 2)

    async def _publish(self, start: int, stop: int, pace: Pace | None) -> None:
        events = self._source.events.slice(start, stop - start)
        catalogue = self._source.catalogue
        if catalogue is not None and start:
            catalogue = self._later(catalogue, start)
        before = self._sent

        def progress(sent: int) -> None:
            self._sent = self._picture.sent = before + sent
            self._view.tick()

        client = self._as("publisher").kafka.client()
        async with Publisher(client, self._prefix + EVENTS.name) as publisher:
            await publisher.publish(
                feed(events, catalogue, self._prefix, chunk=500), pace, progress
            )

    def _later(self, catalogue: pl.DataFrame, start: int) -> pl.DataFrame | None:
        """Items that the first part hasn't published yet."""
        if "time_ms" not in catalogue.columns:
            return None
        return catalogue.filter(catalogue["time_ms"] > self._source.events["time_ms"][start - 1])

    async def _until(self, done: Callable[[], bool]) -> None:
        while not done():
            self._view.tick()
            await asyncio.sleep(0.2)

    async def _until_ready(self, worker: Child) -> None:
        end = time.monotonic() + _STUCK_S
        while not await answers(f"{self._url}/readyz"):
            self._must_run(worker)
            if time.monotonic() > end:
                raise TransientError(f"the worker isn't ready; its log ends with\n{worker.tail()}")
            await asyncio.sleep(0.2)

    async def _until_scored(self, worker: Child) -> None:
        """Wait until the worker has an outcome for everything that was sent."""
        moved_s, counted = time.monotonic(), -1
        while counted < self._sent:
            before, counted = counted, await self._read(worker)
            if counted != before:
                moved_s = time.monotonic()
            elif time.monotonic() - moved_s > _STUCK_S:
                raise TransientError(
                    f"the worker stands at {counted:,} of {self._sent:,} events; "
                    f"its log ends with\n{worker.tail()}"
                )
            await asyncio.sleep(0.25)

    async def _measure(self, worker: Child) -> None:
        while True:
            await self._read(worker)
            await asyncio.sleep(0.5)

    async def _read(self, worker: Child) -> int:
        """Read the metrics into the picture; returns the events with an outcome."""
        self._must_run(worker)
        began, before = time.monotonic(), self._picture.scored
        reading = await scrape(f"{self._url}/metrics")
        if reading is None:
            return before
        self._last = reading
        found = accounting(reading)
        picture = self._picture
        picture.scored, picture.dead_letters = sum(found.values()), found["dead_letters"]
        picture.lag = self._sent - picture.scored
        if self._live_from is not None:  # while it catches up, age says nothing
            picture.latency_ms = latency_ms(self._live_from, reading)
        picture.model = model_version(reading)
        speed = (picture.scored - before) / max(began - self._read_s, 1e-3)
        picture.events_per_s += 0.3 * (speed - picture.events_per_s)
        self._read_s = began
        self._view.tick()
        return picture.scored

    def _must_run(self, worker: Child) -> None:
        if worker.check():
            raise TransientError(f"the worker ended early; its log ends with\n{worker.tail()}")

    async def _watch(self, topic: TopicSpec, saw: Callable[[bytes], None]) -> None:
        spec = self._topics[topic.name]
        async with aclosing(self._follow(spec, from_beginning=False)) as records:
            async for record in records:
                saw(record.value)

    def _saw_recommendation(self, value: bytes) -> None:
        self._picture.recommendations.append(_decode_recommendation(value))

    def _saw_alert(self, value: bytes) -> None:
        self._picture.alerts.append(_decode_alert(value))

    async def _collect(self) -> None:
        """Read all outputs back and judge the live part's lists."""
        lists, alerts = self._topics[RECOMMENDATIONS.name], self._topics[ALERTS.name]
        self.recommendations = [_decode_recommendation(v) for v in await self._all(lists)]
        self.alerts = [_decode_alert(v) for v in await self._all(alerts)]
        events = self._source.events
        live = set(events["message_id"][self._first :])
        published = {
            made.trigger_message_id: [item.item_id for item in made.items]
            for made in self.recommendations
            if made.trigger_message_id in live
        }
        item = "properties.product_id"
        about = pl.col(item) if item in events.columns else pl.lit(None, pl.String)
        rows = events.select("message_id", "user_id", item=about).iter_rows()
        self._standings = await asyncio.to_thread(judge, rows, published)

    def _follow(
        self, spec: TopicSpec, *, from_beginning: bool, until_end: bool = False
    ) -> AsyncGenerator[Record, None]:
        client = self._as("reader").kafka.client()
        return follow(client, spec, from_beginning=from_beginning, until_end=until_end)

    async def _all(self, spec: TopicSpec) -> list[bytes]:
        messages = self._follow(spec, from_beginning=True, until_end=True)
        async with aclosing(messages):
            return [record.value async for record in messages]
