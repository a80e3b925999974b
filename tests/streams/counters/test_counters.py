"""Counters advance in blocks of the log, and say what they counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.features.windows import C_NAMES
from schemas.events.kinds import Kind
from streams.counters.counters import BLOCK_OFFSETS, Counters, Live, Source
from streams.counters.item_view import merged
from streams.histories.histories import Histories
from streams.histories.item_table import ItemTable
from tests.streams.event_logs import START_S, E, Record, columns

DAY_S = 86_400
TERMINAL, DEVICE = 77, 88


class Partition:
    """A partition's state, fed one batch at a time."""

    def __init__(self, items: ItemTable | None = None) -> None:
        self.items = ItemTable() if items is None else items
        self.histories = Histories(self.items)
        self.counters = Counters(entities=E)

    def feed(self, records: list[Record]) -> Live:
        events = columns(records)
        return self.counters.advance(events, self.histories.apply(events))

    def context(self, record: Record) -> dict[str, float]:
        live = self.feed([record])
        return dict(zip(C_NAMES, live.context[-1].tolist(), strict=True))


def _view(user: str, item: str, offset: int, time_s: int = START_S) -> Record:
    return Record(user=user, message=f"m{offset}", items=(item,), offset=offset, time_s=time_s)


def _pay(number: int, day: float, amount: float = 10.0, user: str = "ann") -> Record:
    """A payment at the terminal in a block of its own."""
    return Record(
        user=user,
        message=f"pay-{user}-{number}",
        kind=Kind.PAYMENT,
        items=(None,),
        amount=amount,
        entities=(TERMINAL, DEVICE, 0),
        time_s=START_S + int(day * DAY_S),
        offset=number * BLOCK_OFFSETS,
    )


def _label(number: int, day: float, reference: str, user: str = "ann") -> Record:
    return Record(
        user=user,
        message=f"label-{number}",
        kind=Kind.LABEL,
        items=(None,),
        reference=reference,
        time_s=START_S + int(day * DAY_S),
        offset=number * BLOCK_OFFSETS,
    )


def test_a_block_sees_the_counters_as_of_its_start() -> None:
    partition = Partition()
    live = partition.feed(
        [
            _view("ann", "a", 0),
            _view("bob", "b", BLOCK_OFFSETS - 1),
            _view("cat", "c", BLOCK_OFFSETS),
        ]
    )
    counts = (live.suggestions.items >= 0).sum(axis=1)
    assert counts.tolist() == [0, 0, 2], "a and b, once their block has ended"


def test_a_new_second_of_the_broker_ends_a_block_too() -> None:
    partition = Partition()
    first, same, next_second = (
        replace(_view(user, item, i), broker_ms=ms)
        for i, (user, item, ms) in enumerate([("ann", "a", 0), ("bob", "b", 999), ("c", "c", 1000)])
    )
    live = partition.feed([first, same, next_second])
    assert (live.suggestions.items >= 0).sum(axis=1).tolist() == [0, 0, 2]


def test_duplicates_are_not_counted() -> None:
    partition = Partition()
    partition.feed([_view("ann", "a", 0)] * 3 + [_view("end", "z", BLOCK_OFFSETS)])
    assert partition.counters.covisits.popularity(np.array([0], np.int32))[0] == 1.0


def test_candidates_say_where_they_came_from() -> None:
    partition = Partition()
    partition.feed([_view(f"u{i}", item, i) for i in range(9) for item in ("a", "b")])
    partition.feed([_view(f"v{i}", "hit", BLOCK_OFFSETS + i) for i in range(9)])
    partition.feed(
        [
            _view("me", "mine", 2 * BLOCK_OFFSETS),
            replace(_view("me", "a", 3 * BLOCK_OFFSETS), kind=Kind.CART),
        ]
    )
    live = partition.feed([replace(_view("me", "x", 4 * BLOCK_OFFSETS), kind=Kind.CART)])
    found = dict(
        zip(
            (partition.items.ids[i] for i in live.suggestions.items[0] if i >= 0),
            zip(
                live.suggestions.sources[0].tolist(),
                live.suggestions.actions[0].tolist(),
                strict=True,
            ),
            strict=False,
        )
    )
    assert found["a"] == (Source.OWN_RECENT, Kind.CART)
    assert found["b"] == (Source.COVISITED, 0)
    assert found["hit"] == (Source.POPULAR, 0)
    assert "x" not in found, "what the user is looking at"


