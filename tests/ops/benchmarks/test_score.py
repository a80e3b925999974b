"""`hark bench score`: every combination once, and the stages add up to the whole."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from ops.benchmarks.command import bench


@pytest.mark.slow
def test_the_score_benchmark_measures_each_combination_and_where_its_time_goes() -> None:
    sizes = ["--batch=1", "--batch=3", "--items=90", "--length=8", "--length=mixed"]
    small = ["--events=4000", "--train-seconds=2"]
    done = CliRunner().invoke(bench, ["score", "--json", *sizes, *small])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert {"cpu", "cores", "onnxruntime", "polars", "numpy"} <= answer["machine"].keys()
    rows = answer["results"]
    assert [(row["items"], row["length"], row["batch"]) for row in rows] == [
        (90, length, batch) for length in ("8", "mixed") for batch in (1, 3)
    ]
    for row in rows:
        assert row["decisions_per_s"] == pytest.approx(1000 * row["batch"] / row["ms"], rel=0.01)
        assert sum(row["share"].values()) == pytest.approx(1.0, abs=0.05)
        assert {"features", "sequences", "engine", "candidates", "pool", "rank", "heads",
            "messages"} <= row["share"].keys()  # fmt: skip
        assert row["share"]["engine"] > 0
    assert all(row["mean_length"] == 8 for row in rows if row["length"] == "8")
