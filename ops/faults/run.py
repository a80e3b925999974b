"""A fault run: cluster, workers and producer up; the script; drained; all ended."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ops.faults.fleet import Fleet
from ops.faults.inflict import Hands, Tell, inflict
from ops.faults.log_reader import unread, until_in_sync
from ops.faults.producer import Background, Ledger, produce
from ops.faults.relay import Relay
from ops.faults.script import script
from ops.faults.workload import Workload
from ops.kafka_admin.topics import create_topics
from ops.local_kafka.cluster import LocalKafka
from schemas.errors import TransientError
from schemas.topics import EVENTS, topics
from streams.kafka.settings import Kafka
from streams.settings import Http, Model, Recommend, Settings, State

BROKERS = 3
GROUP = "hark-faults"
_HEAP_MIB = 320
_CHECKPOINT_S = 5  # so often that workers are killed in the middle of one
_TICK_S = 0.2
_START_S = 240.0  # a machine that compiles the kernels for the first time, and is busy
_DRAIN_S = 240.0
_IN_SYNC_S = 90.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes
    ----------
    minutes
        Of faults and producing.
    rate
        Records a second.
    """

    minutes: float
    rate: float
    partitions: int
    workers: int
    seed: int
    folder: Path

    @property
    def total(self) -> int:
        """Records to send."""
        return round(self.minutes * 60 * self.rate)

    def settings(self, servers: str) -> Settings:
        """The workers'; nothing of the environment or `hark.toml` in them."""
        kafka = Kafka(
            bootstrap_servers=servers, group_id=GROUP, replication_factor=BROKERS,
            session_timeout_s=6.0,
        )  # fmt: skip
        others = {name: field.default for name, field in Settings.model_fields.items()}
        own = {
            "kafka": kafka,
            # Every behaviour event asks for a list, and whatever is news goes out.
            "recommend": Recommend(top_k=5, refresh_s=1, min_interval_s=0),
            "state": State(checkpoint_s=_CHECKPOINT_S),
            "http": Http(port=0),
            "model": Model(registry=self.folder / "registry"),
        }
        return Settings(**{**others, **own})


@dataclass(slots=True)
class Ran:
    """What a run leaves for the audit.

    Attributes
    ----------
    counts
        Of every fault, and of workers that ended by themselves.
    reasons
        Why they did.
    seconds
        From the first record to the end of the faults.
    """

    settings: Settings
    ledger: Ledger
    workload: Workload
    counts: Counter[str]
    reasons: list[str]
    seconds: float


@contextmanager
def faults_run(plan: Plan, tell: Tell) -> Iterator[Ran]:
    """Run the whole script; the cluster can be read until the context ends.

    Parameters
    ----------
    tell
        Told what happens, and the share of the script that is done.

    Raises
    ------
    TransientError
        Something didn't come up, or the workers don't reach the end of the log.
    """
    with ExitStack() as stack:
        tell("starting three brokers", 0)
        kafka = stack.enter_context(
            LocalKafka(plan.folder / "kafka", BROKERS, heap_mib=_HEAP_MIB, relayed=True)
        )
        settings = plan.settings(kafka.bootstrap_servers)
        specs = topics(partitions=plan.partitions)
        asyncio.run(create_topics(settings.kafka.client(), specs, BROKERS))
        background = stack.enter_context(Background())
        relay = Relay(kafka.nodes)
        background.call(relay.start())
        stack.callback(lambda: background.call(relay.stop()))
        fleet = Fleet.plan(plan.folder, plan.workers, settings, relay.bootstrap_servers)
        stack.callback(fleet.stop)
        yield _story(plan, settings, Hands(kafka, relay, fleet, background), background, tell)


def _story(plan: Plan, settings: Settings, hands: Hands, background: Background, tell: Tell) -> Ran:
    """Up, faults while events flow, drained, workers gone."""
    servers, fleet = settings.kafka.bootstrap_servers, hands.fleet
    workload = Workload(plan.seed, topic=EVENTS.name)
    tell("waiting for the workers", 0)
    for member in fleet.members:
        fleet.start(member)
    _until(lambda: fleet.told("rebalanced") > 0, fleet, _START_S, "no worker came up")
    begun = time.monotonic()
    chunks = workload.records(plan.total)
    producing = background.begin(produce(settings.kafka.client(), EVENTS.name, chunks, plan.rate))
    inflict(script(plan.seed, plan.minutes), hands, plan.minutes * 60, tell)
    tell("waiting for the producer and the replicas", 1)
    ledger = producing.result()
    seconds = time.monotonic() - begun
    asyncio.run(until_in_sync(servers, _IN_SYNC_S))
    tell("waiting until the workers have read everything", 1)
    _until(
        lambda: asyncio.run(unread(servers, GROUP, EVENTS.name)) == 0,
        fleet,
        _DRAIN_S,
        "the workers don't reach the end of the log",
    )
    for member in fleet.running(paused=True):
        fleet.leave(member)
    counts = hands.counts + fleet.counts
    counts["rebalances"] = fleet.told("rebalanced")
    counts["restores"] = fleet.told("state.restored")
    counts["whole_log_restores"] = counts["restores"] - fleet.told("state.restored", saved=True)
    return Ran(settings, ledger, workload, counts, fleet.reasons, seconds)


def _until(done: Callable[[], bool], fleet: Fleet, timeout_s: float, otherwise: str) -> None:
    end = time.monotonic() + timeout_s
    while not done():
        fleet.revive()
        if time.monotonic() > end:
            raise TransientError(f"{otherwise} in {timeout_s:.0f} s: {fleet.last_words()}")
        time.sleep(_TICK_S)
