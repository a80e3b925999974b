"""The demo's cluster: a Kafka of its own, or topics of its own on one that is there."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient

from ops.local_kafka import LocalKafka
from ops.topic_admin import create_topics
from schemas.topics import topics
from streams.settings import Settings, load_settings


def demo_settings(
    stack: ExitStack, folder: Path, port: int | None, metrics_port: int | None
) -> Settings:
    """Settings of a cluster that is ready, with empty topics; `stack` takes it down again."""
    settings = load_settings()
    if "bootstrap_servers" in settings.kafka.model_fields_set:
        found = {
            "topic_prefix": f"{settings.kafka.topic_prefix}demo-{time.time_ns() // 1_000_000}-"
        }
    else:
        kafka = LocalKafka(folder / "kafka", port=port)
        stack.callback(kafka.stop)
        kafka.start()
        found = {"bootstrap_servers": kafka.bootstrap_servers}
    found["group_id"] = f"{settings.kafka.group_id}-demo"
    settings = settings.model_copy(
        update={
            "kafka": settings.kafka.model_copy(update=found),
            "http": settings.http.model_copy(
                update={"port": metrics_port or 0, "host": "127.0.0.1"}
            ),
            "model": settings.model.model_copy(update={"registry": folder / "registry"}),
        }
    )
    specs = topics(settings.kafka.topic_prefix)
    client = settings.kafka.client()
    asyncio.run(create_topics(client, specs, settings.kafka.replication_factor))
    if "topic_prefix" in found:
        stack.callback(lambda: asyncio.run(_delete(client, [spec.name for spec in specs])))
    return settings


def environment(settings: Settings) -> dict[str, str]:
    """What a child needs beside this process's own environment to see the same settings."""
    config = Path("hark.toml").resolve()
    return {
        "HARK_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "HARK_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
        "HARK_KAFKA__GROUP_ID": settings.kafka.group_id,
        "HARK_HTTP__HOST": settings.http.host,
        "HARK_MODEL__REGISTRY": str(settings.model.registry),
        **({"HARK_CONFIG": str(config)} if config.is_file() else {}),
    }


async def _delete(client: dict[str, object], names: list[str]) -> None:
    admin = AIOKafkaAdminClient(**client)
    await admin.start()
    try:
        await admin.delete_topics(names)
    finally:
        await admin.close()
