"""Growing, step by step; every step may be interrupted and run again.

1. Topics of the new prefix with N partitions.
2. The log is copied up to the offsets that the workers' group has committed, again and again, while
   workers and publishers go on. So nothing that isn't answered is copied.
3. The workers are stopped. What they committed last is copied; all new partitions end there, and
   everything before is answered. The states of the new partitions are written, then the group's
   offsets of the new topic are committed: the boundary. Workers may start on the new prefix.
4. The rest is copied, and what still arrives, until publishers have moved to the new prefix and
   the old topic is quiet. Then both logs are compared.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from aiokafka import TopicPartition
from msgspec import Struct

from ops.connection import with_kafka
from ops.growing.copier import Copier, Offsets
from ops.growing.group import commit, members, sample, settled_ends
from ops.growing.placing import Partitioners, Placement
from ops.growing.proof import prove
from ops.growing.states import NewStates, old_worker
from ops.kafka_admin.topics import create_topics
from schemas.errors import ConfigError, TransientError
from schemas.topics import EVENTS, ITEMS, TopicSpec, state_transactions, topics
from streams.checkpoints.restore import committed_offsets
from streams.kafka.cluster_check import count_partitions, from_any
from streams.kafka.connect import reached
from streams.kafka.log import Record
from streams.kafka.topic_settings import read_configs
from streams.kafka.unfit_settings import AHEAD_MS, ahead_ms, number
from streams.settings import Settings

_POLL_S = 0.5
_SAMPLE = 2_000  # records per partition that tell the partitioner


class Tell(Protocol):
    """Told what goes on."""

    def say(self, line: str) -> None:
        """A line for the operator."""

    def total(self, step: str, total: int) -> None:
        """A step begins, or has more to do: `total` records in all."""

    def advance(self, records: int) -> None:
        """So many more records of the step are done."""


class Grown(Struct, frozen=True):
    """What came of it.

    Attributes
    ----------
    partitions, before
        Of the new `events`, and of the old.
    prefix
        The new prefix.
    partitioner
        How keys are placed.
    copied
        Copies in the new `events`; the comparison found each original once.
    missed
        Offsets of the old topics that Kafka deleted before they were copied in this run.
    users, users_older, incidents
        Users at the boundary; users whose state reaches further back than the log; incidents taken
        over. -1: an earlier run did that.
    """

    partitions: int
    before: int
    prefix: str
    partitioner: str
    copied: int
    missed: int
    users: int = -1
    users_older: int = -1
    incidents: int = -1


async def grow(
    settings: Settings,
    partitions: int,
    prefix: str,
    tell: Tell,
    *,
    partitioner: str | None = None,
    quiet_s: float,
) -> Grown:
    """Give the users of `settings`' prefix `partitions` partitions under `prefix`.

    Parameters
    ----------
    settings
        Of the present workers.
    partitions, prefix
        Of the new topics.
    tell
        Told the progress.
    partitioner
        Of the publishers (`placing.PARTITIONERS`), None: found out.
    quiet_s
        It ends when the old topic has had no new event for so many seconds.

    Raises
    ------
    ConfigError
        The request or the topics don't allow it.
    TransientError
        It was interrupted; the same command goes on.
    HarkError
        The logs differ.
    """
    return await _Growing(settings, partitions, prefix, tell, quiet_s).run(partitioner)


class _Growing:
    def __init__(
        self, settings: Settings, partitions: int, prefix: str, tell: Tell, quiet_s: float
    ) -> None:
        self._old = settings
        self._new = with_kafka(settings, {"topic_prefix": prefix})
        self._client = settings.kafka.client()
        self._group = settings.kafka.group_id
        self._copied_up_to = f"{self._group}-grow-{prefix}"  # a group without members
        self._partitions, self._prefix = partitions, prefix
        self._quiet_s = quiet_s
        self._tell = tell
        self._before = self._item_partitions = 0
        self._moved = (-1, -1, -1)

    async def run(self, partitioner: str | None) -> Grown:
        await self._check()
        old_events = self._tps(self._old, EVENTS.name, self._before)
        old_items = self._tps(self._old, ITEMS.name, self._item_partitions)
        chosen = partitioner or await self._partitioner(old_events)
        place = Placement(chosen, self._before, self._partitions)
        await create_topics(self._client, await self._specs(), self._old.kafka.replication_factor)
        new_events = self._topic(self._new, EVENTS.name)
        new_items = self._topic(self._new, ITEMS.name)

        def targets(record: Record) -> list[TopicPartition]:
            if record.topic == old_items[0].topic:
                return [TopicPartition(new_items, record.partition)]
            return [TopicPartition(new_events, number) for number in place.targets(record)]

        async with Copier(
            self._client,
            f"{state_transactions(self._prefix)}grow",
            self._copied_up_to,
            [*old_events, *old_items],
            targets,
        ) as copier:
            await self._refuse_others()
            if not await self._has_boundary():
                states = await NewStates.of(self._new, self._partitions)
                await self._until_stopped(copier, old_events, states)
                await self._set_boundary(copier, old_events, states, place)
            self._tell.say(
                f"start the workers with kafka.topic_prefix={self._prefix}, then move the "
                f"publishers; copying goes on until {old_events[0].topic} is quiet"
            )
            await self._until_quiet(copier)
            copied = await self._prove(copier, old_events, place)
        return Grown(
            self._partitions,
            self._before,
            self._prefix,
            chosen,
            copied,
            copier.missed,
            *self._moved,
        )

    async def _check(self) -> None:
        name, new = self._topic(self._old, EVENTS.name), self._topic(self._new, EVENTS.name)
        if name == new:
            raise ConfigError(f"--to {self._prefix!r} is the present prefix: choose a new one")
        items = self._topic(self._old, ITEMS.name)
        found = await count_partitions(self._client, [name, new, items])
        self._before, self._item_partitions = found[name], found[items]
        if not (self._before and self._item_partitions):
            raise ConfigError(f"there are no topics {name} and {items} to grow")
        if self._partitions <= self._before:
            raise ConfigError(f"{name} has {self._before} partitions already: choose more")
        if found[new] not in (0, self._partitions):
            raise ConfigError(
                f"{new} has {found[new]} partitions, not {self._partitions}: choose another --to, "
                "or say that number"
            )

    async def _specs(self) -> list[TopicSpec]:
        """The new topics; `events` keeps its records as long as the old topic does."""
        name = self._topic(self._old, EVENTS.name)
        async with reached(self._client) as bare:
            found = (await from_any(lambda: read_configs(bare, [name])))[name]
        alike: dict[str, dict[str, Any]] = {
            EVENTS.name: {
                "retention_ms": number(found, "retention.ms", EVENTS.retention_ms),
                "ahead_ms": max(EVENTS.ahead_ms or 0, min(ahead_ms(found), AHEAD_MS)),
            },
            ITEMS.name: {"partitions": self._item_partitions},
        }
        return [
            replace(spec, **alike.get(spec.role, {}))
            for spec in topics(self._prefix, self._partitions)
        ]

    async def _refuse_others(self) -> None:
        """Refuse a topic with records that no earlier run of this command wrote."""
        begun = await committed_offsets(self._client, self._copied_up_to)
        if not begun and any((await self._ends()).values()):
            raise ConfigError(
                f"{self._topic(self._new, EVENTS.name)} holds events that aren't copies: choose "
                "another --to"
            )

    async def _partitioner(self, events: Sequence[TopicPartition]) -> str:
        found = Partitioners(self._before)
        async for record in sample(self._client, events, _SAMPLE):
            found.see(record)
        return found.found()

    async def _has_boundary(self) -> bool:
        """Whether it is settled where the group goes on in the new topic."""
        committed = await committed_offsets(self._client, self._group)
        return all(tp in committed for tp in self._at(dict.fromkeys(range(self._partitions), 0)))

    async def _until_stopped(
        self, copier: Copier, events: Sequence[TopicPartition], states: NewStates
    ) -> None:
        """Copy what the workers have answered, until no worker is left and all of it is copied."""
        self._tell.total("copying", copier.behind(await self._answered(copier, events)))
        said = False
        while True:
            there = await members(self._client, self._group)
            until = await self._answered(copier, events)
            await copier.copy(until, self._tell.advance)
            await states.replay(await self._ends())
            if not there:  # so what was committed is final
                return
            if not said:
                self._tell.say(
                    f"copied what the workers have answered; stop all workers of group "
                    f"{self._group} now (SIGTERM); publishers may go on"
                )
                said = True
            await asyncio.sleep(_POLL_S)

    async def _answered(self, copier: Copier, events: Sequence[TopicPartition]) -> Offsets:
        """Committed offsets of `events`, and the ends of everything else."""
        committed = await committed_offsets(self._client, self._group)
        ends = await copier.ends()
        return {
            tp: min(committed.get(tp, 0), end) if tp in events else end for tp, end in ends.items()
        }

    async def _set_boundary(
        self,
        copier: Copier,
        events: Sequence[TopicPartition],
        states: NewStates,
        place: Placement,
    ) -> None:
        """Write the new partitions' states; then the group goes on where the copies end."""
        ends = await self._ends()
        self._tell.total("users' states", 0)
        await states.replay(ends)
        old = await old_worker(self._old)
        try:
            moved = await states.take_over(old, place.of)
        finally:
            await old.checkpoints.stop()
        await states.write(ends)
        if await members(self._client, self._group):
            raise TransientError(
                f"a worker of group {self._group} came back: stop it and run the same command again"
            )
        committed = await committed_offsets(self._client, self._group)
        if any(committed.get(tp, 0) > copier.positions[tp] for tp in events):
            raise TransientError("events were answered meanwhile: run the same command again")
        await commit(self._client, self._group, self._at(ends))
        self._moved = (moved.users, moved.older, moved.incidents)
        self._tell.say(
            f"{moved.users:,} users moved, {moved.older:,} of them with events that the log no "
            f"longer holds; {moved.incidents:,} incidents of alerts"
        )

    async def _until_quiet(self, copier: Copier) -> None:
        moved_s = time.monotonic()
        before: Offsets = {}
        self._tell.total("copying", copier.behind(await copier.ends()))
        while time.monotonic() - moved_s < self._quiet_s:
            ends = await copier.ends()
            await copier.copy(ends, self._tell.advance)
            if ends != before:
                moved_s, before = time.monotonic(), ends
            await asyncio.sleep(_POLL_S / 5)

    async def _prove(
        self, copier: Copier, events: Sequence[TopicPartition], place: Placement
    ) -> int:
        new = self._tps(self._new, EVENTS.name, self._partitions)
        ends = await self._ends()
        positions = {tp: copier.positions[tp] for tp in events}
        self._tell.total("comparing", sum(ends.values()) + sum(positions.values()))
        return await prove(self._client, events, new, positions, place.targets, self._tell.advance)

    async def _ends(self) -> dict[int, int]:
        """The present ends of the new partitions."""
        tps = self._tps(self._new, EVENTS.name, self._partitions)
        return {tp.partition: end for tp, end in (await settled_ends(self._client, tps)).items()}

    def _at(self, offsets: Mapping[int, int]) -> Offsets:
        topic = self._topic(self._new, EVENTS.name)
        return {TopicPartition(topic, number): at for number, at in offsets.items()}

    @staticmethod
    def _topic(settings: Settings, name: str) -> str:
        return settings.kafka.topic_prefix + name

    def _tps(self, settings: Settings, name: str, count: int) -> list[TopicPartition]:
        return [TopicPartition(self._topic(settings, name), number) for number in range(count)]
