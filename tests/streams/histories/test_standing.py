"""Asked between events, a user is what the newest event left behind."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.features import features
from models.features.windows import Windows
from schemas.events.kinds import Kind
from streams.histories.decision_points import PointPolicy
from streams.histories.histories import Histories
from streams.histories.item_table import ItemTable
from tests.streams.event_logs import START_S, Record, columns, logs, numbered

EVERY = PointPolicy(watch=frozenset(Kind) - {Kind.LABEL, Kind.PAD})


@given(logs(), st.integers(2, 64))
def test_at_the_newest_event_it_is_the_window_of_that_event(
    records: list[Record], length: int
) -> None:
    histories = Histories(ItemTable(), EVERY, length=length)
    batch = columns(records)
    applied = histories.apply(batch)
    newest: dict[str, tuple[int, int]] = {}  # user -> time and window of the newest event
    for window, row in enumerate(applied.points.rows.tolist()):
        user, time_s = batch.user_ids[row], int(batch.time_ms[row]) // 1000
        if time_s >= newest.get(user, (0, 0))[0]:
            newest[user] = time_s, window
        else:
            newest[user] = newest[user][0], -1  # disorder: a later record changed the past
    for user, (time_s, at) in newest.items():
        if at < 0:
            continue
        wanted, found = applied.windows.take(np.array([at])), histories.standing([user], time_s)
        for field in fields(Windows):
            assert np.array_equal(getattr(found, field.name), getattr(wanted, field.name))
        assert np.array_equal(features.compute(found), features.compute(wanted))


def test_later_only_the_moment_changes() -> None:
    histories = Histories(ItemTable(), EVERY)
    day = 86_400
    histories.apply(
        columns(
            numbered([Record(time_s=START_S + at * day) for at in (0, 2, 9)] + [Record(user="bob")])
        )
    )
    assert sorted(histories.known()) == ["ann", "bob"]
    found = histories.standing(["bob", "ann"], START_S + 13 * day)
    assert found.lengths.tolist() == [1, 3]
    assert found.now_s.tolist() == [START_S + 13 * day] * 2
    frame = features.as_frame(features.compute(found))
    assert frame["recency_s"].to_list() == [13 * day, 4 * day]
    assert frame["gap_days_median"].to_list() == [0, 4.5]
    assert frame["gap_days_longer"].to_list() == [0, 0.5]
