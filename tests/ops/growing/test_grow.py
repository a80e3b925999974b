"""Growing while events are published: every decision once, every history as from the start."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from aiokafka import TopicPartition

from ops.growing.copier import COPIED
from ops.growing.grow import Grown, grow
from ops.kafka_admin.topics import create_topics
from ops.publish.feed import feed
from ops.publish.publisher import Publisher, key_hash
from ops.simulator.simulation import simulate_events
from schemas.events.codec import EventDecoder
from schemas.outputs import Recommendation
from schemas.topics import EVENTS, RECOMMENDATIONS, topics
from streams.checkpoints.restore import committed_offsets
from streams.decisions.decider import Decisions
from streams.histories.item_table import ItemTable
from streams.kafka.log import Record, groupless_consumer, read_range
from streams.monitoring.metrics import Metrics
from streams.partition import PartitionState
from streams.plan import Plan
from streams.scoring import Scorer
from streams.settings import Http, Kafka, Model, Settings, State
from streams.transport.record_batch import fold
from streams.worker import Worker
from tests.end_to_end.running import until
from tests.ops.growing.logs import Published, rows, spread

BEFORE, AFTER = 2, 5
SHOP = simulate_events(23, users=150, items=60, days=30, events=3_000).events


class Told:
    """What the command says, and moments to wait for."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def total(self, step: str, total: int) -> None:
        pass

    def advance(self, records: int) -> None:
        pass

    async def until(self, words: str, growing: asyncio.Task[Grown]) -> None:
        """Wait until the command says these words; its error is this one's."""
        await until(lambda: growing.done() or any(words in line for line in self.lines), words, 120)
        if growing.done():
            growing.result()


@dataclass
class Story:
    """Two prefixes on one broker, and the decisions of the workers on them."""

    bootstrap: str
    base: str
    folder: Path
    published: int = 0
    decided: dict[str, list[tuple[int, int]]] = field(
        default_factory=lambda: {"old.": [], "new.": []}
    )

    @property
    def client(self) -> dict[str, Any]:
        return {"bootstrap_servers": self.bootstrap}

    def settings(self, prefix: str) -> Settings:
        return Settings(
            kafka=Kafka(
                bootstrap_servers=self.bootstrap,
                topic_prefix=self.base + prefix,
                group_id=f"{self.base}hark",
            ),
            state=State(checkpoint_s=3_600),
            model=Model(registry=self.folder / "registry"),
            http=Http(port=0),
        )

    def grow(self, told: Told, quiet_s: float = 3) -> asyncio.Task[Grown]:
        work = grow(self.settings("old."), AFTER, f"{self.base}new.", told, quiet_s=quiet_s)
        return asyncio.create_task(work)

    async def start(self, stack: AsyncExitStack, prefix: str) -> Worker:
        """A worker that notes what it decides."""

        def note(number: int, offsets: npt.NDArray[np.int64], _: Decisions) -> None:
            self.decided[prefix] += [(number, offset) for offset in offsets.tolist()]

        worker = Worker(self.settings(prefix), note)
        await worker.check()
        await worker.app.start()
        stack.push_async_callback(worker.app.stop)
        await until(worker.health._ready.is_set, f"the worker on {prefix} is ready")
        return worker

    async def publish(self, prefix: str, events: int) -> None:
        part = SHOP.slice(self.published, events)
        self.published += len(part)
        async with Publisher(self.client, f"{self.base}{prefix}events") as publisher:
            await publisher.publish(feed(part, None, self.base + prefix))

    async def load(self, until_moved: asyncio.Event) -> None:
        """Publish a few events after another to the old topic."""
        while not until_moved.is_set():
            await self.publish("old.", 15)
            await asyncio.sleep(0.1)

    async def log(self, prefix: str, topic: str, partitions: int) -> list[Record]:
        consumer = groupless_consumer(self.client)
        await consumer.start()
        found = []
        try:
            for number in range(partitions):
                tp = TopicPartition(f"{self.base}{prefix}{topic}", number)
                consumer.assign([tp])
                await consumer.seek_to_beginning(tp)
                end = (await consumer.end_offsets([tp]))[tp]
                found += [r async for records in read_range(consumer, tp, end) for r in records]
        finally:
            await consumer.stop()
        return found

    async def copied_all(self) -> bool:
        """Whether the old topic is copied as far as it goes."""
        group = f"{self.base}hark-grow-{self.base}new."
        known = await committed_offsets(self.client, group)
        consumer = groupless_consumer(self.client)
        await consumer.start()
        try:
            ends = await consumer.end_offsets(list(known))
        finally:
            await consumer.stop()
        return bool(known) and all(known[tp] >= end for tp, end in ends.items())


