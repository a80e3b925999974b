"""`hark topics` against a real broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from click.testing import CliRunner, Result

from ops.cli import hark
from ops.kafka_admin.topics import Difference, Observed, compare, create_topics, find_differences
from ops.local_kafka.ports import free_ports
from schemas.errors import ConfigError, TransientError
from schemas.topics import ALERTS, EVENTS, ITEMS, STATE, TOPICS, USER_STATE, TopicSpec
from streams.kafka.cluster_check import count_partitions
from streams.kafka.topic_settings import configs
from tests.end_to_end.running import until
from tests.few_partitions import PARTITIONS, topics


def run(*arguments: str) -> Result:
    return CliRunner().invoke(hark, arguments)


@pytest.fixture
def prefix(kafka_bootstrap: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The commands below work on this test's own topics."""
    monkeypatch.setenv("HARK_KAFKA__BOOTSTRAP_SERVERS", kafka_bootstrap)
    monkeypatch.setenv("HARK_KAFKA__TOPIC_PREFIX", topic_prefix)
    return topic_prefix


def test_create_makes_every_topic_once_and_check_agrees(prefix: str) -> None:
    before = run("topics", "check", "--json")
    assert before.exit_code == 1
    missing = json.loads(before.output)["differences"]
    assert {each["topic"] for each in missing} == {prefix + spec.name for spec in TOPICS}

    made = json.loads(run("topics", "create", "--json").output)
    assert [each["created"] for each in made] == [True] * len(TOPICS)
    again = json.loads(run("topics", "create", "--json").output)
    assert [each["created"] for each in again] == [False] * len(TOPICS)

    after = run("topics", "check", "--json")
    fine = {"ok": True, "differences": [], "problems": []}
    assert (after.exit_code, json.loads(after.output)) == (0, fine)


