"""A dead letter: a refused record as it came, and in its headers why and from where."""

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
    """Which records of `log` were `unprocessable`.

    Parameters
    ----------
    letters, letters_from
        The partition of the dead letters that those of `log` go to, and where to begin in it: all
        letters about records from `begin` on lie behind it.
    begin, end
        Offsets of `log`, `end` not included.

    Returns
    -------
    Their offsets, and how many letters were read.
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
    story = dict(record.headers)
    if story.get("hark-reason") != Reason.UNPROCESSABLE.encode():
        return -1
    where = story.get("hark-topic"), story.get("hark-partition")
    offset = story.get("hark-offset") or b""
    mine = where == (log.topic.encode(), str(log.partition).encode())
    return int(offset) if mine and offset.isdigit() else -1


def dead_letter(topic: str, code_version: str, batch: RecordBatch, rejection: Rejection) -> Output:
    """What to publish on `topic` about one record of a batch."""
    i = rejection.index
    headers = batch.headers[i]
    attempt = next((value for name, value in headers if name == "hark-attempt"), None) or b"0"
    story = DeadLetterHeaders(
        reason=rejection.reason.value,
        detail=rejection.detail[:500],
        topic=batch.topic,
        partition=batch.partition,
        offset=batch.offsets[i],
        timestamp=batch.timestamps[i],
        code_version=code_version,
        attempt=int(attempt) + 1 if attempt.isdigit() and len(attempt) < 9 else 1,
    )
    return Output(topic, batch.keys[i], batch.values[i], dead_letter_headers(story, headers))
