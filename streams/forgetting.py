"""Forgetting a user at one place of the log: state stays a pure function of it."""

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
    """A batch in log order, cut around the records that make forget a user, each with that user.

    Most batches have no such record and come back as they are.
    """
    if not any(name == HEADER for headers in batch.headers for name, _ in headers):
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
    """Keep nothing of a user -> what closes the alerts that were open or cooling down."""
    ended_ms = record.timestamps[0]
    found = [book.closed(user_id, ended_ms) for book in state.books.values()]
    state.forget(user_id)
    return [alert for alert in found if alert is not None]


def counts() -> BatchCounts:
    """The record itself: accepted, of no product's kind."""
    return BatchCounts(records=1, accepted=1, kinds=np.array([Kind.OTHER], np.uint8))


def message(alert: Alert, record: RecordBatch) -> tuple[bytes, bytes, Headers]:
    """Key, value and headers of a closing alert: `record` is what it is about."""
    return alert.subject.encode(), encode(alert), source(record.first_offset)
