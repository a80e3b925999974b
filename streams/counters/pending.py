"""Events of the block that isn't over yet, reduced to what the counters need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.kernel import kernel
from schemas.events.columns import EventColumns
from schemas.events.kinds import N_KINDS, Kind
from streams.counters.label_queue import Payments, with_width
from streams.histories.apply_events import Outcome
from streams.histories.decision_points import Task
from streams.histories.histories import Applied

BLOCK_OFFSETS = 2048
BLOCK_MS = 1000
USUAL_RATIO = 2.0  # an amount up to twice the user's mean is ordinary

_INTEREST = np.zeros(N_KINDS, np.bool_)
_INTEREST[[Kind.VIEW, Kind.CART, Kind.PURCHASE, Kind.SEARCH, Kind.RATE, Kind.OTHER]] = True
_LABEL = int(Kind.LABEL)
_ACCEPTED, _RECOMMEND = int(Outcome.ACCEPTED), int(Task.RECOMMEND)

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Pending:
    """What the counters need of some events of a block, in log order.

    Attributes
    ----------
    clock_s
        Newest time of these events, epoch seconds.
    items, before, item_times_s
        int32 (a,), int32 (a, B), int64 (a,): the events that show interest in an item; items by
        number, the items of the user's preceding events, event times.
    payments, amounts
        The watched events (w,) that name an entity, and their amounts, float32 (w,).
    references, label_times_s, label_users
        uint64 (l,), int64 (l,), l user ids ("" = forgotten): the label events.
    """

    clock_s: int
    items: npt.NDArray[np.int32]
    before: npt.NDArray[np.int32]
    item_times_s: Ints
    payments: Payments
    amounts: npt.NDArray[np.float32]
    references: npt.NDArray[np.uint64]
    label_times_s: Ints
    label_users: list[str]

    def without(self, user_id: str) -> Pending:
        """The same events without the user's id."""
        users = ["" if user == user_id else user for user in self.label_users]
        return replace(self, label_users=users)

    def with_entities(self, width: int) -> Pending:
        """The same events, with the first `width` entities of each payment."""
        if self.payments.entities.shape[1] == width:
            return self
        entities = with_width(self.payments.entities, width)
        return replace(self, payments=replace(self.payments, entities=entities))

    @staticmethod
    def concat(parts: Sequence[Pending]) -> Pending:
        """The events of all `parts`, in order; there must be at least one part."""
        if len(parts) == 1:
            return parts[0]
        return Pending(
            clock_s=max(part.clock_s for part in parts),
            items=np.concatenate([part.items for part in parts]),
            before=np.concatenate([part.before for part in parts]),
            item_times_s=np.concatenate([part.item_times_s for part in parts]),
            payments=Payments.concat([part.payments for part in parts]),
            amounts=np.concatenate([part.amounts for part in parts]),
            references=np.concatenate([part.references for part in parts]),
            label_times_s=np.concatenate([part.label_times_s for part in parts]),
            label_users=[user for part in parts for user in part.label_users],
        )


class BlockPart(NamedTuple):
    """The part of a batch that lies in one block.

    Attributes
    ----------
    block
        ``offset // BLOCK_OFFSETS`` and ``broker_ms // BLOCK_MS`` of its records.
    points
        Its decision points.
    asking
        int64: the decision points among them that ask for RECOMMEND.
    pending
        Its accepted events, None if there are none.
    """

    block: tuple[int, int]
    points: slice
    asking: Ints
    pending: Pending | None


