"""States of many users for the restore benchmark, and a stream of events on top of them.

Every user has a full history: rows of users of a simulated shop who have one, given to as many
users as asked for. Counters are those of the shop's log.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ops.benchmarks.score_shop import batches
from ops.simulator.simulation import simulate_events
from schemas.events.codec import EventDecoder
from schemas.events.columns import EventColumns
from streams.ingest.decode import BatchDecoder
from streams.partition import PartitionState
from streams.scoring import Scorer

SHOPPERS = 1_500
EVENTS_PER_SHOPPER = 150
ITEMS = 5_000
IN_SESSION_S = 10.0
"""A user in a session does something so often, on average."""
SESSION_EVENTS = 10


@dataclass(frozen=True, slots=True)
class Sample:
    """The simulated shop's log, and its events as columns."""

    columns: EventColumns

    @classmethod
    def simulate(cls, decoder: EventDecoder, users: int) -> Sample:
        """The same one every time; a small one where few `users` are to be made of it."""
        shoppers = min(SHOPPERS, max(100, users // 10))
        shop = simulate_events(7, shoppers, ITEMS, 60.0, shoppers * EVENTS_PER_SHOPPER, 0.03)
        decode = BatchDecoder(decoder).decode
        columns = _joined([decode(batch).columns for batch in batches(shop.events)])
        # As if sent afterwards, two events per ms: a block of the counters then holds many.
        arrived_ms = columns.broker_ms[-1] + np.arange(len(columns)) // 2
        return cls(replace(columns, broker_ms=arrived_ms))

    def fill(self, state: PartitionState, users: int) -> None:
        """Give an empty state the counters of the log and `users` users with full histories."""
        applied = state.histories.apply(self.columns)
        state.counters.advance(self.columns, applied, answer=False, context=False)
        rows = state.histories.user_rows
        full = rows.rows[rows.rows["length"] == state.histories.length].copy()
        rows.discard(rows.users())
        names = [f"user-{state.partition}-{number:07d}" for number in range(users)]
        slots = rows.restore(np.resize(full, users), names)
        rows.touch(slots)
        lists = np.arange(1, users + 1, dtype=np.int64) * 0x1E3779B97F4A7C15
        state.sent.restore(slots, rows.owners[slots], lists, np.full(users, 1, np.int64))
        state.next_offset = len(self.columns)
        state.last_broker_ms = int(self.columns.broker_ms[-1])


def traffic(
    sample: Sample, state: PartitionState, users: int, events_per_s: float, seed: int
) -> Iterator[EventColumns]:
    """For ever, one second of one partition's events after another: users come, do
    `SESSION_EVENTS` things on average, and leave.

    What they do is what the shop's log says, in its order.
    """
    rng = np.random.default_rng(seed)
    n = round(events_per_s)
    present = rng.integers(0, users, round(events_per_s * IN_SESSION_S))
    offset, now_ms = state.next_offset, int(sample.columns.time_ms.max()) + 60_000
    while True:
        who = rng.integers(0, len(present), n)
        left = who[rng.random(n) < 1 / SESSION_EVENTS]
        names = [f"user-{state.partition}-{number:07d}" for number in present[who].tolist()]
        present[left] = rng.integers(0, users, len(left))
        messages = [f"{state.partition}-{offset + i}" for i in range(n)]
        like = sample.columns.select(np.arange(offset, offset + n) % len(sample.columns))
        times = np.sort(rng.integers(now_ms, now_ms + 1000, n))
        yield replace(
            like,
            offsets=np.arange(offset, offset + n),
            broker_ms=times,
            time_ms=times,
            user_ids=names,
            message_ids=messages,
            message_hashes=rng.integers(0, 1 << 63, n).astype(np.uint64),
            ends=np.ones(n, np.bool_),
        )
        offset, now_ms = offset + n, now_ms + 1000


def apply(scorer: Scorer, state: PartitionState, columns: EventColumns) -> None:
    """What a worker's restore does with a decoded batch."""
    applied = state.histories.apply(columns)
    state.counters.advance(columns, applied, answer=False, context=False)
    state.next_offset = int(columns.offsets[-1]) + 1
    state.last_broker_ms = int(columns.broker_ms[-1])


def _joined(parts: list[EventColumns]) -> EventColumns:
    def arrays(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    return EventColumns(
        offsets=np.arange(sum(map(len, parts))),
        broker_ms=arrays("broker_ms"),
        time_ms=arrays("time_ms"),
        user_ids=[user for part in parts for user in part.user_ids],
        message_ids=[name for part in parts for name in part.message_ids],
        message_hashes=arrays("message_hashes"),
        kinds=arrays("kinds"),
        item_ids=[item for part in parts for item in part.item_ids],
        amounts=arrays("amounts"),
        entities=arrays("entities"),
        references=arrays("references"),
        ends=arrays("ends"),
    )
