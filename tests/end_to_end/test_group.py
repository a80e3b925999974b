"""Two workers of one group share the partitions, and state moves with them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.demo.scrape import Scrape
from ops.kafka_admin.topics import create_topics
from ops.publish.feed import feed
from ops.publish.publisher import Publisher
from ops.simulator.simulation import simulate_events
from streams.checkpoints.restore import committed_offsets
from tests.end_to_end.worker import RunningWorker, worker
from tests.few_partitions import topics

EVENTS = 2_000
LABELS = 9
"""Among them; label events enter no history, so a second copy is accepted (and has no effect)."""


def scrape(running: RunningWorker) -> Scrape:
    return Scrape(running.get("/metrics")[1])


def partitions(running: RunningWorker) -> int:
    return len(scrape(running).by("hark_committed_offset", "partition"))


def outcomes(*workers: RunningWorker) -> dict[str, float]:
    found: dict[str, float] = {}
    for running in workers:
        for outcome, count in scrape(running).by("hark_events_total", "outcome").items():
            found[outcome] = found.get(outcome, 0) + count
    return found


def until(condition: Callable[[], bool], what: str, timeout_s: float = 90) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"still waiting until {what}"
        time.sleep(0.2)


async def publish(bootstrap: str, prefix: str) -> None:
    # No user has more than 64 events: all of them are remembered.
    shop = simulate_events(3, users=400, items=100, days=10, events=EVENTS)
    assert (shop.events["event"] == "Fraud Confirmed").sum() == LABELS
    async with Publisher({"bootstrap_servers": bootstrap}, f"{prefix}events") as publisher:
        await publisher.publish(feed(shop.events, None, prefix))


@pytest.mark.slow
async def test_a_worker_that_leaves_hands_its_partitions_and_users_over(
    kafka_bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    client = {"bootstrap_servers": kafka_bootstrap}
    await create_topics(client, topics(topic_prefix), 1)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    def story() -> None:
        with (
            worker(tmp_path / "a", kafka_bootstrap, topic_prefix) as leaving,
            worker(tmp_path / "b", kafka_bootstrap, topic_prefix) as staying,
        ):
            for each in (leaving, staying):  # to start takes as long as the machine is busy
                each.wait_until_ready(240)
            until(lambda: partitions(leaving) == partitions(staying) == 2, "they share 2 and 2")
            asyncio.run(publish(kafka_bootstrap, topic_prefix))
            until(
                lambda: outcomes(leaving, staying)["accepted"] == EVENTS, "every event is accepted"
            )
            assert min(outcomes(leaving)["accepted"], outcomes(staying)["accepted"]) > 0

            assert leaving.stop() == 0, leaving.log()
            # No temporary folder, and no identity of ONNX Runtime's telemetry.
            assert [left.name for left in (tmp_path / "a").iterdir()] == ["worker.log"]
            until(lambda: partitions(staying) == 4, "the other takes over")
            accepted = outcomes(staying)["accepted"]
            asyncio.run(publish(kafka_bootstrap, topic_prefix))
            until(lambda: outcomes(staying)["duplicate"] == EVENTS - LABELS, "every event is known")
            until(lambda: outcomes(staying)["accepted"] == accepted + LABELS, "the labels are read")
            assert outcomes(staying)["dead_letter"] == 0

            # What was killed before a commit is read again, and known as well.
            staying.process.kill()
            staying.process.wait()
            with worker(tmp_path / "a", kafka_bootstrap, topic_prefix) as later:
                until(lambda: partitions(later) == 4, "a new one takes over")
                until(lambda: scrape(later).total("hark_lag_records") == 0, "it has caught up")
                assert outcomes(later)["accepted"] <= LABELS
                assert later.stop() == 0, later.log()

    await asyncio.to_thread(story)
    committed = await committed_offsets(client, f"{topic_prefix}hark")
    assert sum(committed.values()) == 2 * EVENTS, "all that was read is committed"
