"""One rival at one rate: from the broker's time of an event to that of its list."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from ops.benchmarks.latency.load import Load, Sender
from ops.benchmarks.latency.rivals import Prepared, Rival
from ops.benchmarks.latency.watch import Watch, timed_topics, until
from streams.kafka.settings import Kafka

WARM = Load(shop="", rate=20.0, first=0, count=60, catalogue=True)
"""Before anything is measured: the rival has started when these are answered."""
SKIP_S = 3.0
"""At the rate, not measured."""
START_S = 240.0  # a machine that compiles the kernels for the first time, and is busy
DRAIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Setup:
    """What every row starts from.

    Attributes
    ----------
    kafka
        The cluster.
    prepared
        The shop and the models.
    folder
        For the processes of the row; new.
    """

    kafka: Kafka
    prepared: Prepared
    folder: Path

    def load(
        self, rate: float, first: int, count: int, *, catalogue: bool = False, users: int = 0
    ) -> Load:
        """Events `first` to `first + count` of the shop, `rate` a second."""
        return Load(str(self.prepared.shop), rate, first, count, catalogue, users)


async def measure(name: str, rate: float, seconds: float, setup: Setup) -> dict[str, Any]:
    """Start a rival on topics of its own, warm it up, send at `rate`, read both topics.

    Returns
    -------
    dict
        `p50_ms`, `p99_ms`, `max_ms`, `cores` of the `seconds`; `events`, `outputs`, `silent` (the
        list would have been the last one again) and `missing` of all that was sent at the rate;
        `late_p99_ms`: how late against the schedule the sender was.
    """
    setup.folder.mkdir()
    async with timed_topics(setup.kafka) as kafka, Watch(kafka) as watch:
        with Rival(name, kafka, setup.prepared, setup.folder / name) as rival:
            await warm_up(setup, kafka, watch, rival)
            silent, first = await rival.silent(), WARM.count
            load = setup.load(rate, first, round(rate * (SKIP_S + seconds)))
            with Sender(kafka, load, setup.folder / "sender") as sender:
                await until(sender.begun, "the sender sends", rival.check, START_S)
                await asyncio.sleep(SKIP_S)
                used, since = rival.cpu_s(), time.monotonic()
                await until(sender.done, "all is sent", rival.check, 2 * seconds + DRAIN_S)
                cores = (rival.cpu_s() - used) / (time.monotonic() - since)
                sent = sender.answer()
            await watch.until_handled(rival.check, DRAIN_S + seconds)
            silent = await rival.silent() - silent
        records = (await watch.records()).filter(pl.col("number") >= first)
    measured = records.filter(pl.col("number") >= first + round(rate * SKIP_S))
    outputs = records["output_ms"].count()
    return {
        **percentiles(measured),
        "cores": round(cores, 3),
        "events": len(records),
        "outputs": outputs,
        "silent": silent,
        "missing": load.count - outputs - silent,
        "late_p99_ms": sent["lateness_ms"]["p99"],
    }


async def warm_up(setup: Setup, kafka: Kafka, watch: Watch, rival: Rival) -> None:
    """Send the catalogue and a few events, and wait until they are handled."""
    load = setup.load(WARM.rate, WARM.first, WARM.count, catalogue=True)
    with Sender(kafka, load, setup.folder / "warm-up") as sender:
        await until(sender.done, "the first events are sent", rival.check, START_S)
    await watch.until_handled(rival.check, START_S)


def percentiles(records: pl.DataFrame) -> dict[str, float | None]:
    """Of the events with an output, in ms."""
    waited = (records["output_ms"] - records["event_ms"]).drop_nulls()
    return {
        "p50_ms": waited.quantile(0.5, "higher"),
        "p99_ms": waited.quantile(0.99, "higher"),
        "max_ms": waited.quantile(1.0, "higher"),
    }
