"""What the benchmarks share: a cluster, a progress bar, and the line about the machine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ops.connection import connected_settings
from ops.local_kafka.cluster import LocalKafka
from ops.local_kafka.jars import download_progress
from streams.kafka.settings import Kafka


@contextmanager
def any_kafka(console: Console) -> Iterator[Kafka]:
    """The cluster that is set or runs, else a broker of its own for the time of the run."""
    settings = connected_settings("admin")
    if "bootstrap_servers" in settings.kafka.model_fields_set:
        yield settings.kafka
        return
    if settings.kafka != Kafka(bootstrap_servers=settings.kafka.bootstrap_servers):
        yield settings.kafka
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        download_progress(console) as advance,
        LocalKafka(Path(folder), advance=advance) as local,
    ):
        yield settings.kafka.model_copy(update={"bootstrap_servers": local.bootstrap_servers})


def progress_bar(console: Console) -> Progress:
    """On a terminal only."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def print_machine(console: Console, facts: Mapping[str, Any]) -> None:
    """What the numbers depend on."""
    console.print(f"{facts['cpu']}, {facts['cores']} cores, load {facts['load_1m_before']}")
    kept = {name: value for name, value in facts.items() if name not in ("cpu", "cores")}
    console.print(", ".join(f"{name} {value}" for name, value in kept.items()), soft_wrap=True)
