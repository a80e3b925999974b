"""Each role may do to each topic what the reviewed table says, and nothing else: on the broker."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    for_code,
)
from aiokafka.protocol.fetch import FetchRequest

from ops.kafka_admin.topics import create_topics, find_differences
from schemas.errors import ConfigError
from schemas.roles import ROLES, reader_groups, rights
from schemas.topics import TOPICS, state_transaction
from streams.kafka.connect import reached
from tests.few_partitions import topics
from tests.security.roles import Roles

WRITES = {
    "events": {"publisher", "operator"},
    "items": {"publisher"},
    "recommendations": {"worker"},
    "alerts": {"worker"},
    "dead-letters": {"worker"},
    "user-state": {"worker"},
    "counters": {"worker"},
}
READS = {
    "events": {"worker", "trainer", "operator"},
    "items": {"worker", "trainer"},
    "recommendations": {"reader"},
    "alerts": {"reader", "worker"},
    "dead-letters": {"operator", "trainer", "worker"},
    "user-state": {"worker"},
    "counters": {"worker"},
}
"""Who may, by topic; written a second time, so that a change of the table is a decision here too.
The admin isn't in it: on a local cluster it stands above all rights."""

PLAIN_ROLES = [role for role in ROLES if role != "admin"]


def test_the_table_here_is_whole_and_agrees_with_the_topics() -> None:
    assert set(WRITES) == set(READS) == {spec.name for spec in TOPICS}
    assert {spec.name: set(spec.producers) for spec in TOPICS} == WRITES
    assert {spec.name: set(spec.consumers) for spec in TOPICS} == READS
    assert {role for spec in TOPICS for role in spec.roles} <= ROLES.keys()
    assert {right.role for right in rights()} == set(ROLES)


def test_the_documentation_names_each_roles_topics() -> None:
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    names = {spec.name for spec in TOPICS}
    documented = {
        row[1]: set(re.findall(r"`([a-z-]+)`", row[3])) & names
        for row in re.findall(r"^(\| `(\w+)` \|(.*?)\|(.*)\|)$", page, re.MULTILINE)
    }
    expected = {role: {spec.name for spec in TOPICS if role in spec.roles} for role in ROLES}
    assert documented == expected


def refused_topic(work: Callable[[], Awaitable[object]]) -> Awaitable[bool]:
    return refused(work, TopicAuthorizationFailedError)


async def refused(work: Callable[[], Awaitable[object]], *errors: type[Exception]) -> bool:
    """Whether `work` is refused with one of these errors; any other is raised."""
    try:
        async with asyncio.timeout(20):
            await work()
    except errors:
        return True
    return False


@pytest.mark.parametrize("role", PLAIN_ROLES)
async def test_who_may_write_writes_and_nobody_else(roles: Roles, role: str) -> None:
    found = {}
    async with producer(roles, role) as sending:
        for spec in topics(roles.prefix):
            found[spec.name.removeprefix(roles.prefix)] = not await refused_topic(
                lambda topic=spec.name: sending.send_and_wait(topic, b"{}", key=b"k")
            )
    assert found == {name: role in allowed for name, allowed in WRITES.items()}


@pytest.mark.parametrize("role", PLAIN_ROLES)
async def test_who_may_read_reads_and_nobody_else(roles: Roles, role: str) -> None:
    await fill(roles)
    found = {}
    for spec in topics(roles.prefix):
        name = spec.name.removeprefix(roles.prefix)
        found[name] = await reads(roles, role, spec.name)
    assert found == {name: role in allowed for name, allowed in READS.items()}


@pytest.mark.parametrize("role", PLAIN_ROLES)
async def test_only_an_admin_makes_and_deletes_topics(roles: Roles, role: str) -> None:
    admin = AIOKafkaAdminClient(**roles.client(role))
    await admin.start()
    try:
        made = await admin.create_topics([NewTopic(f"{roles.prefix}new", 1, 1)])
        gone = await admin.delete_topics([spec.name for spec in topics(roles.prefix)])
    finally:
        await admin.close()
    assert for_code(made.topic_errors[0][1]) is TopicAuthorizationFailedError
    assert {code for _, code in gone.topic_error_codes} == {TopicAuthorizationFailedError.errno}


async def test_an_admin_makes_topics_and_an_operator_compares_them(roles: Roles) -> None:
    assert await create_topics(roles.client("admin"), topics(f"{roles.prefix}more."), 1)
    assert await find_differences(roles.client("operator"), topics(roles.prefix)) == []
    with pytest.raises(ConfigError, match="user reader lacks rights of the role operator"):
        await find_differences(roles.client("reader"), topics(roles.prefix))


@pytest.mark.parametrize("role", PLAIN_ROLES)
async def test_the_workers_group_is_the_workers(roles: Roles, role: str) -> None:
    async def join(group: str, topic: str) -> None:
        consumer = AIOKafkaConsumer(topic, **roles.client(role), group_id=group)
        try:
            await consumer.start()
            await consumer.getmany(timeout_ms=200)
        finally:
            await consumer.stop()

    topic = "alerts" if role in READS["alerts"] else "events"
    errors = (GroupAuthorizationFailedError, TopicAuthorizationFailedError)
    into = {
        group: not await refused(lambda g=group: join(g, roles.prefix + topic), *errors)
        for group in (roles.group, reader_groups(roles.prefix) + "crm", f"{roles.prefix}else")
    }
    assert list(into.values()) == [role == "worker", role == "reader", False]


@pytest.mark.parametrize("role", PLAIN_ROLES)
async def test_only_the_worker_has_transactions_and_only_those_of_the_state(
    roles: Roles, role: str
) -> None:
    async def begin(name: str) -> None:
        sending = AIOKafkaProducer(**roles.client(role), transactional_id=name)
        try:
            await sending.start()
        finally:
            await sending.stop()

    mine = state_transaction(roles.prefix, 0)
    error = TransactionalIdAuthorizationFailed
    assert await refused(lambda: begin(mine), error) == (role != "worker")
    assert await refused(lambda: begin("another"), error)


@asynccontextmanager
async def producer(roles: Roles, role: str) -> AsyncIterator[AIOKafkaProducer]:
    sending = AIOKafkaProducer(**roles.client(role))
    await sending.start()
    try:
        yield sending
    finally:
        await sending.stop()


async def fill(roles: Roles) -> None:
    """A record in the first partition of every topic."""
    async with producer(roles, "admin") as sending:
        for spec in topics(roles.prefix):
            await sending.send_and_wait(spec.name, b"{}", key=b"k", partition=0)


async def reads(roles: Roles, role: str, topic: str) -> bool:
    """Whether a record comes, or the broker refuses: one bare fetch, as aiokafka's consumer waits
    for ever for a topic that it may not even see.
    """
    async with reached(roles.client(role)) as client:
        place = [(topic, [(0, 0, 1 << 20)])]
        answer = await client.send(
            client.get_random_node(), FetchRequest(100, 1, 1 << 20, 0, place)
        )
    (_, ((_partition, code, *rest),)) = answer.topics[0]
    assert code in (0, TopicAuthorizationFailedError.errno)
    assert bool(rest[-1]) == (code == 0), "records exactly if it isn't refused"
    return code == 0
