"""`hark dead-letters`: counted, shown, and published again within limits."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from click.testing import CliRunner

from ops.dead_letters import dead_letters
from ops.replayed import MAX_METADATA, Ranges
from ops.topic_admin import create_topics
from schemas.topics import topics
from tests.life.running import letters, publish, running, settings, until

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


@pytest.mark.parametrize("text", ["3-5,9", "0", "", "7,9,11-400"])
def test_ranges_are_read_as_written(text: str) -> None:
    assert str(Ranges.parse(text)) == text


def test_ranges_beyond_what_a_commit_takes_lose_the_oldest() -> None:
    ranges = Ranges()
    for offset in range(0, 4_000, 2):
        ranges.add(offset)
    assert len(ranges.shortened()) <= MAX_METADATA
    assert 0 not in ranges
    assert 3_998 in ranges
