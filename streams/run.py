"""A worker's life in its process: start, run until something ends it, stop within a deadline."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import structlog

from schemas.errors import HarkError
from streams.settings import Settings
from streams.worker import Worker

log = structlog.get_logger(__name__)
Stopping = Callable[[float, Callable[[], str]], None]


async def run(settings: Settings, stopping: Stopping = lambda _limit_s, _doing: None) -> None:
    """Run a worker until SIGTERM, SIGINT, SIGHUP or a failure.

    Parameters
    ----------
    stopping
        Called when the stop begins, with how long it may take and what asks what hangs: threads
        that hang outlive any coroutine, so whoever owns the process must end it.

    Raises
    ------
    HarkError
        What stopped it, when it wasn't asked to.
    """
    worker = Worker(settings)
    await worker.check()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await worker.app.start()
    reporting = asyncio.create_task(worker.report(), name="hark-report")
    asked = asyncio.create_task(stop.wait())
    crashed = asyncio.create_task(worker.app._crashed.wait())
    background = [reporting, *worker.background()]
    await asyncio.wait({asked, crashed, *background}, return_when=asyncio.FIRST_COMPLETED)
    ended = [task for task in background if task.done()]
    worker.health.set_ready(False)
    stopping(settings.limits.stop_timeout_s, worker.pipeline.doing)
    log.info("worker.stopping", asked=asked.done())
    reporting.cancel()
    await worker.app.stop()
    if crashed.done():
        reason = worker.app.crash_reason
        raise HarkError(f"worker stopped: {what_happened(reason)}") from reason
    for task in ended:
        error = None if task.cancelled() else task.exception()
        raise HarkError(f"worker stopped: {task.get_name()} ended: {what_happened(error)}")


def what_happened(error: BaseException | None) -> str:
    """One line for an error, or for the first one of a group.

    Examples
    --------
    >>> what_happened(ExceptionGroup("tasks", [ExceptionGroup("more", [OSError("no disk left")])]))
    'OSError: no disk left'
    >>> what_happened(HarkError("60 dead letters in a row"))
    '60 dead letters in a row'
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if error is None:
        return "for no reason given"
    said = " ".join(str(error).split())
    name = type(error).__name__  # which aiokafka's own texts begin with
    named = isinstance(error, HarkError) or said == name or said.startswith(f"{name}: ")
    return said if named else f"{name}: {said}"
