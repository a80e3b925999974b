"""Event names that nobody mapped: the worker, a training and a replay say which and how many."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from ops.archive.rerun import Rerun
from ops.cli import hark
from ops.kafka_admin.topics import create_topics
from ops.training.stages import Stages
from streams.ingest.unmapped_names import MAX_NAMES, UnmappedNames, unmapped_line
from streams.settings import Settings
from streams.transport.record_batch import RecordBatch
from tests.end_to_end.running import publish, running, settings, until
from tests.few_partitions import topics

NAMES = ["view_item", "view_item", "加入购物车", "Product Viewed"]


def _values(names: list[str], first: int = 0) -> list[bytes]:
    return [
        json.dumps({"messageId": f"m{first + n}", "userId": "ann", "event": name}).encode()
        for n, name in enumerate(names)
    ]


def _batch(values: list[bytes]) -> RecordBatch:
    n = len(values)
    times = [1_793_527_200_000] * n
    return RecordBatch("events", 0, 0, n - 1, range(n), times, [b"ann"] * n, list(values), [()] * n)


def test_names_are_counted_and_what_is_no_event_is_passed_over() -> None:
    names = UnmappedNames({"Product Viewed"})
    odd = [None, b"", b"[]", b'{"event":5}', b'{"event":"x","type":"page"}', b"\xff"]
    names.see([*_values(NAMES), *odd])
    assert names.counts == {"view_item": 2, "加入购物车": 1}


def test_each_name_is_told_once() -> None:
    names = UnmappedNames({"Product Viewed"})
    names.see(_values(NAMES))
    assert names.unreported() == {"view_item": 2, "加入购物车": 1}
    names.see(_values(NAMES))
    assert names.unreported() == {}
    names.see(_values(["x" * 500]))
    assert names.unreported() == {"x" * 60: 1}


def test_names_with_ids_in_them_do_not_fill_the_memory() -> None:
    names = UnmappedNames(())
    names.see(_values([f"clicked {n}" for n in range(MAX_NAMES + 50)]))
    assert len(names.counts) == MAX_NAMES
    line = unmapped_line(names.counts, MAX_NAMES)
    assert len(line) < 700
    assert f"{MAX_NAMES - 8:,} more names" in line


def test_a_training_on_nothing_but_unmapped_names_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    state = Rerun(Settings())
    state.feed(_batch(_values(NAMES[:3])))
    line = state.unmapped()
    assert line.startswith("3 of 3 events have names that aren't mapped to a kind")
    assert "'view_item' 2, '加入购物车' 1" in line
    stages = Stages()
    stages.warn(line)
    assert stages.warnings == [line]
    assert f"warning: {line}" in capsys.readouterr().err
    state = Rerun(Settings(events={"view_item": "view", "加入购物车": "cart"}))
    state.feed(_batch(_values(NAMES)))
    assert state.unmapped() == ""


async def test_the_worker_s_log_names_them(kafka_bootstrap: str, topic_prefix: str) -> None:
    await create_topics({"bootstrap_servers": kafka_bootstrap}, topics(topic_prefix), 1)
    with capture_logs() as lines:
        async with running(settings(kafka_bootstrap, topic_prefix)):
            await publish(kafka_bootstrap, f"{topic_prefix}events", _values(NAMES))

            def told() -> dict[str, int]:
                found = [line for line in lines if line["event"] == "events.unmapped_names"]
                return {name: n for line in found for name, n in line["names"].items()}

            await until(lambda: len(told()) == 2, "both names are told")
    assert set(told()) == {"view_item", "加入购物车"}


def test_replay_says_which_and_counts_them(
    kafka_bootstrap: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HARK_KAFKA__BOOTSTRAP_SERVERS", kafka_bootstrap)
    monkeypatch.setenv("HARK_KAFKA__TOPIC_PREFIX", topic_prefix)
    path = tmp_path / "a.csv"
    rows = "".join(f"u,{name},2026-11-01\n" for name in NAMES) + "u,view,1980-01-01\nu,view,soon\n"
    path.write_text("u,n,t\n" + rows)
    assert CliRunner().invoke(hark, ["topics", "create"]).exit_code == 0
    arguments = ["replay", str(path), "--map", "user=u,event=n,time=t", "--json"]
    done = CliRunner().invoke(hark, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert json.loads(done.stdout)["unmapped"] == {"view_item": 2, "加入购物车": 1}
    assert "'view_item' 2, '加入购物车' 1" in done.stderr
    assert "1 of 5 events are dated before 1990-01-01" in done.stderr
    assert "'soon' in data row 6" in done.stderr
    monkeypatch.setenv("HARK_EVENTS", '{"view_item": "view", "加入购物车": "cart"}')
    done = CliRunner().invoke(hark, arguments, catch_exceptions=False)
    assert json.loads(done.stdout)["unmapped"] == {}
    assert "no kind" not in done.stderr
