"""A record batch: what one fetch brought of one partition, as columns."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Consecutive records of one partition, n of each column, in log order.

    Offsets rise but may have holes: compaction and transactions leave them.

    Attributes
    ----------
    first_offset, last_offset
        Offsets of the first and last record here.
    timestamps
        Broker or producer time of each record, ms since 1970.
    headers
        Per record, an empty tuple without headers.
    """

    topic: str
    partition: int
    first_offset: int
    last_offset: int
    offsets: Sequence[int]
    timestamps: Sequence[int]
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Sequence[Headers]

    def __len__(self) -> int:
        return len(self.offsets)

    def since(self, offset: int) -> RecordBatch | None:
        """The records from `offset` on; None if there are none.

        Examples
        --------
        >>> batch = RecordBatch("t", 0, 5, 9, [5, 7, 9], [0, 1, 2], [None] * 3, [b""] * 3, [()] * 3)
        >>> batch.since(6).offsets
        [7, 9]
        """
        row = bisect_left(self.offsets, offset)
        if row == 0:
            return self
        return None if row == len(self.offsets) else self.part(row, len(self))

    def part(self, begin: int, end: int) -> RecordBatch:
        """The records from row `begin` up to, not including, row `end`; at least one."""
        rows = slice(begin, end)
        return RecordBatch(
            self.topic,
            self.partition,
            self.offsets[begin],
            self.offsets[end - 1],
            self.offsets[rows],
            self.timestamps[rows],
            self.keys[rows],
            self.values[rows],
            self.headers[rows],
        )

    def without(self, offsets: Container[int]) -> RecordBatch | None:
        """The records but for those at `offsets`; None if there are no others.

        Examples
        --------
        >>> batch = RecordBatch("t", 0, 5, 9, [5, 7, 9], [0, 1, 2], [None] * 3, [b""] * 3, [()] * 3)
        >>> batch.without({5, 9}).offsets
        [7]
        """
        rows = [row for row, offset in enumerate(self.offsets) if offset not in offsets]
        if len(rows) == len(self):
            return self
        if not rows:
            return None
        return RecordBatch(
            self.topic,
            self.partition,
            self.offsets[rows[0]],
            self.offsets[rows[-1]],
            [self.offsets[row] for row in rows],
            [self.timestamps[row] for row in rows],
            [self.keys[row] for row in rows],
            [self.values[row] for row in rows],
            [self.headers[row] for row in rows],
        )


class FetchedRecord(Protocol):
    """What a batch takes of a record: aiokafka's own, before and after it is wrapped, have it."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


def fold(topic: str, partition: int, records: Sequence[FetchedRecord]) -> RecordBatch:
    """Turn fetched records, at least one, into columns."""
    return RecordBatch(
        topic,
        partition,
        records[0].offset,
        records[-1].offset,
        [record.offset for record in records],
        [record.timestamp for record in records],
        [record.key for record in records],
        [record.value for record in records],
        [tuple(record.headers) for record in records],
    )


def cut(
    topic: str,
    partition: int,
    records: Sequence[FetchedRecord],
    next_offset: int,
    max_records: int,
) -> Iterator[tuple[RecordBatch, int]]:
    """Fold a fetch into batches of at most `max_records`, each with the offset that follows it.

    What follows a batch is the first record of the next one, or `next_offset` after the last:
    holes of the log belong to the batch before them, so that an acked prefix commits over them.
    """
    for begin in range(0, len(records), max_records):
        end = begin + max_records
        follows = records[end].offset if end < len(records) else next_offset
        yield fold(topic, partition, records[begin:end]), follows
