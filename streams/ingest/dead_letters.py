"""A dead letter: a refused record as it came, and in its headers why and from where."""

from __future__ import annotations

from schemas.events.codec import dead_letter_headers
from schemas.outputs import DeadLetterHeaders
from streams.ingest.decode import Rejection
from streams.kafka.producer import Output
from streams.transport.record_batch import RecordBatch


def dead_letter(topic: str, code_version: str, batch: RecordBatch, rejection: Rejection) -> Output:
    """What to publish on `topic` about one record of a batch."""
    i = rejection.index
    headers = batch.headers[i]
    attempt = next((value for name, value in headers if name == "hark-attempt"), b"0")
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
