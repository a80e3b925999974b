"""What holds for every class that keeps state of a partition: a new one joins by a line in
`tests/streams/stateful_classes.py`.

A failed batch leaves no trace, a checkpoint holds everything, a forgotten user is forgotten, and
memory is bounded. Everything is walked attribute by attribute (`tests/streams/snapshot.py`).
"""

from __future__ import annotations

import importlib.util
import inspect
import pkgutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streams
from schemas.events.kinds import Kind
from streams.checkpoints.capture import capture, retain, touch_all
from streams.histories.item_numbers import PAGE, ItemNumbers
from streams.histories.item_table import ItemTable
from streams.histories.user_index import UserIndex
from streams.histories.user_rows import UserRows
from streams.partition import PartitionState
from streams.recommendations.sent_lists import SentLists
from streams.undo import Undo
from tests.example_count import example_count
from tests.streams.checkpoints.workers import Topics
from tests.streams.event_logs import START_S, Record, logs, numbered
from tests.streams.snapshot import plain
from tests.streams.stateful_classes import HOLDERS, LABELLED, USERS, Holder, advance, small_state

every_holder = pytest.mark.parametrize("holder", HOLDERS, ids=lambda h: h.kind.__name__)


class BrokenError(Exception):
    """What a stage raised."""


def plains(state: PartitionState) -> dict[str, Any]:
    return {holder.kind.__name__: plain(holder.of(state)) for holder in HOLDERS}


def busy(n: int = 120) -> list[Record]:
    """A log in which every kind of state comes and goes, over users, items and entities."""
    told = []
    for i in range(n):
        user, at = f"user-{i % 7}", START_S + i * 900
        told.append(Record(user=user, items=(f"item-{i % 9}",), time_s=at))
        if i % 2:
            told.append(
                Record(
                    user=user, kind=Kind.PAYMENT, message=f"paid-{i}", amount=9.0, time_s=at + 1,
                    entities=(i % 11 + 1, 500 + i % 3, 0), items=(None,),
                )
            )  # fmt: skip
        if i % 4 == 3:
            label = Record(user=user, kind=Kind.LABEL, time_s=at + 2, items=(None,))
            told += [replace(label, reference=f"paid-{i - 2}"), replace(label, reference="no")]
    return [
        replace(record, offset=i * 7, broker_ms=START_S * 1000 + i * 90)
        for i, record in enumerate(numbered(told))
    ]


def fed(log: list[Record], size: int = 11, **options: Any) -> PartitionState:
    state = small_state(**options)
    for begin in range(0, len(log), size):
        advance(state, log[begin : begin + size])
    return state


def fail_after(state: PartitionState, *batches: list[Record]) -> None:
    def broken() -> None:
        with state.undo.trying():
            for batch in batches:
                advance(state, batch)
            raise BrokenError

    with pytest.raises(BrokenError):
        broken()


# A class joins the list


def test_every_class_that_takes_an_undo_is_here() -> None:
    found = set()
    for module in pkgutil.walk_packages(streams.__path__, "streams."):
        source = importlib.util.find_spec(module.name)
        if source is None or "Undo" not in Path(source.origin or "").read_text():
            continue
        for _, cls in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            own = cls.__module__ == module.name and inspect.isfunction(cls.__init__)
            if own and "undo" in inspect.signature(cls.__init__).parameters:
                found.add(cls)
    assert found <= {holder.kind for holder in HOLDERS}
    assert len(found) > 7, "the walk found next to nothing"


@every_holder
def test_the_log_of_these_tests_fills_it(holder: Holder) -> None:
    assert plain(holder.of(fed(busy()))) != plain(holder.of(small_state()))
    assert holder.size(holder.of(fed(busy()))) > 0


# Undo


@every_holder
def test_a_batch_that_failed_leaves_no_trace(holder: Holder) -> None:
    log = busy()
    state, straight = small_state(), small_state()
    for begin in range(0, len(log) - 40, 20):
        before = plain(holder.of(state))
        fail_after(state, log[begin : begin + 25], log[begin + 25 : begin + 40])
        assert plain(holder.of(state)) == before
        for one in (state, straight):
            advance(one, log[begin : begin + 20])
        assert plain(holder.of(state)) == plain(holder.of(straight))


