"""Histories once more, slowly and by the book: one event at a time, plain Python."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.features.windows import A_NAMES, DAY_GAPS
from schemas.events.columns import EventColumns
from schemas.events.kinds import Kind
from streams.histories.decision_points import PointPolicy, Task

DAY_S = 86_400


@dataclass
class Event:
    """What a history keeps of an event."""

    time_s: int
    item: str | None
    kind: int
    amount: np.float32
    entity: int
    message: int

    def key(self) -> tuple[int, str | None, int]:
        return self.message, self.item, self.kind


@dataclass
class User:
    """One user's history and running sums."""

    events: list[Event] = field(default_factory=list)
    sums: dict[str, Any] = field(
        default_factory=lambda: {
            name: np.float32(0) if name.startswith(("visits", "spend", "paid")) else 0
            for name in A_NAMES
        }
    )
    last_point_s: int = 0


@dataclass
class Decision:
    """One decision point with all it sees."""

    row: int
    tasks: int
    window: list[Event]
    now_s: int
    sums: dict[str, Any]


@dataclass
class Slow:
    """The reference: feed it columns, read `outcomes` and `decisions`."""

    length: int
    late_s: int
    policy: PointPolicy
    users: dict[str, User] = field(default_factory=dict)
    outcomes: list[str] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)

    def apply(self, columns: EventColumns) -> None:
        pending: Decision | None = None
        outcome = ""
        for row in range(len(columns)):
            if row == 0 or columns.ends[row - 1]:
                outcome = self._outcome(columns, row)
            asked = self._take(columns, row, outcome)
            pending = asked or pending
            if not columns.ends[row]:
                continue
            if pending is not None:
                self.decisions.append(self._decide(columns, pending))
            pending = None

    def _outcome(self, columns: EventColumns, first: int) -> str:
        """What becomes of the record of which `first` is the first row."""
        if columns.kinds[first] == Kind.LABEL:
            return "accepted"
        last = first + int(np.argmax(columns.ends[first:]))
        events = [_event(columns, row) for row in range(first, last + 1)]
        kept = self.users.setdefault(columns.user_ids[first], User()).events
        if {event.key() for event in events} & {event.key() for event in kept}:
            return "duplicate"
        late = bool(kept) and events[0].time_s < kept[-1].time_s - self.late_s
        return "late" if late else "accepted"

    def _take(self, columns: EventColumns, row: int, outcome: str) -> Decision | None:
        kind = int(columns.kinds[row])
        self.ratios.append(1.0)
        self.outcomes.append(outcome)
        if kind == Kind.LABEL or outcome != "accepted":
            return None
        user = self.users[columns.user_ids[row]]
        event = _event(columns, row)
        before = [kept for kept in user.events if kept.time_s <= event.time_s]
        after = [kept for kept in user.events if kept.time_s > event.time_s]
        user.events = [*before, event, *after][-self.length :]
        window = [*before, event][-self.length :]
        self.ratios[-1] = self._sum_up(user, event)
        return Decision(row, 0, window, event.time_s, dict(user.sums))

    def _sum_up(self, user: User, event: Event) -> float:
        s, t = user.sums, event.time_s
        mean = s["paid_sum"] / np.float32(max(s["payments"], 1))
        ratio = float(event.amount / mean) if mean > 0 else 1.0
        first = s["events"] == 0
        passed = 0 if first else t - s["last_s"]
        gap_days = 0 if first else max(0, t // DAY_S - s["last_s"] // DAY_S)
        visit = first or passed > 1800
        for days in (15, 45, 120):
            keep = np.float32(np.exp(np.array([-max(passed, 0) * (1 / (days * DAY_S))]))[0])
            aged = np.exp(np.array([min(passed, 0) * (1 / (days * DAY_S))]))[0]
            bought = event.amount if event.kind == Kind.PURCHASE else 0
            s[f"visits_{days}d"] = s[f"visits_{days}d"] * keep + np.float32(visit)
            s[f"spend_{days}d"] = s[f"spend_{days}d"] * keep + np.float32(bought * aged)
        if gap_days > 0:
            for number in range(DAY_GAPS, 1, -1):
                s[f"day_gap_{number}"] = s[f"day_gap_{number - 1}"]
            s["day_gap_1"] = gap_days
        if event.kind == Kind.PURCHASE:
            s["order_days"] += t // DAY_S > s["last_purchase_s"] // DAY_S
            s["spend"] = s["spend"] + event.amount
            s["last_purchase_s"] = max(s["last_purchase_s"], t)
        if event.kind == Kind.PAYMENT:
            s["paid_sum"] = s["paid_sum"] + event.amount
            s["paid_max"] = max(s["paid_max"], event.amount)
        s["first_s"] = t if first else min(s["first_s"], t)
        s["last_s"] = max(s["last_s"], t)
        s["events"] += 1
        s["purchases"] += event.kind == Kind.PURCHASE
        s["payments"] += event.kind == Kind.PAYMENT
        s["cancels"] += event.kind == Kind.CANCEL
        s["sessions"] += visit
        s["active_days"] += first or gap_days > 0
        s["gap_days_max"] = max(s["gap_days_max"], gap_days)
        s["gap_days_sumsq"] += gap_days**2
        return ratio

    def _decide(self, columns: EventColumns, asked: Decision) -> Decision:
        user = self.users[columns.user_ids[asked.row]]
        kind, t = Kind(int(columns.kinds[asked.row])), asked.now_s
        if kind in self.policy.watch:
            asked.tasks |= Task.RISK
        due = user.last_point_s == 0 or t - user.last_point_s >= self.policy.refresh_s
        if t >= user.sums["last_s"] and (due or kind in self.policy.ask):
            asked.tasks |= Task.RECOMMEND | Task.CHURN
            user.last_point_s = t
        return asked


def _event(columns: EventColumns, row: int) -> Event:
    return Event(
        time_s=int(columns.time_ms[row]) // 1000,
        item=columns.item_ids[row] or None,
        kind=int(columns.kinds[row]),
        amount=columns.amounts[row],
        entity=int(columns.entities[row, 0]) % 2**32,
        message=int(columns.message_hashes[row]) % 2**32,
    )
