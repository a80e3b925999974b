"""A worker whose partitions can't be restored stops; it never scores without its state."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import IllegalStateError

from ops.kafka_admin.topics import create_topics
from schemas.errors import HarkError
from streams.checkpoints.ownership import Ownership
from streams.kafka.settings import Kafka
from streams.settings import Http, Model, Settings
from streams.worker import run
from tests.few_partitions import topics


# Faust takes an IllegalStateError for the next rebalance, and goes on.
@pytest.mark.parametrize("error", [IllegalStateError("no assignment"), ValueError("bad bytes")])
async def test_a_failed_restore_stops_the_worker(
    kafka_bootstrap: str,
    topic_prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    chosen = Settings(
        kafka=Kafka(bootstrap_servers=kafka_bootstrap, topic_prefix=topic_prefix,
                    group_id=f"{topic_prefix}hark"),
        model=Model(registry=tmp_path),
        http=Http(port=0),
    )  # fmt: skip
    await create_topics(chosen.kafka.client(), topics(topic_prefix), 1)

    async def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(Ownership, "take", fail)
    with pytest.raises(HarkError, match=type(error).__name__):
        async with asyncio.timeout(60):
            await run(chosen)
