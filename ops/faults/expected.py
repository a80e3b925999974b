"""What the log leads to, computed offline: the pure scoring code, no Kafka, no crash."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ops.faults.evidence import Evidence, evidence
from schemas.events.codec import EventDecoder
from streams.histories.item_table import ItemTable
from streams.monitoring.metrics import Metrics
from streams.partition import PartitionState
from streams.plan import Plan
from streams.scoring import Scorer
from streams.settings import Settings
from streams.transport.record_batch import FetchedRecord, fold


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
