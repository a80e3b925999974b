"""Rebalances that overlap: Faust resumes the flow before the later one has its states."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from streams.app import Worker
from tests.state.cluster import Shop, difference, running, sample, until

PART = 1_000


async def committed(worker: Worker, shop: Shop) -> None:
    """Return once all that was published is scored and committed."""
    numbers = list(worker.pipeline.states)
    await until(
        lambda: sum(worker._committed(number) or 0 for number in numbers) == shop.published,
        "everything is committed",
    )


async def test_what_comes_while_the_states_are_brought_is_scored_once_after_the_seek(
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

        async def refused(*_: Any) -> bool:  # by the group, which is rebalancing
            return False

        monkeypatch.setattr(worker.ownership, "take", take_long)
        monkeypatch.setattr(worker.app.consumer, "_commit", refused)
        kept = dict(worker.pipeline.states)
        # As when it was the earlier rebalance that resumed the flow.
        cast("Any", worker.app.tables).recovery.signal_recovery_start.set()
        await brought.wait()
        await shop.publish(PART)
        await asyncio.sleep(2)  # time enough to score it
        monkeypatch.undo()
        release.set()
        await committed(worker, shop)
        assert worker.pipeline.states == kept
        assert sample(worker, "hark_events_total", outcome="duplicate") == 0
        await shop.publish(PART)
        await committed(worker, shop)
    assert not difference(await shop.read("recommendations"), await shop.uninterrupted())
