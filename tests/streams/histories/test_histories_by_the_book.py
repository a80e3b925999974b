"""Batches applied with array operations mean what the slow reference says, exactly."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.features.windows import A_NAMES, Windows
from streams.histories.decision_points import PointPolicy
from streams.histories.histories import BEFORE, Applied, Histories
from streams.histories.item_table import ItemTable
from tests.example_count import example_count
from tests.streams.event_logs import Record, columns, cut_logs
from tests.streams.histories.reference import Decision, Slow

POLICY = PointPolicy(refresh_s=400)


@settings(max_examples=example_count(150), deadline=None)
@given(cut=cut_logs(), length=st.sampled_from([1, 2, 3, 5, 64]))
def test_histories_equal_the_slow_reference(
    cut: tuple[list[Record], list[list[Record]]], length: int
) -> None:
    records, batches = cut
    slow = Slow(length, 7 * 86_400, POLICY)
    slow.apply(columns(records))
    items = ItemTable()
    histories = Histories(items, POLICY, length=length)
    applied = [histories.apply(columns(batch)) for batch in batches]

    assert [o for a in applied for o in _outcomes(a)] == slow.outcomes
    ratios = np.concatenate([a.ratios for a in applied])
    assert ratios.tolist() == np.array(slow.ratios, np.float32).tolist()
    rows = np.concatenate(
        [a.points.rows + shift for a, shift in zip(applied, _shifts(applied), strict=True)]
    )
    decisions = [d for d in slow.decisions if d.tasks]
    assert rows.tolist() == [d.row for d in decisions]
    tasks = np.concatenate([a.points.tasks for a in applied])
    assert tasks.tolist() == [d.tasks for d in decisions]
    windows = Windows.concat([a.windows for a in applied])
    for i, decision in enumerate(decisions):
        _assert_window(windows.take(np.array([i])), decision, items)


@settings(max_examples=example_count(50), deadline=None)
@given(cut=cut_logs(), length=st.sampled_from([3, 64]))
def test_before_shows_the_items_just_before_each_accepted_event(
    cut: tuple[list[Record], list[list[Record]]], length: int
) -> None:
    _, batches = cut
    items = ItemTable()
    histories = Histories(items, POLICY, length=length)
    slow = Slow(length, 7 * 86_400, POLICY)
    for batch in batches:
        applied = histories.apply(columns(batch))
        first = len(slow.outcomes)
        whole, outcome = columns(batch), ""
        for row in range(len(whole)):
            if row == 0 or whole.ends[row - 1]:
                outcome = slow._outcome(whole, row)
            decision = slow._take(whole, row, outcome)
            if decision is None:
                assert (applied.before[row] == -1).all()
                continue
            seen = [items.index(e.item) for e in decision.window[-2::-1]][:BEFORE]
            assert applied.before[row, : len(seen)].tolist() == seen
            assert (applied.before[row, len(seen) :] == -1).all()
        assert len(slow.outcomes) == first + len(applied.outcomes)


def _outcomes(applied: Applied) -> list[str]:
    names = np.array(["accepted", "duplicate", "late"])
    assert (applied.accepted + applied.duplicate + applied.late == 1).all()
    return names[applied.outcomes].tolist()


def _shifts(applied: list[Applied]) -> list[int]:
    sizes = [len(a.outcomes) for a in applied]
    return np.cumsum([0, *sizes[:-1]]).tolist()


def _assert_window(window: Windows, decision: Decision, items: ItemTable) -> None:
    n = len(decision.window)
    assert window.lengths[0] == n
    assert window.now_s[0] == decision.now_s
    assert window.items[0, :n].tolist() == [items.index(e.item) for e in decision.window]
    assert window.kinds[0, :n].tolist() == [e.kind for e in decision.window]
    assert window.times_s[0, :n].tolist() == [e.time_s for e in decision.window]
    assert window.amounts[0, :n].tolist() == [e.amount for e in decision.window]
    assert window.entities[0, :n].tolist() == [e.entity for e in decision.window]
    assert (window.items[0, n:] == -1).all()
    assert not window.kinds[0, n:].any()
    assert not window.times_s[0, n:].any()
    found = dict(zip(A_NAMES, window.accumulators[0].tolist(), strict=True))
    assert found == {name: float(decision.sums[name]) for name in A_NAMES}
