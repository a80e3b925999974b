"""`hark dead-letters`: counted, shown, and published again within limits."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from click.testing import CliRunner

from ops.archive.refused_records import learn_refused, read_refused
from ops.dead_letters.command import dead_letters
from ops.kafka_admin.topics import create_topics
from streams.kafka.log import groupless_consumer, read_range
from tests.end_to_end.running import letters, publish, running, settings, until
from tests.few_partitions import topics

NOT_JSON = [b"secret-%d" % number for number in range(3)]
NOBODY = [b'{"messageId":"m%d","event":"Product Viewed"}' % number for number in range(2)]
GOOD = b'{"messageId":"g","userId":"ann","event":"Product Viewed","properties":{"sku":"hat"}}'


class Hark:
    """The command against one set of topics."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self._environment = {
            "HARK_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
            "HARK_KAFKA__TOPIC_PREFIX": prefix,
            "HARK_KAFKA__GROUP_ID": f"{prefix}hark",
        }

    def run(self, *arguments: str) -> str:
        done = CliRunner().invoke(dead_letters, arguments, env=self._environment)
        assert done.exit_code == 0, (done.output, done.exception)
        return done.stdout

    async def json(self, *arguments: str) -> Any:
        said = await asyncio.to_thread(self.run, *arguments, "--json")
        (line,) = [line for line in said.splitlines() if line.startswith("{")]  # the worker's logs
        return json.loads(line)


async def test_letters_are_counted_shown_and_replayed_within_limits(
    kafka_bootstrap: str, topic_prefix: str
) -> None:
    await create_topics({"bootstrap_servers": kafka_bootstrap}, topics(topic_prefix), 1)
    events, hark = f"{topic_prefix}events", Hark(kafka_bootstrap, topic_prefix)
    headers = [("source", b"shop")]

    async def count() -> int:
        return len(await letters(kafka_bootstrap, topic_prefix))

    async def dead(number: int) -> None:
        async def are_there() -> bool:
            return await count() >= number

        await until(are_there, f"there are {number} letters")

    async with running(settings(kafka_bootstrap, topic_prefix)):
        await publish(kafka_bootstrap, events, [GOOD, *NOT_JSON], 1, headers=headers)
        await publish(kafka_bootstrap, events, NOBODY, 2)
        await dead(5)
        listed = await hark.json("list")
        assert listed["total"] == 5
        assert listed["reasons"] == {"malformed_json": 3, "missing_user_id": 2}
        assert {one["coordinates"] for one in listed["letters"]} >= {f"{events}/1/1"}
        assert "secret" not in json.dumps(listed)
        assert (await hark.json("list", "--reason", "late"))["total"] == 0
        assert (await hark.json("list", "--partition", "2"))["total"] == 2
        assert (await hark.json("list", "--since", "1h"))["total"] == 5
        assert (await hark.json("list", "--since", "2099-01-01"))["total"] == 0

        shown = await hark.json("show", f"{events}/1/2")
        assert shown["value"] == "secret-1"
        assert shown["headers"] == {"source": "shop"}

        only = ("replay", "--reason", "malformed_json")
        assert (await hark.json(*only))["would_publish"] == 3
        assert await count() == 5, "a dry run publishes nothing"

        assert (await hark.json(*only, "--execute", "--rate", "1000"))["published"] == 3
        await dead(8)
        again = (await letters(kafka_bootstrap, topic_prefix))[-3:]
        assert [one.value for one in again] == NOT_JSON
        assert {(one.topic, one.partition, one.key) for one in again} == {(events, 1, b"ann")}
        assert {one.headers for one in again} == {tuple(headers)}
        assert {one.attempt for one in again} == {2}

        second = await hark.json(*only, "--execute", "--rate", "1000")
        assert (second["published"], second["skipped"]) == (3, {"replayed before": 3})
        await dead(11)
        third = await hark.json(*only, "--execute", "--rate", "1000")
        assert (third["published"], third["skipped"]) == (
            0, {"replayed before": 6, "out of attempts": 3},
        )  # fmt: skip
        assert (await hark.json(*only, "--max-attempts", "4"))["would_publish"] == 3


