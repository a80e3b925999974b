"""A worker that comes back goes on from its checkpoint, and nobody can tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.topics import COUNTERS
from streams.checkpoints.head import HEAD
from streams.checkpoints.writer import CheckpointWriter
from tests.streams.checkpoints.cluster import (
    PARTITIONS,
    Shop,
    caught_up,
    difference,
    running,
    sample,
    until,
)

HALF = 2_000


@pytest.fixture
async def shop(kafka_bootstrap: str, topic_prefix: str, tmp_path: Path) -> Shop:
    made = Shop(kafka_bootstrap, topic_prefix, tmp_path)
    await made.create()
    return made


async def test_after_a_graceful_stop_nothing_is_replayed_and_the_answers_are_the_same(
    shop: Shop,
) -> None:
    await shop.publish(HALF)
    async with running(shop, checkpoint_s=3_600) as first:
        await caught_up(first, shop)
        users = sum(state.users for state in first.pipeline.states.values())
    assert sample(first, "hark_checkpoints_total", outcome="written") == PARTITIONS
    await shop.publish(HALF)
    async with running(shop, checkpoint_s=3_600) as second:
        assert sample(second, "hark_restored_events_total") == 0
        assert sample(second, "hark_restore_ratio") == 1
        assert sum(state.users for state in second.pipeline.states.values()) >= users
        await caught_up(second, shop)
    assert not difference(await shop.read("recommendations"), await shop.uninterrupted())


async def test_without_checkpoints_the_whole_log_is_replayed(shop: Shop) -> None:
    await shop.publish(HALF)
    async with running(shop, checkpoint_s=0) as first:
        await caught_up(first, shop)
    async with running(shop, checkpoint_s=0) as second:
        assert sample(second, "hark_restored_events_total") == HALF
    assert sum(map(len, (await shop.read(COUNTERS.name)).values())) == 0


async def test_what_came_after_the_checkpoint_is_replayed(shop: Shop) -> None:
    """As after a crash: the last checkpoint is older than the last commit."""
    await shop.publish(HALF // 2)
    async with running(shop, checkpoint_s=0.4) as first:
        await caught_up(first, shop)
        await until(
            lambda: sample(first, "hark_checkpoints_total", outcome="written") >= PARTITIONS,
            "all is saved",
        )
        await first.checkpoints.stop()
        await shop.publish(HALF // 2)
        await caught_up(first, shop)
    await shop.publish(HALF)
    async with running(shop, checkpoint_s=3_600) as second:
        assert sample(second, "hark_restored_events_total") == HALF // 2
        await caught_up(second, shop)
    assert not difference(await shop.read("recommendations"), await shop.uninterrupted())


async def test_a_checkpoint_that_cannot_be_read_is_ignored(shop: Shop) -> None:
    await shop.publish(HALF)
    async with running(shop, checkpoint_s=3_600) as first:
        await caught_up(first, shop)
    for number in range(PARTITIONS):
        vandal = CheckpointWriter(
            shop.client, f"{shop.prefix}vandal-{number}", first.checkpoints.topics, number,
            max_message_bytes=1_000_000,
        )  # fmt: skip
        await vandal.start()
        await vandal.write([], [(HEAD, b"{}")])
        await vandal.stop()
    await shop.publish(HALF)
    async with running(shop, checkpoint_s=3_600) as second:
        assert sample(second, "hark_restored_events_total") == HALF
        await caught_up(second, shop)
    # And what it then saved is gone on from again.
    async with running(shop, checkpoint_s=3_600) as third:
        assert sample(third, "hark_restored_events_total") == 0
