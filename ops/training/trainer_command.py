"""`hark trainer`: train every night, and serve metrics about it."""

from __future__ import annotations

import signal
import sys
from datetime import datetime, timedelta
from pathlib import Path

import click

from ops.connection import connected_settings
from schemas.errors import ConfigError
from streams.monitoring import logs
from streams.monitoring.health import HealthServer


@click.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--cron",
    default="0 2 * * *",
    show_default=True,
    help="When to train: minute, hour, day, month, weekday (by name), UTC.",
)
@click.option(
    "--every-s",
    type=click.FloatRange(min=60),
    help="Seconds from a due time to the next, instead of --cron.",
)
@click.option(
    "--misfire-grace-s",
    type=click.IntRange(min=1),
    default=6 * 3_600,
    show_default=True,
    help="A run that couldn't start on time (a sleeping machine) may start so many seconds late.",
)
@click.option(
    "--registry",
    type=click.Path(path_type=Path),
    help="Folder of the versions [default: model.registry].",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def trainer(
    cron: str,
    every_s: float | None,
    misfire_grace_s: int,
    registry: Path | None,
    arguments: tuple[str, ...],
) -> None:
    """Run `hark train --as-of DUE ARGUMENTS` at every due time, until SIGTERM or Ctrl-C.

    It also runs at once if no run has succeeded since the last due time. A failed run is counted
    and isn't fatal: the champion keeps answering. The trainer serves /metrics, /healthz and /readyz
    at `http.port`, as a worker does.
    """
    try:
        from ops.training.schedule import Marker, Trainer, TrainerMetrics, trigger
    except ImportError as error:
        raise ConfigError(f"{error.name} is missing: pip install 'hark[train]'") from error
    logs.configure("INFO")
    settings = connected_settings("trainer")
    root = registry or settings.model.registry
    metrics = TrainerMetrics()

    def command(due: datetime) -> list[str]:
        as_of = f"{due:%Y-%m-%dT%H:%M:%S}"
        fixed = ["train", "--registry", str(root), "--as-of", as_of]
        return [sys.executable, "-m", "ops.cli", *fixed, *arguments]

    training = Trainer(
        command,
        trigger(cron if every_s is None else timedelta(seconds=every_s)),
        metrics,
        Marker(root / "runs" / "last-success.json"),
        misfire_grace_s=misfire_grace_s,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: training.stop())
    server = HealthServer(metrics.registry, lambda: "", settings.http.host, settings.http.port)
    server.start()
    server.set_ready(True)
    try:
        training.run()
    finally:
        server.stop()
