"""`hark bench ingest`: every way reads the same topic, and the answer is whole."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiokafka import TopicPartition
from click.testing import CliRunner

from ops.benchmarks.command import bench
from ops.benchmarks.ingest import ROWS, TRACING, filled_topic
from streams.kafka.log import read_from
from streams.settings import Kafka

pytestmark = pytest.mark.kafka


def test_the_ingest_benchmark_measures_each_way_on_the_same_topic(
    kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HARK_KAFKA__BOOTSTRAP_SERVERS", kafka_bootstrap)
    only = ["--only=faust_each", "--only=transport"]
    done = CliRunner().invoke(bench, ["ingest", "--events", "10000", "--rounds=1", "--json", *only])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["topic"]["events"] == 10_000
    assert 250 < answer["topic"]["mean_bytes"] < 500
    assert answer["machine"]["aiokafka"] == "0.14.0"
    results = answer["results"]
    assert [row["events"] for row in results.values()] == [2_000, 10_000]
    assert all(row["events_per_s"] > 0 for row in results.values())


def test_the_traced_row_reads_records_with_tracing_headers(kafka_bootstrap: str) -> None:
    assert [row.name for row in ROWS if row.traced] == ["worker_traced"]
    kafka = Kafka(bootstrap_servers=kafka_bootstrap)

    async def headers(topic: str) -> set[tuple[tuple[str, bytes], ...]]:
        found = set()
        for partition in range(4):
            async for records in read_from(kafka.client(), TopicPartition(topic, partition), 0):
                found |= {tuple(record.headers) for record in records}
        return found

    with filled_topic(kafka, 300, headers=TRACING) as filled:
        assert asyncio.run(headers(filled.topic)) == {TRACING}
