"""However one partition's log is cut into batches, decisions and final state are the same."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.features import features
from models.features.windows import Windows
from streams.counters.counters import BLOCK_OFFSETS, Counters, Live
from streams.histories.decision_points import PointPolicy
from streams.histories.histories import Histories
from streams.histories.item_table import ItemTable
from tests.example_count import example_count
from tests.streams.event_logs import START_S, E, Record, columns, cut_logs

POLICY = PointPolicy(refresh_s=400)


class Run:
    """All that one way of cutting a log leads to."""

    def __init__(self, batches: list[list[Record]], **bounds: Any) -> None:
        self.items = ItemTable()
        self.histories = Histories(
            self.items,
            POLICY,
            length=bounds.get("length", 4),
            max_users=bounds.get("max_users", 100),
        )
        self.counters = Counters(
            POLICY,
            entities=E,
            candidates=8,
            max_items=bounds.get("max_items", 100),
            max_entities=bounds.get("max_entities", 100),
            max_payments=bounds.get("max_payments", 100),
        )
        self.windows: list[Windows] = []
        self.decisions: list[tuple[int, int]] = []
        self.outcomes: list[int] = []
        self.suggestions: list[tuple[Any, ...]] = []
        for batch in batches:
            self._take(batch)

    def _take(self, batch: list[Record]) -> None:
        events = columns(batch)
        applied = self.histories.apply(events)
        live = self.counters.advance(events, applied)
        rows = applied.points.rows
        self.outcomes += applied.outcomes.tolist()
        self.decisions += zip(
            events.offsets[rows].tolist(), applied.points.tasks.tolist(), strict=True
        )
        self.windows.append(applied.windows.with_context(live.context))
        self.suggestions += _suggested(live)

    def all_windows(self) -> Windows:
        return Windows.concat(self.windows)

    def users(self) -> dict[str, bytes]:
        known = self.histories.user_rows.users()
        return {user: _row(self.histories.row(user)) for user in known}


def _row(row: Any) -> bytes:
    return b"" if row is None else row.tobytes()


def _suggested(live: Live) -> list[tuple[Any, ...]]:
    s = live.suggestions
    columns = (s.items, s.scores, s.sources, s.actions)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _assert_same(one: Run, other: Run) -> None:
    assert one.outcomes == other.outcomes
    assert one.decisions == other.decisions
    windows, again = one.all_windows(), other.all_windows()
    for field in fields(Windows):
        np.testing.assert_array_equal(getattr(windows, field.name), getattr(again, field.name))
    assert one.suggestions == other.suggestions
    assert one.users() == other.users()
    assert one.histories.evicted == other.histories.evicted
    assert one.counters.clock_s == other.counters.clock_s
    counted, recounted = one.counters.covisits, other.counters.covisits
    for column, again in zip(counted.columns(), recounted.columns(), strict=True):
        assert column.tobytes() == again.tobytes()
    assert counted.leaders.tolist() == recounted.leaders.tolist()
    named, renamed = one.counters.entities, other.counters.entities
    assert named._slots == renamed._slots
    assert named._table[: len(named)].tobytes() == renamed._table[: len(named)].tobytes()
    assert one.counters.queue._numbers == other.counters.queue._numbers


@settings(max_examples=example_count(50), deadline=None)
@given(cut=cut_logs(users=4, max_records=40), length=st.sampled_from([2, 4, 64]))
def test_decisions_and_state_do_not_depend_on_the_cuts(
    cut: tuple[list[Record], list[list[Record]]], length: int
) -> None:
    records, batches = cut
    whole = Run([records], length=length)
    _assert_same(whole, Run(batches, length=length))
    _assert_same(whole, Run([[record] for record in records], length=length))


@settings(max_examples=example_count(50), deadline=None)
@given(cut=cut_logs(users=9, max_records=40), max_users=st.integers(1, 6))
def test_nor_with_every_bound_reached(
    cut: tuple[list[Record], list[list[Record]]], max_users: int
) -> None:
    records, batches = cut
    bounds = {"max_users": max_users, "max_items": 3, "max_entities": 2, "max_payments": 2}
    whole = Run([records], **bounds)
    assert whole.histories.users <= max_users
    assert len(whole.counters.covisits) <= 3
    assert len(whole.counters.entities) <= 2
    assert len(whole.counters.queue) <= 2
    _assert_same(whole, Run(batches, **bounds))
    _assert_same(whole, Run([[record] for record in records], **bounds))


@settings(max_examples=example_count(50), deadline=None)
@given(cut=cut_logs(users=3, max_records=40))
def test_features_are_the_same_bit_for_bit_one_by_one_and_together(
    cut: tuple[list[Record], list[list[Record]]],
) -> None:
    windows = Run([cut[0]], length=8).all_windows()
    together = features.compute(windows)
    frame = features.as_frame(together)
    assert frame.columns == [f.name for f in features.FEATURES]
    assert frame.dtypes == [f.dtype for f in features.FEATURES]
    np.testing.assert_array_equal(frame.to_numpy().astype(np.float64), together)
    one_by_one = [features.compute(windows.take(np.array([i]))) for i in range(len(windows))]
    assert b"".join(one.tobytes() for one in one_by_one) == together.tobytes()
    assert np.isfinite(together).all()


def test_the_cut_logs_reach_suggestions_labels_and_several_blocks() -> None:
    """The properties above say something: such logs have all that could differ."""
    records = [
        Record(user=f"u{i % 2}", message=f"m{i}", items=("ab"[i % 2],), time_s=START_S + i * 500)
        for i in range(20)
    ]
    spread = [
        replace(r, offset=i * BLOCK_OFFSETS // 4, broker_ms=START_S * 1000 + i * 300)
        for i, r in enumerate(records)
    ]
    run = Run([spread])
    assert any(max(items) >= 0 for items, *_ in run.suggestions)
    assert len(run.counters.covisits) == 2
