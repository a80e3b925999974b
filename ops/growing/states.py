"""The states of the new partitions: from the new log, and what no log holds any more from the old.

A replay of the copied log gives every new partition the counters, item numbers and histories of a
run that had as many partitions from the start. Three things aren't in the log, or not any more:
users (or parts of their histories) older than its retention, what users were last sent, and
incidents of alerts. They are taken from the old states.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import TransientError
from streams.checkpoints.capture import touch_all
from streams.checkpoints.head import Head
from streams.checkpoints.reader import CheckpointReader
from streams.checkpoints.restore import replay
from streams.histories.item_table import NO_ITEM
from streams.histories.user_index import NO_SLOT
from streams.histories.user_rows import Rows
from streams.partition import PartitionState
from streams.settings import Settings
from streams.worker import Worker

WRITE_S = 600.0
"""How long the checkpoints of all new partitions may take."""
_AT_ONCE = 8  # partitions whose log is read
_ROWS = 8_192  # users moved at once
_LONG_AGO = -(1 << 40)  # an `applied` before any record of the log
_SEVERAL = -1


@dataclass(slots=True)
class Moved:
    """What was taken from the old states.

    Attributes
    ----------
    users
        Users of the new states.
    older
        Among them, users with events that the log no longer holds: taken over with their rows.
    incidents
        Open and cooling incidents of alerts.
    """

    users: int = 0
    older: int = 0
    incidents: int = 0


@dataclass
class NewStates:
    """The new partitions' states, as far as the copied log goes.

    Parameters
    ----------
    worker
        Of the new prefix, checked; it is never started.
    partitions
        Number of new partitions.
    """

    worker: Worker
    partitions: int
    states: dict[int, PartitionState] = field(default_factory=dict)
    _read: dict[int, int] = field(default_factory=dict)  # offset by partition

    @classmethod
    async def of(cls, settings: Settings, partitions: int) -> NewStates:
        """Empty states of the partitions of `settings`' prefix."""
        worker = Worker(settings)
        await worker.check()
        states = {number: worker.scorer.new_state(number) for number in range(partitions)}
        return cls(worker, partitions, states)

    async def replay(self, ends: Mapping[int, int]) -> None:
        """Apply the log up to these offsets; call it any number of times."""
        some = asyncio.Semaphore(_AT_ONCE)

        async def catch_up(number: int, end: int) -> None:
            state = self.states[number]
            async with some:
                await replay(
                    self.worker.settings.kafka.client(),
                    TopicPartition(self.worker.topic, number),
                    self._read.get(number),
                    end,
                    partial(self.worker.pipeline.apply, state),
                )
            self._read[number] = end

        behind = {n: end for n, end in ends.items() if self._read.get(n, 0) < end}
        await asyncio.gather(*(catch_up(*each) for each in behind.items()))

    async def take_over(self, old: Worker, place: Callable[[bytes], int]) -> Moved:
        """Take over from the states of `old` what the log doesn't hold.

        Parameters
        ----------
        old
            A worker that has the states of all old partitions.
        place
            The new partition of a user id.
        """
        work = partial(take_over, old.pipeline.states, self.states, place)
        return await self.worker.pipeline.in_scorer(work)

    async def write(self, ends: Mapping[int, int]) -> None:
        """Write every state as a checkpoint; `ends` are where the group goes on.

        Raises
        ------
        TransientError
            A checkpoint wasn't written.
        """
        checkpoints = self.worker.checkpoints
        checkpoints.committed = ends.get
        try:
            for number, state in self.states.items():
                await checkpoints.own(number)
                async with CheckpointReader(
                    self.worker.settings.kafka.client(), checkpoints.topics, number
                ) as reader:
                    found = await reader.find()
                checkpoints.begin(number, found.head, found.rows_end, found.parts_end)
                touch_all(state)
            self.worker.pipeline.states = self.states
            await checkpoints.finish(deadline_s=WRITE_S)
            for number, state in self.states.items():
                async with CheckpointReader(
                    self.worker.settings.kafka.client(), checkpoints.topics, number
                ) as reader:
                    head = (await reader.find()).head
                if head is None or Head.decode(head).offset != state.next_offset:
                    raise TransientError(
                        f"the state of partition {number} wasn't written (the log says why): run "
                        "the same command again"
                    )
        except (KafkaError, OSError) as error:
            raise TransientError(f"writing states: {type(error).__name__}: {error}") from error
        finally:
            await checkpoints.stop()


