"""Which partitions a worker owns, and how it gets their states."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from functools import partial
from typing import Any

import structlog
from aiokafka import TopicPartition

from schemas.errors import StateError
from streams.checkpoints.reader import CheckpointReader
from streams.checkpoints.restore import (
    RestoreProgress,
    accept,
    committed_offsets,
    read_alerts,
    replay,
    restore_checkpoint,
)
from streams.checkpoints.schedule import Checkpoints
from streams.ingest.dead_letters import read_refusals
from streams.kafka.retry import retried
from streams.monitoring.memory import return_free_memory
from streams.monitoring.metrics import Metrics
from streams.partition import PartitionState
from streams.pipeline import Pipeline
from streams.transport.consumer import Read

log = structlog.get_logger(__name__)


async def _nothing(_numbers: Collection[int]) -> None:
    pass


class Ownership:
    """Brings the states of assigned partitions to the group's committed offsets.

    Parameters
    ----------
    client
        Keyword arguments of the aiokafka client.
    group
        The worker's consumer group.
    events
        Topic name on the wire.
    pipeline
        Holds the states.
    checkpoints
        Restores states, and writes them from then on.
    metrics
        Counts rebalances and restored events.
    retry_s
        How long failing requests are retried, in seconds.
    """

    def __init__(
        self,
        client: dict[str, Any],
        group: str,
        events: str,
        pipeline: Pipeline,
        checkpoints: Checkpoints,
        metrics: Metrics,
        retry_s: float,
    ) -> None:
        self._client = client
        self._group = group
        self._events = events
        self._retry_s = retry_s
        self._pipeline = pipeline
        self._checkpoints = checkpoints
        self._metrics = metrics
        self.progress: RestoreProgress | None = None  # of the latest rebalance

    async def take(self, assigned: set[int], read: Read = _nothing) -> None:
        """Bring the state of every assigned partition to its committed offset.

        Parameters
        ----------
        assigned
            Partitions of `events`.
        read
            Awaited with partitions as soon as their states are there: those that stay don't wait
            for those that are restored.
        """
        # Batches in hand, and what an interrupted take still applies, come first.
        await self._pipeline.in_scorer(lambda: None)
        states = self._pipeline.states
        # What an interrupted take began to own, and never had a state of, goes as well.
        gone = (set(states) | self._checkpoints.owned) - assigned
        for number in gone:
            states.pop(number, None)
        progress = RestoreProgress(self._metrics.checkpoints)
        partitions = [TopicPartition(self._events, number) for number in sorted(assigned)]
        committed = (
            await retried(
                "reading committed offsets",
                lambda: committed_offsets(self._client, self._group, partitions),
                self._retry_s,
            )
            if partitions
            else {}
        )

        async def bring(tp: TopicPartition) -> None:
            await retried(
                f"restoring partition {tp.partition}",
                lambda: self._bring(tp, committed.get(tp, 0), progress),
                self._retry_s,
            )
            await read([tp.partition])

        stay = [tp for tp in partitions if self._is_current(tp.partition, committed.get(tp, 0))]
        await read([tp.partition for tp in stay])
        await asyncio.gather(*map(self._checkpoints.disown, gone))
        await asyncio.gather(*(bring(tp) for tp in partitions if tp not in stay))
        await asyncio.to_thread(return_free_memory)
        seconds = progress.finish()
        self._metrics.count_rebalance()
        self.progress = progress
        log.info(
            "rebalanced",
            partitions=sorted(assigned),
            stayed=len(stay),
            seconds=round(seconds, 2),
            alerts=progress.alerts,
            letters=progress.letters,
        )

    def _is_kept(self, number: int, committed: int) -> bool:
        """Whether a partition's state is there, and hasn't seen unconfirmed work."""
        state = self._pipeline.states.get(number)
        return (
            state is not None
            and state.next_offset <= committed
            and self._checkpoints.writes(number)
        )

    def _is_current(self, number: int, committed: int) -> bool:
        """Whether a partition's state is there as of the committed offset."""
        return (
            self._is_kept(number, committed)
            and self._pipeline.states[number].next_offset == committed
        )

    async def _bring(
        self,
        tp: TopicPartition,
        committed: int,
        progress: RestoreProgress,
    ) -> None:
        """A state that is behind catches up; one that is ahead saw unconfirmed work: rebuild."""
        states, number = self._pipeline.states, tp.partition
        kept = self._is_kept(number, committed)
        # Another attempt, after an error or a rebalance, must not take a state that is half
        # restored, or that missed the alerts of what it caught up with, for one that was kept.
        state = states.pop(number, None)
        if state is None or not kept:
            state = await self._restored(number, committed, progress)
        await self._catch_up(tp, state, committed, progress)
        states[number] = state

    async def _catch_up(
        self, tp: TopicPartition, state: PartitionState, committed: int, progress: RestoreProgress
    ) -> None:
        """Replay the log from the state's offset, and read back the published alerts."""
        number, saved = tp.partition, state.next_offset
        alerts, letters = self._checkpoints.ends.outputs(number)
        alerts_from, letters_from = self._checkpoints.outputs_from(number)
        state.refused, n_letters = await read_refusals(
            self._client, letters, letters_from, tp, saved, committed
        )
        events = await replay(
            self._client,
            tp,
            saved or None,
            committed,
            lambda batch: self._pipeline.apply(state, batch),
            progress,
        )
        state.refused = frozenset()
        # A checkpoint without incidents (version 0.1) says nothing about any event.
        since = saved if alerts_from >= 0 else 0
        found, n_alerts = await read_alerts(
            self._client, alerts, alerts_from, number, since, committed
        )
        await self._pipeline.in_scorer(partial(state.recall, found))
        progress.read_back(n_alerts, n_letters)
        self._metrics.count_restored(events)
        log.info(
            "state.restored",
            partition=number,
            saved=saved,
            events=events,
            alerts=n_alerts,
            letters=n_letters,
            users=state.users,
        )

    async def _restored(
        self, number: int, committed: int, progress: RestoreProgress
    ) -> PartitionState:
        """The state as of the newest checkpoint, else an empty state; a replay must follow."""
        checkpoints, new_state = self._checkpoints, self._pipeline.scorer.new_state
        if not checkpoints.on:
            return new_state(number)
        await checkpoints.own(number)
        async with CheckpointReader(self._client, checkpoints.topics, number) as reader:
            found = await reader.find()
            state = new_state(number)
            if found.head is not None:
                try:
                    head = accept(found.head, self._group, committed)
                    await restore_checkpoint(reader, found, head, state, self._pipeline, progress)
                except StateError as error:
                    log.warning(
                        "state.checkpoint_ignored",
                        partition=number,
                        why=str(error),
                        instead="the whole log is replayed",
                    )
                    state = new_state(number)
                else:
                    checkpoints.go_on(number, found.head, head)
                    return state
        checkpoints.begin(number, found.head, found.rows_end, found.parts_end)
        return state
