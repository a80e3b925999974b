"""Logs of events for tests: plain records, Hypothesis strategies, and their columns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import xxhash
from hypothesis import strategies as st

from schemas.events.columns import EventColumns
from schemas.events.kinds import Kind
from streams.counters.counters import BLOCK_OFFSETS

START_S = 1_700_000_000
E = 3

KINDS = [k for k in Kind if k is not Kind.PAD]
# Steps of event time: the same second, sessions, days, disorder, and beyond the late policy.
STEPS_S = [0, 1, 40, 400, 1_800, 1_801, 5_000, 86_400, 40 * 86_400, -1, -300, -90_000, -691_200]


@dataclass(frozen=True)
class Record:
    """One record of one user; several items make several rows."""

    user: str = "ann"
    message: str = "m"
    time_s: int = START_S
    kind: Kind = Kind.VIEW
    items: tuple[str | None, ...] = ("shoe",)
    amount: float = 0.0
    entities: tuple[int, ...] = (0,) * E
    reference: str | None = None
    offset: int = 0
    broker_ms: int = START_S * 1000


def message_hash(message: str) -> int:
    return xxhash.xxh3_64_intdigest(message.encode())


def numbered(records: list[Record]) -> list[Record]:
    """The records with offsets and broker times 0, 1, 2, ... and message ids, as in a real log."""
    return [
        replace(r, offset=i, message=f"m{i}" if r.message == "m" else r.message)
        for i, r in enumerate(records)
    ]


def columns(records: list[Record]) -> EventColumns:
    """The columns that decoding makes of the records."""
    rows = [(r, item, i == len(r.items) - 1) for r in records for i, item in enumerate(r.items)]
    return EventColumns(
        offsets=np.array([r.offset for r, _, _ in rows], np.int64),
        broker_ms=np.array([r.broker_ms for r, _, _ in rows], np.int64),
        time_ms=np.array([r.time_s * 1000 + 7 for r, _, _ in rows], np.int64),
        user_ids=[r.user for r, _, _ in rows],
        message_ids=[r.message for r, _, _ in rows],
        message_hashes=np.array([message_hash(r.message) for r, _, _ in rows], np.uint64),
        kinds=np.array([r.kind for r, _, _ in rows], np.uint8),
        item_ids=[item for _, item, _ in rows],
        amounts=np.array([r.amount for r, _, _ in rows], np.float32),
        entities=np.array([r.entities for r, _, _ in rows], np.uint64).reshape(len(rows), E),
        references=np.array(
            [message_hash(r.reference) if r.reference else 0 for r, _, _ in rows], np.uint64
        ),
        ends=np.array([end for _, _, end in rows], np.bool_),
    )


@st.composite
def logs(draw: st.DrawFn, users: int = 3, max_records: int = 40) -> list[Record]:
    """One partition's log: disorder, repeats, orders of several items, payments and labels."""
    records: list[Record] = []
    clocks = [START_S] * users
    offset, broker_ms = draw(st.integers(0, 1000)), START_S * 1000
    for number in range(draw(st.integers(1, max_records))):
        offset += draw(st.sampled_from([1, 1, 1, 2, BLOCK_OFFSETS // 2]))
        broker_ms += draw(st.sampled_from([0, 0, 1, 400, 1500]))
        if records and draw(st.integers(0, 7)) == 0:
            again = draw(st.sampled_from(records))
            moved = draw(st.sampled_from([0, 0, -10, 50]))
            records.append(
                replace(again, offset=offset, broker_ms=broker_ms, time_s=again.time_s + moved)
            )
            continue
        user = draw(st.integers(0, users - 1))
        clocks[user] += draw(st.sampled_from(STEPS_S))
        kind = draw(st.sampled_from([*KINDS, Kind.PAYMENT, Kind.PURCHASE, Kind.LABEL]))
        earlier = [r.message for r in records if r.kind in (Kind.PAYMENT, Kind.LOGIN)]
        items = draw(st.lists(st.sampled_from([None, "a", "b", "c", "d", "e"]), max_size=3))
        records.append(
            Record(
                user=f"user-{user}",
                message=f"m{number}",
                time_s=clocks[user],
                kind=kind,
                items=tuple(items)
                if items and kind in (Kind.PURCHASE, Kind.PAYMENT)
                else (*items, None)[:1],
                amount=draw(st.sampled_from([0.0, 1.0, 9.99, 250.0])),
                entities=tuple(draw(st.sampled_from([0, 0, 11, 12, 2**63 + 5])) for _ in range(E)),
                reference=draw(st.sampled_from([*earlier, "unknown"]))
                if kind is Kind.LABEL
                else None,
                offset=offset,
                broker_ms=broker_ms,
            )
        )
    return records


@st.composite
def cut_logs(
    draw: st.DrawFn, users: int = 3, max_records: int = 40
) -> tuple[list[Record], list[list[Record]]]:
    """A log, and the same log cut into batches anywhere between records."""
    records = draw(logs(users, max_records))
    cuts = draw(st.sets(st.integers(1, max(1, len(records) - 1)), max_size=8))
    edges = [0, *sorted(c for c in cuts if c < len(records)), len(records)]
    return records, [records[a:b] for a, b in pairwise(edges)]
