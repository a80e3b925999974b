"""A record batch: the records of one partition from one fetch, as columns."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

_RECORD_BYTES = 100
"""What a record takes without its value, about."""
Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """n consecutive records of a partition as columns, in log order.

    Offsets rise, but may have holes from compaction and transactions.

    Attributes
    ----------
    first_offset, last_offset
        Offsets of the first and last record.
    timestamps
        Kafka timestamp of each record (set by producer or broker), epoch ms.
    headers
        Headers of each record; an empty tuple if a record has none.
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

    @property
    def nbytes(self) -> int:
        """Bytes of the records, about."""
        return _RECORD_BYTES * len(self) + sum(len(value) for value in self.values if value)

    def since(self, offset: int) -> RecordBatch | None:
        """The records from `offset` on, None if there are none.

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

    @staticmethod
    def joined(batches: Sequence[RecordBatch]) -> RecordBatch:
        """Consecutive batches of a partition as one; there must be at least one."""
        if len(batches) == 1:
            return batches[0]
        return RecordBatch(
            batches[0].topic,
            batches[0].partition,
            batches[0].first_offset,
            batches[-1].last_offset,
            [offset for batch in batches for offset in batch.offsets],
            [timestamp for batch in batches for timestamp in batch.timestamps],
            [key for batch in batches for key in batch.keys],
            [value for batch in batches for value in batch.values],
            [headers for batch in batches for headers in batch.headers],
        )

    def part(self, begin: int, end: int) -> RecordBatch:
        """The records of rows `begin` to `end` (exclusive), at least one."""
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
        """The records except those at `offsets`, None if no others are left.

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
    """The fields of a fetched record that a batch needs; aiokafka's records have them."""

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
    """Turn fetched records into columns; there must be at least one record."""
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
    """Fold a fetch into batches of at most `max_records`, each with the offset to read on from.

    That offset is the first record's of the next batch, or `next_offset` after the last batch.
    Holes in the log belong to the batch before them, so that an acked prefix includes them.
    """
    for begin in range(0, len(records), max_records):
        end = begin + max_records
        resume_at = records[end].offset if end < len(records) else next_offset
        yield fold(topic, partition, records[begin:end]), resume_at
