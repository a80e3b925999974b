"""Logs for tests of growing, and what is the same in any number of partitions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from ops.publish.feed import feed
from schemas.topics import EVENTS
from streams.partition import PartitionState


@dataclass
class Published:
    """A record as a consumer gives it."""

    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: tuple[()] = ()


def spread(events: pl.DataFrame) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of events in the order in which they are published."""
    for chunk in feed(events, None, ""):
        if chunk.topic == EVENTS.name:
            yield from zip(chunk.keys, chunk.values, strict=True)


def rows(states: dict[int, PartitionState]) -> dict[str, list[Any]]:
    """Each user's partition and row, with the items' ids, without the offset in its log."""
    found: dict[str, list[Any]] = {}
    for number, state in states.items():
        histories = state.histories
        for user in histories.known():
            row = histories.row(user)
            assert row is not None
            length = int(row["length"][0])
            ids = [histories.items.ids[i] if i >= 0 else "" for i in row["item"][0, :length]]
            rest = [
                row[name][0].tolist() for name in row.dtype.names if name not in ("item", "applied")
            ]
            assert user not in found
            found[user] = [number, ids, rest]
    return found
