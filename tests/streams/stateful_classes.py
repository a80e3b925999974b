"""The classes that hold state of a partition, one line each, and a partition with small bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from streams.alerts.book import AlertBook, Observation, Thresholds, in_order
from streams.counters.counters import Counters
from streams.counters.entities import Entities
from streams.counters.item_counts import Covisits
from streams.counters.label_queue import LabelQueue
from streams.histories.decision_points import PointPolicy
from streams.histories.histories import Histories
from streams.histories.item_numbers import ItemNumbers
from streams.histories.item_table import ItemTable
from streams.histories.user_index import UserIndex
from streams.histories.user_rows import Departure, UserRows
from streams.partition import PartitionState
from streams.recommendations.sent_lists import Policy, SentLists
from streams.undo import Undo
from tests.streams.event_logs import E, Record, columns

USERS, ITEMS, ENTITIES, PAYMENTS, LABELLED = 4, 6, 5, 4, 2
POINTS = PointPolicy(refresh_s=400)
SHOWN = Policy(top_k=3, min_interval_s=0, ttl_s=60, exclude_bought=True)
AT = Thresholds(raise_at=0.6, clear_at=0.3, critical_at=0.9)


@dataclass(frozen=True)
class Holder:
    """A class, where a partition has one, and what of it is bounded."""

    kind: type
    of: Callable[[PartitionState], Any]
    size: Callable[[Any], int]
    bound: int


HOLDERS = [
    Holder(PartitionState, lambda s: s, lambda s: s.users, USERS),
    Holder(Histories, lambda s: s.histories, lambda h: h.users, USERS),
    Holder(UserRows, lambda s: s.histories.user_rows, lambda rows: len(rows.rows), USERS),
    Holder(UserIndex, lambda s: s.histories.user_rows._index, lambda i: len(i.ids), USERS),
    Holder(ItemNumbers, lambda s: s.histories.numbers, len, 2 * ITEMS),
    Holder(Counters, lambda s: s.counters, lambda c: len(c.labelled), LABELLED),
    Holder(Covisits, lambda s: s.counters.covisits, len, ITEMS),
    Holder(Entities, lambda s: s.counters.entities, len, ENTITIES),
    Holder(LabelQueue, lambda s: s.counters.queue, len, PAYMENTS),
    Holder(SentLists, lambda s: s.sent, lambda sent: sum(map(bool, sent.owners)), USERS),
    Holder(AlertBook, lambda s: s.books["risk"], len, USERS),
]


def small_state(*, capacity: int = 1, items: ItemTable | None = None) -> PartitionState:
    """Bounds so small that every log reaches them, and no room but for the first of everything."""
    undo = Undo()
    items = ItemTable() if items is None else items
    histories = Histories(
        items, POINTS, length=4, max_users=USERS, max_items=2 * ITEMS, undo=undo,
        capacity=capacity,
    )  # fmt: skip
    counters = Counters(
        POINTS,
        entities=E,
        max_items=ITEMS,
        max_entities=ENTITIES,
        max_payments=PAYMENTS,
        max_labelled=LABELLED,
        label_delay_s=5_000,
        undo=undo,
        capacity=capacity,
    )
    return PartitionState(0, histories, counters, {"risk": AlertBook("risk", 60, undo)}, undo)


def advance(state: PartitionState, records: list[Record]) -> list[Any]:
    """What scoring does to a state, with made-up probabilities and lists -> alerts."""
    batch = columns(records)
    applied = state.histories.apply(batch)
    state.counters.advance(batch, applied)
    observations = []
    for row, owner in zip(applied.points.rows.tolist(), applied.owners.tolist(), strict=True):
        offset, time_ms = int(batch.offsets[row]), int(batch.time_ms[row])
        probability = offset % 10 / 10
        observations.append(
            Observation(
                batch.user_ids[row], probability, time_ms, 0, offset,
                int(batch.broker_ms[row]), batch.message_ids[row],
            )
        )  # fmt: skip
        state.sent.admit(int(applied.slots[row]), owner, time_ms // 1000, offset % 3, SHOWN)
    found: list[Any] = []
    book = state.books["risk"]
    for turn in in_order(observations, applied.departures):
        if isinstance(turn, Departure):
            found += book.depart(turn)
        elif alert := book.observe(turn, AT, "v1"):
            found.append(alert)
    state.undo.attributes(state, "next_offset", "last_broker_ms")
    state.next_offset = int(batch.offsets[-1]) + 1
    state.last_broker_ms = int(batch.broker_ms[-1])
    return found
