"""`hark worker`: read events, score them, publish recommendations and alerts."""

from __future__ import annotations

import asyncio

import click

from ops.connection import connected_settings
from streams import logs
from streams.app import run


@click.command()
@click.option(
    "--log-level",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    default="INFO",
    show_default=True,
)
def worker(log_level: str) -> None:
    """Run one worker until SIGTERM or Ctrl-C; it drains, commits and leaves its group.

    Workers of one `kafka.group_id` share the partitions. Settings come from hark.toml and
    HARK_ variables; `http.port` is where /metrics, /healthz and /readyz are.
    """
    logs.configure(log_level.upper())
    asyncio.run(run(connected_settings("worker")))
