"""`hark topics grow` as an operator types it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from ops.cli import hark
from ops.kafka_admin.topics import create_topics
from schemas.topics import topics
from streams.kafka.cluster_check import count_partitions
from tests.end_to_end.running import publish

ROOT = Path(__file__).parents[3]
EVENT = b'{"messageId":"m%d","userId":"ann","event":"Product Viewed","timestamp":%d}'


@pytest.fixture
def old(kafka_bootstrap: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Topics with 2 partitions and 9 events."""
    prefix = f"{topic_prefix}old."
    monkeypatch.setenv("HARK_KAFKA__BOOTSTRAP_SERVERS", kafka_bootstrap)
    monkeypatch.setenv("HARK_KAFKA__TOPIC_PREFIX", prefix)
    monkeypatch.setenv("HARK_KAFKA__GROUP_ID", f"{topic_prefix}hark")
    specs = list(topics(prefix, 2))
    specs[0] = replace(specs[0], retention_ms=86_400_000)

    async def make() -> None:
        await create_topics({"bootstrap_servers": kafka_bootstrap}, specs, 1)
        values = [EVENT % (number, 1_790_000_000_000 + number) for number in range(9)]
        await publish(kafka_bootstrap, f"{prefix}events", values)

    asyncio.run(make())
    return prefix


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """As a process of its own: the command sets up logging."""
    return subprocess.run(
        [sys.executable, "-m", "ops.cli", "topics", "grow", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_it_answers_as_json_and_the_new_topics_are_like_the_old(
    old: str, topic_prefix: str, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = f"{topic_prefix}new."
    done = run("3", "--to", new, "--quiet-s", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "partitions": 3, "before": 2, "prefix": new, "partitioner": "murmur2", "copied": 9,
        "missed": 0, "users": 0, "users_older": 0, "incidents": 0,
    }  # fmt: skip
    assert "stop all workers" not in done.stderr  # there are none
    assert f"start the workers with kafka.topic_prefix={new}" in done.stderr

    again = run("3", "--to", new, "--partitioner", "murmur2", "--quiet-s", "1")
    assert f"{new}events has 3 partitions and all 9 events of the 2 before" in again.stdout

    monkeypatch.setenv("HARK_KAFKA__TOPIC_PREFIX", new)
    names = [spec.name for spec in topics(new)]
    found = asyncio.run(count_partitions({"bootstrap_servers": kafka_bootstrap}, names))
    assert found == {spec.name: spec.partitions for spec in topics(new, 3)}
    checked = json.loads(CliRunner().invoke(hark, ["topics", "check", "--json"]).output)
    assert checked["ok"]
    assert [(each["setting"], each["found"]) for each in checked["differences"]] == [
        ("retention.ms", "86400000")
    ]


@pytest.mark.parametrize(
    ("number", "to", "why"),
    [
        ("2", "new.", "has 2 partitions already: choose more"),
        ("1000", "old.", "is the present prefix"),
        ("3", "new prefix.", "--to "),
    ],
)
def test_what_cannot_be_grown_is_told_in_a_line(
    old: str, topic_prefix: str, number: str, to: str, why: str
) -> None:
    done = run(number, "--to", f"{topic_prefix}{to}", "--partitioner", "murmur2")
    assert done.returncode == 2, done.stdout
    assert why in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_topic_with_events_of_another_hand_is_left_alone(
    old: str, topic_prefix: str, kafka_bootstrap: str
) -> None:
    new = f"{topic_prefix}new."

    async def make() -> None:
        await create_topics({"bootstrap_servers": kafka_bootstrap}, topics(new, 3), 1)
        await publish(kafka_bootstrap, f"{new}events", [b"{}"])

    asyncio.run(make())
    done = run("3", "--to", new, "--partitioner", "murmur2")
    assert done.returncode == 2
    assert "holds events that aren't copies" in done.stderr
    four = run("4", "--to", new, "--partitioner", "murmur2")
    assert "events has 3 partitions, not 4" in four.stderr
