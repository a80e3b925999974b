"""Kafka's settings of Hark's topics: what they should be, and which settings lose records.

A topic that existed before Hark has the cluster's defaults. Some defaults look right but aren't:
the worker runs, and later loses checkpoints, events or removals.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from aiokafka.admin.config_resource import ConfigResourceType
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import TopicAuthorizationFailedError, for_code
from aiokafka.protocol.admin import DescribeConfigsRequest

from schemas.errors import ConfigError, TransientError
from schemas.topics import EVENTS, ITEMS, STATE, TopicSpec
from streams.kafka.cluster_check import from_any
from streams.kafka.connect import reached

log = structlog.get_logger(__name__)
AHEAD_MS = 86_400_000
"""A record's Kafka timestamp further ahead of the broker's clock spoils its partition's clock."""
_AHEAD = "message.timestamp.after.max.ms"
_AHEAD_BEFORE_3_6 = "message.timestamp.difference.max.ms"
_TOMBSTONES = "delete.retention.ms"


@dataclass(frozen=True, slots=True)
class Unfit:
    """A setting that makes a topic lose records.

    Attributes
    ----------
    topic, setting, found
        The topic's name on the wire, the setting and its present value.
    why
        What gets lost.
    remedy
        The right settings, as `kafka-configs` takes them.
    fatal
        Whether the loss is permanent.
    """

    topic: str
    setting: str
    found: str
    why: str
    remedy: str
    fatal: bool

    def __str__(self) -> str:
        return (
            f"topic {self.topic} has {self.setting}={self.found}: {self.why}; set it with "
            f"`kafka-configs --alter --entity-type topics --entity-name {self.topic} "
            f"--add-config {self.remedy}`"
        )


def configs(spec: TopicSpec) -> dict[str, str]:
    """Kafka's topic settings for a spec."""
    found = {
        "cleanup.policy": spec.cleanup,
        "retention.ms": str(spec.retention_ms),
        "max.message.bytes": str(spec.max_message_bytes),
    }
    if spec.segment_bytes is not None:
        found["segment.bytes"] = str(spec.segment_bytes)
    if spec.tombstones_ms is not None:
        found[_TOMBSTONES] = str(spec.tombstones_ms)
    if spec.ahead_ms is not None:
        found[_AHEAD] = str(spec.ahead_ms)
    return found


def fits(setting: str, expected: str, found: Mapping[str, str]) -> bool:
    """Whether a topic's setting is as good as the expected one.

    Examples
    --------
    >>> fits("retention.ms", "5", {"retention.ms": "6"})
    False
    >>> fits("message.timestamp.after.max.ms", "5", {"message.timestamp.type": "LogAppendTime"})
    True
    """
    if setting == _AHEAD:
        return _ahead_ms(found) <= int(expected)
    if setting == _TOMBSTONES:
        return _number(found, setting) >= int(expected)
    return found.get(setting) == expected


def unfit(spec: TopicSpec, found: Mapping[str, str]) -> Iterator[Unfit]:
    """Settings of a topic that lose records; `found` are the topic's present settings."""
    policy = found.get("cleanup.policy", "")
    role = spec.role
    if role == EVENTS.name and "compact" in policy:
        yield Unfit(
            spec.name, "cleanup.policy", policy, "compaction keeps one event per user",
            "cleanup.policy=delete", fatal=True,
        )  # fmt: skip
    if role == EVENTS.name and (ahead_ms := _ahead_ms(found)) > AHEAD_MS:
        yield Unfit(
            spec.name, _AHEAD, str(ahead_ms),
            "one record dated years ahead spoils its partition's clock for good (Kafka before 3.6: "
            "set message.timestamp.type=LogAppendTime)",
            f"{_AHEAD}={spec.ahead_ms}",
            fatal=True,
        )  # fmt: skip
    if role in {state.name for state in STATE} and policy != "compact":
        yield Unfit(
            spec.name, "cleanup.policy", policy, "checkpoints of quiet users are deleted",
            "cleanup.policy=compact,retention.ms=-1", fatal=True,
        )  # fmt: skip
    if role == ITEMS.name and policy != "compact" and found.get("retention.ms") != "-1":
        yield Unfit(
            spec.name, "cleanup.policy", policy,
            "entries are deleted, and hidden items are shown again",
            "cleanup.policy=compact,retention.ms=-1", fatal=False,
        )  # fmt: skip
    kept_ms = _number(found, _TOMBSTONES)
    if role == ITEMS.name and "compact" in policy and kept_ms < (spec.tombstones_ms or 0):
        yield Unfit(
            spec.name, _TOMBSTONES, str(kept_ms),
            "a worker that starts later than that doesn't learn that an item was removed",
            f"{_TOMBSTONES}={spec.tombstones_ms}", fatal=False,
        )  # fmt: skip


async def check_settings(
    client: Mapping[str, Any], specs: Sequence[TopicSpec], *, timeout_s: float = 15.0
) -> None:
    """Check the topics' settings: log a warning for each that loses records.

    Raises
    ------
    ConfigError
        One line: the loss of a topic would be permanent, or the brokers can't be reached.
    """
    try:
        async with reached(client, timeout_s=timeout_s) as bare:
            found = await from_any(lambda: read_configs(bare, [spec.name for spec in specs]))
    except TransientError as error:
        raise ConfigError(str(error)) from None
    except TopicAuthorizationFailedError as error:  # brokers too old to report rights
        log.warning("topic.unchecked", why=f"no right to see the settings of topic {error}")
        return
    problems = [each for spec in specs for each in unfit(spec, found.get(spec.name, {}))]
    for problem in problems:
        if problem.fatal:
            raise ConfigError(str(problem))
        log.warning("topic.unfit", why=str(problem))


async def read_configs(client: AIOKafkaClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Each topic's settings by name; raises the broker's error if the user may not see them."""
    request = DescribeConfigsRequest([(ConfigResourceType.TOPIC, name, None) for name in names])
    answer = await client.send(client.get_random_node(), request)
    found = {}
    for code, _message, _type, name, entries, *_ in answer.resources:
        if code:
            raise for_code(code)(name)
        found[str(name)] = {str(entry[0]): str(entry[1]) for entry in entries}
    return found


def _ahead_ms(found: Mapping[str, str]) -> int:
    """How far ahead of the broker's clock a record's Kafka timestamp may be."""
    if found.get("message.timestamp.type") == "LogAppendTime":
        return 0
    return _number(found, _AHEAD if _AHEAD in found else _AHEAD_BEFORE_3_6, 2**63 - 1)


def _number(found: Mapping[str, str], setting: str, without: int = 0) -> int:
    text = found.get(setting, "")
    return int(text) if text.lstrip("-").isdigit() else without
