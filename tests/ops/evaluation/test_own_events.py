"""`hark evaluate --events` on files that nobody has seen before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from ops.evaluation.command import evaluate

METHODS = ["hark", "popularity", "covisitation", "own_recent", "network"]


def run(file: Path, mapping: str, folder: Path, *more: str) -> dict[str, Any]:
    done = CliRunner().invoke(
        evaluate,
        ["--events", str(file), "--map", mapping, "--out", str(folder), "--json", *more],
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def chains(users: int, steps: int, seed: int) -> pl.DataFrame:
    """Nobody comes back to an item; after item n mostly comes n + 1: nothing else helps."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        day, track = int(rng.integers(0, 300)), int(rng.integers(0, 200))
        for _ in range(steps):
            date = np.datetime64("2024-01-01") + day
            rows.append((f"someone {user}", f"track/{track}", str(date)))
            track += 1 if rng.random() < 0.8 else int(rng.integers(2, 60))
            day += 1
    return pl.DataFrame(rows, schema=["who", "what", "day"], orient="row")


@pytest.mark.slow
def test_what_follows_what_is_learnt_from_days_without_event_names(tmp_path: Path) -> None:
    file = tmp_path / "plays.csv"
    chains(users=250, steps=24, seed=4).write_csv(file)
    report = run(file, "user=who,item=what,time=day", tmp_path / "out")
    found = {row["method"]: row for row in report["results"]}
    assert list(found) == METHODS
    hark = found["hark"]
    assert hark["hr_at_10"]["value"] > 0.3
    for method in METHODS[1:]:
        assert hark["hr_at_10"]["value"] > found[method]["hr_at_10"]["value"], method
        assert hark["ndcg_at_10"]["value"] > found[method]["ndcg_at_10"]["value"], method
    assert hark["hr_at_10"]["low"] < hark["hr_at_10"]["value"] < hark["hr_at_10"]["high"]
    facts = report["facts"]
    assert facts["events"] == 6_000
    assert facts["targets"] == sum(facts["slices"][part] for part in ("own items", "other items"))
    assert (tmp_path / "out" / "plays.json").is_file()


def test_a_few_events_are_measured_too(tmp_path: Path) -> None:
    rows = [(f"u{i % 7}", f"i{i % 5}", 60 * i) for i in range(60)]
    file = tmp_path / "few.csv"
    pl.DataFrame(rows, schema=["u", "i", "t"], orient="row").write_csv(file)
    report = run(file, "user=u,item=i,time=t", tmp_path)
    assert [row["method"] for row in report["results"]] == METHODS
    assert report["facts"]["targets"] == 6
    assert report["results"][0]["hr_at_10"]["value"] == 1.0, "five items fit into ten places"


def test_a_log_of_four_partitions_is_measured_as_one(tmp_path: Path) -> None:
    rows = [(f"u{i % 7}", f"i{i % 5}", 60 * i) for i in range(60)]
    file = tmp_path / "few.csv"
    pl.DataFrame(rows, schema=["u", "i", "t"], orient="row").write_csv(file)
    one = run(file, "user=u,item=i,time=t", tmp_path)
    four = run(file, "user=u,item=i,time=t", tmp_path, "--partitions", "4")
    assert (one["facts"]["partitions"], four["facts"]["partitions"]) == (1, 4)
    assert four["facts"]["targets"] == one["facts"]["targets"] == 6
    assert four["results"][0]["hr_at_10"]["value"] == 1.0, "five items fit into ten places"


def test_a_protocol_without_partitions_says_so(tmp_path: Path) -> None:
    done = CliRunner().invoke(evaluate, ["ml1m", "--data", str(tmp_path), "--partitions", "4"])
    assert done.exit_code == 2
    assert "--partitions" in done.output
