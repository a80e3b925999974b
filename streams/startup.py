"""What must be true of the cluster before a worker joins its group."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError, NodeNotReadyError

from schemas.errors import ConfigError
from schemas.topics import EVENTS, STATE, TopicSpec

T = TypeVar("T")


async def check_cluster(
    client: dict[str, Any], specs: Sequence[TopicSpec], *, timeout_s: float = 15.0
) -> dict[str, int]:
    """Number of partitions by topic.

    Raises
    ------
    ConfigError
        One line: the brokers can't be reached or refuse us, or topics are missing.
    """
    servers = client["bootstrap_servers"]
    admin = AIOKafkaAdminClient(**client, request_timeout_ms=int(timeout_s * 1000))
    try:
        async with asyncio.timeout(timeout_s):
            with _quiet_aiokafka():
                await admin.start()
            found = await from_any(admin.describe_topics)  # asking by name may create them
    except (KafkaError, TimeoutError, OSError) as error:
        name = type(error).__name__
        raise ConfigError(
            f"no Kafka at {servers} ({name}): start one with `hark broker start`, or set "
            "HARK_KAFKA__BOOTSTRAP_SERVERS"
        ) from None
    finally:
        await admin.close()
    partitions = {topic["topic"]: len(topic["partitions"]) for topic in found}
    missing = [spec.name for spec in specs if not partitions.get(spec.name)]
    if missing:
        raise ConfigError(
            f"topics missing on {servers}: {', '.join(missing)}; create them with "
            "`hark topics create`"
        )
    return partitions


def check_state_topics(partitions: Mapping[str, int], prefix: str) -> None:
    """Partition p of the state topics is that of `events`; raises `ConfigError` if it can't be."""
    events = partitions[prefix + EVENTS.name]
    for spec in STATE:
        found = partitions[prefix + spec.name]
        if found != events:
            raise ConfigError(
                f"topic {prefix + spec.name} has {found} partitions and {prefix + EVENTS.name} has "
                f"{events}: they must be equal; delete {prefix + spec.name} and create it with "
                f"{events} (the state is then read from the whole log once)"
            )


async def from_any(ask: Callable[[], Awaitable[T]], timeout_s: float = 10.0) -> T:
    """Ask until some broker answers.

    aiokafka's admin client asks a broker at random and gives up where that one is down or still
    starting, whatever the others would say.
    """
    end = time.monotonic() + timeout_s
    while True:
        try:
            return await ask()
        except (NodeNotReadyError, KafkaConnectionError):
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.2)


@contextmanager
def _quiet_aiokafka() -> Iterator[None]:
    """What can't be reached is said once, by the error; not by aiokafka's log lines too."""
    logger = logging.getLogger("aiokafka")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
