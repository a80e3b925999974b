"""A header of a record may have no value; Kafka allows it, and some clients send it."""

from __future__ import annotations

from typing import Any, cast

import pytest
from aiokafka.structs import ConsumerRecord

from ops import render
from ops.dead_letters.letters import Letter
from schemas.errors import Reason
from schemas.events.codec import EventDecoder
from schemas.events.contract import Contract
from schemas.events.control import users_named
from streams.alerts.book import source_offset
from streams.ingest.dead_letters import dead_letter
from streams.ingest.decode import BatchDecoder, Rejection
from streams.kafka.producer import Output
from streams.transport.record_batch import Headers, RecordBatch

NAMES = ("ce_id", "ce_subject", "hark-attempt", "hark-control", "hark-offset", "trace")
EMPTY = cast("Headers", tuple((name, None) for name in NAMES))
VALUE = b'{"messageId":"m","userId":"ann","event":"Product Viewed"}'


def refused() -> Output:
    batch = RecordBatch("events", 0, 7, 7, [7], [10**12], [b"ann"], [VALUE], [EMPTY])
    return dead_letter("dead-letters", "1", batch, Rejection(0, Reason.LATE, "late"))


def published(output: Output) -> ConsumerRecord[Any, Any]:
    headers = tuple(output.headers)
    return ConsumerRecord(
        output.topic, 0, 3, 10**12, 0, output.key, output.value, None, 3, 0, headers
    )


def test_an_event_with_empty_headers_is_read() -> None:
    batch = RecordBatch("events", 0, 7, 7, [7], [10**12], [b"ann"], [VALUE], [EMPTY])
    assert BatchDecoder(EventDecoder(Contract())).decode(batch).columns.user_ids == ["ann"]
    assert users_named(b"ann", VALUE, EMPTY) == {"ann"}
    assert source_offset(EMPTY) == -1


def test_a_dead_letter_keeps_them_and_can_be_read() -> None:
    letter = Letter.read(published(refused()))
    assert letter is not None
    assert (letter.attempt, letter.coordinates) == (1, "events/0/7")
    assert ("trace", None) in letter.headers


@pytest.mark.parametrize("show", [render.as_json, render.dead_letter])
def test_a_dead_letter_with_them_can_be_shown(show: Any) -> None:
    assert show(published(refused()))