async def old_worker(settings: Settings) -> Worker:
    """A worker that has the states of all partitions of `settings`' prefix, as committed.

    It fences the writers of every earlier worker. The group must have no members.
    """
    worker = Worker(settings)
    await worker.check()
    await worker.ownership.take(set(range(worker.partitions[worker.topic])))
    return worker


def take_over(
    old: Mapping[int, PartitionState],
    new: Mapping[int, PartitionState],
    place: Callable[[bytes], int],
) -> Moved:
    """Take over users, sent lists and incidents that a replay of the log doesn't give."""
    moved = Moved()
    homes = _homes(new)

    def home(user: str) -> int:
        """The new partition with the user; `_SEVERAL` for one whose events lie in several."""
        found = homes.get(user)
        return place(user.encode()) if found is None else found

    bounds = {number: state.histories.user_rows.max_users for number, state in new.items()}
    for state in new.values():
        state.histories.user_rows.max_users = 2**31 - 1  # the bound comes at the end
    seen: set[str] = set()
    for state in old.values():
        for users in _known(state):
            targets: dict[int, list[str]] = {}
            for user in users:
                if user not in seen and (number := home(user)) != _SEVERAL:
                    targets.setdefault(number, []).append(user)
            seen.update(users)
            for number, part in targets.items():
                moved.older += _move(state, new[number], part)
        moved.incidents += _move_incidents(state, new, place, homes)
    for number, state in new.items():
        rows = state.histories.user_rows
        rows.max_users = bounds[number]
        while len(rows) > rows.max_users:
            rows.evict()
    moved.users = sum(state.users for state in new.values())
    return moved


def _homes(new: Mapping[int, PartitionState]) -> dict[str, int]:
    found: dict[str, int] = {}
    for number, state in new.items():
        for user in state.histories.known():
            found[user] = _SEVERAL if user in found else number
    return found


def _known(state: PartitionState) -> Iterator[list[str]]:
    users = state.histories.known()
    for begin in range(0, len(users), _ROWS):
        yield users[begin : begin + _ROWS]


def _move(old: PartitionState, new: PartitionState, users: Sequence[str]) -> int:
    """Take over users' sent lists, and rows that reach further back -> how many rows."""
    rows_of, new_rows = old.histories.user_rows, new.histories.user_rows
    slots = rows_of.slots(users)
    sent = old.sent.of(slots, rows_of.owners[slots])
    rows = rows_of.rows[slots]
    places = new_rows.slots(users)
    known = places != NO_SLOT
    # The log holds all of a user's events, or the newest of them.
    older = np.flatnonzero(~known | (rows["events"] > new_rows.rows["events"][places]))
    kept = rows[older]
    kept["item"] = _renumbered(kept, old, new)
    kept["applied"] = np.where(
        known[older],
        new_rows.rows["applied"][places[older]],
        _LONG_AGO + kept["last_s"].astype(np.int64),
    )
    new_rows.restore(kept, [users[i] for i in older.tolist()])
    places = new_rows.slots(users)
    new.sent.restore(places, new_rows.owners[places], *sent.T)
    return len(older)


def _renumbered(rows: Rows, old: PartitionState, new: PartitionState) -> npt.NDArray[np.int32]:
    """The items of rows (n,) by the new partition's numbers -> int32 (n, L), 0 after the last."""
    length = rows["item"].shape[1]
    inside = np.arange(length) < rows["length"][:, None]  # (n, L)
    indices = np.where(inside, old.histories.numbers.indices(rows["item"]), NO_ITEM)
    known, at = np.unique(indices, return_inverse=True)
    ids = [old.histories.items.ids[i] if i >= 0 else None for i in known.tolist()]
    numbers = new.histories.numbers.give(new.histories.items.indices(ids))
    found: npt.NDArray[np.int32] = np.where(inside, numbers[at].reshape(inside.shape), 0)
    return found


def _move_incidents(
    old: PartitionState,
    new: Mapping[int, PartitionState],
    place: Callable[[bytes], int],
    homes: Mapping[str, int],
) -> int:
    """Take over the incidents of one old partition -> how many."""
    moved = 0
    for kind, book in old.books.items():
        book.touch(book.subjects)
        for subject, incident in book.capture():
            number = homes.get(subject, _SEVERAL)
            number = place(subject.encode()) if number == _SEVERAL else number
            if incident is not None and kind in new[number].books:
                new[number].books[kind].restore(subject, incident)
                moved += 1
    return moved
