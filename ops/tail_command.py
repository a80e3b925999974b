"""`hark tail recommendations|alerts|dead-letters`: print messages as they come, readably."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import click
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from rich.console import Console, RenderableType

from ops import render
from ops.connection import connected_settings
from schemas.errors import TransientError
from schemas.topics import ALERTS, DEAD_LETTERS, RECOMMENDATIONS, TopicSpec, topics
from streams.kafka.cluster_check import check_cluster
from streams.kafka.log import Record, groupless_consumer

_SHOWN: dict[str, Callable[[Record], RenderableType]] = {
    RECOMMENDATIONS.name: render.recommendation,
    ALERTS.name: render.alert,
    DEAD_LETTERS.name: render.dead_letter,
}


@click.command()
@click.argument("topic", type=click.Choice(list(_SHOWN)))
@click.option("--from-beginning", is_flag=True, help="Start at the oldest message still kept.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Stop after N messages.")
@click.option("--until-end", is_flag=True, help="Stop at the end instead of waiting for more.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object per line.")
def tail(
    *, topic: str, from_beginning: bool, limit: int | None, until_end: bool, as_json: bool
) -> None:
    """Print recommendations, alerts or dead letters as they come, until Ctrl-C."""
    role = "operator" if topic == DEAD_LETTERS.name else "reader"
    kafka = connected_settings(role).kafka
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    spec = next(spec for spec in topics(kafka.topic_prefix) if spec.name.endswith(topic))
    console = Console(soft_wrap=True)

    async def show() -> None:
        shown = 0
        messages = follow(
            kafka.client(), spec, role, from_beginning=from_beginning, until_end=until_end
        )
        async with aclosing(messages):
            async for record in messages:
                if as_json:
                    click.echo(render.as_json(record))
                else:
                    console.print(_SHOWN[topic](record))
                shown += 1
                if shown == limit:
                    return

    asyncio.run(show())


async def follow(
    client: dict[str, Any],
    topic: TopicSpec,
    role: str = "reader",
    *,
    from_beginning: bool,
    until_end: bool = False,
) -> AsyncGenerator[Record, None]:
    """Yield a topic's records as they come, without a consumer group.

    Raises
    ------
    ConfigError
        Kafka can't be reached, or there is no such topic.
    TransientError
        Kafka went away.
    """
    found = await check_cluster(client, [topic], role=role)
    partitions = [TopicPartition(topic.name, number) for number in range(found[topic.name])]
    consumer = groupless_consumer(client)
    try:
        await consumer.start()
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        if not from_beginning:
            for partition, end in ends.items():
                consumer.seek(partition, end)
        while True:
            fetched = await consumer.getmany(timeout_ms=200, max_records=500)
            for record in sorted(
                (record for group in fetched.values() for record in group),
                key=lambda record: record.timestamp,
            ):
                yield record
            if until_end and all([await consumer.position(p) >= ends[p] for p in partitions]):
                return
    except (KafkaError, OSError) as error:
        raise TransientError(f"no Kafka at {client['bootstrap_servers']}: {error}") from error
    finally:
        await consumer.stop()
