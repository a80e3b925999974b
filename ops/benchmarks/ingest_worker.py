"""The whole worker as a row of the ingest benchmark: decode, state, decisions, publish, ack."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.benchmarks.ingest_rows import Meter
from ops.connection import kafka_environment, with_kafka
from schemas.errors import TransientError
from streams.kafka.settings import Kafka
from streams.monitoring import logs
from streams.settings import Http, Model, Settings
from streams.worker import Worker

REGISTRY_VARIABLE = "BENCH_REGISTRY"
"""Where the parent process put the model that the row `worker` answers with."""

_POLL_S = 0.02


@contextmanager
def trained_on(kafka: Kafka, topic: str, *, seconds: float = 10.0) -> Iterator[None]:
    """Train a size-S model on the topic and leave it where the row `worker` finds it.

    In a process of its own: what is measured never loads torch.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = ("train", "--archive", f"{folder}/archive", "--max-seconds", str(seconds))
        environment = {
            **os.environ,
            **kafka_environment(kafka),
            "HARK_KAFKA__TOPIC_PREFIX": topic.removesuffix("events"),
            "HARK_MODEL__REGISTRY": f"{folder}/registry",
        }
        done = subprocess.run(
            [sys.executable, "-m", "ops.cli", *command],
            capture_output=True, text=True, env=environment, check=False,
        )  # fmt: skip
        if done.returncode:
            raise TransientError(f"training failed:\n{done.stderr.strip()[-2000:]}")
        os.environ[REGISTRY_VARIABLE] = f"{folder}/registry"
        try:
            yield
        finally:
            del os.environ[REGISTRY_VARIABLE]


def worker_no_model(kafka: Kafka, topic: str, n_events: int) -> float:
    """The worker with its counters instead of a model, publishing."""
    with tempfile.TemporaryDirectory() as empty:
        return asyncio.run(_run(kafka, topic, n_events, Path(empty)))


def worker(kafka: Kafka, topic: str, n_events: int) -> float:
    """The worker with the size-S model, publishing."""
    return asyncio.run(_run(kafka, topic, n_events, Path(os.environ[REGISTRY_VARIABLE])))


async def _run(kafka: Kafka, topic: str, n_events: int, registry: Path) -> float:
    process = Worker(
        Settings(
            kafka=with_kafka(
                Settings(kafka=kafka),
                {
                    "topic_prefix": topic.removesuffix("events"),
                    "group_id": f"bench-{uuid.uuid4().hex}",
                },
            ).kafka,
            model=Model(registry=registry),
            http=Http(port=0),
        )
    )
    logs.configure("WARNING")
    meter = Meter(n_events)
    await process.check()
    await process.app.start()
    try:
        while not meter.done.is_set():
            await asyncio.sleep(_POLL_S)
            handled = process.metrics.handled
            if handled > meter.count:
                meter.add(handled - meter.count)
        return await meter.events_per_s()
    finally:
        await process.app.stop()
