"""The ingest benchmark: fill a topic once, then read it in each way, one process per way.

Run as a module it measures one row: `python -m ops.benchmarks.ingest TARGET TOPIC EVENTS`.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import platform
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from aiokafka.admin import AIOKafkaAdminClient

from ops.connection import kafka_environment
from ops.kafka_admin.topics import create_topics
from ops.publish.feed import feed
from ops.publish.lane import Headers
from ops.publish.publisher import Published, Publisher
from ops.simulator.simulation import simulate_events
from schemas.errors import TransientError
from schemas.topics import topics
from streams.kafka.settings import Kafka
from streams.settings import load_settings

PARTITIONS = 4
"""Of all benchmarks' `events`, whatever `kafka.partitions` says: figures stay comparable."""
_ROW_TIMEOUT_S = 180
WORKER = "worker"
"""The row that needs a trained model."""
TRACING = (("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),)
"""What OpenTelemetry's producers put on every record."""
_VERSIONS = (
    "aiokafka", "faust-streaming", "mode-streaming", "msgspec", "numpy", "onnxruntime", "polars",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One way to read the topic.

    Attributes
    ----------
    target
        `module:function` of a function (section `kafka`, topic, number of events) -> events
        per second. The topic ends in `events`; what comes before is the prefix of all topics.
    share
        How much of the topic it reads: a slow way needs fewer events for as many seconds.
    traced
        It reads a topic of the same events with tracing headers on every record.
    """

    name: str
    target: str
    share: float = 1.0
    traced: bool = False


ROWS = (
    Row("raw", "ops.benchmarks.ingest_rows:raw"),
    Row("faust_each", "ops.benchmarks.ingest_rows:faust_each", 0.2),
    Row("faust_take", "ops.benchmarks.ingest_rows:faust_take", 0.2),
    Row("transport", "ops.benchmarks.ingest_rows:transport"),
    Row("worker_no_model", "ops.benchmarks.ingest_worker:worker_no_model", 0.5),
    Row("worker_traced", "ops.benchmarks.ingest_worker:worker_no_model", 0.5, traced=True),
    Row(WORKER, "ops.benchmarks.ingest_worker:worker", 0.2),
)


@dataclass(frozen=True, slots=True)
class Filled:
    """The topic that all rows read."""

    topic: str
    events: int
    mean_bytes: float

    def part(self, row: Row) -> int:
        """How many events a row reads of it."""
        return max(1, round(self.events * row.share))


def measure(row: Row, kafka: Kafka, filled: Filled) -> float:
    """Measure one row in a fresh process: events per second."""
    n_events = filled.part(row)
    module = ("-m", "ops.benchmarks.ingest", row.target, filled.topic, str(n_events))
    try:
        done = subprocess.run(
            [sys.executable, *module],
            capture_output=True,
            text=True,
            env={**os.environ, **kafka_environment(kafka)},
            timeout=_ROW_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TransientError(f"{row.name}: not done after {_ROW_TIMEOUT_S} s") from error
    if done.returncode:
        raise TransientError(f"{row.name} failed:\n{done.stderr.strip()[-2000:]}")
    return float(json.loads(done.stdout.splitlines()[-1]))


@contextmanager
def filled_topic(
    kafka: Kafka, events: int, seed: int = 7, headers: Headers = ()
) -> Iterator[Filled]:
    """Make a set of topics, fill `events` with a simulated shop's events, delete them after."""
    prefix = f"bench-{uuid.uuid4().hex[:8]}."
    specs = topics(prefix, PARTITIONS)
    asyncio.run(create_topics(kafka.client(), specs, kafka.replication_factor))
    try:
        published = asyncio.run(_fill(kafka, prefix, events, seed, headers))
        topic = f"{prefix}events"
        yield Filled(topic, published.sent[topic], published.bytes[topic] / published.sent[topic])
    finally:
        asyncio.run(delete_topics(kafka, [spec.name for spec in specs]))


async def _fill(kafka: Kafka, prefix: str, events: int, seed: int, headers: Headers) -> Published:
    shop = await asyncio.to_thread(
        simulate_events,
        seed,
        users=max(100, events // 15),
        items=5_000,
        days=30.0,
        events=events,
        cart_rate=0.03,
    )
    async with Publisher(kafka.client(), f"{prefix}events", headers=headers) as publisher:
        return await publisher.publish(feed(shop.events, shop.catalogue, prefix))


async def delete_topics(kafka: Kafka, names: list[str]) -> None:
    """Leave nothing behind."""
    admin = AIOKafkaAdminClient(**kafka.client())
    await admin.start()
    try:
        await admin.delete_topics(names)
    finally:
        await admin.close()


def machine() -> dict[str, Any]:
    """What the numbers depend on: processor, cores, system, versions."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "load_1m_before": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in _VERSIONS},
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main(target: str, topic: str, n_events: str) -> None:
    """Measure one row here and print its events per second."""
    module, _, function = target.partition(":")
    run = getattr(importlib.import_module(module), function)
    rate = cast("Callable[[Kafka, str, int], float]", run)(
        load_settings().kafka, topic, int(n_events)
    )
    print(json.dumps(rate))


if __name__ == "__main__":
    main(*sys.argv[1:4])
