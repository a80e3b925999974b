"""A worker from outside: anything in through stock clients, valid answers out."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from jsonschema import Draft202012Validator

from ops.demo.scrape import Scrape
from schemas.documents import examples
from schemas.documents.json_schema import schema_files
from schemas.errors import Reason
from tests.end_to_end.conftest import make_reader
from tests.end_to_end.documentation.snippets import KCAT_LACKS, snippets
from tests.end_to_end.worker import RunningWorker, worker

pytestmark = pytest.mark.kafka
BY_CLIENTS = [s for s in snippets("publish.md") if "-1" in s.text and s.language != "json"]


@dataclass(frozen=True, slots=True)
class Sent:
    """What was published, and the worker that read it."""

    bootstrap: str
    prefix: str
    worker: RunningWorker
    records: int
    rejected: dict[bytes | None, Reason]  # by the value published

    def scrape(self) -> Scrape:
        return Scrape(self.worker.get("/metrics")[1])


@pytest.fixture(scope="module")
def sent(
    kafka_bootstrap: str, node_path: Path | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sent]:
    prefix = f"path-{uuid4().hex[:8]}."
    reader = make_reader(kafka_bootstrap, prefix, node_path)
    with worker(tmp_path_factory.mktemp("worker"), kafka_bootstrap, prefix) as running:
        running.wait_until_ready()
        values = golden() + odd_but_valid()
        rejected = {one.value: one.reason for one in examples.rejected("events")}
        rejected[LATE] = Reason.LATE
        publish(kafka_bootstrap, f"{prefix}events", [*values, *rejected])
        clients = [s for s in BY_CLIENTS if reader.can_run(s)]
        for snippet in clients:
            reader.run(snippet)
        records = len(clients) + len(values) + len(rejected)
        sent = Sent(kafka_bootstrap, prefix, running, records, rejected)
        wait_for(sent)
        yield sent


def event(message: str, user: str, timestamp: str, name: str = "Product Viewed") -> bytes:
    return json.dumps(
        {"messageId": message, "userId": user, "event": name, "timestamp": timestamp}
    ).encode()


LATE = event("late", "u-odd", "2026-09-01T00:00:00Z")


def golden() -> list[bytes]:
    """In the order of their names: the one without a timestamp, so dated today, comes last."""
    return [json.dumps(payload).encode() for payload in examples.valid("events").values()]


def odd_but_valid() -> list[bytes]:
    return [
        event("in-2100", "u-future", "2100-01-01T00:00:00Z"),
        event("twice", "u-odd", "2026-10-02T00:00:00Z"),
        event("twice", "u-odd", "2026-10-02T00:00:00Z"),
        event("unheard-of", "u-odd", "2026-10-02T00:00:01Z", "Widget Wobbled"),
    ]


def publish(bootstrap: str, topic: str, values: list[bytes | None]) -> None:
    producer = Producer(
        {"bootstrap.servers": bootstrap, "message.max.bytes": 8_000_000, "compression.type": "zstd"}
    )
    for value in values:
        producer.produce(topic, key="u-4711", value=value)  # one partition, so in order
    producer.flush()


def wait_for(sent: Sent, timeout_s: float = 60) -> None:
    """Until every record was counted."""
    deadline = time.monotonic() + timeout_s
    while sent.scrape().total("hark_events_total") < sent.records:
        assert sent.worker.process.poll() is None, sent.worker.log()
        assert time.monotonic() < deadline, sent.worker.log()
        time.sleep(0.1)


def messages(sent: Sent, topic: str, count: int) -> list[Any]:
    """The first `count` messages of a topic."""
    consumer = Consumer(
        {"bootstrap.servers": sent.bootstrap, "group.id": f"{sent.prefix}{uuid4().hex}",
         "auto.offset.reset": "earliest"}
    )  # fmt: skip
    consumer.subscribe([sent.prefix + topic])
    found: list[Any] = []
    deadline = time.monotonic() + 20
    while len(found) < count and time.monotonic() < deadline:
        found += consumer.consume(100, 0.5)
    consumer.close()
    return found


def schema(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema_files()[f"{name}.v1.schema.json"]))


def test_every_record_is_accepted_a_duplicate_or_a_dead_letter(sent: Sent) -> None:
    outcomes = sent.scrape().by("hark_events_total", "outcome")
    assert outcomes == {
        "accepted": sent.records - len(sent.rejected) - 1,
        "duplicate": 1,
        "dead_letter": len(sent.rejected),
    }


def test_dead_letters_are_counted_by_reason(sent: Sent) -> None:
    counted = sent.scrape().by("hark_dead_letters_total", "reason")
    expected = {reason.value: 0 for reason in Reason} | {"other": 0}
    for reason in sent.rejected.values():
        expected[reason] += 1
    assert counted == expected


def test_oddities_are_accepted_and_counted(sent: Sent) -> None:
    reading = sent.scrape()
    assert reading.total("hark_future_events_total") == 1
    assert reading.total("hark_unknown_event_names_total") == 2
    assert reading.total("hark_out_of_order_events_total") > 0


def test_dead_letters_hold_the_original_bytes_and_say_why(sent: Sent) -> None:
    found = messages(sent, "dead-letters", len(sent.rejected))
    reasons = {}
    for message in found:
        headers = {name: value.decode() for name, value in message.headers()}
        assert not list(schema("dead-letters.headers").iter_errors(headers))
        assert headers["hark-topic"] == f"{sent.prefix}events"
        assert message.key() == b"u-4711"
        reasons[message.value()] = Reason(headers["hark-reason"])
    assert reasons == sent.rejected


STAND_IN = [sys.executable, "-m", "tests.end_to_end.documentation.kcat_stand_in"]


@pytest.mark.parametrize("kcat", [["kcat"], STAND_IN], ids=["kcat", "stand-in"])
def test_recommendations_read_with_kcat_are_valid(sent: Sent, kcat: list[str]) -> None:
    if shutil.which(kcat[0]) is None:
        pytest.skip(KCAT_LACKS)
    done = subprocess.run(
        [*kcat, "-C", "-b", sent.bootstrap, "-t", f"{sent.prefix}recommendations", "-e", "-q",
         "-f", "%k %s\\n"],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines
    for line in lines:
        key, _, value = line.partition(" ")
        answer = json.loads(value)
        assert not list(schema("recommendations").iter_errors(answer))
        assert key == answer["user_id"]
        assert [item["rank"] for item in answer["items"]] == list(
            range(1, len(answer["items"]) + 1)
        )


def test_the_worker_is_well_after_all_that(sent: Sent) -> None:
    assert sent.worker.get("/healthz") == (200, "ok\n")
    assert sent.worker.get("/readyz") == (200, "ok\n")


def test_a_stopped_worker_has_drained_and_committed(sent: Sent) -> None:
    assert sent.worker.stop() == 0, sent.worker.log()
    consumer = Consumer({"bootstrap.servers": sent.bootstrap, "group.id": f"{sent.prefix}hark"})
    topic = consumer.list_topics(f"{sent.prefix}events").topics[f"{sent.prefix}events"]
    partitions = [TopicPartition(f"{sent.prefix}events", number) for number in topic.partitions]
    committed = sum(max(0, one.offset) for one in consumer.committed(partitions, 10))
    assert committed == sent.records
