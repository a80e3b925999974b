"""`hark simulate`, `hark replay` and `hark tail` on a real broker."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from ops.cli import hark
from schemas.errors import ConfigError

FILE = "who,what,thing,when\n" + "".join(
    f"u{i % 7},view,item {i},{1_500_000_000 + 60 * i}\n" for i in range(500)
)


@pytest.fixture
def cluster(kafka_bootstrap: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HARK_KAFKA__BOOTSTRAP_SERVERS", kafka_bootstrap)
    monkeypatch.setenv("HARK_KAFKA__TOPIC_PREFIX", topic_prefix)
    _run("topics", "create")
    return topic_prefix


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.csv"
    path.write_text(FILE)
    return path


def _run(*arguments: str) -> Result:
    result = CliRunner().invoke(hark, arguments)
    assert result.exit_code == 0, result.output or result.exception
    return result


def _answer(*arguments: str) -> dict[str, object]:
    found = json.loads(_run(*arguments, "--json").stdout)
    assert isinstance(found, dict)
    return found


def test_replay_sends_every_row_once_and_the_same_again_as_duplicates(
    cluster: str, file: Path
) -> None:
    mapping = "user=who,event=what,item=thing,time=when"
    first = _answer("replay", str(file), "--map", mapping)
    again = _answer("replay", str(file), "--map", mapping)
    assert first["topic"] == f"{cluster}events"
    assert (first["sent"], again["sent"]) == (500, 500)


def test_replay_sends_the_span_that_was_asked_for(cluster: str, file: Path) -> None:
    mapping = "user=who,event=what,item=thing,time=when"
    span = ("--from", str(1_500_000_000 + 600), "--until", "2017-07-14T03:00:00Z")
    assert _answer("replay", str(file), "--map", mapping, *span)["sent"] == 10
    assert _answer("replay", str(file), "--map", mapping, *span, "--limit", "3")["sent"] == 3


def test_recorded_speed_times_a_factor(cluster: str, file: Path) -> None:
    mapping = "user=who,event=what,item=thing,time=when"
    found = _answer("replay", str(file), "--map", mapping, "--speed", "30000")
    assert 0.99 <= float(str(found["seconds"])) < 60  # 499 minutes; the machine may be busy


def test_pacing_options_exclude_each_other(file: Path) -> None:
    result = CliRunner().invoke(hark, ["replay", str(file), "--speed", "2", "--max"])
    assert result.exit_code == 2
    assert "exclude" in result.output


def test_simulate_publishes_what_was_asked_and_writes_the_truth(
    cluster: str, tmp_path: Path
) -> None:
    truth = tmp_path / "truth.parquet"
    size = ("--users", "200", "--items", "60", "--days", "60", "--events", "4000")
    found = _answer("simulate", *size, "--seed", "3", "--truth", str(truth))
    rows = pl.read_parquet(truth)
    assert found["sent"] == 4_000
    assert int(str(found["items"])) >= 60
    assert found["frauds"] == len(rows.filter(kind="fraud"))
    assert found["quits"] == len(rows.filter(kind="quit"))


def test_tail_of_an_empty_topic_ends_at_its_end(cluster: str) -> None:
    for what in ("recommendations", "alerts", "dead-letters"):
        assert _run("tail", what, "--from-beginning", "--until-end").stdout == ""


def test_missing_topics_are_named_with_what_to_do(
    kafka_bootstrap: str, topic_prefix: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARK_KAFKA__BOOTSTRAP_SERVERS", kafka_bootstrap)
    monkeypatch.setenv("HARK_KAFKA__TOPIC_PREFIX", topic_prefix)
    mapping = ("--map", "user=who,time=when")
    for command in (["tail", "alerts"], ["replay", str(file), *mapping], ["simulate"]):
        result = CliRunner().invoke(hark, command)
        assert isinstance(result.exception, ConfigError)
        assert topic_prefix in str(result.exception)
        assert "hark topics create" in str(result.exception)
