"""Workers and topics on the real broker, and what a worker would have said without a break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import polars as pl
from aiokafka import TopicPartition

from ops.kafka_admin.topics import create_topics
from ops.publish.feed import feed
from ops.publish.publisher import Publisher
from ops.simulator.simulation import simulate_events
from schemas.events.codec import EventDecoder
from schemas.outputs import Recommendation
from schemas.topics import EVENTS, topics
from streams.histories.item_table import ItemTable
from streams.kafka.cluster_check import count_partitions
from streams.kafka.log import groupless_consumer, read_range
from streams.kafka.settings import Kafka
from streams.monitoring.metrics import Metrics
from streams.partition import PartitionState
from streams.plan import Plan
from streams.scoring import Scorer
from streams.settings import Http, Model, Settings, State
from streams.transport.record_batch import RecordBatch, fold
from streams.worker import Worker
from tests.few_partitions import PARTITIONS


@dataclass
class Shop:
    """Topics of their own, and the events published so far."""

    bootstrap: str
    prefix: str
    folder: Path
    partitions: int = PARTITIONS
    published: int = 0
    batches: dict[int, RecordBatch] = field(default_factory=dict)
    states: dict[int, PartitionState] = field(default_factory=dict)
    events: pl.DataFrame = field(
        default_factory=lambda: (
            simulate_events(11, users=120, items=60, days=30, events=4_000).events
        )
    )

    @property
    def client(self) -> dict[str, str]:
        return {"bootstrap_servers": self.bootstrap}

    async def create(self) -> None:
        await create_topics(self.client, topics(self.prefix, self.partitions), 1)

    async def publish(self, events: int) -> None:
        part = self.events.slice(self.published, events)
        self.published += len(part)
        async with Publisher(self.client, f"{self.prefix}events") as publisher:
            await publisher.publish(feed(part, None, self.prefix))

    def settings(self, checkpoint_s: float) -> Settings:
        return Settings(
            kafka=Kafka(
                bootstrap_servers=self.bootstrap,
                topic_prefix=self.prefix,
                group_id=f"{self.prefix}hark",
            ),
            state=State(checkpoint_s=checkpoint_s),
            model=Model(registry=self.folder / "registry"),
            http=Http(port=0),
        )

    async def read(self, topic: str) -> dict[int, list[bytes]]:
        """The values of a topic by partition."""
        name = self.prefix + topic
        found: dict[int, list[bytes]] = {}
        consumer = groupless_consumer(self.client)
        await consumer.start()
        try:
            for number in range((await count_partitions(self.client, [name]))[name]):
                tp = TopicPartition(name, number)
                consumer.assign([tp])
                await consumer.seek_to_beginning(tp)
                end = (await consumer.end_offsets([tp]))[tp]
                records = [r async for some in read_range(consumer, tp, end) for r in some]
                found[number] = [record.value for record in records]
                if topic == EVENTS.name and records:
                    self.batches[number] = fold(tp.topic, number, records)
        finally:
            await consumer.stop()
        return found

    async def uninterrupted(self) -> dict[int, list[bytes]]:
        """The recommendations of one worker that reads the whole log in one go, by partition."""
        await self.read(EVENTS.name)
        chosen = self.settings(0)
        decoder = EventDecoder(chosen.product_contract())
        scorer = Scorer(Plan.from_settings(chosen), decoder, ItemTable(), Metrics())
        said: dict[int, list[bytes]] = {}
        for number, batch in self.batches.items():
            self.states[number] = scorer.new_state(number)
            scored = scorer.score_batch(self.states[number], batch)
            said[number] = [
                output.value or b""
                for output in scored.outputs
                if output.topic.endswith("recommendations")
            ]
        return said


@asynccontextmanager
async def running(shop: Shop, checkpoint_s: float) -> AsyncIterator[Worker]:
    """A worker in this process, until it has restored its state and after its drain."""
    worker = Worker(shop.settings(checkpoint_s))
    await worker.check()
    await worker.app.start()
    try:
        await until(lambda: worker.ownership.progress is not None, "it has taken its partitions")
        assert len(worker.pipeline.states) == shop.partitions
        yield worker
    finally:
        await worker.app.stop()


async def caught_up(worker: Worker, shop: Shop) -> None:
    """Return once all that was published is scored."""
    await until(
        lambda: (
            sum(state.next_offset for state in worker.pipeline.states.values()) >= shop.published
        ),
        "all events are read",
    )


async def until(condition: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"still waiting until {what}"
        await asyncio.sleep(0.05)


def by_id(values: list[bytes]) -> dict[str, bytes]:
    """The outputs of a partition by id; a repeated one must be the same."""
    found: dict[str, bytes] = {}
    for value in values:
        name = msgspec.json.decode(value, type=Recommendation).recommendation_id
        assert found.setdefault(name, value) == value
    return found


def sample(worker: Worker, name: str, **labels: str) -> float:
    return worker.metrics.registry.get_sample_value(name, labels) or 0.0


def difference(found: dict[int, list[bytes]], expected: dict[int, list[bytes]]) -> str:
    """The first difference between two outputs, "" if there is none."""
    for number, values in expected.items():
        for at, (one, other) in enumerate(zip(found[number], values, strict=False)):
            if one != other:
                return f"partition {number}, output {at}:\n{one!r}\n{other!r}"
        if len(found[number]) != len(values):
            return f"partition {number}: {len(found[number])} outputs, not {len(values)}"
    return ""