def test_the_set_number_of_partitions_is_that_of_events_and_what_follows_it(
    prefix: str, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARK_KAFKA__PARTITIONS", "3")
    run("topics", "create")
    listed = {
        each["name"]: each["partitions"]
        for each in json.loads(run("topics", "list", "--json").output)
    }
    found = asyncio.run(count_partitions({"bootstrap_servers": kafka_bootstrap}, list(listed)))
    assert found == listed
    assert set(listed.values()) == {1, 3}
    assert listed[prefix + "recommendations"] == listed[prefix + "user-state"] == 3
    monkeypatch.delenv("HARK_KAFKA__PARTITIONS")
    assert {each["partitions"] for each in json.loads(run("topics", "list", "--json").output)} == {
        1,
        12,
    }


async def test_what_differs_and_does_no_harm_is_no_failure(
    prefix: str, kafka_bootstrap: str
) -> None:
    specs = list(topics(prefix))
    a_week = 7 * 86_400_000
    specs[0] = replace(specs[0], retention_ms=a_week, max_message_bytes=1_048_588)
    await create_topics({"bootstrap_servers": kafka_bootstrap}, specs, 1)
    outcome = await asyncio.to_thread(run, "topics", "check", "--json")
    found = json.loads(outcome.output)
    assert (outcome.exit_code, found["ok"], found["problems"]) == (0, True, [])
    assert {each["setting"] for each in found["differences"]} == {
        "retention.ms",
        "max.message.bytes",
    }
    said = await asyncio.to_thread(run, "topics", "check")
    assert f"retention.ms is {a_week}, Hark's own has 2592000000" in said.output


async def test_check_names_what_differs(prefix: str, kafka_bootstrap: str) -> None:
    other = [replace(spec, follows=None) for spec in topics(prefix)]
    other[0] = replace(other[0], partitions=PARTITIONS + 1, retention_ms=60_000)
    await create_topics({"bootstrap_servers": kafka_bootstrap}, other, 1)
    outcome = await asyncio.to_thread(run, "topics", "check", "--json")
    answer = json.loads(outcome.output)
    found = {(each["topic"], each["setting"]) for each in answer["differences"]}
    assert {(each["setting"], each["fatal"]) for each in answer["problems"]} == {
        ("retention.ms", False)
    }
    expected = {(prefix + spec.name, "partitions") for spec in STATE}
    assert outcome.exit_code == 1
    assert found == expected | {(prefix + "events", "retention.ms")}


async def test_a_topic_that_the_cluster_refuses_is_a_config_error(kafka_bootstrap: str) -> None:
    bad = replace(EVENTS, name="no spaces allowed")
    with pytest.raises(ConfigError, match="no spaces allowed can't be created"):
        await create_topics({"bootstrap_servers": kafka_bootstrap}, [bad], 1)


def test_without_a_broker_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    servers = f"127.0.0.1:{free_ports(1)[0]}"
    monkeypatch.setenv("HARK_KAFKA__BOOTSTRAP_SERVERS", servers)
    outcome = run("topics", "create")
    assert isinstance(outcome.exception, TransientError)
    assert servers in str(outcome.exception)
    assert "hark broker start" in str(outcome.exception)


def test_list_needs_no_broker_and_shows_the_whole_table() -> None:
    rows = json.loads(run("topics", "list", "--json").output)
    assert [row["name"] for row in rows] == [spec.name for spec in TOPICS]
    assert run("topics", "list").exit_code == 0


def test_a_topic_as_it_should_be_has_no_differences() -> None:
    assert compare(EVENTS, Observed(EVENTS.partitions, configs(EVENTS))) == []


@pytest.mark.parametrize(
    ("spec", "setting", "found"),
    [
        (EVENTS, "cleanup.policy", "compact"),
        (EVENTS, "retention.ms", "1"),
        (EVENTS, "max.message.bytes", "1"),
        (EVENTS, "message.timestamp.after.max.ms", str(2**63 - 1)),
        (ITEMS, "delete.retention.ms", "86400000"),
        (USER_STATE, "segment.bytes", "1"),
    ],
)
def test_each_setting_counts(spec: TopicSpec, setting: str, found: str) -> None:
    observed = Observed(spec.partitions, configs(spec) | {setting: found})
    expected = configs(spec)[setting]
    assert compare(spec, observed) == [Difference(spec.name, setting, expected, found)]


@pytest.mark.parametrize(
    ("spec", "setting", "found"),
    [
        (EVENTS, "message.timestamp.after.max.ms", "5"),
        (EVENTS, "message.timestamp.type", "LogAppendTime"),
        (ITEMS, "delete.retention.ms", str(2**62)),
    ],
)
def test_what_is_safer_is_no_difference(spec: TopicSpec, setting: str, found: str) -> None:
    assert compare(spec, Observed(9, configs(spec) | {setting: found})) == []


async def test_the_state_gets_as_many_partitions_as_events_has(
    kafka_bootstrap: str, topic_prefix: str
) -> None:
    client = {"bootstrap_servers": kafka_bootstrap}
    specs = topics(topic_prefix)
    events, names = specs[0], [topic_prefix + spec.name for spec in STATE]

    async def partitions() -> list[int]:
        found = await count_partitions(client, names)
        return [found[name] for name in names]

    alerts = next(spec for spec in specs if spec.role == ALERTS.name)
    await create_topics(client, [replace(events, partitions=3), replace(alerts, follows=None)], 1)
    await create_topics(client, specs, 1)
    assert await partitions() == [3, 3]
    assert (await count_partitions(client, [alerts.name]))[alerts.name] == PARTITIONS
    assert await find_differences(client, specs) == []

    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    await admin.create_partitions({events.name: NewPartitions(5)})
    await admin.close()
    await until(partitions_are(client, events.name, 5), "events is wider")
    assert {each.setting for each in await find_differences(client, specs)} == {"partitions"}
    assert await create_topics(client, specs, 1) == []
    assert await partitions() == [5, 5]
    assert await find_differences(client, specs) == []


def partitions_are(client: dict[str, str], name: str, count: int) -> Callable[[], Awaitable[bool]]:
    async def are() -> bool:
        return (await count_partitions(client, [name]))[name] == count

    return are
