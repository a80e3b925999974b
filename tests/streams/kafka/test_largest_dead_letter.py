"""The largest record that `events` takes fits into the dead letters, with its reason."""

from __future__ import annotations

import os

from ops.kafka_admin.topics import create_topics
from schemas.errors import Reason
from schemas.topics import DEAD_LETTER_BYTES, MAX_MESSAGE_BYTES
from streams.ingest.dead_letters import dead_letter
from streams.ingest.decode import Rejection
from streams.kafka.producer import Output, OutputProducer
from streams.transport.record_batch import RecordBatch
from tests.few_partitions import topics

RECORD_OVERHEAD = 128
"""At most, of a batch of one record with a short key."""


async def test_a_record_of_the_largest_size_becomes_a_dead_letter(
    kafka_bootstrap: str, topic_prefix: str
) -> None:
    client = {"bootstrap_servers": kafka_bootstrap}
    await create_topics(client, topics(topic_prefix), 1)
    events, letters = topic_prefix + "events", topic_prefix + "dead-letters"
    value = os.urandom(MAX_MESSAGE_BYTES - RECORD_OVERHEAD)  # can't be compressed
    batch = RecordBatch(events, 0, 7, 7, [7], [10**12], [b"ann"], [value], [()])
    refused = dead_letter(letters, "1", batch, Rejection(0, Reason.MALFORMED_JSON, "x" * 500))
    producer = OutputProducer(client, max_message_bytes=DEAD_LETTER_BYTES)
    await producer.start()
    try:
        for output in (Output(events, b"ann", value), refused):
            await producer.confirm(await producer.send([output], 0))
    finally:
        await producer.stop()
