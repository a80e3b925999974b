"""`hark trainer`: train again and again, and show how that goes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from threading import Event
from time import monotonic, time

import click
import structlog
from prometheus_client import Counter, Gauge
from prometheus_client.registry import CollectorRegistry

from ops.connection import connected_settings
from streams import logs
from streams.health import HealthServer

log = structlog.get_logger(__name__)
_STOP_TIMEOUT_S = 20


class TrainerMetrics:
    """What the trainer tells Prometheus."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        runs = Counter(
            "hark_trainer_runs", "Finished training runs", ("outcome",), registry=registry
        )
        self._runs = {ok: runs.labels("trained" if ok else "failed") for ok in (True, False)}
        self.running = Gauge("hark_trainer_running", "1 while it trains", registry=registry)
        self._seconds = Gauge(
            "hark_trainer_run_seconds", "Duration of the last run", registry=registry
        )
        self._success = Gauge(
            "hark_trainer_last_success_timestamp_seconds",
            "When a run last ended well, 0 before the first",
            registry=registry,
        )

    def observe_run(self, ok: bool, seconds: float, ended_at_s: float) -> None:
        """Count a finished run."""
        self._runs[ok].inc()
        self._seconds.set(seconds)
        if ok:
            self._success.set(ended_at_s)


class Trainer:
    """Runs a command, waits, runs it again, until it is told to stop.

    Each run is a process of its own: it gives all its memory back, and one that crashes takes
    nothing with it.

    Parameters
    ----------
    command
        What to run; exit code 0 means that it trained.
    every_s
        From the start of one run to the start of the next.
    metrics
        Told about each run.
    clock
        Unix time, s.
    """

    def __init__(
        self,
        command: Sequence[str],
        every_s: float,
        metrics: TrainerMetrics,
        clock: Callable[[], float] = time,
    ) -> None:
        self._command = list(command)
        self._every_s = every_s
        self._metrics = metrics
        self._clock = clock
        self._stopping = Event()

    def run(self) -> None:
        """Train until `stop`."""
        while not self._stopping.is_set():
            started_s = monotonic()
            self._once()
            self._stopping.wait(max(0.0, self._every_s - (monotonic() - started_s)))

    def stop(self) -> None:
        """End the run that goes on and start no other; safe in a signal handler."""
        self._stopping.set()

    def _once(self) -> None:
        started_s = monotonic()
        with self._metrics.running.track_inprogress():
            code = self._watch(subprocess.Popen(self._command))
        if self._stopping.is_set():
            return
        seconds = monotonic() - started_s
        self._metrics.observe_run(code == 0, seconds, self._clock())
        log.info("training.ended", exit_code=code, seconds=round(seconds, 1))

    def _watch(self, process: subprocess.Popen[bytes]) -> int:
        """Its exit code; ends it when asked to stop meanwhile."""
        while process.poll() is None:
            if self._stopping.wait(0.2):
                process.terminate()
                try:
                    return process.wait(_STOP_TIMEOUT_S)
                except subprocess.TimeoutExpired:
                    process.kill()
        return process.wait()


@click.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--every-s",
    type=click.FloatRange(min=60),
    default=86_400,
    show_default=True,
    help="From the start of one run to the start of the next.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def trainer(every_s: float, arguments: tuple[str, ...]) -> None:
    """Run `hark train ARGUMENTS` now and then every day, until SIGTERM or Ctrl-C.

    A run that fails is counted, not fatal: the model that answers goes on answering. Serves
    /metrics, /healthz and /readyz at `http.port`, as a worker does.
    """
    logs.configure("INFO")
    settings = connected_settings()
    metrics = TrainerMetrics()
    command = [sys.executable, "-m", "ops.cli", "train", *arguments]
    training = Trainer(command, every_s, metrics)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: training.stop())
    server = HealthServer(metrics.registry, lambda: "", settings.http.host, settings.http.port)
    server.start()
    server.set_ready(True)
    try:
        training.run()
    finally:
        server.stop()
