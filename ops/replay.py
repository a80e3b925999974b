"""`hark replay FILE`: publish a file's events as if they happened now, or as fast as possible."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
import polars as pl

from ops.adapters import ADAPTERS, load
from ops.connection import connected_settings
from ops.event_file import times_ms
from ops.feed import run
from ops.pace import Pace, at_rate, at_speed
from schemas.errors import ConfigError


class Mapping(click.ParamType):
    """`user=user_id,event=event_type,...` as a dict of Hark's words to columns."""

    name = "mapping"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, str]:
        """Split the pairs; click shows what can't be split."""
        pairs = [pair.split("=", 1) for pair in str(value).split(",") if pair]
        if bad := [pair[0] for pair in pairs if len(pair) != 2 or not all(pair)]:
            self.fail(f"{bad[0]!r} is no word=column pair", param, ctx)
        return dict(pairs)


class Moment(click.ParamType):
    """A date, a time or epoch seconds, as epoch milliseconds."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Read it the way files are read."""
        moment = times_ms(pl.Series([str(value)]))[0]
        if moment is None:
            self.fail(f"{value!r} is no date or time", param, ctx)
        return int(moment)


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
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The first N of them.")
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
    as_json: bool,
) -> None:
    """Publish FILE's events (CSV or TSV, may be gzipped), in the order of their times.

    Message ids are the file's name and the row's number: a second run sends duplicates, which
    the worker recognises, and not new events. Event names of `hark.toml` or Segment's pass
    through; view, addtocart/cart and transaction/purchase/buy become Segment's names.
    """
    if sum((speed is not None, rate is not None, fastest)) > 1:
        raise click.UsageError("--speed, --rate and --max exclude each other")
    settings = connected_settings("publisher")
    source = load(file, adapter, mapping)
    events = source.events
    if start is not None:
        events = events.filter(pl.col("time_ms") >= start)
    if until is not None:
        events = events.filter(pl.col("time_ms") < until)
    events = events.head(limit) if limit else events
    if events.is_empty():
        raise ConfigError(f"{file}: no events{_span(source.events)}")
    pace: Pace | None = None
    if rate is not None:
        pace = at_rate(rate)
    elif speed is not None:
        pace = at_speed(speed, int(events["time_ms"][0]))
    extra = {"file": file.name, "skipped": dict(source.skipped)}
    run(settings, events, source.catalogue, pace, as_json=as_json, extra=extra)


def _span(events: pl.DataFrame) -> str:
    if events.is_empty():
        return " with a user and a time"
    first, last = (
        datetime.fromtimestamp(int(events["time_ms"][i]) / 1000, UTC).isoformat() for i in (0, -1)
    )
    return f" in that span; the file goes from {first} to {last}"
