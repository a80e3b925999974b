"""The whole worker as a row of the ingest benchmark: decode, state, decisions, publish, ack."""

from __future__ import annotations

import asyncio
import os
import tempfile
import uuid
from pathlib import Path

from ops.bench_rows import Meter
from streams.app import Worker
from streams.settings import Http, Kafka, Model, Settings

REGISTRY_VARIABLE = "HARK_BENCH_REGISTRY"
"""Where the parent process put the model that the row `worker` answers with."""

_POLL_S = 0.005


def worker_no_model(bootstrap: str, topic: str, n_events: int) -> float:
    """The worker with its counters instead of a model, publishing."""
    with tempfile.TemporaryDirectory() as empty:
        return asyncio.run(_run(bootstrap, topic, n_events, Path(empty)))


def worker(bootstrap: str, topic: str, n_events: int) -> float:
    """The worker with the size-S model, publishing."""
    return asyncio.run(_run(bootstrap, topic, n_events, Path(os.environ[REGISTRY_VARIABLE])))


async def _run(bootstrap: str, topic: str, n_events: int, registry: Path) -> float:
    process = Worker(
        Settings(
            kafka=Kafka(
                bootstrap_servers=bootstrap,
                topic_prefix=topic.removesuffix("events"),
                group_id=f"bench-{uuid.uuid4().hex}",
            ),
            model=Model(registry=registry),
            http=Http(port=0),
        )
    )
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
