"""`hark demo`: Kafka, data, training and a worker at once, and what came of it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Self

import click
from rich.console import Console

from ops.demo.cluster import demo_settings
from ops.demo.live_view import LiveView, Picture
from ops.demo.run import Run
from ops.demo.summary import show
from ops.event_files.adapters import Source, load
from ops.event_files.event_file import HowToRead
from ops.event_files.options import Mapping, how_to_read, reading_options, warn_of
from ops.local_kafka.access import Access
from ops.simulator.simulation import simulate_events
from schemas.errors import ConfigError

_ENDINGS = (signal.SIGTERM, signal.SIGHUP)


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Events of a file (see `hark replay`) instead of the simulator's.",
)
@click.option(
    "--map",
    "mapping",
    type=Mapping(),
    metavar="WORD=COLUMN,...",
    help="Which column of FILE is what (see `hark replay`).",
)
@reading_options
@click.option(
    "--summary", type=click.Path(path_type=Path), metavar="FILE", help="Write the summary as JSON."
)
@click.option(
    "--events",
    type=click.IntRange(min=2_000),
    metavar="N",
    help="The first N events of FILE [default: all], or simulated ones [default: 80000].",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the simulator.")
@click.option(
    "--live",
    type=click.FloatRange(0.01, 0.9),
    default=0.1,
    show_default=True,
    metavar="SHARE",
    help="Last part by time, streamed live after the training.",
)
@click.option(
    "--live-seconds",
    type=click.FloatRange(min=5),
    default=40,
    show_default=True,
    help="How long the live part takes.",
)
@click.option("--port", type=int, help="Kafka's port [default: a free one]")
@click.option(
    "--secure", is_flag=True, help="With TLS, logins and rights; each part is its own role's user."
)
@click.option(
    "--access",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="FOLDER",
    help="The same on a cluster that is there: FOLDER has <role>.toml for each role.",
)
@click.option("--metrics-port", type=int, help="The worker's HTTP port [default: a free one]")
def demo(
    *,
    data: Path | None,
    mapping: dict[str, str] | None,
    encoding: str | None,
    dates: str | None,
    summary: Path | None,
    events: int | None,
    seed: int,
    live: float,
    live_seconds: float,
    port: int | None,
    metrics_port: int | None,
    secure: bool,
    access: Path | None,
) -> None:
    """Run the whole path on this machine and print what came of it.

    Starts a Kafka of its own (or uses the cluster of HARK_KAFKA__BOOTSTRAP_SERVERS, with topics
    of its own), publishes the first part of the data, trains, starts a worker, streams the rest
    live and compares the lists that came out with simple methods. Everything it started is
    stopped and removed at the end, on Ctrl-C too.
    """
    if mapping and not data:
        raise click.UsageError("--map says what the columns of --data FILE are")
    how = how_to_read(encoding, dates)
    source = _file(data, mapping, how, events) if data else _simulated(seed, events or 80_000)
    if summary:
        _check_summary(summary)
    cut = source.events["time_ms"].quantile(1 - live, interpolation="lower")
    first = int((source.events["time_ms"] <= cut).sum())
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    console = Console()
    picture = Picture(total=len(source.events))
    with ExitStack() as stack:
        ending = stack.enter_context(_Ending())
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="hark-demo-")))
        view = LiveView(console, picture)
        with view:
            view.phase("starting Kafka")
            settings = demo_settings(
                stack,
                folder,
                port,
                metrics_port,
                secure=secure,
                access=Access(access.resolve()) if access else None,
            )
            run = Run(settings, source, first, folder, view)
            ending.run(run.everything(stack, live_seconds))
        answer = run.summary()
        show(console, answer, run.recommendations, run.alerts)
        if summary:
            summary.write_text(json.dumps(answer, indent=2) + "\n")
        run.check()


def _file(path: Path, mapping: dict[str, str] | None, how: HowToRead, events: int | None) -> Source:
    source = load(path, mapping=mapping, how=how)
    warn_of(source)
    if len(source.events) < 100:
        raise ConfigError(f"{path}: {len(source.events)} events are too few for a demo")
    return source if events is None else replace(source, events=source.events.head(events))


def _check_summary(file: Path) -> None:
    """The demo takes minutes: find out before that its summary can't be written."""
    folder = file.resolve().parent
    if not folder.is_dir():
        raise ConfigError(f"--summary {file}: no such folder")
    if file.is_dir() or not os.access(file if file.exists() else folder, os.W_OK):
        raise ConfigError(f"--summary {file}: can't be written")


def _simulated(seed: int, events: int) -> Source:
    size = max(50, events // 80)
    shop = simulate_events(seed, users=size, items=size, events=events)
    return Source(shop.events, shop.catalogue)


class _Ending:
    """SIGTERM and SIGHUP unwind the demo as Ctrl-C does, so that everything is taken down."""

    def __init__(self) -> None:
        self._number = 0
        self._cancel: Callable[[], object] | None = None

    def __enter__(self) -> Self:
        self._former = {number: signal.signal(number, self._end) for number in _ENDINGS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def run(self, work: Coroutine[None, None, None]) -> None:
        """Run `work` in an event loop; an ending cancels it, so that it can clean up."""
        try:
            asyncio.run(self._cancellable(work))
        except asyncio.CancelledError:
            raise SystemExit(128 + self._number) from None

    async def _cancellable(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._cancel = partial(asyncio.get_running_loop().call_soon_threadsafe, task.cancel)
        try:
            await task
        finally:
            self._cancel = None

    def _end(self, number: int, _frame: FrameType | None) -> None:
        self._number = number
        if self._cancel is None:
            raise SystemExit(128 + number)
        self._cancel()