def split(columns: EventColumns, applied: Applied, watched: Bools) -> list[BlockPart]:
    """Split a batch by block.

    Parameters
    ----------
    columns, applied
        The batch of n events and the histories' results.
    watched
        bool (kinds,): kinds whose events the entity counters count.
    """
    n = len(columns)
    times_s = np.empty(n, np.int64)
    rows, ends = np.empty((4, n), np.int64), np.empty((n, 8), np.int64)
    blocks = _split(
        (columns.offsets, columns.broker_ms, columns.time_ms),
        columns.kinds,
        columns.entities,
        (applied.outcomes, _ACCEPTED),
        applied.numbers,
        watched,
        applied.points.rows,
        (applied.points.tasks, _RECOMMEND),
        times_s,
        rows,
        ends,
    )
    if not blocks:
        return []
    cuts = ends[:blocks].tolist()
    interest, paid, labels, asking = (
        picked[:end] for picked, end in zip(rows, cuts[-1][:4], strict=True)
    )
    items, before, item_times_s = (
        applied.numbers[interest], applied.before[interest], times_s[interest],
    )  # fmt: skip
    payments = Payments.none(columns.entities.shape[1])
    if len(paid):
        payments = Payments(
            messages=columns.message_hashes[paid],
            entities=columns.entities[paid],
            times_s=times_s[paid],
            usual=applied.ratios[paid] <= USUAL_RATIO,
            labelled=np.zeros(len(paid), np.bool_),
        )
    amounts = columns.amounts[paid]
    references, label_times_s = columns.references[labels], times_s[labels]
    users = [columns.user_ids[row] for row in labels.tolist()]
    parts: list[BlockPart] = []
    a = c = e = g = i = 0
    for b, d, f, h, j, clock_s, *block in cuts:
        pending = None
        if clock_s >= 0:
            pending = Pending(
                clock_s,
                items[a:b],
                before[a:b],
                item_times_s[a:b],
                payments if blocks == 1 else payments.part(c, d),
                amounts[c:d],
                references[e:f],
                label_times_s[e:f],
                users[e:f],
            )
        parts.append(BlockPart((block[0], block[1]), slice(i, j), asking[g:h], pending))
        a, c, e, g, i = b, d, f, h, j
    return parts


@kernel
def _split(
    log: tuple[Ints, Ints, Ints],
    kinds: npt.NDArray[np.uint8],
    entities: npt.NDArray[np.uint64],
    outcomes: tuple[Bytes, int],
    numbers: npt.NDArray[np.int32],
    watched: Bools,
    points: Ints,
    tasks: tuple[Bytes, int],
    times_s: Ints,
    rows: Ints,
    ends: Ints,
) -> int:
    """Find the blocks of n events, and the rows that the counters need -> number of blocks.

    Parameters
    ----------
    log
        int64 (n,) each: offsets, the broker's timestamps and event times, epoch ms.
    kinds, entities, numbers
        Columns (n,) or (n, E) of the batch and its results.
    outcomes
        uint8 (n,), and the outcome of accepted events.
    watched
        bool (kinds,).
    points, tasks
        int64 and uint8 (D,): rows and tasks of the decision points; and the flag of RECOMMEND.
    times_s
        int64 (n,): filled with event times, epoch seconds, at least 0.
    rows
        int64 (4, n): filled with the rows of events that show interest in an item, of watched
        events with an entity, and of labels, and with the asking decision points.
    ends
        int64 (n, 8): filled per block with the numbers of those four up to its end, the number of
        decision points up to its end, the newest time of its accepted events (-1 = none), and
        `BlockPart.block`.
    """
    offsets, broker_ms, time_ms = log
    blocks, interest, paid, labels, asking, point = 0, 0, 0, 0, 0, 0
    newest_s = -1
    for i in range(len(kinds)):
        place, second = offsets[i] // BLOCK_OFFSETS, broker_ms[i] // BLOCK_MS
        if not blocks or ends[blocks - 1, 6] != place or ends[blocks - 1, 7] != second:
            blocks += 1
            newest_s = -1
        kind = kinds[i]
        times_s[i] = max(time_ms[i] // 1000, 0)
        if outcomes[0][i] == outcomes[1]:
            newest_s = max(newest_s, times_s[i])
            if numbers[i] >= 0 and _INTEREST[kind]:
                rows[0, interest] = i
                interest += 1
            if watched[kind]:
                named = False
                for entity in entities[i]:
                    named |= entity != 0
                if named:
                    rows[1, paid] = i
                    paid += 1
            if kind == _LABEL:
                rows[2, labels] = i
                labels += 1
        while point < len(points) and points[point] == i:
            if tasks[0][point] & tasks[1]:
                rows[3, asking] = point
                asking += 1
            point += 1
        end = ends[blocks - 1]
        end[0], end[1], end[2], end[3], end[4] = interest, paid, labels, asking, point
        end[5], end[6], end[7] = newest_s, place, second
    return blocks
