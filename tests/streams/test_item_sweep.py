"""A flood of item ids: who holds nothing any more gives its place up, at the same place of any log.

The bounds are small: a partition numbers 200 items, and they may give their numbers up every 32
records.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events.codec import EventDecoder, encode
from schemas.times import format_time_ms
from streams.checkpoints.capture import capture
from streams.histories.item_table import ItemTable
from streams.kafka.producer import Output
from streams.monitoring.metrics import Metrics
from streams.partition import PartitionState
from streams.plan import Plan
from streams.recommendations.message import RecommendationWriter
from streams.scoring import Scorer
from streams.settings import Settings
from streams.transport.record_batch import RecordBatch
from tests.example_count import example_count
from tests.streams.checkpoints.workers import Topics

NOW_MS = 1_790_000_000_000
BOUND, EVERY, FLOOD = 200, 32, 420


class Shop:
    """A worker of one partition with room for a few items."""

    def __init__(self) -> None:
        plan = Plan.from_settings(Settings())
        decoder = EventDecoder(Settings().product_contract())
        self.items = ItemTable(max_items=10, min_sweep=8)
        self.scorer = Scorer(plan, decoder, self.items, Metrics())
        self.state = self.new_state()

    def new_state(self) -> PartitionState:
        state = self.scorer.new_state(0)
        state.sweep_offsets = EVERY
        state.histories.numbers.max_items = BOUND
        state.counters.covisits.max_items = 12
        return state

    def run(self, log: Sequence[bytes], cuts: Sequence[int], *, replay: bool = False) -> Any:
        """The outputs of the log from where the state stands, cut so."""
        outputs: list[Output] = []
        for end in [*(cut for cut in sorted(cuts) if cut < len(log)), len(log)]:
            begin = self.state.next_offset
            if begin >= end:
                continue
            batch = RecordBatch(
                "events", 0, begin, end - 1, range(begin, end),
                [at_ms(offset) for offset in range(begin, end)],
                [None] * (end - begin), log[begin:end], [()] * (end - begin),
            )  # fmt: skip
            if replay:
                self.scorer.apply_batch(self.state, batch)
            else:
                outputs += self.scorer.score_batch(self.state, batch).outputs
        return [(output.topic, output.value) for output in outputs]


def at_ms(offset: int) -> int:
    """Eight events in a few seconds, then two minutes of quiet: lists may be sent again."""
    return NOW_MS + 400 * offset + offset // 8 * 120_000


def view(at: int, user: str, *items: str) -> bytes:
    """A view, or an order of several items."""
    return encode(
        {
            "type": "track",
            "event": "Order Completed" if len(items) > 1 else "Product Viewed",
            "messageId": f"m{at}",
            "userId": user,
            "timestamp": format_time_ms(at_ms(at)),
            "properties": {"products": [{"product_id": item} for item in items]}
            if len(items) > 1
            else {"product_id": items[0]},
        }
    )


def flood() -> list[bytes]:
    """A robot names ever new ids, and others look at what they always look at."""
    log = []
    for at in range(FLOOD):
        if at % 3 == 0:
            log.append(view(at, f"ann-{at % 4}", f"shoe-{at % 5}"))
        elif at % 30 == 1:
            log.append(view(at, "robot", *(f"order-{at}-{i}" for i in range(40))))
        else:
            log.append(view(at, "robot", f"junk-{at}"))
    return log


def after_flood() -> list[bytes]:
    """A new item that somebody looks at after the usual ones, and more of the usual."""
    log = flood()
    for at in range(len(log), len(log) + 120):
        item = "new" if at % 2 else f"shoe-{at % 5}"
        log.append(view(at, f"ann-{at // 2 % 4}", item))
    return log


def items_of(outputs: list[tuple[str, bytes]]) -> set[str]:
    return {
        item["item_id"]
        for topic, value in outputs
        if topic == "recommendations"
        for item in msgspec.json.decode(value)["items"]
    }


@pytest.fixture(scope="module")
def whole() -> Any:
    return Shop().run(after_flood(), [])


def test_a_new_item_is_recommended_after_the_flood(whole: Any) -> None:
    shop = Shop()
    shop.items.upsert("new", category="shoes")
    shop.run(flood(), [])
    assert shop.items.refused > 0, "the flood was too small to fill the bound"
    assert "new" in items_of(shop.run(after_flood(), []))
    assert "new" in items_of(whole)


def test_memory_stays_bounded_and_the_catalogue_keeps_its_room() -> None:
    shop = Shop()
    log, most = flood(), 0
    for end in range(50, FLOOD + 1, 50):
        shop.run(log[:end], [])
        most = max(most, shop.items.known_items)
    numbers = shop.state.histories.numbers
    assert len(numbers) <= BOUND
    assert numbers.taken <= BOUND
    assert shop.items.sweeps > 0
    assert most < FLOOD  # names it all together: more than twice as many
    assert len(shop.items.ids) < FLOOD
    assert [shop.items.upsert(f"listed-{i}") >= 0 for i in range(11)] == [True] * 10 + [False]


def test_what_somebody_holds_keeps_its_place() -> None:
    shop = Shop()
    shop.items.upsert("listed", available=False)
    shop.run(flood(), [])
    row = shop.state.histories.row("ann-0")
    assert row is not None
    held = row["item"][0, : row["length"][0]]
    assert {shop.items.ids[item] for item in held.tolist()} <= {f"shoe-{i}" for i in range(5)}
    assert not shop.items.available[shop.items.index("listed")]


@settings(max_examples=example_count(8), deadline=None)
@given(cuts=st.lists(st.integers(1, FLOOD + 119), max_size=12))
def test_any_cut_gives_the_same(whole: Any, cuts: list[int]) -> None:
    found = Shop().run(after_flood(), cuts)
    assert sorted(found) == sorted(whole)


@settings(max_examples=example_count(8), deadline=None)
@given(at=st.integers(1, FLOOD + 100), since=st.integers(0, 100), data=st.data())
def test_a_restored_worker_goes_on_the_same(
    whole: Any, at: int, since: int, data: st.DataObject
) -> None:
    """From a checkpoint, then a replay of `since` records, on a worker that knows other items."""
    log = after_flood()
    first, topics = Shop(), Topics()
    said = first.run(log[: at // 2], [])
    topics.write(capture(first.state).encode())  # pages change after they were written
    said += first.run(log[:at], [])
    topics.write(capture(first.state).encode())
    said += first.run(log[: at + since], [data.draw(st.integers(at, at + since))])
    second = Shop()
    second.items.indices(["other", "junk-1", "shoe-4"])
    topics.fill(second.state)
    second.run(log[: at + since], [], replay=True)
    said += second.run(log, [])
    assert sorted(said) == sorted(whole)


def test_a_removed_item_stays_hidden_when_it_comes_back() -> None:
    table = ItemTable(min_sweep=1)
    table.upsert("gone")
    table.remove("gone")
    table.sweep()
    assert table.known(["gone"]).tolist() == [-1]
    assert not table.available[table.index("gone")]


def test_an_index_that_is_given_again_means_the_new_item() -> None:
    table = ItemTable(min_sweep=1)
    old = table.index("old")
    writer = RecommendationWriter(table, 60)
    pieces = writer._items
    assert b"old" in pieces[old]
    table.sweep()
    assert table.index("new") == old
    pieces.renew()
    assert b"new" in pieces[old]
    assert table.category_of(table.known(["new"])).tolist() == [-1]
