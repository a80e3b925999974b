"""Checks of the cluster before a worker joins its group."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from aiokafka.errors import KafkaConnectionError, NodeNotReadyError, RequestTimedOutError

from schemas.errors import ConfigError, TransientError
from schemas.roles import Right, other_rights, topic_rights
from schemas.topics import EVENTS, STATE, TopicSpec
from streams.kafka.connect import reached, user_of
from streams.kafka.permissions import lacking, refused, see_topics

T = TypeVar("T")


async def check_cluster(
    client: dict[str, Any],
    specs: Sequence[TopicSpec],
    *,
    role: str | None = None,
    prefix: str = "",
    group: str | None = None,
    timeout_s: float = 15.0,
) -> dict[str, int]:
    """Check topics and rights -> number of partitions by topic name.

    Parameters
    ----------
    client
        Keyword arguments of the aiokafka client.
    specs
        The topics that must exist; topics that don't concern the role are left out.
    role
        The role whose rights the user must have (`schemas/roles.py`); None checks no rights.
    prefix, group
        The topics' prefix and the workers' group; without a group only rights on topics count.
    timeout_s
        Seconds to connect.

    Raises
    ------
    ConfigError
        One line: brokers can't be reached or refuse the login, or topics or rights are missing.
    """
    needed = _needed(role, specs, prefix, group) if role else []
    names = [spec.name for spec in specs if role is None or role in spec.roles]
    try:
        async with reached(client, timeout_s=timeout_s) as bare:
            seen = await from_any(lambda: see_topics(bare, names))
            missing_rights = await lacking(bare, needed, seen)
    except TransientError as error:
        raise ConfigError(str(error)) from None  # no broker answers: perhaps a wrong address
    if missing_rights:
        assert role is not None
        raise refused(user_of(client), role, missing_rights)
    servers = client["bootstrap_servers"]
    missing = [name for name in names if name not in seen or not seen[name].partitions]
    if missing:
        raise ConfigError(
            f"topics missing on {servers}: {', '.join(missing)}; create them with "
            "`hark topics create`"
        )
    return {name: seen[name].partitions for name in names}


def _needed(role: str, specs: Sequence[TopicSpec], prefix: str, group: str | None) -> list[Right]:
    found = [right for spec in specs for right in topic_rights(spec)]
    if group is not None:
        found += other_rights(prefix, group)
    return [right for right in found if right.role == role]


async def count_partitions(client: dict[str, Any], names: Sequence[str]) -> dict[str, int]:
    """Present number of partitions of each topic, 0 if it doesn't exist."""
    async with reached(client) as bare:
        seen = await from_any(lambda: see_topics(bare, names))
    return {name: seen[name].partitions if name in seen else 0 for name in names}


def check_state_topics(partitions: Mapping[str, int], prefix: str) -> None:
    """Raise `ConfigError` if a state topic has fewer partitions than `events`."""
    events = partitions[prefix + EVENTS.name]
    for spec in STATE:
        found = partitions[prefix + spec.name]
        if found < events:
            raise ConfigError(
                f"topic {prefix + spec.name} has {found} partitions and {prefix + EVENTS.name} has "
                f"{events}: it needs as many; add them with `hark topics create`"
            )


async def from_any(ask: Callable[[], Awaitable[T]], timeout_s: float = 10.0) -> T:
    """Call `ask` until a broker answers -> its answer.

    aiokafka asks a random broker, and gives up if that broker is down or still starting, whatever
    the other brokers would answer.

    Raises
    ------
    TransientError
        No broker answers in time.
    """
    end = time.monotonic() + timeout_s
    while True:
        try:
            return await ask()
        except (NodeNotReadyError, KafkaConnectionError, RequestTimedOutError) as error:
            if time.monotonic() > end:
                raise TransientError(
                    f"no broker answers ({type(error).__name__}): are they up, and is the network?"
                ) from error
            await asyncio.sleep(0.2)
