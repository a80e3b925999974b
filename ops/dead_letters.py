"""`hark dead-letters`: what was refused and why, and publishing it again after a fix."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ops.connection import connected_settings
from ops.letters import Letter, Wanted, read_letters
from ops.render import escaped
from ops.replay_letters import LetterReplay
from ops.replayed import Replayed
from schemas.errors import HarkError, Reason
from schemas.roles import replayed_group
from schemas.times import format_time_ms
from schemas.topics import DEAD_LETTERS, EVENTS, TopicSpec, topics
from streams.kafka_settings import Kafka

F = TypeVar("F", bound=Callable[..., Any])
_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Since(click.ParamType):
    """`90m`, `2h`, `7d`, or a date and time in UTC."""

    name = "since"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Milliseconds since 1970."""
        if span := re.fullmatch(r"(\d+)([smhd])", value):
            now_ms = datetime.now(UTC).timestamp() * 1000
            return int(now_ms - int(span[1]) * _UNITS_MS[span[2]])
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r}: write 90m, 2h, 7d or 2026-11-28T06:00", param, ctx)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1000)


def _filters(command: F) -> F:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option("--partition", type=click.IntRange(min=0), help="Of the events topic."),
        click.option("--since", "since_ms", type=Since(), help="90m, 2h, 7d, or a UTC time."),
        click.option(
            "--reason", "reasons", multiple=True, type=click.Choice([str(r) for r in Reason]),
            help="Only these reasons; may be given several times.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


@click.group("dead-letters")
def dead_letters() -> None:
    """Dead letters: list, show, replay."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


@dead_letters.command("list")
@_filters
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(min=0),
    help="Show so many of the newest.",
)  # fmt: skip
def list_(
    *,
    reasons: tuple[str, ...],
    since_ms: int | None,
    partition: int | None,
    as_json: bool,
    limit: int,
) -> None:
    """Counts by reason and the newest letters, without their values."""
    kafka, topic = _kafka()
    wanted = Wanted(frozenset(reasons) or None, since_ms, partition)
    counts: Counter[str] = Counter()
    newest: deque[Letter] = deque(maxlen=limit)

    async def read() -> None:
        async for letter in read_letters(kafka.client(), topic, wanted):
            counts[letter.reason] += 1
            newest.append(letter)

    asyncio.run(read())
    if as_json:
        rows = [_row(letter) for letter in newest]
        click.echo(json.dumps({"total": counts.total(), "reasons": counts, "letters": rows}))
        return
    if not counts:
        click.echo("no dead letters")
        return
    for reason, count in counts.most_common():
        click.echo(f"{count:>9,}  {reason}")
    table = Table("record", "when", "reason", "attempt", "bytes", "detail", box=None)
    for letter in newest:
        size = len(letter.value or b"")
        detail = letter.detail.encode(errors="replace")
        when = format_time_ms(letter.dead_ms)
        cells = (when, letter.reason, str(letter.attempt), f"{size:,}", escaped(detail))
        table.add_row(letter.coordinates, *cells)
    Console(soft_wrap=True).print(table)


@dead_letters.command()
@click.argument("coordinates", metavar="TOPIC/PARTITION/OFFSET")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(coordinates: str, *, as_json: bool) -> None:
    """One letter whole, its value included: by where the record was, as `list` names it.

    Several letters of one record: the newest.
    """
    kafka, topic = _kafka()
    at = re.fullmatch(r"(.+)/(\d+)/(\d+)", coordinates)
    if at is None:
        raise click.BadParameter("write topic/partition/offset, as `hark dead-letters list` does")

    async def read() -> list[Letter]:
        letters = read_letters(kafka.client(), topic, Wanted(partition=int(at[2])))
        return [letter async for letter in letters if letter.coordinates == coordinates]

    found = asyncio.run(read())
    if not found:
        raise HarkError(f"no dead letter of {coordinates} in {topic.name}")
    letter = found[-1]
    key, value = (None if raw is None else escaped(raw) for raw in (letter.key, letter.value))
    headers = {name: escaped(raw) for name, raw in letter.headers}
    row = {**_row(letter), "key": key, "value": value, "headers": headers}
    if as_json:
        click.echo(json.dumps(row))
        return
    for name, cell in row.items():
        click.echo(f"{name:>12}  {cell}")


@dead_letters.command()
@_filters
@click.option("--execute", is_flag=True, help="Publish; without it nothing is.")
@click.option(
    "--rate", default=100.0, show_default=True, type=click.FloatRange(min=0, min_open=True),
    help="Records per second.",
)  # fmt: skip
@click.option(
    "--max-attempts", default=3, show_default=True, type=click.IntRange(min=1),
    help="Leave records that were refused so often.",
)  # fmt: skip
def replay(
    *,
    reasons: tuple[str, ...],
    since_ms: int | None,
    partition: int | None,
    as_json: bool,
    execute: bool,
    rate: float,
    max_attempts: int,
) -> None:
    """Publish letters again as they were, to where they came from; a dry run by default.

    What was replayed before stays, also after a run that was broken off.
    """
    kafka, topic = _kafka()
    wanted = Wanted(frozenset(reasons) or None, since_ms, partition)

    async def run() -> dict[str, Any]:
        client = kafka.client()
        replayed = Replayed(client, replayed_group(kafka.group_id), topic.name)
        events = kafka.topic_prefix + EVENTS.name
        going = LetterReplay(client, events, replayed, max_attempts)
        # Before the consumer group is asked for: an unreachable cluster is one line.
        letters = [letter async for letter in read_letters(client, topic, wanted)]
        await replayed.load()
        chosen, outcome = going.sort(letters)
        if execute:
            with Progress(console=Console(stderr=True), transient=True) as progress:
                bar = progress.add_task("replaying", total=len(chosen))
                await going.publish(chosen, rate, lambda done: progress.update(bar, completed=done))
        return {
            "executed": execute,
            "published" if execute else "would_publish": outcome.published,
            "reasons": outcome.reasons,
            "skipped": outcome.skipped,
        }

    said = asyncio.run(run())
    if as_json:
        click.echo(json.dumps(said))
        return
    number = said["published" if execute else "would_publish"]
    click.echo(f"{number:,} letters {'published again' if execute else 'would be published'}")
    for what in ("reasons", "skipped"):
        for name, count in said[what].items():
            click.echo(f"{count:>9,}  {'left: ' if what == 'skipped' else ''}{name}")
    if not execute and number:
        click.echo("nothing was published: add --execute")


def _kafka() -> tuple[Kafka, TopicSpec]:
    kafka = connected_settings("operator").kafka
    prefixed = kafka.topic_prefix + DEAD_LETTERS.name
    return kafka, next(spec for spec in topics(kafka.topic_prefix) if spec.name == prefixed)


def _row(letter: Letter) -> dict[str, Any]:
    """A letter without what the record held."""
    row = asdict(letter)
    for name in ("key", "value", "headers", "at"):
        del row[name]
    when, size = format_time_ms(letter.dead_ms), len(letter.value or b"")
    return {"coordinates": letter.coordinates, "when": when, **row, "bytes": size}
