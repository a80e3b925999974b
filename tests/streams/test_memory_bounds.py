"""Memory is bounded, and the bounds hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from schemas.events.kinds import Kind
from streams.counters.counters import Counters
from streams.counters.item_counts import MIN_CAPACITY, Covisits
from streams.histories.histories import Histories
from streams.histories.item_table import NO_ITEM, ItemTable
from streams.histories.user_rows import row_type
from tests.streams.event_logs import START_S, E, Record, columns, numbered


def _visits(users: list[str], start: int = 0) -> list[Record]:
    return numbered([Record(user=u, time_s=START_S + i) for i, u in enumerate(users, start)])


def test_the_least_recently_seen_users_go() -> None:
    histories = Histories(ItemTable(), max_users=32)
    users = [f"u{i}" for i in range(32)]
    histories.apply(columns(_visits([*users, "u0", "u1"])))
    assert (histories.users, histories.evicted) == (32, 0)
    again = _visits(["new"] * 2)
    histories.apply(columns([replace(r, offset=100 + i) for i, r in enumerate(again)]))
    assert (histories.users, histories.evicted) == (31, 2)
    assert histories.row("u2") is None
    assert histories.row("u3") is None
    assert histories.row("u0") is not None


def test_seen_last_means_last_in_the_log_not_by_event_time() -> None:
    histories = Histories(ItemTable(), max_users=2)
    newest, older = Record(user="ann", time_s=START_S + 900), Record(user="bob")
    histories.apply(columns(numbered([newest, older, Record(user="cat")])))
    assert histories.row("ann") is None
    assert histories.row("bob") is not None


def test_users_stay_within_the_bound_under_a_flood() -> None:
    histories = Histories(ItemTable(), max_users=100, length=8)
    for start in range(0, 5_000, 1_000):
        users = [f"u{i}" for i in range(start, start + 1_000)]
        records = [replace(r, offset=start + i) for i, r in enumerate(_visits(users))]
        applied = histories.apply(columns(records))
        assert applied.accepted.all()
        assert histories.users <= 100
    assert histories.evicted == 5_000 - histories.users


def test_an_evicted_user_starts_anew() -> None:
    histories = Histories(ItemTable(), max_users=1)
    records = _visits(["ann", "bob", "ann"])
    applied = histories.apply(columns(records))
    assert applied.windows.lengths.tolist() == [1, 1, 1]
    row = histories.row("ann")
    assert row is not None
    assert row["events"][0] == 1


def test_a_user_costs_less_than_1600_bytes() -> None:
    histories = Histories(ItemTable(), max_users=20_000)
    histories.apply(columns(_visits([f"user-{i:06}" for i in range(20_000)])))
    assert histories.users == 20_000
    assert row_type(64).itemsize == 1_450
    sent_bytes = 12
    assert histories.bytes / histories.users + sent_bytes < 1_600
    assert histories.bytes > 20_000 * 1_432


def test_items_beyond_the_bound_are_not_remembered_but_counted() -> None:
    items = ItemTable()
    histories = Histories(items, max_items=2)
    seen = [Record(user="u", items=(item,)) for item in ("a", "b", "c", "a", None, "c")]
    applied = histories.apply(columns(numbered(seen)))
    assert applied.numbers.tolist() == [0, 1, NO_ITEM, 0, NO_ITEM, NO_ITEM]
    assert applied.items.tolist() == [0, 1, NO_ITEM, 0, NO_ITEM, NO_ITEM]
    assert items.refused == 2


def test_a_catalogue_beyond_its_bound_is_not_remembered_but_counted() -> None:
    items = ItemTable(max_items=1)
    items.indices(["a", "b"])
    assert items.upsert("b") == 1
    assert items.upsert("a") == NO_ITEM
    assert items.upsert("c") == NO_ITEM
    assert items.refused == 2
    items.remove("b")
    assert items.upsert("c") == 2


def test_counters_stay_within_their_bounds() -> None:
    histories = Histories(ItemTable())
    counters = Counters(entities=E, max_items=50, max_entities=40, max_payments=30)
    for start in range(0, 4_000, 500):
        records = [
            Record(
                user=f"u{i % 7}",
                message=f"m{i}",
                items=(f"item-{i}",),
                kind=Kind.PAYMENT if i % 2 else Kind.VIEW,
                entities=(i + 1, 0, i + 100_000),
                time_s=START_S + i,
                offset=i * 4,
            )
            for i in range(start, start + 500)
        ]
        events = columns(records)
        counters.advance(events, histories.apply(events))
        assert len(counters.covisits) <= 50
        assert len(counters.entities) <= 40
        assert len(counters.queue) <= 30
    assert counters.covisits.evicted > 0
    assert counters.entities.evicted > 0
    assert counters.queue.hurried > 0
    assert counters.bytes < 5_000_000


def test_a_full_table_still_knows_who_is_unknown() -> None:
    covisits = Covisits()
    items = np.arange(MIN_CAPACITY, dtype=np.int32)
    covisits.add(items, np.full((len(items), 1), -1, np.int32), np.full(len(items), START_S))
    unknown = np.array([-1, MIN_CAPACITY, 10**6], np.int32)
    assert covisits.popularity(unknown).tolist() == [0.0, 0.0, 0.0]
    assert covisits.popularity(items).tolist() == [1.0] * len(items)


def test_the_popular_stay_when_items_are_evicted() -> None:
    histories = Histories(ItemTable())
    counters = Counters(entities=E, max_items=40)
    shown = [("hit" if i % 2 else f"miss-{i}") for i in range(2_000)]
    records = [
        Record(user=f"u{i}", message=f"m{i}", items=(item,), time_s=START_S + i, offset=i * 8)
        for i, item in enumerate(shown)
    ]
    events = columns(records)
    counters.advance(events, histories.apply(events))
    hit = histories.items.known(["hit"])
    assert counters.covisits.leaders[0] == hit[0]
    assert counters.covisits.popularity(hit)[0] > 500
    assert np.unique(counters.covisits.leaders).size == len(counters.covisits.leaders)
