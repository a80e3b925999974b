"""`hark topics grow`: more partitions for `events`, with its users' histories."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

import click
import msgspec
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ops.connection import connected_settings
from schemas.errors import ConfigError
from streams.monitoring import logs


@click.command()
@click.argument("partitions", type=click.IntRange(2, 10_000), metavar="N")
@click.option("--to", "prefix", required=True, metavar="PREFIX", help="Prefix of the new topics.")
@click.option(
    "--partitioner",
    type=click.Choice(["murmur2", "crc32"]),
    help="How publishers place keys [default: what the log shows].",
)
@click.option(
    "--quiet-s",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    help="End when the old topic has had no event for so long.",
)
@click.option("--json", "as_json", is_flag=True, help="Answer as JSON.")
def grow(
    *, partitions: int, prefix: str, partitioner: str | None, quiet_s: float, as_json: bool
) -> None:
    """Give `events` N partitions: copy it, with all its users' states, to topics of a new prefix.

    Workers and publishers go on until the command asks to stop the workers; publishers go on all
    the time. It may be interrupted at any moment: the same command goes on where it stopped.
    docs/operate.md has the whole procedure.
    """
    from ops.growing.grow import grow as grow_topics  # a worker's imports take seconds

    settings = connected_settings("admin")
    logs.configure("WARNING")
    console = Console(stderr=True)
    try:
        with _Bar(console) as bar:
            found = asyncio.run(
                grow_topics(
                    settings, partitions, prefix, bar, partitioner=partitioner, quiet_s=quiet_s
                )
            )
    except ValidationError as error:
        raise ConfigError(f"--to {prefix!r}: {error.errors()[0]['msg']}") from None
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    click.echo(
        f"{found.prefix}events has {found.partitions} partitions and all {found.copied:,} events "
        f"of the {found.before} before, each once"
    )
    if found.missed:
        click.echo(f"Kafka deleted {found.missed:,} offsets before they were copied (retention.ms)")


class _Bar:
    """The steps on a terminal, and lines for the operator."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
        self._progress = Progress(
            *columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal
        )
        self._task = self._progress.add_task("", total=None, visible=False)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)

    def total(self, step: str, total: int) -> None:
        self._progress.update(
            self._task, description=step, total=total or None, completed=0, visible=True
        )

    def advance(self, records: int) -> None:
        self._progress.advance(self._task, records)
