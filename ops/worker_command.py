"""`hark worker`: read events, score them, publish recommendations and alerts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from threading import Timer

import click

from ops.connection import connected_settings
from streams.monitoring import logs
from streams.worker import run


@click.command()
@click.option(
    "--log-level",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    default="INFO",
    show_default=True,
)
def worker(log_level: str) -> None:
    """Run a worker until SIGTERM or Ctrl-C; it then drains, commits and leaves its group.

    Workers with the same `kafka.group_id` share the partitions. Settings come from hark.toml and
    HARK_ variables; /metrics, /healthz and /readyz are at `http.port`. A stop that takes longer
    than `limits.stop_timeout_s` is cut off with exit code 1; uncommitted records are read again.
    """
    logs.configure(log_level.upper())
    asyncio.run(run(connected_settings("worker"), _leave_in_time))


def _leave_in_time(limit_s: float, doing: Callable[[], str]) -> None:
    """End the process when the stop takes too long: threads that hang can't be cancelled."""

    def leave() -> None:
        activity = doing() or "cause unknown"
        line = f"error: still stopping after {limit_s:.0f} s ({activity})"
        end = "uncommitted records are read again"
        os.write(2, f"{line}; {end}\n".encode())  # a lock that hangs may be that of stderr
        os._exit(1)

    timer = Timer(limit_s, leave)
    timer.daemon = True
    timer.start()
