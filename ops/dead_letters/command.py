"""`hark dead-letters`: list and show refused records, and publish them again after a fix."""

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
        click.option(
            "--partition", type=click.IntRange(min=0), metavar="N",
            help="Only records of partition N of the events.",
        ),
        click.option(
            "--since", "since_ms", type=Since(),
            help="Only letters since then: 90m, 2h or 7d ago, or a UTC time.",
        ),
        click.option(
            "--reason", "reasons", multiple=True, type=click.Choice([str(r) for r in Reason]),
            help="Only letters with this reason; may be repeated.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


@click.group("dead-letters")
def dead_letters() -> None:
    """List, show and replay dead letters: records that were refused."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


@dead_letters.command("list")
@_filters
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(min=0),
    help="How many of the newest letters to show.",
)  # fmt: skip
def list_(
    *,
    reasons: tuple[str, ...],
    since_ms: int | None,
    partition: int | None,
    as_json: bool,
    limit: int,
) -> None:
    """Count dead letters by reason, and list the newest without their values."""
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
    """Show a whole dead letter, value included, by its record's coordinates as `list` prints them.

    Of several letters for the same record, it shows the newest.
    """
    kafka, topic = _kafka()
    at = re.fullmatch(r"(.+)/(\d+)/(\d+)", coordinates)
    if at is None:
        raise click.BadParameter(
            f"{coordinates!r}: write TOPIC/PARTITION/OFFSET, as `hark dead-letters list` does"
        )

    async def read() -> list[Letter]:
        letters = read_letters(kafka.client(), topic, Wanted(partition=int(at[2])))
        return [letter async for letter in letters if letter.coordinates == coordinates]

    found = asyncio.run(read())
    if not found:
        raise HarkError(
            f"no dead letter of {coordinates} in {topic.name}; see: hark dead-letters list"
        )
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
@click.option("--execute", is_flag=True, help="Publish; without this it is a dry run.")
@click.option(
    "--rate", default=100.0, show_default=True, type=click.FloatRange(min=0, min_open=True),
    help="Letters per second.",
)  # fmt: skip
@click.option(
    "--max-attempts", default=3, show_default=True, type=click.IntRange(min=1),
    help="Skip records that were refused so often.",
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
    """Publish dead letters again, unchanged, to where they came from; a dry run by default.

    Each letter is published once, whatever the filters, and also after an interrupted run. Letters
    with the same reason, partition and attempt are published in order, so --since gives up older
    letters: once a newer letter of that kind was published, no later run publishes them.
    """
    kafka, topic = _kafka()
    wanted = Wanted(frozenset(reasons) or None, since_ms, partition)

    async def run() -> dict[str, Any]:
        client, outcome = kafka.client(), Outcome()
        # First, so that an unreachable cluster gives a one-line error.
        await check_cluster(client, [topic])
        groups = replayed_group(kafka.group_id)
        async with ReplayPositions(client, groups, topic.name) as positions:
            replay = LetterReplay(client, kafka.topic_prefix + EVENTS.name, positions, max_attempts)
            letters = replay.replayable(read_letters(client, topic, wanted), outcome)
            if execute:
                with Progress(console=Console(stderr=True), transient=True) as progress:
                    bar = progress.add_task("replaying", total=None)
                    await replay.publish(letters, rate, lambda n: progress.update(bar, completed=n))
            else:
                async for _ in letters:
                    pass
        return {
            "executed": execute,
            "published" if execute else "would_publish": outcome.published,
            "reasons": outcome.reasons,
            "skipped": outcome.skipped,
        }

    summary = asyncio.run(run())
    if as_json:
        click.echo(json.dumps(summary))
        return
    number = summary["published" if execute else "would_publish"]
    click.echo(f"{number:,} letters {'published again' if execute else 'would be published'}")
    for counter in ("reasons", "skipped"):
        for name, count in summary[counter].items():
            click.echo(f"{count:>9,}  {'skipped: ' if counter == 'skipped' else ''}{name}")
    if not execute and number:
        click.echo("nothing was published: add --execute")


def _kafka() -> tuple[Kafka, TopicSpec]:
    kafka = connected_settings("operator").kafka
    prefixed = kafka.topic_prefix + DEAD_LETTERS.name
    return kafka, next(spec for spec in topics(kafka.topic_prefix) if spec.name == prefixed)


def _row(letter: Letter) -> dict[str, Any]:
    """A letter as JSON values, without the record's key, value and headers."""
    row = asdict(letter)
    for name in ("key", "value", "headers", "at"):
        del row[name]
    when, size = format_time_ms(letter.dead_ms), len(letter.value or b"")
    return {"coordinates": letter.coordinates, "when": when, **row, "bytes": size}