def test_covisitation_counts_pairs_near_each_other_more() -> None:
    partition = Partition()
    partition.feed([_view("ann", item, i, START_S + i) for i, item in enumerate("abcdefg")])
    partition.feed([_view("end", "z", 9 * BLOCK_OFFSETS)])
    items = partition.items.known(list("abcdefg"))
    near, weights = partition.counters.covisits.neighbours(items[:1])
    found = dict(zip(near[0].tolist(), weights[0].tolist(), strict=True))
    weights = [found.get(i, 0.0) for i in items[1:].tolist()]
    assert weights == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 0], rel=1e-4)


def test_what_comes_after_an_item_is_told_from_what_comes_before() -> None:
    partition = Partition()
    for user, trail in enumerate(["abc", "ab", "ca"]):
        partition.feed(
            [_view(f"u{user}", i, 9 * user + n, START_S + n) for n, i in enumerate(trail)]
        )
    partition.feed([_view("end", "z", 9 * BLOCK_OFFSETS)])
    part = partition.counters.covisits.part()
    a, b, c = partition.items.known(list("abc")).tolist()
    pairs = {
        (item, int(other)): pytest.approx((float(weight), float(after)), abs=1e-5)
        for item in (a, b, c)
        for other, weight, after in zip(
            *(
                column[part.row_of[item]]
                for column in (part.neighbours, part.weights, part.forward)
            ),
            strict=True,
        )
        if weight > 0
    }
    assert pairs == {
        (a, b): (2, 2), (b, a): (2, 0), (b, c): (1, 1), (c, b): (1, 0),
        (a, c): (1.5, 0.5), (c, a): (1.5, 1),
    }  # fmt: skip


def test_parts_of_partitions_add_up_by_the_items_both_know() -> None:
    items = ItemTable()
    here, there = Partition(items), Partition(items)
    there.feed([_view("ann", "far", 0), _view("ann", "both", 1), _view("end", "z", 9_000)])
    here.feed([_view("bob", "near", 0), _view("bob", "both", 1), _view("end", "z", 9_000)])
    parts = [
        p.counters.covisits.part().by_index(p.histories.numbers.all_indices) for p in (here, there)
    ]
    whole = merged(parts)
    row = {name: whole.row_of[items.ids.index(name)] for name in ("near", "far", "both")}
    assert whole.popularity[row["both"]] == pytest.approx(2 * whole.popularity[row["far"]])
    assert whole.visits[row["both"]] == pytest.approx(2 * whole.visits[row["near"]])
    beside = whole.neighbours[row["both"]][whole.weights[row["both"]] > 0]
    assert {items.ids[item] for item in beside} == {"near", "far"}
    assert items.ids[whole.leaders[0]] == "both"


def test_popularity_decays_in_event_time() -> None:
    partition = Partition()
    partition.feed([_view("ann", "a", 0)])
    partition.feed([_view("bob", "b", BLOCK_OFFSETS, START_S + 7 * DAY_S)])
    partition.feed([_view("end", "z", 9 * BLOCK_OFFSETS)])
    found = partition.counters.covisits.popularity(partition.items.known(["a", "b"]))
    assert found.tolist() == pytest.approx([np.exp(-1), 1.0])


def test_an_entity_counts_over_all_its_users() -> None:
    partition = Partition()
    for number, user in enumerate(["ann", "bob", "cat"]):
        partition.feed([_pay(number, 0.0, amount=20.0, user=user)])
    seen = partition.context(_pay(9, 1.0))
    assert seen["entity_count_24h"] == pytest.approx(3 * np.exp(-1))
    assert seen["entity_amount_24h"] == pytest.approx(20.0 * seen["entity_count_24h"], rel=1e-6)
    assert seen["entity_first_s"] == START_S
    assert seen["others_count_1h"] > 0


