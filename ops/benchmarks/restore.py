"""`hark bench restore`: what saving and restoring the state of many users costs."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from ops.benchmarks.ingest import PARTITIONS, delete_topics, machine
from ops.kafka_admin.topics import create_topics
from schemas.errors import TransientError
from schemas.topics import topics
from streams.kafka.settings import Kafka

_TIMEOUT_S = 1_800
LIMITS = {"restore_s": 20.0, "bytes_per_user": 1_600.0, "checkpoint_core_share": 0.10}
"""What a million users on two cores must stay under."""


@click.command()
@click.option(
    "--users",
    type=click.IntRange(min=100),
    default=1_000_000,
    show_default=True,
    help="All with a full history of 64 events.",
)
@click.option(
    "--events-per-s",
    type=click.IntRange(min=100),
    default=10_000,
    show_default=True,
    help="Traffic while checkpoints are written.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0),
    default=90.0,
    show_default=True,
    help="Of traffic with checkpoints, and as much without; 0: restore only.",
)
@click.option(
    "--checkpoint-s",
    type=click.FloatRange(min=0.5),
    default=30.0,
    show_default=True,
    help="As the setting state.checkpoint_s.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def restore(
    *, users: int, events_per_s: int, seconds: float, checkpoint_s: float, as_json: bool
) -> None:
    """Write the state of many users, restore it in a fresh process, and go on with it.

    The restore is a worker's own, from the first byte read to the last user in place. The cost of
    checkpoints is the worker's processor time with them less that without, on the same traffic:
    users in sessions who do something every 10 s. Uses the cluster that is set or runs, else a
    broker of its own for the time of the run.
    """
    from ops.benchmarks.frame import any_kafka, print_machine, progress_bar

    console = Console(stderr=True)
    facts = machine()
    with any_kafka(console) as kafka, progress_bar(console) as progress:
        task = progress.add_task("saving", total=2)
        asked: dict[str, Any] = {
            "users": users,
            "events_per_s": events_per_s,
            "seconds": seconds,
            "checkpoint_s": checkpoint_s,
        }
        with _topics(kafka) as prefix:
            asked |= {"bootstrap": kafka.bootstrap_servers, "prefix": prefix}
            saved = _run("save", asked)
            progress.update(task, advance=1, description="restoring")
            found = _run("restore", asked)
            progress.update(task, advance=1, description="done")
    answer = {
        "machine": facts,
        "users": users,
        "history_events": 64,
        "events_per_s": events_per_s,
        "checkpoint_s": checkpoint_s,
        **saved,
        **found,
    }
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    _print(answer)
    print_machine(Console(), facts)


@contextmanager
def _topics(kafka: Kafka) -> Iterator[str]:
    prefix = f"bench-{uuid.uuid4().hex[:8]}."
    specs = topics(prefix, PARTITIONS)
    asyncio.run(create_topics(kafka.client(), specs, kafka.replication_factor))
    try:
        yield prefix
    finally:
        asyncio.run(delete_topics(kafka, [spec.name for spec in specs]))


def _run(what: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """One part of it, in a process of its own."""
    command = [sys.executable, "-m", "ops.benchmarks.restore_process", what, json.dumps(asked)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False,
            env={name: value for name, value in os.environ.items() if name != "HARK_CONFIG"},
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise TransientError(f"{what}: not done after {_TIMEOUT_S} s") from error
    if done.returncode:
        raise TransientError(f"{what} failed:\n{done.stderr.strip()[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _print(answer: Mapping[str, Any]) -> None:
    table = Table("", "measured", "limit at 1M users")
    for name, value in answer.items():
        if isinstance(value, int | float):
            limit = f"< {LIMITS[name]:g}" if name in LIMITS else ""
            table.add_row(name, f"{value:,}", limit)
    Console().print(table)
