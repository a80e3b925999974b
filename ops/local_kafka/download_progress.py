"""Progress of the one big download, on a terminal and in a log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ops.local_kafka.jars import Advance


@contextmanager
def download_progress(console: Console) -> Iterator[Advance]:
    """Show the jars as they come; nothing is shown when all are there already."""
    if not console.is_terminal:
        yield lambda done, total: _say(console, done, total)
        return
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    with progress:
        task = progress.add_task("Apache Kafka", total=None, visible=False)
        yield lambda done, total: progress.update(task, completed=done, total=total, visible=True)


def _say(console: Console, done: int, total: int) -> None:
    if done == 0:
        console.print(f"downloading Apache Kafka: {total} jars")
    elif done == total:
        console.print(f"downloaded {total} jars")
