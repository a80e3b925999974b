"""Histories: a partition's users, each with the last L events and a handful of running sums.

State is a pure function of the partition's log: `apply` gives the same answers and leaves the same
state however the log is cut into batches, because `apply_events` goes event by event.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models.features.windows import A_NAMES, C_NAMES, Windows
from schemas.events.columns import EventColumns
from schemas.events.kinds import Kind
from streams.histories.apply_events import Outcome, apply_events
from streams.histories.decision_points import PointPolicy, Points
from streams.histories.event_arrays import Events, Results, Rules, Tables
from streams.histories.item_numbers import MAX_ITEMS, ItemNumbers
from streams.histories.item_table import NO_ITEM, ItemTable
from streams.histories.user_index import NO_SLOT
from streams.histories.user_rows import MIN_CAPACITY, SUMS, Departure, Rows, UserRows
from streams.undo import Undo


def windows_of(rows: Rows, items: ItemTable, now_s: int) -> Windows:
    """The windows of users' rows (D,) at `now_s`.

    The context is 0: live counters are known only at an event.
    """
    lengths = rows["length"].astype(np.int32)
    width = rows["item"].shape[1]
    inside = np.arange(width) < lengths[:, None]  # (D, L)
    item = np.where(inside, rows["item"], NO_ITEM).astype(np.int32)
    return Windows(
        items=item,
        kinds=np.where(inside, rows["kind"], 0).astype(np.uint8),
        times_s=np.where(inside, rows["time"], 0).astype(np.int64),
        amounts=np.where(inside, rows["amount"], 0).astype(np.float32),
        entities=np.where(inside, rows["entity"], 0).astype(np.uint32),
        categories=items.category_of(item),
        lengths=lengths,
        now_s=np.full(len(rows), now_s, np.int64),
        accumulators=_accumulators(rows),
        context=np.zeros((len(rows), len(C_NAMES)), np.float64),
    )


def _accumulators(rows: Rows) -> npt.NDArray[np.float64]:
    """`Windows.accumulators` (D, A), as `apply_events` writes them."""
    out = np.empty((len(rows), len(A_NAMES)), np.float64)
    for column, name in enumerate(A_NAMES):
        if name in SUMS:
            out[:, column] = rows["sums"][:, SUMS.index(name)]
        elif name.startswith("day_gap_"):
            out[:, column] = rows["day_gaps"][:, int(name.removeprefix("day_gap_")) - 1]
        else:
            out[:, column] = rows[name]
    return out


_LABEL = int(Kind.LABEL)
BEFORE = 8
"""How many earlier events `Applied.before` holds for each event; co-visitation needs 5."""

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Applied:
    """The results of applying a batch of n events.

    Attributes
    ----------
    outcomes
        uint8 (n,): `Outcome`. Label events are always accepted: they enter no history, and
        `counters` applies each label at most once.
    slots
        int64 (n,): slot of the user's row, -1 for label events; valid until the next `apply`.
    owners
        uint32 (D,): owner number of the row at each decision point (`UserRows.owners`).
    items
        int32 (n,): index into the item table, -1 = none.
    numbers
        int32 (n,): the same items' numbers in the partition.
    before
        int32 (n, BEFORE): item numbers of the user's preceding events, newest first, -1 = none.
    ratios
        float32 (n,): amount over the mean of the user's earlier payments, 1 if there are none.
    points
        The decision points, in log order.
    windows
        One window per decision point; the context is still zero.
    seen
        int32 (D, L): the windows' items as numbers in the partition, -1 = none.
    numbering
        The partition's item numbers.
    disordered
        Number of accepted records that are older than their user's newest event.
    departures
        Users who were evicted to make room, in log order.
    """

    outcomes: npt.NDArray[np.uint8]
    slots: Ints
    owners: npt.NDArray[np.uint32]
    items: npt.NDArray[np.int32]
    numbers: npt.NDArray[np.int32]
    before: npt.NDArray[np.int32]
    ratios: npt.NDArray[np.float32]
    points: Points
    windows: Windows
    seen: npt.NDArray[np.int32]
    numbering: ItemNumbers
    disordered: int = 0
    departures: tuple[Departure, ...] = ()

    @property
    def accepted(self) -> Bools:
        """Bool (n,)."""
        return np.equal(self.outcomes, Outcome.ACCEPTED)

    @property
    def duplicate(self) -> Bools:
        """Bool (n,)."""
        return np.equal(self.outcomes, Outcome.DUPLICATE)

    @property
    def late(self) -> Bools:
        """Bool (n,): events whose records become dead letters."""
        return np.equal(self.outcomes, Outcome.LATE)

    @staticmethod
    def concat(parts: list[Applied], sizes: list[int]) -> Applied:
        """The results of a batch, from those of its consecutive pieces of `sizes` events."""
        shift = np.cumsum([0, *sizes[:-1]])
        return Applied(
            outcomes=np.concatenate([p.outcomes for p in parts]),
            slots=np.concatenate([p.slots for p in parts]),
            owners=np.concatenate([p.owners for p in parts]),
            items=np.concatenate([p.items for p in parts]),
            numbers=np.concatenate([p.numbers for p in parts]),
            before=np.concatenate([p.before for p in parts]),
            ratios=np.concatenate([p.ratios for p in parts]),
            points=Points(
                np.concatenate([p.points.rows + s for p, s in zip(parts, shift, strict=True)]),
                np.concatenate([p.points.tasks for p in parts]),
            ),
            windows=Windows.concat([p.windows for p in parts]),
            seen=np.concatenate([p.seen for p in parts]),
            numbering=parts[0].numbering,
            disordered=sum(p.disordered for p in parts),
        )


class Histories:
    """The users of one partition.

    Parameters
    ----------
    items
        The worker's item table, shared by its partitions.
    policy
        Which events ask for a decision.
    length
        L, events kept per user.
    max_users
        Bound on users; beyond it the least recently seen users are evicted and counted.
    late_s
        An event older than the user's newest event by more than this is late.
    max_items
        Bound on items (`ItemNumbers`); an event keeps no item beyond it.
    undo
        Records every change.
    capacity
        Users and items that there is room for at first.
    """

    def __init__(
        self,
        items: ItemTable,
        policy: PointPolicy | None = None,
        *,
        length: int = 64,
        max_users: int = 1_000_000,
        late_s: int = 7 * 86_400,
        max_items: int = MAX_ITEMS,
        undo: Undo | None = None,
        capacity: int = MIN_CAPACITY,
    ) -> None:
        self.items = items
        self._undo = undo or Undo()
        self.numbers = ItemNumbers(items, self._undo, max_items=max_items, capacity=capacity)
        self.policy = policy or PointPolicy()
        self.length = length
        self.late_s = late_s
        self.user_rows = UserRows(length, max_users, self._undo, capacity=capacity)

    @property
    def users(self) -> int:
        """Number of known users."""
        return len(self.user_rows)

    def known(self) -> list[str]:
        """The ids of all known users."""
        return self.user_rows.users()

    @property
    def evicted(self) -> int:
        """Number of users evicted so far because of the bound."""
        return self.user_rows.evicted

    @property
    def bytes(self) -> int:
        """Bytes held by rows and index, spare capacity included."""
        return self.user_rows.nbytes

    def row(self, user_id: str) -> Rows | None:
        """A copy of the user's row (`user_rows.row_type`, shape (1,)), None if not known.

        Its items are indices into the worker's table.
        """
        slot = self.user_rows.slot(user_id)
        return None if slot == NO_SLOT else self._rows([slot])

    def standing(self, user_ids: Sequence[str], now_s: int) -> Windows:
        """The windows (D,) of known users at a time instead of at an event.

        Parameters
        ----------
        user_ids
            D known users.
        now_s
            Epoch seconds, at or after every event applied.
        """
        rows = self._rows([self.user_rows.slot(user) for user in user_ids])
        return windows_of(rows, self.items, now_s)

    def _rows(self, slots: list[int]) -> Rows:
        rows = self.user_rows.rows[slots]
        inside = np.arange(self.length) < rows["length"][:, None]
        rows["item"] = np.where(inside, self.numbers.indices(rows["item"]), 0)
        return rows

    def apply(self, columns: EventColumns) -> Applied:
        """Apply a batch of events in log order -> their outcomes, decision points and windows."""
        parts: list[Applied] = []
        sizes: list[int] = []
        departures: list[Departure] = []
        rest = columns
        while True:
            slots = self._assign(rest)
            room = len(slots)
            whole = room == len(rest)
            parts.append(self._apply(rest if whole else rest.select(np.arange(room)), slots))
            sizes.append(room)
            if whole:
                if len(parts) == 1:
                    return parts[0]
                return replace(Applied.concat(parts, sizes), departures=tuple(departures))
            offset, broker_ms = int(rest.offsets[room]), int(rest.broker_ms[room])
            departures.append(Departure(offset, broker_ms, self.user_rows.evict()))
            rest = rest.select(np.arange(room, len(rest)))

    def _assign(self, columns: EventColumns) -> Ints:
        """Slots of as many leading events as there is room for; `NO_SLOT` for labels."""
        if _LABEL not in columns.kinds.tobytes():
            return self.user_rows.assign(columns.user_ids)
        labels = columns.kinds == _LABEL
        behaviour = np.flatnonzero(~labels)
        assigned = self.user_rows.assign([columns.user_ids[i] for i in behaviour.tolist()])
        slots = np.full(len(columns), NO_SLOT, np.int64)
        slots[behaviour[: len(assigned)]] = assigned
        return slots if len(assigned) == len(behaviour) else slots[: behaviour[len(assigned)]]

    def _apply(self, columns: EventColumns, slots: Ints) -> Applied:
        n = len(columns)
        items = self.items.indices(columns.item_ids)
        numbers = self.numbers.give(items)
        items[numbers < 0] = NO_ITEM
        events = Events(
            slots=slots,
            offsets=columns.offsets,
            times_ms=columns.time_ms,
            kinds=columns.kinds,
            items=numbers,
            amounts=columns.amounts,
            entities=columns.entities,
            messages=columns.message_hashes,
            ends=columns.ends,
        )
        policy, users = self.policy, self.user_rows
        rules = Rules(self.late_s, policy.refresh_s, policy.watched, policy.asking)
        tables = Tables(users.owners, self.numbers.all_indices, self.items.categories)
        results = Results.allocate(n, self.length, BEFORE)
        users.touch(slots)
        d, disordered = apply_events(users.columns, events, tables, rules, results)
        windows = Windows(
            items=results.items[:d],
            kinds=results.kinds[:d],
            times_s=results.times_s[:d],
            amounts=results.amounts[:d],
            entities=results.entities[:d],
            categories=results.categories[:d],
            lengths=results.lengths[:d],
            now_s=results.now_s[:d],
            accumulators=results.accumulators[:d],
            context=np.zeros((d, len(C_NAMES)), np.float64),
        )
        return Applied(
            outcomes=results.outcomes,
            slots=slots,
            owners=results.owners[:d],
            items=items,
            numbers=numbers,
            before=results.before,
            ratios=results.ratios,
            points=Points(results.rows[:d], results.tasks[:d]),
            windows=windows,
            seen=results.numbers[:d],
            numbering=self.numbers,
            disordered=disordered,
        )
