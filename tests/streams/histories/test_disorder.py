"""Duplicates, late events and disorder: each has one stated outcome."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from schemas.events.kinds import Kind
from streams.histories.apply_events import Outcome
from streams.histories.decision_points import Task
from streams.histories.histories import Applied, Histories
from streams.histories.item_table import ItemTable
from streams.histories.user_rows import SUMS
from tests.streams.event_logs import START_S, Record, columns, numbered

DAY_S = 86_400


def _apply(records: list[Record], **arguments: int) -> tuple[Histories, Applied]:
    histories = Histories(ItemTable(), **arguments)
    return histories, histories.apply(columns(numbered(records)))


def _times(histories: Histories, user: str = "ann") -> list[int]:
    row = histories.row(user)
    assert row is not None
    return [t - START_S for t in row["time"][0][: row["length"][0]].tolist()]


def _at(*seconds: int) -> list[Record]:
    return [Record(time_s=START_S + s) for s in seconds]


def test_a_repeated_message_is_a_duplicate_and_changes_nothing() -> None:
    once = Record(message="same")
    histories, applied = _apply([once, replace(once)])
    assert applied.outcomes.tolist() == [Outcome.ACCEPTED, Outcome.DUPLICATE]
    assert _times(histories) == [0]
    row = histories.row("ann")
    assert row is not None
    assert row["events"][0] == 1
    assert len(applied.points) == 1


def test_a_duplicate_in_a_later_batch_is_one_too() -> None:
    histories = Histories(ItemTable())
    record = columns(numbered([Record(message="same")]))
    histories.apply(record)
    assert histories.apply(record).duplicate.tolist() == [True]


@pytest.mark.parametrize(
    "other",
    [{"items": ("hat",)}, {"kind": Kind.CART}, {"user": "bob"}, {"message": "other"}],
)
def test_only_message_item_kind_and_user_together_make_a_duplicate(other: dict[str, str]) -> None:
    once = Record(message="same")
    _, applied = _apply([once, replace(once, **other)])
    assert applied.accepted.all()


def test_a_duplicate_is_forgotten_with_the_event_it_repeats() -> None:
    records = [Record(message=m, time_s=START_S + i) for i, m in enumerate("abca")]
    _, applied = _apply(records, length=3)
    assert applied.outcomes[3] == Outcome.DUPLICATE
    _, applied = _apply(records, length=2)
    assert applied.outcomes[3] == Outcome.ACCEPTED


def test_later_than_the_policy_is_late_and_not_kept() -> None:
    histories, applied = _apply(_at(7 * DAY_S, 0, -1))
    assert applied.outcomes.tolist() == [Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.LATE]
    assert _times(histories) == [0, 7 * DAY_S]


def test_late_s_is_the_policy() -> None:
    _, applied = _apply(_at(100, 0), late_s=99)
    assert applied.late.tolist() == [False, True]
    _, applied = _apply(_at(100, 0), late_s=100)
    assert applied.late.tolist() == [False, False]


def test_disorder_is_put_in_order_of_event_time() -> None:
    histories, applied = _apply(_at(0, 500, 200, 200, 900))
    assert _times(histories) == [0, 200, 200, 500, 900]
    assert applied.disordered == 2


def test_a_disordered_payment_sees_only_what_came_before_it() -> None:
    records = _at(0, 500)
    late = Record(time_s=START_S + 200, kind=Kind.PAYMENT, items=(None,), amount=5.0)
    _, applied = _apply([*records, late])
    window = applied.windows.take(np.array([len(applied.windows) - 1]))
    assert window.times_s[0, : window.lengths[0]].tolist() == [START_S, START_S + 200]
    assert window.now_s[0] == START_S + 200
    assert applied.points.tasks[-1] == Task.RISK, "newer decisions were made already"


def test_an_event_older_than_a_full_history_is_accepted_but_not_kept() -> None:
    histories, applied = _apply(_at(10, 20, 5), length=2)
    assert applied.accepted.all()
    assert _times(histories) == [10, 20]
    row = histories.row("ann")
    assert row is not None
    assert row["events"][0] == 3


def test_labels_enter_no_history() -> None:
    histories, applied = _apply(
        [Record(), Record(kind=Kind.LABEL, reference="m0", time_s=START_S + 50)]
    )
    assert applied.accepted.all()
    assert applied.slots.tolist() == [0, -1]
    assert _times(histories) == [0]
    assert len(applied.points) == 1


def test_an_order_of_several_products_is_several_events_and_one_decision() -> None:
    order = Record(kind=Kind.PURCHASE, items=("shoe", "hat", "hat", None, None), amount=3.0)
    histories, applied = _apply([order])
    assert applied.accepted.all(), "two hats in two sizes are two lines"
    assert applied.points.rows.tolist() == [4], "the last row"
    assert _times(histories) == [0] * 5
    row = histories.row("ann")
    assert row is not None
    assert row["sums"][0][SUMS.index("spend")] == 15.0


@pytest.mark.parametrize("lines", [1, 2, 50, 63, 64, 65, 90, 150])
@pytest.mark.parametrize("items", [("shoe", "hat"), (None,)])
def test_an_order_that_is_sent_again_is_a_duplicate_however_many_lines_it_has(
    lines: int, items: tuple[str | None, ...]
) -> None:
    every = tuple(items[i % len(items)] and f"{items[i % len(items)]}-{i}" for i in range(lines))
    order = Record(kind=Kind.PURCHASE, items=every, amount=1.0, message="order")
    histories, applied = _apply([order, replace(order)])
    assert applied.outcomes.tolist() == [0] * lines + [Outcome.DUPLICATE] * lines
    row = histories.row("ann")
    assert row is not None
    assert row["purchases"][0] == lines
    assert row["sums"][0][SUMS.index("spend")] == lines


def test_a_record_of_which_one_line_was_seen_is_a_duplicate_as_a_whole() -> None:
    order = Record(kind=Kind.PURCHASE, items=("shoe", "hat"), message="order")
    _, applied = _apply([order, replace(order, items=("sock", "hat", "tie"))])
    assert applied.outcomes.tolist() == [0, 0, *[Outcome.DUPLICATE] * 3]


def test_a_record_is_late_as_a_whole() -> None:
    late = Record(kind=Kind.PURCHASE, items=("shoe", "shoe"), time_s=START_S - 1)
    _, applied = _apply([Record(time_s=START_S + 7 * DAY_S), late])
    assert applied.outcomes.tolist() == [0, Outcome.LATE, Outcome.LATE]


def test_a_payment_of_several_rows_is_scored_once() -> None:
    _, applied = _apply([Record(kind=Kind.PAYMENT, items=("shoe", "hat"))])
    assert applied.points.rows.tolist() == [1]
    assert applied.points.asking(Task.RISK).tolist() == [True]


def test_an_empty_batch_is_nothing() -> None:
    _, applied = _apply([])
    assert len(applied.outcomes) == 0
    assert len(applied.windows) == 0
