"""Topics on a cluster: make them as the reviewed table says, and say where they differ."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import msgspec
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)

from schemas.errors import ConfigError, TransientError
from schemas.roles import Operation, Resource, Right
from schemas.topics import TopicSpec
from streams.kafka.cluster_check import from_any
from streams.kafka.connect import user_of, why_not
from streams.kafka.permissions import refused
from streams.kafka.topic_settings import configs, fits

_LEADERS_TIMEOUT_S = 30


class Difference(msgspec.Struct, frozen=True):
    """One way in which a cluster isn't as the table says."""

    topic: str
    setting: str
    expected: str
    found: str


class Observed(msgspec.Struct, frozen=True):
    """A topic as the cluster has it."""

    partitions: int
    configs: dict[str, str]


async def create_topics(
    client: Mapping[str, Any], specs: Sequence[TopicSpec], replication_factor: int
) -> list[str]:
    """Create what is missing and wait until every partition has a leader.

    A topic that follows another gets as many partitions, also when it was there with fewer.

    Parameters
    ----------
    client
        Keyword arguments for aiokafka's clients (`settings.kafka.client()`).

    Returns
    -------
    list of str
        Names of the topics that were made.

    Raises
    ------
    TransientError
        Nobody answers, or the leaders don't come up.
    ConfigError
        The cluster refuses a topic.
    """
    async with _admin(client) as admin:
        there = await _partitions(admin)
        wanted = {spec.name: spec.partitions for spec in specs} | there
        sized = [
            replace(spec, partitions=wanted.get(spec.follows or spec.name, spec.partitions))
            for spec in specs
        ]
        missing = [spec for spec in sized if spec.name not in there]
        narrow = [spec for spec in sized if there.get(spec.name, spec.partitions) < spec.partitions]
        if missing:
            await _create(admin, missing, replication_factor, user_of(client))
        if narrow:
            await _widen(admin, narrow, user_of(client))
        if missing or narrow:
            await _await_leaders(admin, [*missing, *narrow])
    return [spec.name for spec in missing]


async def find_differences(
    client: Mapping[str, Any], specs: Sequence[TopicSpec]
) -> list[Difference]:
    """Compare a cluster's topics with the table: existence, settings, partitions that must be.

    How many partitions `events` has is the user's to choose; the state must have as many.
    """
    async with _admin(client) as admin:
        partitions = await _partitions(admin)
        names = [spec.name for spec in specs if spec.name in partitions]
        settings = await _configs(admin, names, user_of(client))
    found = {name: Observed(partitions[name], settings[name]) for name in names}
    return [
        each
        for spec in specs
        for each in compare(spec, found.get(spec.name), partitions.get(spec.follows or "", 0))
    ]


def compare(spec: TopicSpec, found: Observed | None, partitions: int = 0) -> list[Difference]:
    """Differences of one topic, which must have at least so many partitions."""
    if found is None:
        return [Difference(spec.name, "topic", "exists", "missing")]
    differences = [
        Difference(spec.name, setting, value, found.configs.get(setting, "unknown"))
        for setting, value in configs(spec).items()
        if not fits(setting, value, found.configs)
    ]
    if found.partitions < partitions:
        narrow = Difference(spec.name, "partitions", str(partitions), str(found.partitions))
        return [narrow, *differences]
    return differences


@asynccontextmanager
async def _admin(client: Mapping[str, Any]) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**client)
    try:
        try:
            await admin.start()
        except (KafkaError, OSError, TimeoutError) as error:
            raise await why_not(client, error) from None
        yield admin
    except (KafkaError, OSError, TimeoutError) as error:
        raise TransientError(f"Kafka at {client['bootstrap_servers']}: {error!r}") from error
    finally:
        await admin.close()


async def _create(
    admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec], replication_factor: int, user: str
) -> None:
    new = [
        NewTopic(spec.name, spec.partitions, replication_factor, topic_configs=configs(spec))
        for spec in specs
    ]
    answer = await from_any(lambda: admin.create_topics(new))
    for name, code, *detail in answer.topic_errors:
        # Another `create` may have been quicker: the outcome is the same.
        if for_code(code) in (TopicAuthorizationFailedError, ClusterAuthorizationFailedError):
            lost = Right("admin", Resource.TOPIC, name, Operation.CREATE)
            raise refused(user, lost.role, [lost])
        if code and for_code(code) is not TopicAlreadyExistsError:
            said = next((str(text) for text in detail if text), for_code(code).__name__)
            raise ConfigError(f"topic {name} can't be created: {said}")


async def _widen(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec], user: str) -> None:
    try:
        await admin.create_partitions({spec.name: NewPartitions(spec.partitions) for spec in specs})
    except TopicAuthorizationFailedError:
        lost = [Right("admin", Resource.TOPIC, spec.name, Operation.ALTER) for spec in specs]
        raise refused(user, "admin", lost) from None


async def _await_leaders(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> None:
    partitions = {spec.name: spec.partitions for spec in specs}
    names = list(partitions)
    end = time.monotonic() + _LEADERS_TIMEOUT_S
    while time.monotonic() < end:
        described = await from_any(lambda: admin.describe_topics(names))
        led = [
            topic["error_code"] == 0
            and len(topic["partitions"]) >= partitions[topic["topic"]]
            and all(p["leader"] >= 0 for p in topic["partitions"])
            for topic in described
        ]
        if len(led) == len(names) and all(led):
            return
        await asyncio.sleep(0.1)
    raise TransientError(f"no leaders for {', '.join(names)} after {_LEADERS_TIMEOUT_S} s")


async def _partitions(admin: AIOKafkaAdminClient) -> dict[str, int]:
    described = await from_any(admin.describe_topics)
    return {topic["topic"]: len(topic["partitions"]) for topic in described}


async def _configs(
    admin: AIOKafkaAdminClient, names: Sequence[str], user: str
) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    found: dict[str, dict[str, str]] = {}
    for response in await from_any(lambda: admin.describe_configs(asked)):
        for resource in response.resources:
            code, _message, _type, name, entries = resource[:5]
            if for_code(code) is TopicAuthorizationFailedError:
                lost = Right("operator", Resource.TOPIC, name, Operation.DESCRIBE_CONFIGS)
                raise refused(user, lost.role, [lost])
            found[name] = {str(entry[0]): str(entry[1]) for entry in entries}
    return found
