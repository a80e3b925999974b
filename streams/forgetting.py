"""Forgetting a user at an offset of the log, so that state stays a pure function of the log."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from schemas.events.codec import encode
from schemas.events.control import HEADER, forgotten
from schemas.events.kinds import Kind
from schemas.outputs import Alert
from streams.alerts.book import source
from streams.kafka.producer import Headers
from streams.monitoring.batch_counts import BatchCounts
from streams.partition import PartitionState
from streams.transport.record_batch import RecordBatch


def pieces(batch: RecordBatch) -> Iterator[tuple[RecordBatch, str | None]]:
    """Cut a batch at its forget records -> pieces in log order.

    A piece with a forget record has that record alone and comes with the user to forget; other
    pieces come with None. A batch without forget records is returned whole.
    """
    # Most batches have no headers at all, and `any` of empty tuples is quick.
    if not any(batch.headers) or not any(
        name == HEADER for headers in batch.headers for name, _ in headers
    ):
        yield batch, None
        return
    begin = 0
    for row, (value, headers) in enumerate(zip(batch.values, batch.headers, strict=True)):
        user_id = forgotten(value, headers)
        if user_id is None:
            continue
        if row > begin:
            yield batch.part(begin, row), None
        yield batch.part(row, row + 1), user_id
        begin = row + 1
    if begin < len(batch):
        yield batch.part(begin, len(batch)), None


def forget(state: PartitionState, record: RecordBatch, user_id: str) -> list[Alert]:
    """Forget a user -> the alerts that close incidents which were open or cooling down."""
    ended_ms = record.timestamps[0]
    found = [book.closed(user_id, ended_ms) for book in state.books.values()]
    state.forget(user_id)
    return [alert for alert in found if alert is not None]


def counts() -> BatchCounts:
    """The counts of a forget record: accepted, of kind `other`."""
    return BatchCounts(records=1, accepted=1, kinds=np.array([Kind.OTHER], np.uint8))


def message(alert: Alert, record: RecordBatch) -> tuple[bytes, bytes, Headers]:
    """Key, value and headers of a closing alert; `record` is the forget record."""
    return alert.subject.encode(), encode(alert), source(record.partition, record.first_offset)
