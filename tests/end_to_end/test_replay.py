"""What a worker says on a stream is what the same version says about it afterwards."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from models.registry import registry
from models.registry.registry import Model
from ops.archive.rerun import rerun
from ops.kafka_admin.topics import create_topics
from ops.publish.feed import feed
from ops.publish.publisher import Publisher
from ops.simulator.simulation import simulate_events
from ops.training.models_command import models
from ops.training.train_command import train as train_command
from schemas.outputs import Alert, Recommendation
from streams.decisions.answers import Undecided
from streams.decisions.decider import Decider, Decisions
from streams.kafka.producer import Output
from streams.monitoring.metrics import Metrics
from streams.plan import Plan
from streams.settings import AlertRule, Alerts, Http, Kafka, Settings
from streams.settings import Model as ModelSettings
from streams.worker import Worker
from tests.few_partitions import topics

SIMULATED = 8_000
EXACT = 1e-5


@dataclass
class Heard:
    """Everything that was decided, by where it was asked."""

    probabilities: dict[tuple[str, int, int], float] = field(default_factory=dict)
    recommendations: dict[str, Recommendation] = field(default_factory=dict)
    alerts: dict[str, Alert] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)

    def record(self, partition: int, offsets: Any, decisions: Decisions) -> None:
        self.batches.append(len(offsets))
        for kind, (at, probabilities) in decisions.probabilities.items():
            for offset, p in zip(offsets[at].tolist(), probabilities.tolist(), strict=True):
                assert (kind, partition, offset) not in self.probabilities
                self.probabilities[kind, partition, offset] = p
        self.keep(decisions.outputs)

    def keep(self, outputs: Iterable[Output]) -> None:
        for output in outputs:
            if output.topic.endswith("recommendations"):
                said = msgspec.json.decode(output.value or b"", type=Recommendation)
                self.recommendations[said.recommendation_id] = said
            elif output.topic.endswith("alerts"):
                alert = msgspec.json.decode(output.value or b"", type=Alert)
                self.alerts[alert.alert_id + alert.status] = alert


def settings(bootstrap: str, prefix: str, root: Path) -> Settings:
    return Settings(
        kafka=Kafka(bootstrap_servers=bootstrap, topic_prefix=prefix, group_id=f"{prefix}hark"),
        model=ModelSettings(registry=root / "registry"),
        http=Http(port=0),
        alerts=Alerts(churn=AlertRule(budget=0.2), risk=AlertRule(budget=0.2)),
    )


async def publish(bootstrap: str, prefix: str) -> int:
    shop = simulate_events(5, users=150, items=90, days=40, events=SIMULATED)
    events = with_frauds(shop.events)
    async with Publisher({"bootstrap_servers": bootstrap}, f"{prefix}events") as publisher:
        await publisher.publish(feed(events, shop.catalogue.drop("time_ms"), prefix))
    return len(events)


def with_frauds(events: pl.DataFrame) -> pl.DataFrame:
    """Confirm every third payment a day later: enough labels for a risk head."""
    payments = events.filter(pl.col("event") == "Payment Made").gather_every(3)
    confirmed = payments.with_columns(
        message_id=pl.col("message_id") + "-confirmed",
        event=pl.lit("Fraud Confirmed"),
        time_ms=pl.col("time_ms") + 86_400_000,
    ).with_columns(payments["message_id"].alias("properties.payment_id"))
    return pl.concat([events, confirmed]).sort("time_ms", maintain_order=True)


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[None]:
    await worker.check()
    await worker.app.start()
    try:
        yield
    finally:
        await worker.app.stop()


async def live(chosen: Settings, events: int) -> Heard:
    """A worker in this process reads the whole topic."""
    heard = Heard()
    worker = Worker(chosen, heard.record)
    async with running(worker):
        for _ in range(1_200):
            if sum(state.next_offset for state in worker.pipeline.states.values()) >= events:
                break
            await asyncio.sleep(0.1)
        else:
            pytest.fail("the worker didn't read everything in two minutes")
    return heard


def afterwards(chosen: Settings, archive: Path, model: Model) -> Heard:
    """The archive through the same functions, cut into other batches."""
    heard = Heard()
    state, steps = rerun(archive, chosen)
    decider = Decider(Plan.from_settings(chosen), state.items, Metrics())
    decider.use(model)
    for step in steps:
        known = state.state(step.partition)
        (decisions,) = decider.decide(
            [Undecided(known, step.columns, step.applied, step.windows, step.live.suggestions)]
        )
        offsets = step.columns.offsets[step.applied.points.rows]
        heard.record(step.partition, offsets, decisions)
    return heard


@pytest.mark.slow
async def test_scores_of_the_worker_are_those_of_a_rerun(
    kafka_bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    client = {"bootstrap_servers": kafka_bootstrap}
    await create_topics(client, topics(topic_prefix), 1)
    events = await publish(kafka_bootstrap, topic_prefix)
    chosen = settings(kafka_bootstrap, topic_prefix, tmp_path)
    version = await asyncio.to_thread(train, chosen, tmp_path)
    model = registry.load(chosen.model.registry, version)
    worker = await live(chosen, events)
    again = await asyncio.to_thread(afterwards, chosen, tmp_path / "archive", model)

    assert worker.batches != again.batches, "cut alike, the test would show less"
    kinds = {kind for kind, _, _ in worker.probabilities}
    assert kinds == {"churn", "risk"}
    assert worker.probabilities.keys() == again.probabilities.keys()
    both = [(worker.probabilities[at], again.probabilities[at]) for at in again.probabilities]
    differences = np.abs(np.diff(np.array(both), axis=1))
    assert differences.max() <= EXACT

    assert len(worker.recommendations) > SIMULATED // 10
    assert worker.recommendations.keys() == again.recommendations.keys()
    for name, said in worker.recommendations.items():
        then = again.recommendations[name]
        assert said.model_version == then.model_version == model.version
        assert [item.item_id for item in said.items] == [item.item_id for item in then.items]
        scores = [item.score for item in said.items]
        assert scores == pytest.approx([item.score for item in then.items], abs=1e-4)
    assert worker.alerts.keys() == again.alerts.keys()
    assert {alert.kind for alert in worker.alerts.values()} == {"churn", "risk"}


def train(chosen: Settings, root: Path) -> str:
    """Make a version of what was published the champion -> its name."""
    environment = {
        "HARK_KAFKA__BOOTSTRAP_SERVERS": chosen.kafka.bootstrap_servers,
        "HARK_KAFKA__TOPIC_PREFIX": chosen.kafka.topic_prefix,
    }
    registry_at = ["--registry", str(chosen.model.registry)]
    options = ["--archive", str(root / "archive"), "--epochs", "2", "--churn-days", "7", "--json"]
    done = CliRunner().invoke(train_command, [*registry_at, *options], env=environment)
    assert done.exit_code == 0, done.output
    version: str = json.loads(done.stdout)["version"]
    promoted = CliRunner().invoke(models, ["promote", version, *registry_at])
    assert promoted.exit_code == 0, promoted.output
    return version
