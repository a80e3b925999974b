"""Events of the block that isn't over yet, reduced to what the counters need."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from models.kernel import kernel
from schemas.events.columns import EventColumns
from schemas.events.kinds import N_KINDS, Kind
from streams.counters.label_queue import Payments, with_width
from streams.histories.decision_points import Task
from streams.histories.histories import Applied

BLOCK_OFFSETS = 2048
BLOCK_MS = 1000
USUAL_RATIO = 2.0  # an amount up to twice the user's mean is ordinary

_INTEREST = np.zeros(N_KINDS, np.bool_)
_INTEREST[[Kind.VIEW, Kind.CART, Kind.PURCHASE, Kind.SEARCH, Kind.RATE, Kind.OTHER]] = True
_LABEL = int(Kind.LABEL)

Ints = npt.NDArray[np.int64]
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


class BlockPart(NamedTuple):
    """The part of a batch that lies in one block.

    Attributes
    ----------
    points
        Its decision points.
    asking
        int64: the decision points among them that ask for RECOMMEND.
    pending
        Its accepted events, None if there are none.
    """

    points: slice
    asking: Ints
    pending: Pending | None


def split(columns: EventColumns, applied: Applied, watched: Bools) -> list[BlockPart]:
    """Split a batch by block.

    Parameters
    ----------
    columns, applied
        The batch of n > 0 events and the histories' results.
    watched
        bool (kinds,): kinds whose events the entity counters count.
    """
    n, points = len(columns), applied.points
    times_s = np.empty(n, np.int64)
    rows, ends = np.empty((4, n), np.int64), np.empty((n, 6), np.int64)
    blocks = _split(
        (columns.offsets, columns.broker_ms, columns.time_ms),
        columns.kinds,
        columns.entities,
        applied.accepted,
        applied.numbers,
        watched,
        points.rows,
        points.asking(Task.RECOMMEND),
        times_s,
        rows,
        ends,
    )
    cuts = ends[:blocks].tolist()
    interest, paid, labels, asking = (
        picked[:end] for picked, end in zip(rows, cuts[-1][:4], strict=True)
    )
    items, before, item_times_s = (
        applied.numbers[interest], applied.before[interest], times_s[interest],
    )  # fmt: skip
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
    for b, d, f, h, j, clock_s in cuts:
        pending = None
        if clock_s >= 0:
            pending = Pending(
                clock_s=clock_s,
                items=items[a:b],
                before=before[a:b],
                item_times_s=item_times_s[a:b],
                payments=payments.part(c, d),
                amounts=amounts[c:d],
                references=references[e:f],
                label_times_s=label_times_s[e:f],
                label_users=users[e:f],
            )
        parts.append(BlockPart(slice(i, j), asking[g:h], pending))
        a, c, e, g, i = b, d, f, h, j
    return parts


@kernel
def _split(
    log: tuple[Ints, Ints, Ints],
    kinds: npt.NDArray[np.uint8],
    entities: npt.NDArray[np.uint64],
    accepted: Bools,
    numbers: npt.NDArray[np.int32],
    watched: Bools,
    points: Ints,
    asking: Bools,
    times_s: Ints,
    rows: Ints,
    ends: Ints,
) -> int:
    """Find the blocks of n events, and the rows that the counters need -> number of blocks.

    Parameters
    ----------
    log
        int64 (n,) each: offsets, the broker's timestamps and event times, epoch ms.
    kinds, entities, accepted, numbers
        Columns (n,) or (n, E) of the batch and its results.
    watched
        bool (kinds,).
    points, asking
        int64, bool (D,): rows of the decision points, and whether they ask for RECOMMEND.
    times_s
        int64 (n,): filled with event times, epoch seconds, at least 0.
    rows
        int64 (4, n): filled with the rows of events that show interest in an item, of watched
        events with an entity, and of labels, and with the asking decision points.
    ends
        int64 (n, 6): filled per block with the numbers of those four up to its end, the number of
        decision points up to its end, and the newest time of its accepted events, -1 = none.
    """
    offsets, broker_ms, time_ms = log
    blocks, interest, paid, labels, asked, point = 0, 0, 0, 0, 0, 0
    newest_s = -1
    for i in range(len(kinds)):
        same = i > 0 and offsets[i] // BLOCK_OFFSETS == offsets[i - 1] // BLOCK_OFFSETS
        if not same or broker_ms[i] // BLOCK_MS != broker_ms[i - 1] // BLOCK_MS:
            blocks += 1
            newest_s = -1
        times_s[i] = max(time_ms[i] // 1000, 0)
        if accepted[i]:
            newest_s = max(newest_s, times_s[i])
            if numbers[i] >= 0 and _INTEREST[kinds[i]]:
                rows[0, interest] = i
                interest += 1
            if kinds[i] == _LABEL:
                rows[2, labels] = i
                labels += 1
            named = False
            for entity in entities[i]:
                named |= entity != 0
            if named and watched[kinds[i]]:
                rows[1, paid] = i
                paid += 1
        while point < len(points) and points[point] == i:
            if asking[point]:
                rows[3, asked] = point
                asked += 1
            point += 1
        end = ends[blocks - 1]
        end[0], end[1], end[2], end[3], end[4] = interest, paid, labels, asked, point
        end[5] = newest_s
    return blocks
