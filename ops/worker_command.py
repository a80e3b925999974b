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
    """Run one worker until SIGTERM or Ctrl-C; it drains, commits and leaves its group.

    Workers of one `kafka.group_id` share the partitions. Settings come from hark.toml and
    HARK_ variables; `http.port` is where /metrics, /healthz and /readyz are. A stop that takes
    longer than `limits.stop_timeout_s` is cut off with exit code 1: what wasn't committed is read
    again.
    """
    logs.configure(log_level.upper())
    asyncio.run(run(connected_settings("worker"), _leave_in_time))


def _leave_in_time(limit_s: float, doing: Callable[[], str]) -> None:
    """End the process when the stop takes too long, whatever hangs: threads can't be cancelled."""

    def leave() -> None:
        what = doing() or "nothing says what hangs"
        line = f"error: still stopping after {limit_s:.0f} s ({what}); what isn't committed is read"
        os.write(2, f"{line} again\n".encode())  # a lock that hangs may be that of stderr
        os._exit(1)

    timer = Timer(limit_s, leave)
    timer.daemon = True
    timer.start()