def test_a_label_counts_from_its_own_record_on_and_only_once() -> None:
    partition = Partition()
    partition.feed([_pay(0, 0.0)])
    before = partition.context(_pay(1, 1.0))
    assert before["entity_labels_30d"] == before["user_labels"] == 0
    partition.feed([_label(2, 2.0, "pay-ann-0"), _label(3, 2.0, "pay-ann-0")])
    after = partition.context(_pay(4, 2.0))
    assert after["entity_labels_30d"] == pytest.approx(1.0)
    assert after["user_labels"] == 1
    assert after["user_label_s"] == START_S + 2 * DAY_S


def test_a_label_of_an_unknown_payment_is_counted_as_unmatched() -> None:
    partition = Partition()
    partition.feed([_label(0, 0.0, "nobody"), _pay(1, 0.0)])
    assert partition.counters.queue.unmatched == 1


def test_fraud_of_a_usual_amount_is_unexplained() -> None:
    partition = Partition()
    partition.feed([_pay(0, 0.0, 10.0), _pay(1, 0.1, 11.0), _pay(2, 0.2, 500.0)])
    partition.feed([_label(3, 1.0, "pay-ann-1"), _label(4, 1.0, "pay-ann-2")])
    seen = partition.context(_pay(5, 1.0))
    assert seen["entity_labels_30d"] == pytest.approx(2.0)
    assert seen["entity_unexplained_30d"] == pytest.approx(1.0)


def test_a_run_of_frauds_is_known_once_old_enough_and_broken_by_good_payments() -> None:
    partition = Partition()
    for number, day in enumerate([0, 1, 2, 3, 4]):
        partition.feed([_pay(number, day)])
    for number, paid in enumerate([0, 1, 3]):
        partition.feed([_label(10 + number, 4.5, f"pay-ann-{paid}")])
    assert partition.context(_pay(20, 6.9))["entity_run"] == 0, "nothing is 7 days old"
    partition.feed([_pay(21, 8.5)])
    seen = partition.context(_pay(22, 8.6))
    assert (seen["entity_run"], seen["entity_legit_since"]) == (2, 0)
    assert seen["entity_run_start_s"] == START_S
    assert seen["entity_run_last_s"] == START_S + DAY_S
    partition.feed([_pay(23, 10.5)])
    seen = partition.context(_pay(24, 10.6))
    assert (seen["entity_run"], seen["entity_legit_since"]) == (1, 0), "day 2 was good"
    partition.feed([_pay(25, 11.5)])
    seen = partition.context(_pay(26, 11.6))
    assert (seen["entity_run"], seen["entity_legit_since"]) == (1, 1), "and so was day 4"


def test_payments_that_settle_together_settle_in_order() -> None:
    partition = Partition()
    for number, day in enumerate([0, 0.1, 0.2, 0.3]):
        partition.feed([_pay(number, day)])
    partition.feed([_label(10, 1, "pay-ann-1"), _label(11, 1, "pay-ann-2")])
    partition.feed([_pay(12, 20)])
    seen = partition.context(_pay(13, 20.1))
    assert (seen["entity_run"], seen["entity_legit_since"]) == (2, 1), "good, fraud, fraud, good"


def test_the_users_own_pairs_count_at_once() -> None:
    partition = Partition()
    trail = ["sole", "shoe", "lace", *"abcdefghijklmnopqrstu", "shoe"]
    records = [_view("ann", item, i, START_S + i) for i, item in enumerate(trail)]
    asks = replace(records[-1], kind=Kind.CART)
    live = partition.feed([*records[:-1], asks])
    assert not len(partition.counters.covisits), "its block is not over"
    found = [partition.items.ids[i] for i in live.suggestions.items[-1] if i >= 0]
    assert {"sole", "lace"} <= set(found), "next to the shoe once, if not of the last 10 items"
    assert "f" not in found, "nothing recent ever lay near it"


def test_an_apply_without_answers_leads_to_the_same_counters() -> None:
    spoken, silent = Partition(), Partition()
    records = [_view(f"u{i % 3}", "abc"[i % 3], i * BLOCK_OFFSETS // 2) for i in range(9)]
    events = columns(records)
    spoken.feed(records)
    live = silent.counters.advance(events, silent.histories.apply(events), answer=False)
    assert (live.suggestions.items < 0).all()
    everything = np.arange(3, dtype=np.int32)
    counted = [p.counters.covisits.visits(everything).tolist() for p in (spoken, silent)]
    assert counted[0] == counted[1]
    assert counted[0][0] > 0
