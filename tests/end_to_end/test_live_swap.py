"""A second version takes over while events stream in: none is lost, none is answered twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import msgspec
import polars as pl
import pytest

from models.registry import aliases
from models.storage import artefact
from ops.archive.copy import archive_topic
from ops.archive.rerun import rerun
from ops.demo.scrape import Scrape
from ops.kafka_admin.topics import create_topics
from ops.publish.feed import feed
from ops.publish.pace import at_rate
from ops.publish.publisher import Publisher
from ops.simulator.simulation import simulate_events
from ops.tail_command import follow
from schemas.outputs import Recommendation
from schemas.topics import RECOMMENDATIONS, TopicSpec
from streams.checkpoints.restore import committed_offsets
from streams.histories.decision_points import Task
from streams.settings import Kafka, Settings
from tests.end_to_end.test_group import until
from tests.end_to_end.worker import RunningWorker, worker
from tests.few_partitions import topics
from tests.models.versions import store, version_files

EVENTS, EVENTS_PER_S = 9_000, 800
HEADS = {"churn": {"shipped": True}, "risk": {"shipped": False}}


def scrape(running: RunningWorker) -> Scrape:
    return Scrape(running.get("/metrics")[1])


def model(running: RunningWorker) -> list[str]:
    return [v for v, on in scrape(running).by("hark_model_info", "version").items() if on]


async def publish(bootstrap: str, prefix: str, events: pl.DataFrame) -> None:
    async with Publisher({"bootstrap_servers": bootstrap}, f"{prefix}events") as publisher:
        await publisher.publish(feed(events, None, prefix, chunk=100), at_rate(EVENTS_PER_S))


def promote_midway(root: Path, running: RunningWorker, one: str, two: str, bad: str) -> None:
    """First a version that is damaged, then a good one, while events stream in."""

    def done() -> float:
        return scrape(running).total("hark_events_total")

    until(lambda: done() > EVENTS / 6, "events stream in")
    artefact.replace_durably(root / "champion", bad.encode())
    until(lambda: scrape(running).total("hark_refused_models_total") == 1, "it is refused")
    assert model(running) == [one]
    assert done() < EVENTS / 2, "it was refused under load"
    aliases.promote(root, two)
    until(lambda: model(running) == [two], "the good one answers")
    assert done() < EVENTS, "it took over under load"


async def decision_points(client: dict[str, str], prefix: str, folder: Path) -> int:
    """What the log asks for, by the worker's own rules, read again from the topic itself."""
    await archive_topic(client, f"{prefix}events", folder)
    _, steps = rerun(folder, Settings(kafka=Kafka(topic_prefix=prefix)))
    return sum(int(step.applied.points.asking(Task.RECOMMEND).sum()) for step in steps)


async def published(
    client: dict[str, str], spec: TopicSpec
) -> dict[int, list[tuple[int, Recommendation]]]:
    """Lists by partition, in log order."""
    found: dict[int, list[tuple[int, Recommendation]]] = {}
    decode = msgspec.json.Decoder(Recommendation).decode
    async with aclosing(follow(client, spec, from_beginning=True, until_end=True)) as records:
        async for record in records:
            found.setdefault(record.partition, []).append((record.offset, decode(record.value)))
    return {number: sorted(lists, key=lambda one: one[0]) for number, lists in found.items()}


@pytest.mark.slow
async def test_a_promotion_under_load_loses_nothing_and_answers_nothing_twice(
    kafka_bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    client = {"bootstrap_servers": kafka_bootstrap}
    specs = topics(topic_prefix)
    await create_topics(client, specs, 1)
    shop = simulate_events(5, users=600, items=80, days=20, events=EVENTS)
    root = tmp_path / "var/registry"
    item_ids = shop.catalogue["item_id"].unique().sort().to_list()
    one, two = (
        store(root, version_files(item_ids, seed), heads=HEADS, seed=seed) for seed in (1, 2)
    )
    bad = store(root, version_files(item_ids, 3), heads=HEADS)
    (root / bad / "model.onnx").write_bytes(b"half")
    aliases.promote(root, one)

    def story() -> Scrape:
        with worker(tmp_path, kafka_bootstrap, topic_prefix) as running:
            running.wait_until_ready()
            assert model(running) == [one]
            promote = asyncio.to_thread(promote_midway, root, running, one, two, bad)

            async def stream() -> None:
                await asyncio.gather(publish(kafka_bootstrap, topic_prefix, shop.events), promote)

            asyncio.run(stream())
            until(lambda: scrape(running).total("hark_events_total") == EVENTS, "all is scored")
            last = scrape(running)
            assert running.stop() == 0, running.log()
            return last

    last = await asyncio.to_thread(story)
    committed = await committed_offsets(client, f"{topic_prefix}hark")
    assert sum(committed.values()) == EVENTS, "every event is read and committed"
    assert last.total("hark_events_total", outcome="accepted") == EVENTS
    assert last.total("hark_refused_models_total") == 1
    asked = await decision_points(client, topic_prefix, tmp_path / "archive")
    outcomes = last.by("hark_recommendations_total", "outcome")
    assert sum(outcomes.values()) == last.total("hark_decisions_total", kind="recommend") == asked

    spec = next(spec for spec in specs if spec.name.endswith(RECOMMENDATIONS.name))
    lists = await published(client, spec)
    ids = Counter(made.recommendation_id for part in lists.values() for _, made in part)
    assert ids.most_common(1)[0][1] == 1, "no list is published twice"
    assert len(ids) == outcomes["sent"]
    answered = set()
    for number, part in lists.items():
        versions = [made.model_version for _, made in part]
        answered |= set(versions)
        changes = sum(a != b for a, b in pairwise(versions))
        assert changes <= 1, f"partition {number} goes back and forth"
        assert versions == sorted(versions, key=[one, two].index)
    assert answered == {one, two}
