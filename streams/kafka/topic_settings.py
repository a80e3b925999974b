"""Kafka's settings of Hark's topics: as Hark makes them, and as they are on a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from aiokafka.admin.config_resource import ConfigResourceType
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import TopicAuthorizationFailedError, for_code
from aiokafka.protocol.admin import DescribeConfigsRequest

from schemas.errors import ConfigError, TransientError
from schemas.topics import TopicSpec
from streams.kafka.cluster_check import from_any
from streams.kafka.connect import reached
from streams.kafka.unfit_settings import AHEAD, TOMBSTONES, ahead_ms, number, problems

log = structlog.get_logger(__name__)


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
        found[TOMBSTONES] = str(spec.tombstones_ms)
    if spec.ahead_ms is not None:
        found[AHEAD] = str(spec.ahead_ms)
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
    if setting == AHEAD:
        return ahead_ms(found) <= int(expected)
    if setting == TOMBSTONES:
        return number(found, setting) >= int(expected)
    return found.get(setting) == expected


async def check_settings(
    client: Mapping[str, Any],
    specs: Sequence[TopicSpec],
    checkpoint_s: float,
    *,
    timeout_s: float = 15.0,
) -> None:
    """Check the topics' settings: log a warning for each that may lose records.

    Parameters
    ----------
    client
        Keyword arguments of the aiokafka client.
    specs
        The topics.
    checkpoint_s
        Seconds between two checkpoints, 0 = there are none.
    timeout_s
        Seconds to connect.

    Raises
    ------
    ConfigError
        One line: a topic would lose records for good or stop the worker, or the brokers can't be
        reached.
    """
    try:
        async with reached(client, timeout_s=timeout_s) as bare:
            found = await from_any(lambda: read_configs(bare, [spec.name for spec in specs]))
    except TransientError as error:
        raise ConfigError(str(error)) from None
    except TopicAuthorizationFailedError as error:  # brokers too old to report rights
        log.warning("topic.unchecked", why=f"no right to see the settings of topic {error}")
        return
    for problem in problems(specs, found, checkpoint_s):
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
