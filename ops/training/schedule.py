"""Runs a command whenever it is due, at once if it should have run while nobody looked."""

from __future__ import annotations

import json
import logging
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from time import monotonic

import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger
from prometheus_client import Counter, Gauge
from prometheus_client.registry import CollectorRegistry

from models.storage import artefact
from ops.local_kafka.process import stop_child
from schemas.errors import ConfigError

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
            self.observe_success(ended_at_s)

    def observe_success(self, ended_at_s: float) -> None:
        """Show when a run last ended well, in this process or before it."""
        self._success.set(ended_at_s)


@dataclass(frozen=True, slots=True)
class Marker:
    """The file that remembers the last run that ended well.

    Attributes
    ----------
    path
        JSON: `due`, the time the run was for, and `ended_at`.
    """

    path: Path

    def read(self) -> tuple[datetime, datetime] | None:
        """Due time and end of the last success; None if there was none that can be read."""
        try:
            found = json.loads(self.path.read_bytes())
            due, ended_at = (datetime.fromisoformat(found[name]) for name in ("due", "ended_at"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            log.warning("marker.unreadable", path=str(self.path), why=str(error))
            return None
        return due, ended_at

    def write(self, due: datetime, ended_at: datetime) -> None:
        """Remember a success."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"due": due.isoformat(), "ended_at": ended_at.isoformat()})
        artefact.replace_durably(self.path, text.encode())


def trigger(when: str | timedelta) -> BaseTrigger:
    """A crontab line in UTC, or a time from one due time to the next.

    Raises
    ------
    ConfigError
        The line can't be read.
    """
    if isinstance(when, timedelta):
        return IntervalTrigger(seconds=when.total_seconds(), timezone=UTC)
    try:
        return CronTrigger.from_crontab(when, timezone=UTC)
    except ValueError as error:
        raise ConfigError(f"--cron {when!r}: {error}") from None


def last_due(when: BaseTrigger, since: datetime, now: datetime) -> datetime | None:
    """The newest due time after `since` that isn't after `now`; None if nothing was due."""
    due, following = None, when.get_next_fire_time(since, since)
    while following is not None and following <= now:
        due, following = following, when.get_next_fire_time(following, following)
    return due


class Trainer:
    """Runs a command whenever it is due, until it is told to stop.

    Each run is a process of its own: it gives all its memory back, and one that crashes takes
    nothing with it. There is never more than one; due times that pass meanwhile are one run.

    Parameters
    ----------
    command
        What to run for a due time; exit code 0 means that it trained.
    when
        Due times.
    metrics
        Told about each run.
    marker
        Where the last success is remembered.
    misfire_grace_s
        How late a run may start.
    clock
        The time, UTC.
    """

    def __init__(
        self,
        command: Callable[[datetime], Sequence[str]],
        when: BaseTrigger,
        metrics: TrainerMetrics,
        marker: Marker,
        *,
        misfire_grace_s: int = 3_600,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._command = command
        self._when = when
        self._metrics = metrics
        self._marker = marker
        self._misfire_grace_s = misfire_grace_s
        self._clock = clock
        self._stopping = Event()

    def run(self) -> None:
        """Train until `stop`."""
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        scheduler = BackgroundScheduler(timezone=UTC)
        scheduler.add_job(
            self._once,
            self._when,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=self._misfire_grace_s,
            next_run_time=self._first(),
        )
        scheduler.start()
        try:
            self._stopping.wait()
        finally:
            scheduler.shutdown(wait=True)

    def stop(self) -> None:
        """End the run that goes on and start no other; safe in a signal handler."""
        self._stopping.set()

    def _first(self) -> datetime | None:
        """At once if a due time has passed since the last success, else at the next one."""
        at_once, success = datetime.now(UTC), self._marker.read()
        if success is None:
            return at_once
        due, ended_at = success
        self._metrics.observe_success(ended_at.timestamp())
        if last_due(self._when, due, self._clock()) is not None:
            return at_once
        following: datetime | None = self._when.get_next_fire_time(due, due)
        return following

    def _once(self) -> None:
        if self._stopping.is_set():
            return
        now, success = self._clock(), self._marker.read()
        due = (last_due(self._when, success[0], now) if success else None) or now
        started_s = monotonic()
        with self._metrics.running.track_inprogress():
            code = self._watch(subprocess.Popen(self._command(due)))
        if self._stopping.is_set():
            return
        seconds = monotonic() - started_s
        if code == 0:
            self._marker.write(due, self._clock())
        self._metrics.observe_run(code == 0, seconds, self._clock().timestamp())
        log.info("training.ended", exit_code=code, due=due.isoformat(), seconds=round(seconds, 1))

    def _watch(self, process: subprocess.Popen[bytes]) -> int:
        """Its exit code; ends it when asked to stop meanwhile."""
        while process.poll() is None:
            if self._stopping.wait(0.2):
                return stop_child(process, _STOP_TIMEOUT_S)
        return process.wait()
