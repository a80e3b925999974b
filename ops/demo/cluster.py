"""The demo's cluster: a Kafka of its own, or topics of its own on one that is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient

from ops.connection import kafka_environment, with_kafka
from ops.kafka_admin.acls import Binding, grant, revoke
from ops.kafka_admin.topics import create_topics
from ops.local_kafka.access import ADMIN, Access
from ops.local_kafka.cluster import LocalKafka
from schemas.errors import ConfigError
from schemas.roles import rights
from schemas.topics import topics
from streams.kafka.connect import reached
from streams.kafka.settings import Kafka
from streams.settings import Settings, load_settings

PARTITIONS = 4
"""Unless `kafka.partitions` is set: counters are kept per partition, and a demo has few events."""
As = Callable[[str], Settings]
"""The settings of a part of the demo, by its role; all alike where nobody logs in."""


def demo_settings(
    stack: ExitStack,
    folder: Path,
    port: int | None,
    metrics_port: int | None,
    *,
    secure: bool = False,
    access: Access | None = None,
) -> As:
    """Settings of a cluster that is ready, with empty topics; `stack` takes it down again.

    Parameters
    ----------
    secure
        Whether a Kafka of our own wants TLS, logins and rights.
    access
        Has the settings of each role on a cluster that is there.
    """
    settings = load_settings()
    there = access is not None or "bootstrap_servers" in settings.kafka.model_fields_set
    found: dict[str, Any] = {"group_id": f"{settings.kafka.group_id}-demo"}
    if there:
        if secure and access is None:
            raise ConfigError("--secure on a cluster that is set needs --access FOLDER: its roles")
        found["topic_prefix"] = f"{settings.kafka.topic_prefix}demo-{time.time_ns() // 1_000_000}-"
    else:
        access = Access(folder / "access") if secure else None
        kafka = LocalKafka(folder / "kafka", port=port, access=access)
        stack.callback(kafka.stop)
        kafka.start()
        found["bootstrap_servers"] = kafka.bootstrap_servers
    settings = settings.model_copy(
        update={
            "http": settings.http.model_copy(
                update={"port": metrics_port or 0, "host": "127.0.0.1"}
            ),
            "model": settings.model.model_copy(update={"registry": folder / "registry"}),
        }
    )

    def of(role: str) -> Settings:
        login = access.settings(role) if access else {}
        return with_kafka(settings, {**found, **login})

    _set_up(stack, of, there=there)
    return of


def _set_up(stack: ExitStack, of: As, *, there: bool) -> None:
    """Topics, and where each part is somebody else, what each may do with them."""
    kafka = of(ADMIN).kafka
    client = kafka.client()
    chosen = "partitions" in kafka.model_fields_set
    specs = topics(kafka.topic_prefix, kafka.partitions if chosen else PARTITIONS)
    asyncio.run(create_topics(client, specs, kafka.replication_factor))
    if there:
        stack.callback(lambda: asyncio.run(_delete(client, [spec.name for spec in specs])))
    needed = rights(kafka.topic_prefix, kafka.group_id)
    users = {right: of(right.role).kafka.username for right in needed}
    if len(set(users.values())) == 1:  # one user, or nobody at all, who does everything
        return
    bindings = [Binding.of(right, f"User:{user}") for right, user in users.items()]
    granted = asyncio.run(_grant(kafka, bindings))
    stack.callback(lambda: asyncio.run(_revoke(kafka, granted)))


def environment(settings: Settings) -> dict[str, str]:
    """What a child needs beside this process's own environment to see the same settings."""
    config = Path("hark.toml").resolve()
    return {
        **kafka_environment(settings.kafka),
        "HARK_HTTP__HOST": settings.http.host,
        "HARK_MODEL__REGISTRY": str(settings.model.registry),
        **({"HARK_CONFIG": str(config)} if config.is_file() else {}),
    }


async def _grant(kafka: Kafka, bindings: list[Binding]) -> list[Binding]:
    async with reached(kafka.client()) as client:
        return await grant(client, bindings)


async def _revoke(kafka: Kafka, bindings: list[Binding]) -> None:
    async with reached(kafka.client()) as client:
        await revoke(client, bindings)


async def _delete(client: dict[str, object], names: list[str]) -> None:
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    try:
        await admin.delete_topics(names)
    finally:
        await admin.close()
