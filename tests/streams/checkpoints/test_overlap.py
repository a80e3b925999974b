"""A rebalance under traffic: what stays is scored meanwhile, and nothing is scored twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from streams.worker import Worker
from tests.streams.checkpoints.cluster import Shop, difference, running, sample, until

PART = 1_000


async def committed(worker: Worker, shop: Shop) -> None:
    """Return once all that was published is scored and committed."""
    numbers = list(worker.pipeline.states)
    await until(
        lambda: sum(worker._committed(number) or 0 for number in numbers) == shop.published,
        "everything is committed",
    )


async def test_partitions_that_stay_are_scored_while_others_are_still_brought(
    kafka_bootstrap: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(kafka_bootstrap, topic_prefix, tmp_path)
    await shop.create()
    await shop.publish(PART)
    async with running(shop, checkpoint_s=3_600) as worker:
        await committed(worker, shop)
        brought, release = asyncio.Event(), asyncio.Event()
        take = worker.ownership.take

        async def take_long(*arguments: Any) -> None:
            await take(*arguments)
            brought.set()
            await release.wait()

        monkeypatch.setattr(worker.ownership, "take", take_long)
        kept = dict(worker.pipeline.states)
        assigned = worker.consumer.client.assignment()
        await worker.consumer.on_partitions_revoked(assigned)
        worker.consumer.on_partitions_assigned(assigned)
        await brought.wait()
        await shop.publish(PART)
        await committed(worker, shop)
        monkeypatch.undo()
        release.set()
        assert worker.pipeline.states == kept
        assert sample(worker, "hark_events_total", outcome="duplicate") == 0
        await shop.publish(PART)
        await committed(worker, shop)
    assert not difference(await shop.read("recommendations"), await shop.uninterrupted())
