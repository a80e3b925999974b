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
from streams.kafka.unfit_settings import Unfit, problems

_LEADERS_TIMEOUT_S = 30
_EXISTENCE, _PARTITIONS = "topic", "partitions"


class Difference(msgspec.Struct, frozen=True):
    """One way in which a cluster isn't as the table says."""

    topic: str
    setting: str
    expected: str
    found: str

    @property
    def breaks(self) -> bool:
        """Whether no worker can start with it; other settings may well differ."""
        return self.setting in (_EXISTENCE, _PARTITIONS)


class Survey(msgspec.Struct, frozen=True):
    """How a cluster's topics compare with the table.

    Attributes
    ----------
    differences
        Every setting that isn't as Hark makes it.
    problems
        Settings that lose records or stop a worker, whether Hark sets them or not.
    """

    differences: list[Difference]
    problems: list[Unfit]

    @property
    def ok(self) -> bool:
        """Whether a worker starts on these topics without a warning."""
        return not self.problems and not any(each.breaks for each in self.differences)


class Observed(msgspec.Struct, frozen=True):
    """A topic as the cluster has it."""

    partitions: int
    configs: dict[str, str]


async def create_topics(
    client: Mapping[str, Any], specs: Sequence[TopicSpec], replication_factor: int
) -> list[str]:
    """Create what is missing and wait until every partition has a leader.

    A topic that follows another is made with as many partitions. One that needs as many
    (`TopicSpec.at_least`) is widened where it was there with fewer; all others stay as they are.

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
        missing = [spec for spec in _sized(specs, there) if spec.name not in there]
        made = await _create(admin, missing, replication_factor, user_of(client)) if missing else []
        if len(made) < len(missing):  # another hand was quicker, perhaps with other sizes
            others = [replace(spec, partitions=1) for spec in missing if spec.name not in made]
            await _await_leaders(admin, others)
        there |= await _partitions(admin)
        narrow = [
            spec
            for spec in _sized(specs, there)
            if spec.at_least and there.get(spec.name, spec.partitions) < spec.partitions
        ]
        if narrow:
            await _widen(admin, narrow, user_of(client))
        changed = [spec for spec in missing if spec.name in made] + narrow
        if changed:
            await _await_leaders(admin, changed)
    return made


def _sized(specs: Sequence[TopicSpec], there: Mapping[str, int]) -> list[TopicSpec]:
    """The specs with as many partitions as the topics that they follow have, or will have."""
    wanted = {spec.name: spec.partitions for spec in specs} | dict(there)
    return [
        replace(spec, partitions=wanted.get(spec.follows or spec.name, spec.partitions))
        for spec in specs
    ]


async def find_differences(
    client: Mapping[str, Any], specs: Sequence[TopicSpec]
) -> list[Difference]:
    """Compare a cluster's topics with the table: existence, settings, partitions that must be.

    How many partitions `events` has is the user's to choose; the state must have as many.
    """
    return (await survey(client, specs, 0)).differences


async def survey(
    client: Mapping[str, Any], specs: Sequence[TopicSpec], checkpoint_s: float
) -> Survey:
    """Compare a cluster's topics with the table, and say which settings harm.

    Parameters
    ----------
    client
        Keyword arguments of the aiokafka client.
    specs
        The topics.
    checkpoint_s
        Seconds between two checkpoints, 0 = there are none.
    """
    async with _admin(client) as admin:
        partitions = await _partitions(admin)
        names = [spec.name for spec in specs if spec.name in partitions]
        settings = await _configs(admin, names, user_of(client))
    found = {name: Observed(partitions[name], settings[name]) for name in names}
    differences = [
        each
        for spec in specs
        for each in compare(spec, found.get(spec.name), partitions.get(spec.follows or "", 0))
    ]
    return Survey(differences, problems(specs, settings, checkpoint_s))


def compare(spec: TopicSpec, found: Observed | None, partitions: int = 0) -> list[Difference]:
    """Differences of one topic; `partitions` are those of the topic that it follows."""
    if found is None:
        return [Difference(spec.name, _EXISTENCE, "exists", "missing")]
    differences = [
        Difference(spec.name, setting, value, found.configs.get(setting, "unknown"))
        for setting, value in configs(spec).items()
        if not fits(setting, value, found.configs)
    ]
    if spec.at_least and found.partitions < partitions:
        narrow = Difference(spec.name, _PARTITIONS, str(partitions), str(found.partitions))
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
) -> list[str]:
    """Create topics -> the names of those that weren't there."""
    new = [
        NewTopic(spec.name, spec.partitions, replication_factor, topic_configs=configs(spec))
        for spec in specs
    ]
    answer = await from_any(lambda: admin.create_topics(new))
    for name, code, *detail in answer.topic_errors:
        if for_code(code) in (TopicAuthorizationFailedError, ClusterAuthorizationFailedError):
            lost = Right("admin", Resource.TOPIC, name, Operation.CREATE)
            raise refused(user, lost.role, [lost])
        if code and for_code(code) is not TopicAlreadyExistsError:
            said = next((str(text) for text in detail if text), for_code(code).__name__)
            raise ConfigError(f"topic {name} can't be created: {said}")
    return [str(name) for name, code, *_ in answer.topic_errors if not code]


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
