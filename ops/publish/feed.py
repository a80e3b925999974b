"""Events and their catalogue as one stream of records, and the run that publishes it."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click
import msgspec
import polars as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ops.privacy.pseudonym_command import pseudonyms, under_pseudonyms
from ops.publish.pace import Pace
from ops.publish.publisher import Published, Publisher
from ops.publish.segment import Records, records
from schemas.events.messages import ItemUpsert
from schemas.topics import EVENTS, ITEMS, topics
from streams.kafka.cluster_check import check_cluster
from streams.settings import Settings

_CHUNK = 2_000


def feed(
    events: pl.DataFrame, catalogue: pl.DataFrame | None, prefix: str = "", chunk: int = _CHUNK
) -> Iterator[Records]:
    """Yield records in the order to publish them: an item's entry before events after its time.

    Parameters
    ----------
    events
        Event frame, sorted by `time_ms`.
    catalogue
        Columns of `ItemUpsert` and `item_id`; with a `time_ms`, entries are spread over the
        events, without one all come first. `removed` (bool) makes a tombstone.
    prefix
        The configured prefix of topic names.
    """
    topic = prefix + ITEMS.name
    if catalogue is not None and "time_ms" not in catalogue.columns:
        yield catalogue_records(catalogue, topic)
        catalogue = None
    done = 0
    for first in range(0, len(events), chunk):
        part = events.slice(first, chunk)
        if catalogue is not None:
            ready = int((catalogue["time_ms"] <= part["time_ms"][-1]).sum())
            if ready > done:
                yield catalogue_records(catalogue.slice(done, ready - done), topic)
                done = ready
        yield records(part, prefix + EVENTS.name)


def catalogue_records(catalogue: pl.DataFrame, topic: str) -> Records:
    """Catalogue rows as records keyed by item id; a removed item is a tombstone."""
    fields = [name for name in ItemUpsert.__struct_fields__ if name in catalogue.columns]
    encode = msgspec.json.Encoder().encode
    values: list[bytes | None] = []
    for row in catalogue.iter_rows(named=True):
        given = {name: row[name] for name in fields if row[name] is not None}
        values.append(None if row.get("removed") else encode(ItemUpsert(**given)))
    times = (
        catalogue["time_ms"]
        if "time_ms" in catalogue.columns
        else pl.zeros(len(values), eager=True)
    )
    return Records(
        topic=topic,
        keys=[item.encode() for item in catalogue["item_id"]],
        values=values,
        times_ms=times.cast(pl.Int64).to_numpy(),
    )


def run(
    settings: Settings,
    events: pl.DataFrame,
    catalogue: pl.DataFrame | None,
    pace: Pace | None,
    *,
    as_json: bool,
    extra: Mapping[str, Any],
) -> None:
    """Publish with a progress bar, then print the summary (as JSON where a script reads it)."""
    prefix = settings.kafka.topic_prefix
    topic = prefix + EVENTS.name
    if (renamed := pseudonyms(settings.privacy)) is not None:
        events = under_pseudonyms(events, renamed, settings.privacy.also)
    needed = [spec for spec in topics(prefix) if spec.name in (topic, prefix + ITEMS.name)]
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what matters is raised
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"), TimeRemainingColumn(),
        console=console, disable=not console.is_terminal,
    ) as progress:  # fmt: skip
        task = progress.add_task(topic, total=len(events), speed="")

        def show(sent: int) -> None:
            speed = progress.tasks[0].speed
            progress.update(task, completed=sent, speed=f"{speed:,.0f}/s" if speed else "")

        async def publish() -> Published:
            await check_cluster(settings.kafka.client(), needed, role="publisher")
            async with Publisher(settings.kafka.client(), topic) as publisher:
                return await publisher.publish(feed(events, catalogue, prefix), pace, show)

        published = asyncio.run(publish())
    items = published.sent.total() - published.sent[topic]
    summary = {"topic": topic, **published.summary(topic), "items": items, **extra}
    if as_json:
        click.echo(json.dumps(summary))
        return
    late = summary["lateness_ms"]
    click.echo(
        f"{summary['sent']:,} events acknowledged on {topic} in {summary['seconds']:.1f} s, "
        f"{summary['events_per_s']:,.0f}/s, {summary['mean_bytes']:.0f} bytes each"
        + (f"; {items:,} items" if items else "")
        + (f"; left {late['p50']:.1f} ms late (p99 {late['p99']:.1f})" if late else "")
    )
    for reason, count in extra.get("skipped", {}).items():
        click.echo(f"skipped {count:,} rows: {reason.replace('_', ' ')}", file=sys.stderr)
