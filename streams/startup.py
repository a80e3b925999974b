"""What must be true of the cluster before a worker joins its group."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from schemas.errors import ConfigError
from schemas.topics import TopicSpec


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
            found = await admin.describe_topics()  # asking by name may create them
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
