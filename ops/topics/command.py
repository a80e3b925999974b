"""`hark topics`: create, check, list and grow the topics of the reviewed table."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import click
import msgspec
from rich.console import Console
from rich.table import Table

from ops.connection import connected_settings
from ops.growing.command import grow
from ops.kafka_admin.topics import Survey, create_topics, survey
from ops.topics.acls_command import acls
from schemas.topics import TopicSpec
from schemas.topics import topics as all_topics
from streams.kafka.settings import Kafka

_JSON = click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")


@click.group()
def topics() -> None:
    """Create, check, list and grow Hark's topics."""
    # The one-line error says it; aiokafka's own log lines would say it again.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


topics.add_command(acls)
topics.add_command(grow)


@topics.command()
@_JSON
def create(as_json: bool) -> None:
    """Create the missing topics: `events` with `kafka.partitions`, outputs and state to match it.

    Existing topics stay as they are, `events` of any size too, except that state topics with fewer
    partitions than `events` are widened.
    """
    kafka = connected_settings("admin").kafka
    specs = _specs(kafka)
    made = asyncio.run(create_topics(kafka.client(), specs, kafka.replication_factor))
    if as_json:
        rows = [{"name": spec.name, "created": spec.name in made} for spec in specs]
        click.echo(msgspec.json.encode(rows))
        return
    for spec in specs:
        click.echo(f"{spec.name}: {'created' if spec.name in made else 'exists'}")


@topics.command()
@_JSON
@click.pass_context
def check(context: click.Context, as_json: bool) -> None:
    """Compare the cluster's topics with the table; exit with 1 where that does harm.

    A topic that Hark didn't make may differ: exit 1 is for topics that are missing or have too few
    partitions, and for settings that lose records or stop a worker.
    """
    settings = connected_settings("admin")
    kafka, specs = settings.kafka, _specs(settings.kafka)
    found = asyncio.run(survey(kafka.client(), specs, settings.state.checkpoint_s))
    if as_json:
        click.echo(msgspec.json.encode({"ok": found.ok, **msgspec.structs.asdict(found)}))
    else:
        _print_survey(specs, found)
    context.exit(0 if found.ok else 1)


@topics.command(name="list")
@_JSON
def list_(as_json: bool) -> None:
    """Show the table; needs no broker."""
    specs = _specs(connected_settings("admin").kafka)
    rows = [_row(spec) for spec in specs]
    if as_json:
        click.echo(msgspec.json.encode(rows))
        return
    table = Table("name", "key", "value", "parts", "kept", "written by", "read by", box=None)
    table.columns[0].no_wrap = table.columns[2].no_wrap = True  # whole on 80 columns
    for spec, row in zip(specs, rows, strict=True):
        table.add_row(
            *(spec.name, spec.key, str(row["value"]), str(spec.partitions), _kept(spec)),
            *(", ".join(spec.producers), ", ".join(spec.consumers)),
        )
    Console().print(table)


def _specs(kafka: Kafka) -> tuple[TopicSpec, ...]:
    return all_topics(kafka.topic_prefix, kafka.partitions)


def _row(spec: TopicSpec) -> dict[str, str | int | tuple[str, ...]]:
    return {
        "name": spec.name,
        "key": spec.key,
        "value": spec.value.__name__ if spec.value else "bytes",
        "partitions": spec.partitions,
        "retention_ms": spec.retention_ms,
        "cleanup": spec.cleanup,
        "max_message_bytes": spec.max_message_bytes,
        "producers": spec.producers,
        "consumers": spec.consumers,
    }


def _kept(spec: TopicSpec) -> str:
    if spec.cleanup == "compact":
        return "newest per key"
    return f"{spec.retention_ms / 86_400_000:g} d"


def _print_survey(specs: Sequence[TopicSpec], found: Survey) -> None:
    different = {each.topic for each in found.differences}
    different |= {problem.topic for problem in found.problems}
    for spec in specs:
        if spec.name not in different:
            click.echo(f"{spec.name}: as it should be")
    for each in found.differences:
        verb = "expected" if each.breaks else "Hark's own has"
        click.echo(f"{each.topic}: {each.setting} is {each.found}, {verb} {each.expected}")
    for problem in found.problems:
        click.echo(f"{'refused' if problem.fatal else 'risky'}: {problem}")
