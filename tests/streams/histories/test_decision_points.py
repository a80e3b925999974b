"""Which events ask for a decision."""

from __future__ import annotations

import pytest

from schemas.events.kinds import Kind
from streams.histories.decision_points import PointPolicy, Task
from streams.histories.histories import Histories
from streams.histories.item_table import ItemTable
from tests.streams.event_logs import START_S, Record, columns, numbered

BOTH = int(Task.RECOMMEND | Task.CHURN)


def _tasks(policy: PointPolicy, *events: tuple[int, Kind]) -> list[int]:
    records = numbered([Record(time_s=START_S + s, kind=kind) for s, kind in events])
    applied = Histories(ItemTable(), policy).apply(columns(records))
    tasks = [0] * len(events)
    for row, task in zip(applied.points.rows, applied.points.tasks, strict=True):
        tasks[row] = int(task)
    return tasks


def test_a_users_first_event_asks_and_then_every_refresh() -> None:
    policy = PointPolicy(refresh_s=300)
    events = [(s, Kind.VIEW) for s in (0, 299, 300, 599, 601)]
    assert _tasks(policy, *events) == [BOTH, 0, BOTH, 0, BOTH]


@pytest.mark.parametrize("kind", [Kind.CART, Kind.PURCHASE, Kind.SEARCH])
def test_some_kinds_ask_at_once_and_start_the_refresh_anew(kind: Kind) -> None:
    policy = PointPolicy(refresh_s=300)
    events = [(0, Kind.VIEW), (200, kind), (400, Kind.VIEW), (500, Kind.VIEW)]
    assert _tasks(policy, *events) == [BOTH, BOTH, 0, BOTH]


def test_asking_kinds_are_the_policys() -> None:
    events = [(0, Kind.VIEW), (1, Kind.CART), (2, Kind.RATE)]
    assert _tasks(PointPolicy(ask=frozenset({Kind.RATE})), *events) == [BOTH, 0, BOTH]


def test_watched_kinds_are_scored_for_risk_every_time() -> None:
    events = [(0, Kind.VIEW), (1, Kind.PAYMENT), (2, Kind.PAYMENT), (3, Kind.LOGIN)]
    assert _tasks(PointPolicy(), *events) == [BOTH, Task.RISK, Task.RISK, Task.RISK]
    assert _tasks(PointPolicy(watch=frozenset()), *events) == [BOTH, 0, 0, 0]


def test_an_event_older_than_the_newest_asks_for_risk_only() -> None:
    events = [(1000, Kind.VIEW), (400, Kind.PURCHASE), (500, Kind.PAYMENT), (1000, Kind.CART)]
    assert _tasks(PointPolicy(), *events) == [BOTH, 0, Task.RISK, BOTH]


def test_labels_never_ask_whatever_the_policy_says() -> None:
    everything = frozenset(Kind)
    policy = PointPolicy(watch=everything, ask=everything)
    assert _tasks(policy, (0, Kind.LABEL), (1, Kind.VIEW)) == [0, int(Task.RISK) | BOTH]
