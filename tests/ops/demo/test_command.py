"""`hark demo`, whole, as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytest.importorskip("torch", reason="the demo trains: pip install 'hark[train]'")

EVENTS = 4_000


def _demo(*arguments: str, folder: Path, bootstrap: str, prefix: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ops.cli", "demo", *arguments],
        env={
            **os.environ,
            "HARK_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
            "HARK_KAFKA__TOPIC_PREFIX": prefix,
            "PYTHONPATH": str(Path(__file__).parents[3]),
            "TMPDIR": str(folder),
        },
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_the_whole_path_in_one_command(
    kafka_bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    file = tmp_path / "summary.json"
    arguments = ("--events", str(EVENTS), "--live-seconds", "5", "--summary", str(file))
    process = _demo(*arguments, folder=tmp_path, bootstrap=kafka_bootstrap, prefix=topic_prefix)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    summary = json.loads(file.read_text())
    assert summary["sent"] == EVENTS
    assert summary["ingested"] + summary["dead_letters"] + summary["duplicates"] == EVENTS
    assert summary["decisions"] > 0
    assert summary["recommendations"] > 0
    assert summary["events_per_s"] > 0
    assert summary["cores"] > 0
    assert set(summary["alerts"]) >= {"churn", "risk"}
    assert 0 < summary["latency_ms"]["p50"] <= summary["latency_ms"]["p99"]
    assert set(summary["quality"]) == {"hark", "popularity", "covisitation", "own_recent"}
    for figures in summary["quality"].values():
        assert 0 <= figures["ndcg_at_10"] <= figures["hr_at_10"] <= 1
    assert summary["quality"]["hark"]["hr_at_10"] > 0
    # Four thousand events may not be enough for the gate: then the counters answer.
    promoted = summary["training"]["promoted"]
    assert (summary["model_version"] == "counters") != promoted
    assert ("the counters answer" in said) != promoted
    assert "one user's list" in said
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_early_end_leaves_nothing_behind(
    kafka_bootstrap: str, topic_prefix: str, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    process = _demo(
        "--events", str(EVENTS), folder=tmp_path, bootstrap=kafka_bootstrap, prefix=topic_prefix
    )
    demo = psutil.Process(process.pid)
    end = time.monotonic() + 60
    while not (children := demo.children()) and time.monotonic() < end:
        time.sleep(0.1)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == code
    assert children
    assert not [child for child in children if child.is_running()]
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    process = _demo(
        "--data", "/no/such/file.csv", folder=tmp_path, bootstrap="127.0.0.1:1", prefix="x"
    )
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert said == "error: /no/such/file.csv: no such file\n"


def test_columns_of_a_file_nobody_knows_are_asked_for_and_mapped(tmp_path: Path) -> None:
    file = tmp_path / "clicks.csv"
    file.write_text("who,what,when\n" + "ann,p1,2026-01-01 10:00:00\n" * 50)
    for mapping, complaint in (
        ((), "error: clicks.csv: not a file Hark knows; say which column is what with --map"),
        (("--map", "user=who,item=what,time=at"), "error: --map: no column at; the file has"),
        (("--map", "user=who,item=what,time=when"), f"error: {file}: 50 events are too few"),
    ):
        arguments = ("--data", str(file), *mapping)
        process = _demo(*arguments, folder=tmp_path, bootstrap="127.0.0.1:1", prefix="x")
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 2
        assert said.startswith(complaint)
