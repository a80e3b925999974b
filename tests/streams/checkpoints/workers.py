"""A worker of one partition for tests of saved state: what it says, and what it knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from streams.alerts.book import AlertBook
from streams.checkpoints.capture import Saved
from streams.checkpoints.rebuild import Restoring
from streams.counters.counters import Counters
from streams.histories.decision_points import PointPolicy, Task
from streams.histories.histories import Histories
from streams.histories.item_table import ItemTable
from streams.partition import PartitionState
from streams.recommendations.allowed import top_allowed
from streams.recommendations.sent_lists import Candidates, Policy, list_hashes
from tests.streams.event_logs import E, Record, columns

POINTS = PointPolicy(refresh_s=400)
SHOWN = Policy(top_k=3, min_interval_s=60, ttl_s=60, exclude_bought=False)
NOISE = ["zebra", "e", "c", "a"]
"""Items that another worker's table knew first, in another order than any log's."""


class Worker:
    """Takes batches and notes all that it would say, in words that any worker would use."""

    def __init__(self, known: Sequence[str] = (), length: int = 4, **bounds: int) -> None:
        self.items = ItemTable()
        self.items.indices(known)
        max_users = bounds.pop("max_users", 100)
        histories = Histories(self.items, POINTS, length=length, max_users=max_users)
        counters = Counters(POINTS, candidates=8, **{"entities": E, **bounds})
        self.state = PartitionState(0, histories, counters, {"risk": AlertBook("risk", 60)})
        self.said: list[Any] = []

    def take(self, batch: list[Record]) -> None:
        events = columns(batch)
        applied = self.state.histories.apply(events)
        live = self.state.counters.advance(events, applied)
        windows = applied.windows.with_context(live.context)
        asked = np.flatnonzero(applied.points.asking(Task.RECOMMEND))
        s = live.suggestions.take(asked)
        seen = windows.take(asked)
        order = top_allowed(Candidates(s.items, s.scores, s.sources), seen, self.items, SHOWN)
        shown = np.where(order >= 0, np.take_along_axis(s.items, order, axis=1), -1)
        rows = applied.points.rows[asked]
        admitted = [
            self.state.sent.admit(*who, SHOWN)
            for who in zip(
                applied.slots[rows].tolist(),
                applied.owners[asked].tolist(),
                seen.now_s.tolist(),
                list_hashes(shown, self.items.hashes).tolist(),
                strict=True,
            )
        ]
        self.said += [
            *applied.outcomes.tolist(),
            *applied.points.tasks.tolist(),
            self.named(windows.items),
            windows.times_s.tobytes(),
            windows.accumulators.tobytes(),
            windows.context.tobytes(),
            self.named(live.suggestions.items),
            *(column.tobytes() for column in (s.scores, s.sources, s.actions, s.near, s.popular)),
            *admitted,
        ]
        self.state.next_offset = batch[-1].offset + 1
        self.state.last_broker_ms = batch[-1].broker_ms

    def named(self, items: Any) -> list[Any]:
        names = np.array([*self.items.ids, None], object)
        return names[items].tolist()

    def users(self) -> dict[str, Any]:
        """By user, everything in the row, with items by name."""
        known = {}
        for user in sorted(self.state.histories.known()):
            row = self.state.histories.row(user)
            assert row is not None
            items = self.named(row["item"][0, : row["length"][0]])
            row["item"] = 0
            known[user] = items, row.tobytes()
        return known


class Topics:
    """The two compacted topics: the latest record of each key."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes | None] = {}
        self.parts: dict[bytes, bytes | None] = {}

    def write(self, saved: Saved) -> None:
        assert len(dict(saved.rows)) == len(saved.rows)
        assert len(dict(saved.parts)) == len(saved.parts)
        for topic, records in ((self.rows, saved.rows), (self.parts, saved.parts)):
            for key, value in records:
                topic.pop(key, None)  # the latest lies where it was written last
                topic[key] = value

    def restore(self, worker: Worker, step: int = 1_000) -> int:
        return self.fill(worker.state, step)

    def fill(self, state: PartitionState, step: int = 1_000) -> int:
        restoring = Restoring(state)
        for take, records in ((restoring.rows, self.rows), (restoring.parts, self.parts)):
            keys = list(records)
            for begin in range(0, len(keys), step):
                here = keys[begin : begin + step]
                take(here, [records[key] for key in here])
        return restoring.finish()
