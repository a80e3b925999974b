"""A worker that is killed between checkpoints: its successor knows and says the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ops.demo.scrape import Scrape
from streams.histories.histories import Histories
from tests.end_to_end.worker import RunningWorker, worker
from tests.streams.checkpoints.cluster import PARTITIONS, Shop, by_id, running, sample

THIRD = 1_300


def metric(running: RunningWorker, name: str) -> float:
    return Scrape(running.get("/metrics")[1]).total(name)


def wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"still waiting until {what}"
        time.sleep(0.05)


def row(histories: Histories, user: str) -> dict[str, Any]:
    """All of a user's row, items by name: indices are a worker's own."""
    found = histories.row(user)
    assert found is not None
    names = np.array([*histories.items.ids, None], object)
    fields: dict[str, Any] = {name: found[name].tolist() for name in found.dtype.names or ()}
    return {**fields, "item": names[found["item"][0, : found["length"][0]]].tolist()}


@pytest.mark.slow
async def test_what_a_killed_worker_knew_is_known_again(
    kafka_bootstrap: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARK_STATE__CHECKPOINT_S", "2")
    monkeypatch.setenv("HARK_MODEL__REGISTRY", str(tmp_path / "registry"))
    shop = Shop(kafka_bootstrap, topic_prefix, tmp_path)
    await shop.create()

    def story() -> None:
        with worker(tmp_path, kafka_bootstrap, topic_prefix) as killed:
            killed.wait_until_ready()
            asyncio.run(shop.publish(THIRD))
            wait(lambda: metric(killed, "hark_checkpoint_rows_total") > 0, "something is saved")
            asyncio.run(shop.publish(THIRD))
            wait(
                lambda: metric(killed, "hark_committed_offset") == shop.published,
                "all is committed",
            )
            asyncio.run(shop.publish(THIRD))
            killed.process.kill()
            killed.process.wait()

    await asyncio.to_thread(story)
    async with running(shop, checkpoint_s=3_600) as second:
        assert sample(second, "hark_restored_events_total") < shop.published
        for _ in range(600):
            if sum(s.next_offset for s in second.pipeline.states.values()) >= shop.published:
                break
            await asyncio.sleep(0.1)
        users = {n: second.pipeline.states[n].histories for n in range(PARTITIONS)}
    said, expected = await shop.read("recommendations"), await shop.uninterrupted()
    for number in range(PARTITIONS):
        assert by_id(said[number]) == by_id(expected[number])
        whole = shop.states[number].histories
        assert sorted(users[number].known()) == sorted(whole.known())
        for user in whole.known():
            assert row(users[number], user) == row(whole, user)
