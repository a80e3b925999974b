"""What the others' users feel when a worker joins, leaves or is killed, under load."""

from __future__ import annotations

import asyncio
import math
import signal
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import polars as pl

from ops.benchmarks.latency.load import Sender
from ops.benchmarks.latency.rivals import HARK, Rival
from ops.benchmarks.latency.row import DRAIN_S, START_S, WARM, Setup, percentiles, warm_up
from ops.benchmarks.latency.watch import Offsets, Watch, timed_topics, until
from schemas.errors import TransientError

RATE = 500.0
_LONGEST_S = 600.0
_USERS_RATE = 5_000.0
_SETTLED_S = 5.0  # commits come every few seconds

Members = Mapping[str, set[int]]


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the group.

    Attributes
    ----------
    begin, end
        Ends of `events` when it began, and when all that was sent before the group was stable
        again was answered.
    before, after
        Who owned what.
    """

    begin: Offsets
    end: Offsets
    before: Members
    after: Members

    @property
    def stayed(self) -> list[int]:
        """Partitions with the same owner before and after."""
        return sorted(
            partition
            for member, owned in self.before.items()
            for partition in owned & self.after.get(member, set())
        )

    @property
    def moved(self) -> list[int]:
        """The others."""
        return sorted(self.begin.keys() - set(self.stayed))


async def rebalance(
    setup: Setup,
    told: Callable[[str], None],
    *,
    users: int = 0,
    name: str = HARK,
    rate: float = RATE,
) -> dict[str, Any]:
    """Two workers at `rate` events/s: one joins, leaves, comes again and is killed.

    Parameters
    ----------
    told
        Told what happens.
    users
        So many users have histories before, of an event each.

    Returns
    -------
    dict
        By `join`, `leave` and `kill`: `stay_p99_ms`, `stay_gap_ms`, `moved_pause_ms`, and how many
        partitions `stayed` and `moved`.
    """
    setup.folder.mkdir()
    async with timed_topics(setup.kafka) as kafka, Watch(kafka) as watch:
        with ExitStack() as stack:

            def start(place: str) -> Rival:
                rival = Rival(name, kafka, setup.prepared, setup.folder / place)
                return stack.enter_context(rival)

            first = start("first")
            await warm_up(setup, kafka, watch, first)
            if users:
                told(f"{users:,} users come")
                many = setup.load(_USERS_RATE, WARM.count, users, users=users)
                with Sender(kafka, many, setup.folder / "users") as crowd:
                    await until(crowd.done, "the users' events are sent", first.check, _LONGEST_S)
                await watch.until_handled(first.check, _LONGEST_S)
            load = setup.load(rate, WARM.count + users, round(rate * _LONGEST_S))
            sender = stack.enter_context(Sender(kafka, load, setup.folder / "sender"))
            await until(sender.begun, "the sender sends", first.check, START_S)
            group = Group(watch, sender, [first], start)
            changes = await _changes(group, told)
            sender.signal(signal.SIGTERM)
            await until(sender.done, "the sender ends", first.check, DRAIN_S)
            await watch.until_handled(first.check, DRAIN_S)
        records = await watch.records()
    return {what: summary(records, change) for what, change in changes.items()}


async def _changes(group: Group, told: Callable[[str], None]) -> dict[str, Change]:
    changes: dict[str, Change] = {}
    told("a worker joins")
    changes["join"] = await group.change(lambda: group.start("second"), 2)
    told("a worker leaves")
    changes["leave"] = await group.change(lambda: group.end(signal.SIGTERM), 1)
    told("a worker comes again")
    await group.change(lambda: group.start("third"), 2)
    told("a worker is killed")
    changes["kill"] = await group.change(lambda: group.end(signal.SIGKILL), 1)
    return changes


@dataclass(frozen=True, slots=True)
class Group:
    """The workers that run, under the load of a sender.

    Attributes
    ----------
    running
        The first stays; the others are the last to come and the first to go.
    new
        Starts the process of a worker in a new folder of this name.
    """

    watch: Watch
    sender: Sender
    running: list[Rival]
    new: Callable[[str], Rival]

    def start(self, place: str) -> None:
        """Start a worker."""
        self.running.append(self.new(place))

    def end(self, number: int) -> None:
        """Send the last worker a signal that ends it."""
        self.running.pop().signal(number)

    def check(self) -> None:
        """Raise `TransientError` if a worker or the load has ended."""
        for rival in self.running:
            rival.check()
        if self.sender.check():
            raise TransientError(f"the group wasn't stable after {_LONGEST_S:.0f} s of load")

    async def _settle(self) -> None:
        """Wait until what is sent now is handled soon: what waits from before isn't measured."""
        clock = asyncio.get_running_loop().time
        asked_s = -math.inf
        while clock() - asked_s > _SETTLED_S:
            asked_s = clock()
            await self.watch.until_handled(self.check, START_S)

    async def change(self, act: Callable[[], object], members: int) -> Change:
        """When no event waits long, act; wait until `members` share the partitions and catch up."""
        await self._settle()
        before, begin = await self.watch.members(), await self.watch.ends()

        async def shared() -> bool:
            found = await self.watch.members() or {}
            return len(found) == members and set[int]().union(*found.values()) == begin.keys()

        act()
        await until(shared, f"{members} members share the partitions", self.check, START_S)
        after = await self.watch.members()
        await self.watch.until_handled(self.check, START_S)
        return Change(begin, await self.watch.ends(), before or {}, after or {})


