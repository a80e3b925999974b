"""`hark bench latency`, small: every event is answered or silent, every number is there."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import polars as pl
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from click.testing import CliRunner

from ops.benchmarks.latency.load import event_records, number, write_shop
from ops.benchmarks.latency.rebalance import Change, rebalance, summary
from ops.benchmarks.latency.rivals import COUNTERS, LOOP, NAMES, prepare
from ops.benchmarks.latency.row import Setup, percentiles
from ops.benchmarks.score_shop import ShopSize
from ops.cli import hark
from schemas.errors import ConfigError
from streams.kafka.settings import Kafka

SMALL = ShopSize(items=90, events=4_000)


async def _topics(bootstrap: str) -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        return {name for name in await admin.list_topics() if not name.startswith("__")}
    finally:
        await admin.close()


@pytest.mark.slow
def test_each_rival_answers_every_event_and_every_number_is_there(
    kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARK_KAFKA__BOOTSTRAP_SERVERS", kafka_bootstrap)
    before = asyncio.run(_topics(kafka_bootstrap))
    small = ["--rate=20", "--seconds=2", "--items=90", "--events=4000", "--train-seconds=2"]
    done = CliRunner().invoke(hark, ["bench", "latency", *small, "--json"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert {"cpu", "cores", "aiokafka", "onnxruntime"} <= answer["machine"].keys()
    assert list(answer["results"]) == list(NAMES)
    for name, rates in answer["results"].items():
        assert list(rates) == ["20"]
        row = rates["20"]
        assert row["events"] == 100  # 3 s before the measured 2 s
        assert row["missing"] == 0, name
        assert row["outputs"] + row["silent"] == 100
        assert row["outputs"] > 30
        assert 0 <= row["p50_ms"] <= row["p99_ms"] <= row["max_ms"]
        assert row["cores"] > 0
        assert row["late_p99_ms"] >= 0
    assert answer["results"][LOOP]["20"]["silent"] == 0
    assert asyncio.run(_topics(kafka_bootstrap)) == before


@pytest.mark.slow
def test_partitions_stay_and_move_as_a_worker_joins_leaves_and_is_killed(
    kafka_bootstrap: str, tmp_path: Path
) -> None:
    prepared = prepare(tmp_path, SMALL, train_seconds=1, names={COUNTERS})
    setup = Setup(Kafka(bootstrap_servers=kafka_bootstrap), prepared, tmp_path / "run")
    told: list[str] = []
    found = asyncio.run(rebalance(setup, told.append, users=500, name=COUNTERS, rate=40))
    assert list(found) == ["join", "leave", "kill"]
    assert len(told) == 5
    for change in found.values():
        assert change["stayed"] > 0
        assert change["moved"] > 0
        assert change["stayed"] + change["moved"] == 4
        assert min(change[f"{name}_ms"] for name in ("stay_p99", "stay_gap", "moved_pause")) > 0


def test_the_load_goes_on_for_ever_and_never_repeats_an_event(tmp_path: Path) -> None:
    write_shop(tmp_path, SMALL.simulate())
    shop = pl.read_parquet(tmp_path / "events.parquet")
    begun = event_records(shop, 0, len(shop), "events")
    again = event_records(shop, len(shop), 5, "events")
    assert again.keys == begun.keys[:5]
    assert again.times_ms[0] == begun.times_ms[-1] + 3_500
    ids = [json.loads(value or b"")["messageId"] for value in begun.values + again.values]
    assert [number(each) for each in ids] == list(range(len(shop) + 5))


def test_a_load_of_many_users_has_that_many(tmp_path: Path) -> None:
    write_shop(tmp_path, SMALL.simulate())
    shop = pl.read_parquet(tmp_path / "events.parquet")
    assert len(set(event_records(shop, 60, 500, "events", users=500).keys)) == 500


def test_an_event_without_an_output_is_in_no_percentile() -> None:
    records = pl.DataFrame({"event_ms": [10, 20, 30], "output_ms": [15, None, 37]})
    assert percentiles(records) == {"p50_ms": 7.0, "p99_ms": 7.0, "max_ms": 7.0}
    assert set(percentiles(records[:0].cast(pl.Int64)).values()) == {None}


def test_a_pause_that_reaches_beyond_the_change_counts_whole() -> None:
    times = {"partition": 0, "offset": range(4), "event_ms": [0, 10, 20, 30]}
    records = pl.DataFrame({**times, "output_ms": [1, 11, 500, 501]})
    owners = {"a": {0}}
    found = summary(records, Change({0: 2}, {0: 3}, owners, owners))
    assert found == {
        "stay_p99_ms": 480.0,
        "stay_gap_ms": 489,
        "moved_pause_ms": None,
        "stayed": 1,
        "moved": 0,
    }


def test_what_is_missing_is_named_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"(torch|onnx) is missing: pip install 'hark\[train\]'"):
        prepare(tmp_path, SMALL, train_seconds=1, names={LOOP})