def from_the_start(story: Story) -> tuple[dict[int, PartitionState], set[str]]:
    """The states of a run with `AFTER` partitions, and the messages that asked for a decision."""
    chosen = story.settings("new.")
    decided: set[str] = set()
    logs: dict[int, list[Any]] = {number: [] for number in range(AFTER)}
    for key, value in spread(SHOP.head(story.published)):
        log = logs[key_hash(key) % AFTER]
        log.append(Published(len(log), 1_790_000_000_000 + len(log), key, value))
    decoder = EventDecoder(chosen.product_contract())
    states = {}
    for number, log in logs.items():

        def note(_: int, offsets: npt.NDArray[np.int64], __: Decisions, log: Any = log) -> None:
            decided.update(message_id(log[offset].value) for offset in offsets.tolist())

        scorer = Scorer(Plan.from_settings(chosen), decoder, ItemTable(), Metrics(), note)
        states[number] = scorer.new_state(number)
        scorer.score_batch(states[number], fold(EVENTS.name, number, log))
    return states, decided


def message_id(value: bytes | None) -> str:
    found: str = msgspec.json.decode(value or b"")["messageId"]
    return found


async def test_growing_under_load_loses_nothing_and_answers_nothing_twice(
    kafka_bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    story, told, moved = Story(kafka_bootstrap, topic_prefix, tmp_path), Told(), asyncio.Event()
    await create_topics(story.client, topics(f"{topic_prefix}old.", BEFORE), 1)
    async with AsyncExitStack() as stack, AsyncExitStack() as old_worker:
        await story.start(old_worker, "old.")
        await story.publish("old.", 600)
        load = asyncio.create_task(story.load(moved))
        for _ in range(2):  # interrupted, and run again
            told = Told()
            growing = story.grow(told)
            await told.until("stop all workers", growing)
            growing.cancel()
            await asyncio.wait({growing})
        told = Told()
        growing = story.grow(told)
        await told.until("stop all workers", growing)
        await old_worker.aclose()
        await told.until("start the workers", growing)
        new_worker = await story.start(stack, "new.")
        growing.cancel()  # interrupted once more
        await asyncio.wait({growing})
        growing = story.grow(told)
        await asyncio.sleep(2)
        moved.set()
        await load
        await until(story.copied_all, "publishers may move")
        await story.publish("new.", 10_000)
        grown = await growing
        total = len(SHOP)
        assert story.published == total
        await until(
            lambda: (
                sum(
                    new_worker.metrics.registry.get_sample_value(
                        "hark_lag_records", {"partition": str(n)}
                    )
                    or 0
                    for n in range(AFTER)
                )
                == 0
            ),
            "all is read",
        )
        await asyncio.sleep(1)
        states = dict(new_worker.pipeline.states)
    copies = {
        (record.partition, record.offset): tuple(map(int, came.split(b"/")))
        for record in await story.log("new.", EVENTS.name, AFTER)
        for name, came in record.headers
        if name == COPIED
    }
    originals = {(r.partition, r.offset): r for r in await story.log("old.", EVENTS.name, BEFORE)}
    moved_later = {(r.partition, r.offset): r for r in await story.log("new.", EVENTS.name, AFTER)}
    assert sorted(copies.values()) == sorted(originals)
    assert grown.copied == len(originals) > 600
    assert len(moved_later) == total
    assert grown.missed == 0

    expected, asked = from_the_start(story)
    assert rows(states) == rows(expected)
    decided = Counter(message_id(originals[at].value) for at in story.decided["old."])
    decided += Counter(message_id(moved_later[at].value) for at in story.decided["new."])
    assert min(map(len, story.decided.values())) > 50
    assert set(decided) == asked
    assert set(decided.values()) == {1}
    lists = [
        *await story.log("old.", RECOMMENDATIONS.name, BEFORE),
        *await story.log("new.", RECOMMENDATIONS.name, AFTER),
    ]
    answered = Counter(
        msgspec.json.decode(one.value, type=Recommendation).trigger_message_id for one in lists
    )
    assert set(answered.values()) == {1}
