"""A dead letter: a refused record, unchanged, with headers that say why and where it came from."""

from __future__ import annotations

from typing import Any

from aiokafka import TopicPartition

from schemas.errors import Reason
from schemas.events.codec import dead_letter_headers
from schemas.outputs import DeadLetterHeaders
from streams.ingest.decode import Rejection
from streams.kafka.log import Record, read_from
from streams.kafka.producer import Output
from streams.transport.record_batch import RecordBatch


async def read_refusals(
    client: dict[str, Any],
    letters: TopicPartition,
    letters_from: int,
    log: TopicPartition,
    begin: int,
    end: int,
) -> tuple[frozenset[int], int]:
    """Find the records of `log` that were refused as `unprocessable`.

    Parameters
    ----------
    client
        Keyword arguments of the aiokafka client.
    letters, letters_from
        The partition with the dead letters of `log`, and the offset to begin at: all letters about
        records from `begin` on lie behind that offset.
    log
        A partition of `events`.
    begin, end
        Offsets of `log`, `end` not included.

    Returns
    -------
    tuple
        The records' offsets, and how many letters were read.
    """
    if begin >= end:
        return frozenset(), 0
    found: set[int] = set()
    read = 0
    async for records in read_from(client, letters, letters_from):
        read += len(records)
        found.update(offset for record in records if (offset := _refused(record, log)) >= 0)
    return frozenset(offset for offset in found if begin <= offset < end), read


def _refused(record: Record, log: TopicPartition) -> int:
    """The offset in `log` of an unprocessable record, -1 for any other letter."""
    headers = dict(record.headers)
    if headers.get("hark-reason") != Reason.UNPROCESSABLE.encode():
        return -1
    origin = headers.get("hark-topic"), headers.get("hark-partition")
    if origin != (log.topic.encode(), str(log.partition).encode()):
        return -1
    offset = headers.get("hark-offset", b"")
    return int(offset) if offset.isdigit() else -1


def dead_letter(topic: str, code_version: str, batch: RecordBatch, rejection: Rejection) -> Output:
    """The dead letter to publish on `topic` for a rejected record of a batch."""
    i = rejection.index
    original = batch.headers[i]
    attempt = next((value for name, value in original if name == "hark-attempt"), b"0")
    headers = DeadLetterHeaders(
        reason=rejection.reason.value,
        detail=rejection.detail[:500],
        topic=batch.topic,
        partition=batch.partition,
        offset=batch.offsets[i],
        timestamp=batch.timestamps[i],
        code_version=code_version,
        attempt=int(attempt) + 1 if attempt.isdigit() and len(attempt) < 9 else 1,
    )
    return Output(topic, batch.keys[i], batch.values[i], dead_letter_headers(headers, original))
