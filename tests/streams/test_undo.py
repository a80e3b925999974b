"""A batch that failed leaves no trace, wherever in it the failure was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.features.windows import Windows
from streams.alerts.book import AlertBook, Observation, Thresholds
from streams.counters.counters import Counters
from streams.histories.decision_points import PointPolicy
from streams.histories.histories import Histories
from streams.histories.item_table import ItemTable
from streams.partition import PartitionState
from streams.recommendations.sent_lists import Policy
from streams.undo import Undo
from tests.example_count import example_count
from tests.streams.event_logs import E, Record, columns, logs
from tests.streams.snapshot import snapshot

POLICY = Policy(top_k=3, min_interval_s=0, ttl_s=60, exclude_bought=True)
AT = Thresholds(raise_at=0.6, clear_at=0.3, critical_at=0.9)


def small_state() -> PartitionState:
    """Bounds so small that every log reaches them."""
    undo, policy = Undo(), PointPolicy()
    counters = Counters(
        policy,
        entities=E,
        max_items=4,
        max_entities=3,
        max_payments=2,
        label_delay_s=5_000,
        undo=undo,
    )
    histories = Histories(ItemTable(), policy, length=4, max_users=3, undo=undo)
    return PartitionState(0, histories, counters, {"risk": AlertBook("risk", 60, undo)}, undo)


def advance(state: PartitionState, records: list[Record]) -> Windows:
    """What scoring does to a state, with made-up probabilities and lists."""
    batch = columns(records)
    applied = state.histories.apply(batch)
    state.counters.advance(batch, applied)
    rows, owners = applied.points.rows.tolist(), applied.owners.tolist()
    for row, owner in zip(rows, owners, strict=True):
        offset, time_ms = int(batch.offsets[row]), int(batch.time_ms[row])
        user, message = batch.user_ids[row], batch.message_ids[row]
        broker_ms = int(batch.broker_ms[row])
        seen = Observation(user, offset % 10 / 10, time_ms, 0, offset, broker_ms, message)
        state.books["risk"].observe(seen, AT, "v1")
        state.sent.admit(int(applied.slots[row]), owner, time_ms // 1000, offset % 3, POLICY)
    state.next_offset = int(batch.offsets[-1]) + 1
    return applied.windows


class BrokenError(Exception):
    """What a stage raised."""


def fail_after(state: PartitionState, records: list[Record]) -> None:
    with state.undo.trying():
        state.undo.attributes(state, "next_offset")
        if records:
            advance(state, records)
        raise BrokenError


@settings(max_examples=example_count(200), deadline=None)
@given(log=logs(users=6, max_records=60), data=st.data())
def test_a_batch_that_failed_leaves_no_trace(log: list[Record], data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(log) - 1))
    end = data.draw(st.integers(begin + 1, len(log)))
    state = small_state()
    if begin:
        advance(state, log[:begin])
    before, next_offset = snapshot(state), state.next_offset
    with pytest.raises(BrokenError):
        fail_after(state, log[begin:end])
    assert snapshot(state) == before
    assert state.next_offset == next_offset

    untouched = small_state()
    if begin:
        advance(untouched, log[:begin])
    then, expected = advance(state, log[begin:]), advance(untouched, log[begin:])
    np.testing.assert_array_equal(then.items, expected.items)
    np.testing.assert_array_equal(then.accumulators, expected.accumulators)
    assert snapshot(state) == snapshot(untouched)


def test_a_snapshot_tells_states_apart() -> None:
    one, other = small_state(), small_state()
    advance(one, [Record()])
    assert snapshot(one) != snapshot(other)


def test_nothing_is_kept_outside_a_batch() -> None:
    state = small_state()
    advance(state, [Record()])
    with state.undo.trying():
        pass
    before = snapshot(state)
    with pytest.raises(BrokenError):
        fail_after(state, [])
    assert snapshot(state) == before
