"""The load: a simulated shop's events, sent by schedule from a process of its own.

The schedule is fixed in advance, so a slow receiver is asked no less (`ops/publish/pace.py`).
`python -m ops.benchmarks.latency.load send LOAD` sends until it is done or gets SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import msgspec
import numpy as np
import polars as pl

from ops.benchmarks.latency.process import Process
from ops.publish.feed import catalogue_records
from ops.publish.pace import at_rate
from ops.publish.publisher import Publisher
from ops.publish.segment import Records, records
from ops.simulator.simulation import START_MS, Simulation
from schemas.topics import EVENTS, ITEMS
from streams.kafka.settings import Kafka
from streams.settings import load_settings

KINDS = ("Product Viewed", "Product Added", "Order Completed", "Payment Made")
STEP_MS = 3_500
"""Event time between two events: a list is due at each, as `refresh_s` is 1 s here."""
_PREFIX = "load-"
_CHUNK_S = 0.5


class Load(msgspec.Struct, frozen=True):
    """What to send.

    Attributes
    ----------
    shop
        Folder that `write_shop` filled.
    rate
        Events a second.
    first, count
        Numbers of the events; they go on where the last load ended.
    catalogue
        Send the shop's catalogue before.
    users
        Every event is of another of so many users; 0: of the shop's own.
    """

    shop: str
    rate: float
    first: int
    count: int
    catalogue: bool = False
    users: int = 0


def write_shop(folder: Path, shop: Simulation) -> None:
    """Leave what users do in the shop, and its catalogue, where senders find them."""
    shop.events.filter(pl.col("event").is_in(KINDS)).write_parquet(folder / "events.parquet")
    shop.catalogue.write_parquet(folder / "catalogue.parquet")


def number(message_id: str) -> int:
    """The number of the event with this message id."""
    return int(message_id.removeprefix(_PREFIX))


def event_records(
    shop: pl.DataFrame, first: int, count: int, topic: str, *, users: int = 0
) -> Records:
    """Events `first` to `first + count`: the shop's over and over, a step of time apart."""
    numbers = np.arange(first, first + count)
    frame = shop[numbers % len(shop)].with_columns(
        message_id=pl.Series([f"{_PREFIX}{i}" for i in numbers.tolist()]),
        time_ms=pl.Series(START_MS + numbers * STEP_MS),
    )
    if users:
        frame = frame.with_columns(user_id=pl.Series([f"load-{i % users}" for i in numbers]))
    return records(frame, topic)


class Sender(Process):
    """The process that sends a load."""

    def __init__(self, kafka: Kafka, load: Load, folder: Path) -> None:
        arguments = ["send", msgspec.json.encode(load).decode()]
        super().__init__(arguments, folder, kafka, module="ops.benchmarks.latency.load")

    async def begun(self) -> bool:
        """Whether the schedule runs."""
        return self.check() or bool(self.answer())

    async def done(self) -> bool:
        """Whether all is sent and acknowledged; raises `TransientError` if that failed."""
        return self.check()


async def _send(kafka: Kafka, load: Load, ended: Event) -> None:
    folder, topic = Path(load.shop), kafka.topic_prefix + EVENTS.name
    shop = pl.read_parquet(folder / "events.parquet")

    def chunks() -> Iterator[Records]:
        size = max(1, round(load.rate * _CHUNK_S))
        end = load.first + load.count
        for first in range(load.first, end, size):
            if ended.is_set():
                return
            yield event_records(shop, first, min(size, end - first), topic, users=load.users)

    async with Publisher(kafka.client(), topic) as publisher:
        if load.catalogue:
            catalogue = pl.read_parquet(folder / "catalogue.parquet")
            items = catalogue_records(catalogue, kafka.topic_prefix + ITEMS.name)
            await publisher.publish(iter([items]))
        print(json.dumps({"begun": True}), flush=True)
        published = await publisher.publish(chunks(), at_rate(load.rate))
    print(json.dumps(published.summary(topic)), flush=True)


def main(load: str) -> None:
    """Send a load, given as JSON, to the cluster that the environment names."""
    ended = Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    kafka = load_settings().kafka
    asyncio.run(_send(kafka, msgspec.json.decode(load, type=Load), ended))


if __name__ == "__main__":
    main(sys.argv[2])