def test_a_letter_that_is_not_there_is_one_line(kafka_bootstrap: str, topic_prefix: str) -> None:
    asyncio.run(create_topics({"bootstrap_servers": kafka_bootstrap}, topics(topic_prefix), 1))
    environment = {
        "HARK_KAFKA__BOOTSTRAP_SERVERS": kafka_bootstrap,
        "HARK_KAFKA__TOPIC_PREFIX": topic_prefix,
    }
    done = CliRunner().invoke(dead_letters, ["show", "events/0/7"], env=environment)
    assert done.exit_code == 1
    assert "no dead letter of events/0/7" in str(done.exception)


async def test_scattered_letters_go_once_whatever_the_filters(
    kafka_bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    """Every second letter is out of attempts: 1,500 letters, no two of them side by side."""
    client = {"bootstrap_servers": kafka_bootstrap}
    await create_topics(client, topics(topic_prefix), 1)
    events, hark = f"{topic_prefix}events", Hark(kafka_bootstrap, topic_prefix)
    await write_letters(
        kafka_bootstrap,
        topic_prefix,
        [
            (("late", "unprocessable", "malformed_json")[n // 2 % 3], n % 4, n, 1 + 2 * (n % 2))
            for n in range(3_000)
        ],
    )
    go = ("replay", "--execute", "--rate", "1000000")
    part = await hark.json(*go, "--reason", "late", "--partition", "2")
    first = await hark.json(*go, "--reason", "late")
    rest = await hark.json(*go)
    again = await hark.json(*go)
    assert part["published"] + first["published"] == rest["skipped"]["replayed before"] == 500
    assert part["published"] == 250
    assert rest["published"] == 1_000
    assert (again["published"], again["skipped"]) == (
        0, {"replayed before": 1_500, "out of attempts": 1_500},
    )  # fmt: skip
    found = await read_values(kafka_bootstrap, events)
    assert len(found) == len(set(found)) == 1_500
    dry = await hark.json("replay", "--max-attempts", "4")
    assert dry["would_publish"] == 1_500, "those that were out of attempts didn't count as replayed"

    spec = next(one for one in topics(topic_prefix) if one.name.endswith("dead-letters"))
    assert await learn_refused(client, events, tmp_path, spec) == 1_000
    refused = read_refused(tmp_path, events)
    assert sorted(refused) == [0, 1, 2, 3]
    assert all(n // 2 % 3 == 1 and n % 4 == p for p, found in refused.items() for n in found)
    assert await learn_refused(client, events, tmp_path, spec) == 1_000


async def write_letters(bootstrap: str, prefix: str, rows: list[tuple[str, int, int, int]]) -> None:
    """Letters as a worker writes them: reason, partition, offset and attempt of the record."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        for reason, partition, offset, attempt in rows:
            headers = {
                "hark-topic": f"{prefix}events", "hark-partition": partition,
                "hark-offset": offset, "hark-timestamp": 1_750_000_000_000, "hark-reason": reason,
                "hark-detail": "-", "hark-code-version": "0", "hark-attempt": attempt,
            }  # fmt: skip
            raw = [(name, str(value).encode()) for name, value in headers.items()]
            await producer.send(f"{prefix}dead-letters", b"%d" % offset, b"ann", headers=raw)
        await producer.flush()
    finally:
        await producer.stop()


async def read_values(bootstrap: str, topic: str) -> list[bytes]:
    consumer, found = groupless_consumer({"bootstrap_servers": bootstrap}), []
    await consumer.start()
    try:
        for number in range(4):
            tp = TopicPartition(topic, number)
            consumer.assign([tp])
            (end,) = (await consumer.end_offsets([tp])).values()
            async for records in read_range(consumer, tp, end):
                found += [record.value for record in records]
    finally:
        await consumer.stop()
    return found
