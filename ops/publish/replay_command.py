"""`hark replay FILE`: publish a file's events as if they happened now, or as fast as possible."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
import polars as pl

from ops.connection import connected_settings
from ops.event_files.adapters import ADAPTERS, load
from ops.event_files.options import Mapping, Moment, how_to_read, reading_options, warn_of
from ops.publish.feed import run
from ops.publish.pace import Pace, at_rate, at_speed
from schemas.errors import ConfigError
from schemas.events.contract import Contract
from streams.ingest.unmapped_names import unmapped_line


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--map",
    "mapping",
    type=Mapping(),
    metavar="WORD=COLUMN,...",
    help="user, time, and optionally event, item, device, ip, terminal or any property.",
)
@click.option(
    "--adapter",
    type=click.Choice(["auto", *ADAPTERS]),
    default="auto",
    show_default=True,
    help="How to read a known file.",
)
@click.option(
    "--speed", type=float, metavar="X", help="X times as fast as recorded (1 = recorded speed)."
)
@click.option("--rate", type=float, metavar="N", help="N events/s, evenly.")
@click.option("--max", "fastest", is_flag=True, help="As fast as Kafka takes them (the default).")
@click.option("--from", "start", type=Moment(), help="Only events at or after this time.")
@click.option("--until", type=Moment(), help="Only events before this time.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N events.")
@reading_options
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def replay(
    *,
    file: Path,
    mapping: dict[str, str] | None,
    adapter: str,
    speed: float | None,
    rate: float | None,
    fastest: bool,
    start: int | None,
    until: int | None,
    limit: int | None,
    encoding: str | None,
    dates: str | None,
    as_json: bool,
) -> None:
    """Publish the events of FILE (CSV, TSV, JSON, Parquet; may be gzipped) in the order of time.

    Message ids consist of the file's name and the row number, so a second run publishes duplicates,
    which the worker recognises. Event names of `hark.toml` and Segment's names stay as they are;
    view, addtocart/cart and transaction/purchase/buy become Segment's names. Rows that can't be
    read are skipped and reported with column, value and row number; if they are more than half,
    nothing is published.
    """
    if sum((speed is not None, rate is not None, fastest)) > 1:
        raise click.UsageError("--speed, --rate and --max exclude each other")
    settings = connected_settings("publisher")
    source = load(file, adapter, mapping, how_to_read(encoding, dates))
    warn_of(source)
    events = source.events
    if start is not None:
        events = events.filter(pl.col("time_ms") >= start)
    if until is not None:
        events = events.filter(pl.col("time_ms") < until)
    events = events.head(limit) if limit else events
    if events.is_empty():
        raise ConfigError(f"{file}: no events in that span; {_span(source.events)}")
    unmapped = _unmapped(events, settings.product_contract())
    pace: Pace | None = None
    if rate is not None:
        pace = at_rate(rate)
    elif speed is not None:
        pace = at_speed(speed, int(events["time_ms"][0]))
    extra = {"file": file.name, "skipped": dict(source.skipped), "unmapped": unmapped}
    run(settings, events, source.catalogue, pace, as_json=as_json, extra=extra)


def _span(events: pl.DataFrame) -> str:
    first, last = (
        datetime.fromtimestamp(int(events["time_ms"][i]) / 1000, UTC).isoformat() for i in (0, -1)
    )
    return f"the file goes from {first} to {last}"


def _unmapped(events: pl.DataFrame, contract: Contract) -> dict[str, int]:
    """Warn of event names without a kind and of events that the worker will refuse.

    Returns the count by name of the former, the most frequent first.
    """
    names = events["event"].value_counts(sort=True).drop_nulls()
    unmapped = {name: n for name, n in names.iter_rows() if name not in contract.event_names}
    if unmapped:
        click.echo(f"warning: {unmapped_line(unmapped, len(events))}", err=True)
    if early := int((events["time_ms"] < contract.oldest_ms).sum()):
        click.echo(
            f"warning: {early:,} of {len(events):,} events are dated before "
            f"{datetime.fromtimestamp(contract.oldest_ms / 1000, UTC):%Y-%m-%d} "
            "(contract.oldest_ms): the worker will refuse them",
            err=True,
        )
    return unmapped
