"""The stages of a long command: bars for a person, a line each for a log, seconds for both."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Stages:
    """Progress on standard error, and how long each stage took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.warnings: list[str] = []
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description:<9}"), BarColumn(), TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._console, disable=not self._console.is_terminal,
        )  # fmt: skip
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Show and time one stage."""
        if not self._console.is_terminal:
            click.echo(f"{name} ...", err=True)
            sys.stderr.flush()
        self._task = self._progress.add_task(name, total=None, note="")
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 2)
        self._progress.update(self._task, total=1.0, completed=1.0)

    def warn(self, line: str) -> None:
        """Tell a person, and keep it for the result."""
        self.warnings.append(line)
        self._console.print(f"warning: {line}", markup=False, highlight=False, soft_wrap=True)

    def show(self, share: float | None, note: str) -> None:
        """Move the stage's bar; a share of None says only that something happens."""
        if self._task is not None:
            total = None if share is None else 1.0
            self._progress.update(self._task, total=total, completed=share or 0.0, note=note)
