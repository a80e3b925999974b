"""`hark dead-letters`: what was refused and why, and publishing it again after a fix."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ops.connection import connected_settings
from ops.dead_letters.letters import Letter, Wanted, read_letters
from ops.dead_letters.replay import LetterReplay, Outcome
from ops.dead_letters.replay_positions import ReplayPositions
from ops.render import escaped
from ops.since import Since
from schemas.errors import HarkError, Reason
from schemas.roles import replayed_group
from schemas.times import format_time_ms
from schemas.topics import DEAD_LETTERS, EVENTS, TopicSpec, topics
from streams.kafka.cluster_check import check_cluster
from streams.kafka.settings import Kafka

F = TypeVar("F", bound=Callable[..., Any])


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

    Each letter goes once, whatever the filters, also after a run that was broken off: letters of
    one reason, partition and attempt go in their order. --since gives up what is older: a later
    run without it doesn't publish that any more, once a newer letter of its kind has gone.
    """
    kafka, topic = _kafka()
    wanted = Wanted(frozenset(reasons) or None, since_ms, partition)

    async def run() -> dict[str, Any]:
        client, outcome = kafka.client(), Outcome()
        # Before the consumer groups are asked for: an unreachable cluster is one line.
        await check_cluster(client, [topic])
        groups = replayed_group(kafka.group_id)
        async with ReplayPositions(client, groups, topic.name) as replayed:
            replay = LetterReplay(client, kafka.topic_prefix + EVENTS.name, replayed, max_attempts)
            going = replay.going(read_letters(client, topic, wanted), outcome)
            if execute:
                with Progress(console=Console(stderr=True), transient=True) as progress:
                    bar = progress.add_task("replaying", total=None)
                    await replay.publish(going, rate, lambda n: progress.update(bar, completed=n))
            else:
                async for _ in going:
                    pass
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
