"""What the log leads to, computed offline: the pure scoring code, no Kafka, no crash."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ops.faults.evidence import Evidence, evidence
from schemas.events.codec import EventDecoder
from schemas.topics import topics
from streams.histories.histories import Histories
from streams.histories.item_table import NO_ITEM, ItemTable
from streams.histories.user_rows import Rows
from streams.kafka.cluster_check import check_cluster
from streams.monitoring.metrics import Metrics
from streams.partition import PartitionState
from streams.plan import Plan
from streams.scoring import Scorer
from streams.settings import Settings
from streams.transport.record_batch import FetchedRecord, fold
from streams.worker import Worker


class Expected:
    """One partition's log through one scorer with an item table of its own.

    Parameters
    ----------
    settings
        The workers'.
    partition
        Of the events topic.

    Attributes
    ----------
    accepted, duplicates, dead
        Records so far, by what became of them.
    """

    def __init__(self, settings: Settings, partition: int) -> None:
        plan, self.items = Plan.from_settings(settings), ItemTable()
        decoder = EventDecoder(settings.product_contract())
        self._scorer = Scorer(plan, decoder, self.items, Metrics())
        self._partition = partition
        self.state: PartitionState = self._scorer.new_state(partition)
        self.accepted = self.duplicates = self.dead = 0

    def take(self, topic: str, records: Sequence[FetchedRecord]) -> Iterator[Evidence]:
        """What must come of the next records, at least one, of the partition."""
        scored = self._scorer.score_batch(self.state, fold(topic, self._partition, records))
        self.accepted += scored.counts.accepted
        self.duplicates += scored.counts.duplicates
        self.dead += sum(scored.dead)
        for output in scored.outputs:
            yield evidence(output.topic, output.key, output.value, output.headers)


async def recover(settings: Settings, partitions: int) -> dict[int, PartitionState]:
    """The states of all partitions as a worker that takes them all over restores them."""
    worker = Worker(settings)
    specs = topics(settings.kafka.topic_prefix)
    worker.partitions = await check_cluster(settings.kafka.client(), specs)
    await worker.ownership.take(set(range(partitions)))
    return dict(worker.pipeline.states)


def differing_users(
    recovered: Mapping[int, PartitionState], expected: Mapping[int, Expected]
) -> list[str]:
    """Users whose histories differ, or that only one side knows."""
    found: list[str] = []
    for partition, offline in expected.items():
        mine, theirs = offline.state.histories, recovered[partition].histories
        users = set(mine.known()) | set(theirs.known())
        found += sorted(user for user in users if not _same(mine, theirs, user))
    return found


def _same(one: Histories, other: Histories, user: str) -> bool:
    mine, theirs = one.row(user), other.row(user)
    if mine is None or theirs is None:
        return False
    names = [name for name in mine.dtype.names or () if name != "item"]
    return all(np.array_equal(mine[name], theirs[name]) for name in names) and (
        _items(mine, one.items) == _items(theirs, other.items)
    )


def _items(row: Rows, items: ItemTable) -> list[str]:
    """The items' ids: their numbers are each worker's own."""
    numbers = row["item"][0, : int(row["length"][0])].tolist()
    return ["" if number == NO_ITEM else items.ids[number] for number in numbers]
