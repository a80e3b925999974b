"""Catalogue entries that can't be read: one dead letter each, and a count."""

from __future__ import annotations

from typing import Any

from aiokafka import AIOKafkaProducer
from prometheus_client import generate_latest

from ops.demo.scrape import Scrape
from ops.kafka_admin.topics import create_topics
from schemas.roles import catalogue_group
from streams.catalogue.dead_letters import CatalogueDeadLetters, judge
from streams.checkpoints.restore import committed_offsets
from streams.group_settings import fingerprint, log_differences, settings_assignor
from streams.kafka.producer import OutputProducer
from streams.monitoring.metrics import Metrics
from streams.settings import Model, Recommend, Settings, State
from streams.transport.record_batch import fold
from tests.end_to_end.running import letters, until
from tests.few_partitions import topics

BAD: list[tuple[bytes | None, bytes | None, str]] = [
    (b"list", b"[1]", "wrong_type"),
    (b"cut", b'{"available":', "malformed_json"),
    (b"", b"{}", "missing_item_id"),
    (None, b'{"title":"secret"}', "missing_item_id"),
    (b"caf\xe9", b"{}", "invalid_utf8"),
    (b"", None, "missing_item_id"),
]
GOOD: list[tuple[bytes | None, bytes | None]] = [
    (b"hat", b'{"price":"cheap","category":["a","b"],"available":"perhaps"}'),
    (b"shoe", b"{}"),
    (b"gone", None),
]


class _Record:
    timestamp = 5
    headers = (("source", b"shop"),)

    def __init__(self, offset: int, key: bytes | None, value: bytes | None) -> None:
        self.offset, self.key, self.value = offset, key, value


def test_each_entry_is_judged() -> None:
    entries = [*GOOD, *[(key, value) for key, value, _ in BAD]]
    records: list[Any] = [_Record(n, key, value) for n, (key, value) in enumerate(entries)]
    counts, dead = judge(fold("items", 3, records), "dead-letters", "1")
    assert counts == {
        ("accepted", ("price", "category", "available")): 1,
        ("accepted", ()): 1,
        ("removed", ()): 1,
        ("rejected", ()): len(BAD),
    }
    for number, (letter, (key, value, reason)) in enumerate(zip(dead, BAD, strict=True), len(GOOD)):
        headers = dict(letter.headers)
        assert (letter.topic, letter.key, letter.value) == ("dead-letters", key, value)
        assert headers["hark-reason"] == reason.encode()
        assert headers["hark-topic"] == b"items"
        assert (headers["hark-partition"], headers["hark-offset"]) == (b"3", b"%d" % number)
        assert headers["source"] == b"shop"


class Workers:
    """The letters' part of workers of one group, without the rest of them."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self._client = {"bootstrap_servers": bootstrap}
        self._prefix = prefix
        self._running: list[tuple[CatalogueDeadLetters, OutputProducer]] = []

    async def add(self, settings: Settings, name: str) -> Metrics:
        producer, metrics = OutputProducer(self._client, max_message_bytes=1 << 20), Metrics()
        await producer.start()
        part = CatalogueDeadLetters(
            self._client,
            catalogue_group(f"{self._prefix}hark"),
            f"{self._prefix}items",
            f"{self._prefix}dead-letters",
            producer,
            metrics,
            "1",
            10.0,
            settings_assignor(settings, name),
        )
        part.start()
        self._running.append((part, producer))
        return metrics

    async def stop(self) -> None:
        while self._running:
            part, producer = self._running.pop()
            await part.stop()
            await producer.stop()


async def test_a_letter_is_written_once_by_whatever_worker_and_after_restarts(
    kafka_bootstrap: str, topic_prefix: str
) -> None:
    client = {"bootstrap_servers": kafka_bootstrap}
    await create_topics(client, topics(topic_prefix), 1)
    workers, group = Workers(kafka_bootstrap, topic_prefix), catalogue_group(f"{topic_prefix}hark")
    producer = AIOKafkaProducer(**client)
    await producer.start()

    async def publish() -> None:
        for key, value in [*GOOD, *[(key, value) for key, value, _ in sent]]:
            await producer.send_and_wait(
                f"{topic_prefix}items", value, key, headers=[("source", b"shop")]
            )

    async def done(count: int) -> bool:
        return sum((await committed_offsets(client, group)).values()) == count

    # Brokers take no record without a key into a compacted topic.
    sent = [entry for entry in BAD if entry[0] is not None]
    each = len(GOOD) + len(sent)
    try:
        await publish()
        first = await workers.add(Settings(), "a")
        second = await workers.add(Settings(), "b")
        await until(lambda: done(each), "all are judged")
        await workers.stop()
        third = await workers.add(Settings(), "c")
        await publish()
        await until(lambda: done(2 * each), "those that came later, too")
    finally:
        await workers.stop()
        await producer.stop()
    found = await letters(kafka_bootstrap, topic_prefix)
    assert [letter.offset for letter in found] == [
        *range(len(GOOD), each), *range(each + len(GOOD), 2 * each)
    ]  # fmt: skip
    assert [(letter.key, letter.value, letter.reason) for letter in found] == [*sent, *sent]
    assert {letter.topic for letter in found} == {f"{topic_prefix}items"}
    assert len([letter for letter in found if ("source", b"shop") in letter.headers]) == 2 * len(
        sent
    )
    counted = [entries(first), entries(second), entries(third)]
    assert {outcome: sum(one[outcome] for one in counted) for outcome in counted[0]} == {
        "accepted": 4, "removed": 2, "rejected": 2 * len(sent),
    }  # fmt: skip


def entries(metrics: Metrics) -> dict[str, float]:
    text = generate_latest(metrics.registry).decode()
    return Scrape(text).by("hark_catalogue_entries_total", "outcome")


async def test_workers_of_a_group_with_other_settings_are_told(
    kafka_bootstrap: str, topic_prefix: str, capsys: Any, caplog: Any
) -> None:
    await create_topics({"bootstrap_servers": kafka_bootstrap}, topics(topic_prefix), 1)
    workers = Workers(kafka_bootstrap, topic_prefix)
    try:
        await workers.add(Settings(), "ann")
        await workers.add(Settings(recommend=Recommend(top_k=3)), "bob")
        printed = ""

        def lines() -> list[str]:  # the log is printed, or handled where logging is configured
            nonlocal printed
            printed += capsys.readouterr().out
            text = printed + "\n" + caplog.text
            return [line for line in text.splitlines() if "settings.differ" in line]

        await until(lines, "the difference is logged")
        line = lines()[0]
        assert "recommend" in line
        assert "ann" in line
        assert "bob" in line
    finally:
        await workers.stop()


def test_only_what_decides_counts_and_secrets_never_leave() -> None:
    one = Settings()
    assert fingerprint(one) == fingerprint(
        Settings(model=Model(engine="onnx"), state=State(checkpoint_s=5))
    )
    others: list[dict[str, Any]] = [
        {"recommend": Recommend(top_k=3)},
        {"events": {"Song Played": "view"}},
        {"state": State(max_users=5)},
        {"model": Model(alias="other")},
    ]
    for other in others:
        assert fingerprint(one) != fingerprint(Settings(**other))


def test_strangers_in_the_group_are_passed_over() -> None:
    assert log_differences([b"", b"\xff", b"{}"]) == []
