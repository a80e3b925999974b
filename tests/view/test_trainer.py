"""`hark trainer` runs, counts and stops; what it runs here is a command of the test's."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

from ops.trainer import Trainer, TrainerMetrics

ROOT = Path(__file__).parents[2]


def value(metrics: TrainerMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def runs(metrics: TrainerMetrics, outcome: str) -> float:
    return value(metrics, "hark_trainer_runs_total", outcome=outcome) or 0


def until(what: object, trainer: Trainer) -> None:
    """Run until `what()` is true, then stop."""
    assert callable(what)
    thread = Thread(target=trainer.run)
    thread.start()
    deadline = time.monotonic() + 20
    try:
        while not what():
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        trainer.stop()
        thread.join(20)
    assert not thread.is_alive()


def test_a_run_that_ends_well_is_dated() -> None:
    metrics = TrainerMetrics()
    trainer = Trainer([sys.executable, "-c", ""], 3_600, metrics, clock=lambda: 1_790_000_000.0)
    until(lambda: runs(metrics, "trained"), trainer)
    assert value(metrics, "hark_trainer_last_success_timestamp_seconds") == 1_790_000_000
    assert (value(metrics, "hark_trainer_run_seconds") or 0) > 0
    assert runs(metrics, "failed") == 0


def test_a_run_that_fails_is_counted_and_the_next_one_follows(tmp_path: Path) -> None:
    metrics = TrainerMetrics()
    fails_once = (
        "import pathlib, sys; f = pathlib.Path(sys.argv[1]); old = f.exists(); f.touch(); "
        "sys.exit(0 if old else 3)"
    )
    trainer = Trainer([sys.executable, "-c", fails_once, str(tmp_path / "ran")], 0.1, metrics)
    until(lambda: runs(metrics, "trained"), trainer)
    assert runs(metrics, "failed") == 1


def test_it_waits_between_runs() -> None:
    metrics = TrainerMetrics()
    trainer = Trainer([sys.executable, "-c", ""], 3_600, metrics)
    until(lambda: runs(metrics, "trained"), trainer)
    assert runs(metrics, "trained") == 1


def test_stop_ends_the_run_that_goes_on_and_counts_nothing() -> None:
    metrics = TrainerMetrics()
    trainer = Trainer([sys.executable, "-c", "import time; time.sleep(60)"], 3_600, metrics)
    started_s = time.monotonic()
    until(lambda: value(metrics, "hark_trainer_running"), trainer)
    assert time.monotonic() - started_s < 20
    assert runs(metrics, "trained") + runs(metrics, "failed") == 0


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
