"""`hark trainer` runs, counts, catches up and stops; what it runs is a command of the test's."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest

from ops.training.schedule import Marker, Trainer, TrainerMetrics, last_due, trigger
from schemas.errors import ConfigError

ROOT = Path(__file__).parents[3]
NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
NIGHTLY = "0 2 * * *"


def value(metrics: TrainerMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def runs(metrics: TrainerMetrics, outcome: str) -> float:
    return value(metrics, "hark_trainer_runs_total", outcome=outcome) or 0


def running(trainer: Trainer, until: Callable[[], object]) -> None:
    """Run until `until()` is true, then stop."""
    thread = Thread(target=trainer.run)
    thread.start()
    deadline = time.monotonic() + 20
    try:
        while not until():
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        trainer.stop()
        thread.join(25)
    assert not thread.is_alive()


class Nights:
    """A trainer by night whose clock stands at noon, and for which dates it ran."""

    def __init__(self, folder: Path, code: str = "", when: str | timedelta = NIGHTLY) -> None:
        self.marker = Marker(folder / "runs" / "last-success.json")
        self.metrics = TrainerMetrics()
        self.dates: list[datetime] = []
        self.code = code
        self.arguments: list[str] = []
        self.trainer = Trainer(
            self.command, trigger(when), self.metrics, self.marker, clock=lambda: NOON
        )

    def command(self, due: datetime) -> list[str]:
        self.dates.append(due)
        return [sys.executable, "-c", self.code, *self.arguments]


def test_the_first_run_is_at_once_and_one_that_ends_well_is_remembered(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    running(nights.trainer, lambda: runs(nights.metrics, "trained"))
    assert nights.dates == [NOON]
    assert nights.marker.read() == (NOON, NOON)
    name = "hark_trainer_last_success_timestamp_seconds"
    assert value(nights.metrics, name) == NOON.timestamp()
    assert (value(nights.metrics, "hark_trainer_run_seconds") or 0) > 0
    assert runs(nights.metrics, "failed") == 0


def test_after_a_downtime_it_runs_at_once_for_the_last_night_it_missed(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    nights.marker.write(NOON - timedelta(days=4), NOON - timedelta(days=4))
    running(nights.trainer, lambda: runs(nights.metrics, "trained"))
    assert nights.dates == [NOON.replace(hour=2)], "three missed nights are one run"
    assert nights.marker.read() == (NOON.replace(hour=2), NOON)


def test_after_a_restart_it_waits_if_nothing_was_missed(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    nights.marker.write(NOON.replace(hour=2), NOON.replace(hour=3))
    started_s = time.monotonic()
    running(nights.trainer, lambda: time.monotonic() > started_s + 1)
    assert nights.dates == []
    name = "hark_trainer_last_success_timestamp_seconds"
    assert value(nights.metrics, name) == NOON.replace(hour=3).timestamp(), "a restart forgets not"


def test_a_run_that_fails_is_counted_and_the_next_one_follows(tmp_path: Path) -> None:
    fails_once = (
        "import pathlib, sys; f = pathlib.Path(sys.argv[1]); old = f.exists(); f.touch(); "
        "sys.exit(0 if old else 3)"
    )
    nights = Nights(tmp_path, fails_once, timedelta(seconds=0.1))
    nights.arguments = [str(tmp_path / "ran")]
    running(nights.trainer, lambda: runs(nights.metrics, "trained"))
    assert runs(nights.metrics, "failed") == 1


def test_there_is_never_more_than_one_run(tmp_path: Path) -> None:
    alone = (
        "import pathlib, sys, time; f = pathlib.Path(sys.argv[1]); f.touch(exist_ok=False); "
        "time.sleep(0.4); f.unlink()"
    )
    nights = Nights(tmp_path, alone, timedelta(seconds=0.05))
    nights.arguments = [str(tmp_path / "alone")]
    running(nights.trainer, lambda: runs(nights.metrics, "trained") >= 3)
    assert runs(nights.metrics, "failed") == 0
    assert len(nights.dates) <= 5, "what came due meanwhile is one run"


def test_a_marker_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    nights.marker.path.parent.mkdir()
    for text in ("", "[]", '{"due": "yesterday"}'):
        nights.marker.path.write_text(text)
        assert nights.marker.read() is None


def test_due_times_are_the_crontab_s_in_utc() -> None:
    nightly, hourly = trigger(NIGHTLY), trigger(timedelta(hours=1))
    assert last_due(nightly, NOON - timedelta(days=2), NOON) == NOON.replace(hour=2)
    assert last_due(nightly, NOON.replace(hour=2), NOON) is None
    assert last_due(hourly, NOON - timedelta(hours=2.5), NOON) == NOON - timedelta(hours=0.5)
    with pytest.raises(ConfigError, match="--cron 'at night'"):
        trigger("at night")


def test_stop_ends_the_run_that_goes_on_and_counts_nothing(tmp_path: Path) -> None:
    nights = Nights(tmp_path, "import time; time.sleep(60)")
    started_s = time.monotonic()
    running(nights.trainer, lambda: value(nights.metrics, "hark_trainer_running"))
    assert time.monotonic() - started_s < 20
    assert runs(nights.metrics, "trained") + runs(nights.metrics, "failed") == 0
    assert nights.marker.read() is None


def test_the_command_ends_with_0_on_sigterm(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "ops.cli", "trainer", "--help-of-train-is-unknown"],
        cwd=tmp_path, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True,
        env={"PYTHONPATH": str(ROOT), "HARK_HTTP__PORT": "0", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if "training.ended" in line:  # the run failed, and the trainer goes on
            break
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