@every_holder
def test_a_class_that_tells_undo_nothing_would_be_noticed(
    holder: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = busy()
    state = fed(log[:6])
    before = plain(holder.of(state))
    for name in ("keep", "rows", "attributes", "entries"):
        monkeypatch.setattr(Undo, name, lambda *_: None)
    fail_after(state, log[6:160])
    assert plain(holder.of(state)) != before


@settings(max_examples=example_count(60), deadline=None)
@given(log=logs(users=7, max_records=60), data=st.data())
def test_no_log_shows_a_hole(log: list[Record], data: st.DataObject) -> None:
    begin, middle, end = sorted(data.draw(st.integers(0, len(log))) for _ in range(3))
    state = small_state()
    if begin:
        advance(state, log[:begin])
    before = plains(state)
    fail_after(state, *(part for part in (log[begin:middle], log[middle:end]) if part))
    assert plains(state) == before


def test_an_inner_block_takes_back_its_own_changes_and_the_outer_one_all() -> None:
    undo, counts = Undo(), {"a": 1}

    def count(key: str, n: int, error: Exception | None = None) -> None:
        with undo.trying():
            undo.entries(counts, [key])
            counts[key] = n
            if error is not None:
                raise error

    def outer() -> None:
        with undo.trying():
            count("a", 2)
            count("b", 3)
            with pytest.raises(KeyError):
                count("a", 4, KeyError())
            assert counts == {"a": 2, "b": 3}
            assert undo.recording
            raise BrokenError

    with pytest.raises(BrokenError):
        outer()
    assert counts == {"a": 1}
    assert not undo.recording


# Capture and restore: by user or item, because places are each worker's own


def _by_user(state: PartitionState) -> Any:
    users = state.histories.user_rows
    return {user: users.rows[users.slot(user)].tobytes() for user in users.users()}


def _sent(state: PartitionState) -> Any:
    users = state.histories.user_rows
    found = {}
    for user in users.users():
        slot = users.slot(user)
        ours = slot < len(state.sent.owners) and state.sent.owners[slot] == users.owners[slot]
        found[user] = (state.sent.lists[slot], state.sent.sent_s[slot]) if ours else (0, 0)
    return found


def _items(state: PartitionState) -> Any:
    numbers = state.histories.numbers
    return [numbers._id(number) for number in range(len(numbers))]


MEANING = {
    UserRows: _by_user,
    UserIndex: lambda state: sorted(state.histories.user_rows.users()),
    ItemNumbers: _items,
    SentLists: _sent,
}


def meaning(holder: Holder, state: PartitionState) -> Any:
    """What of a state is the same in any worker; of the other classes, every attribute."""
    if holder.kind in MEANING:
        return MEANING[holder.kind](state)
    found = plain(holder.of(state))
    if holder.kind in (PartitionState, type(state.histories)):
        for name in ("histories", "user_rows", "numbers", "sent", "written"):  # by their own line
            found.pop(name, None)
    return found


@every_holder
@pytest.mark.parametrize("retained", [False, True])
def test_a_restored_state_means_the_same(holder: Holder, retained: bool) -> None:
    log = busy()
    state, topics = fed(log[:150]), Topics()
    for part in (log[150:170], log[170:]):
        if retained:
            retain(state, capture(state))  # as if the broker was away
        topics.write(capture(state).encode())
        advance(state, part)
    topics.write(capture(state).encode())
    restored = small_state(items=ItemTable(max_items=20))
    restored.histories.items.indices(["other", "worker"])
    topics.fill(restored)
    assert meaning(holder, restored) == meaning(holder, state)


def test_items_on_several_pages_come_back() -> None:
    table = ItemTable()
    state = small_state(items=table)
    state.histories.numbers.max_items = 3 * PAGE
    names = [f"item-{i}" for i in range(2 * PAGE + 5)]
    advance(state, numbered([Record(user=f"u{i % 3}", items=(n,)) for i, n in enumerate(names)]))
    topics = Topics()
    topics.write(capture(state).encode())
    restored = small_state(items=ItemTable())
    topics.fill(restored)
    assert MEANING[ItemNumbers](restored) == names


def test_a_state_that_is_written_anew_is_written_whole() -> None:
    state, topics = fed(busy()), Topics()
    capture(state)
    touch_all(state)
    topics.write(capture(state).encode())
    restored = small_state(items=ItemTable(max_items=20))
    topics.fill(restored)
    for holder in HOLDERS:
        assert meaning(holder, restored) == meaning(holder, state), holder.kind


# Forget


@every_holder
def test_a_forgotten_user_is_named_nowhere(holder: Holder) -> None:
    state = fed(busy())
    for user in state.histories.known():
        state.forget(user)
        capture(state)  # who left is named once more, in tombstones
        assert user not in repr(plain(holder.of(state)))
    assert holder.size(state.sent if holder.kind is SentLists else holder.of(state)) >= 0
    assert not state.histories.known()
    assert len(state.books["risk"]) == 0


# Bounds


@every_holder
def test_memory_is_bounded(holder: Holder) -> None:
    state = small_state()
    for begin in range(0, 400, 40):
        records = [
            Record(
                user=f"user-{i}", kind=Kind.PAYMENT if i % 2 else Kind.VIEW, message=f"m{i}",
                items=(f"item-{i}",), entities=(i + 1, 0, 0), time_s=START_S + i,
                offset=i * 9, broker_ms=START_S * 1000 + i,
            )
            for i in range(begin, begin + 40)
        ]  # fmt: skip
        advance(state, records)
        assert holder.size(holder.of(state)) <= holder.bound


def test_no_more_incidents_than_users() -> None:
    """200 users above `raise_at`, room for a few: who makes room closes the incident."""
    state = small_state()
    alerts = []
    for i in range(200):
        record = Record(
            user=f"user-{i}", kind=Kind.PAYMENT, message=f"m{i}", items=(None,), entities=(1, 0, 0),
            time_s=START_S + i, offset=i * 10 + 8, broker_ms=START_S * 1000 + i,
        )  # fmt: skip
        alerts += advance(state, [record])
        assert len(state.books["risk"]) <= USERS
    firing = {alert.alert_id for alert in alerts if alert.status == "firing"}
    closed = {alert.alert_id for alert in alerts if alert.model_version == "evicted"}
    assert len(firing) == 200
    assert closed < firing
    assert len(firing - closed) == len(state.books["risk"])
    assert LABELLED < USERS