def summary(records: pl.DataFrame, change: Change) -> dict[str, Any]:
    """How long events waited on partitions that stayed, and nobody answered on any of them.

    Examples
    --------
    Partition 0 stays, 1 moves; of its four events two wait for the new owner:

    >>> rows = [(0, 0, 0, 5), (0, 1, 90, 95)]
    >>> rows += [(1, 0, 0, 5), (1, 1, 10, 15), (1, 2, 20, 80), (1, 3, 30, 80)]
    >>> columns = ["partition", "offset", "event_ms", "output_ms"]
    >>> records = pl.DataFrame(rows, columns, orient="row")
    >>> ends = {0: 2, 1: 4}
    >>> summary(records, Change({0: 0, 1: 1}, ends, {"a": {0, 1}}, {"a": {0}, "b": {1}}))
    {'stay_p99_ms': 5.0, 'stay_gap_ms': 90, 'moved_pause_ms': 65, 'stayed': 1, 'moved': 1}
    """
    of = {p: records.filter(partition=p) for p in change.begin}
    pauses = {p: _pause_ms(_within(of[p], change, p), of[p]["output_ms"]) for p in of}
    during = [_within(of[p], change, p) for p in change.stayed]
    return {
        "stay_p99_ms": percentiles(pl.concat(during))["p99_ms"] if during else None,
        "stay_gap_ms": max((pauses[p] for p in change.stayed), default=None),
        "moved_pause_ms": max((pauses[p] for p in change.moved), default=None),
        "stayed": len(change.stayed),
        "moved": len(change.moved),
    }


def _within(records: pl.DataFrame, change: Change, partition: int) -> pl.DataFrame:
    first, last = change.begin[partition], change.end[partition] - 1
    return records.filter(pl.col("offset").is_between(first, last))


def _pause_ms(during: pl.DataFrame, outputs_ms: pl.Series) -> int:
    """The longest time between two outputs of a partition that touches the time of `during`."""
    since, until_ms = during["event_ms"].min(), during["event_ms"].max()
    later = outputs_ms.drop_nulls().sort().to_frame("later")
    gaps = later.with_columns(earlier=pl.col("later").shift(1)).drop_nulls()
    touching = gaps.filter(pl.col("later") > since, pl.col("earlier") < until_ms)
    return max((touching["later"] - touching["earlier"]).to_list(), default=0)
