"""Which partitions a worker owns, and how their states come to it."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from aiokafka import TopicPartition

from streams.metrics import Metrics
from streams.pipeline import Pipeline
from streams.restore import committed_offsets, read_alerts, replay

log = structlog.get_logger(__name__)


class Ownership:
    """Brings the states of assigned partitions to where the group goes on.

    Parameters
    ----------
    client
        Keyword arguments of the aiokafka client.
    group
        The worker's consumer group.
    events, alerts
        Topic names on the wire.
    pipeline
        Holds the states.
    metrics
        Told about each rebalance.
    """

    def __init__(
        self,
        client: dict[str, Any],
        group: str,
        events: str,
        alerts: str,
        pipeline: Pipeline,
        metrics: Metrics,
    ) -> None:
        self._client = client
        self._group = group
        self._events = events
        self._alerts = alerts
        self._pipeline = pipeline
        self._metrics = metrics

    async def take(self, assigned: set[int], partitions: dict[str, int]) -> None:
        """Bring the state of every assigned partition to its committed offset.

        Parameters
        ----------
        partitions
            Number of partitions by topic.
        """
        states = self._pipeline.states
        for gone in set(states) - assigned:
            del states[gone]
        mine = [TopicPartition(self._events, number) for number in sorted(assigned)]
        committed = await committed_offsets(self._client, self._group, mine) if mine else {}
        alerts = partitions[self._alerts]
        await asyncio.gather(*(self._bring(tp, committed.get(tp, 0), alerts) for tp in mine))
        self._metrics.count_rebalance()
        log.info("rebalanced", partitions=sorted(assigned))

    async def _bring(self, tp: TopicPartition, committed: int, alert_partitions: int) -> None:
        """A state that is behind catches up; one that is ahead saw unconfirmed work: rebuild."""
        states = self._pipeline.states
        state = states.get(tp.partition)
        if state is None or state.next_offset > committed:
            state = self._pipeline.scorer.new_state(tp.partition)
        if state.next_offset < committed:
            begin = state.next_offset or None
            number = await replay(
                self._client, tp, begin, committed, lambda batch: self._pipeline.apply(state, batch)
            )
            alerts_tp = TopicPartition(self._alerts, tp.partition % alert_partitions)
            for alert in await read_alerts(self._client, alerts_tp):
                state.recall(alert)
            self._metrics.count_restored(number)
            log.info("state.restored", partition=tp.partition, events=number, users=state.users)
        states[tp.partition] = state
