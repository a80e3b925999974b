"""Decoding a batch whole gives what record by record gives, for any batch."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.events.codec import EventDecoder
from schemas.events.columns import EventColumns
from schemas.events.contract import Contract
from schemas.events.control import FORGET, HEADER
from streams.ingest.decode import BatchDecoder, Decoded, Records, decode_batch
from streams.ingest.decode_whole import WholeDecoder, parse_stamps
from tests.example_count import example_count
from tests.streams.ingest.test_decode import GOOD, NOW_MS, Batch

DECODER = EventDecoder(Contract())
ids = st.sampled_from(["u1", "u2", "ü", 7]) | st.none() | st.just("")
numbers = (
    st.sampled_from([0, 2, 2.5, -1, "3.5", "$3,50", "", "dear", True, [], 1e29, 1e31, 10**400])
    | st.none()
)
products = st.lists(st.fixed_dictionaries({}, optional={"product_id": ids, "price": numbers}))
properties = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "product_id": ids, "sku": ids, "price": numbers, "quantity": numbers, "revenue": numbers,
        "terminal_id": ids, "payment_id": ids, "products": products,
    },
)  # fmt: skip
stamps = st.sampled_from(
    ["2026-09-21T13:33:20.123Z", "2026-09-21T13:33:20Z", "2026-02-30T00:00:00.000Z", 10**12,
     "1789997600123", "2100-01-01T00:00:00.000Z", "1969-12-31T23:59:59.999Z", "soon", None]
)  # fmt: skip
names = st.sampled_from(["Product Viewed", "Fraud Confirmed", "Screen Viewed", "Odd", "", None])
odd = st.fixed_dictionaries(
    {},
    optional={
        "messageId": ids, "userId": ids, "event": names, "timestamp": stamps,
        "type": st.sampled_from(["track", "identify", "page", "screen", "alias", "Track", None]),
        "properties": properties,
        "context": st.sampled_from([None, {}, {"ip": 7}, {"device": None}, {"device": {"id": 1}}]),
    },
)  # fmt: skip
values = odd.map(lambda change: json.dumps({**GOOD, **change}).encode())


raw = st.one_of(
    values, values, values.map(lambda value: b"\xef\xbb\xbf" + value),
    values.map(lambda value: value + b"\n"),
    st.sampled_from([None, b"", b"{", b"\xff", b"[]", b'{"messageId":"m\xff"}']),
)  # fmt: skip
headers = st.sampled_from(
    [(), (), (), (("traceparent", b"00-4bf9"),), (("ce_id", b"c1"), ("ce_subject", b"u9")),
     ((HEADER, FORGET),), (("ce_id", b"\xff"),)]
)  # fmt: skip
broker_times = st.sampled_from([NOW_MS, NOW_MS, NOW_MS, -1, 10**12, 2**63 - 1])


@settings(
    max_examples=example_count(600), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(st.lists(st.tuples(raw, headers, broker_times), max_size=5))
def test_whole_batches_decode_like_single_records(
    records: list[tuple[bytes | None, tuple[tuple[str, bytes], ...], int]],
) -> None:
    batch = Batch([value for value, _, _ in records], [headers for _, headers, _ in records])
    batch.timestamps = [time for _, _, time in records]
    whole, single = BatchDecoder(DECODER).decode(batch), decode_batch(batch, DECODER)
    for field in fields(EventColumns):
        mine, theirs = getattr(whole.columns, field.name), getattr(single.columns, field.name)
        if isinstance(mine, np.ndarray):
            assert mine.dtype == theirs.dtype
            assert mine.shape == theirs.shape
            mine, theirs = mine.tolist(), theirs.tolist()
        assert mine == theirs, field.name
    assert whole.index.tolist() == single.index.tolist()
    assert whole.rejected == single.rejected
    assert (whole.unknown_names, whole.future, whole.unkeyed) == (
        single.unknown_names, single.future, single.unkeyed,
    )  # fmt: skip
    assert (whole.ignored, whole.left_out) == (single.ignored, single.left_out)


def good(**change: Any) -> bytes:
    return json.dumps({**GOOD, **change}).encode()


USUAL = [
    good(), good(type="identify"), good(event="Odd"), good(properties={"revenue": 3}),
    good(userId="X").replace(b"X", "ü".encode()), good(userId=None, anonymousId="a1"),
    good(userId="", anonymousId=7), good(messageId=7), good(timestamp=None),
    good(timestamp=1_789_997_600_123), good(properties={"sku": 5, "price": "19,90"}),
    good(properties={"price": 1, "quantity": "2"}), good(properties={"price": 10**400}),
    json.dumps(GOOD, indent=1).encode(),
]  # fmt: skip


def test_what_trackers_usually_send_is_decoded_whole() -> None:
    assert not WholeDecoder(DECODER).decode(USUAL).odd.any()


@pytest.mark.parametrize(
    "value",
    [None, b"", b"{}\n{}", b" " * 2_000_000, good() + b"\xff", b"{", b"\xff", good(messageId=""),
     good(event=""), good(userId=[1]), good(type="alias"), good(properties=None),
     good(timestamp="soon"), good(userId=10**600), good(type="banana"),
     good(properties={"products": [{"sku": "a"}, {"sku": "b"}]})],
)  # fmt: skip
def test_an_odd_record_goes_alone(value: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[bytes | None]] = []

    def noted(batch: Records, decoder: EventDecoder) -> Decoded:
        seen.append(list(batch.values))
        return decode_batch(batch, decoder)

    monkeypatch.setattr("streams.ingest.decode.decode_batch", noted)
    batch = Batch([*USUAL, value, *USUAL])
    decoded = BatchDecoder(DECODER).decode(batch)
    assert seen == [[value]]
    first, last = len(USUAL), len(USUAL) + 1
    assert {*decoded.index.tolist(), first} == set(range(len(batch.values)))
    assert decoded.columns.offsets.tolist() == decoded.index.tolist()
    assert decoded.columns.message_ids[0] == "m1"
    assert all(one.index == first for one in decoded.rejected)
    assert last in decoded.index


def test_lines_can_t_shift_between_records() -> None:
    # Two documents in one value and none in another: as many lines as records.
    found = WholeDecoder(DECODER).decode([good() + b"\n" + good(), b"", good()])
    assert found.odd.tolist() == [True, True, False]


@given(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)))
def test_stamps_parse_as_datetime_does(moment: datetime) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
    text = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    parsed = parse_stamps([text])
    assert parsed is not None
    assert parsed.tolist() == [round(moment.timestamp() * 1000)]


@pytest.mark.parametrize(
    "text",
    ["2026-02-29T00:00:00.000Z", "2026-13-01T00:00:00.000Z", "2026-00-01T00:00:00.000Z",
     "2026-01-00T00:00:00.000Z", "2026-01-01T24:00:00.000Z", "2026-01-01T00:60:00.000Z",
     "2026-01-01 00:00:00.000Z", "2026-01-01T00:00:00.000+", "202a-01-01T00:00:00.000Z"],
)  # fmt: skip
def test_stamps_that_are_no_dates_are_given_back(text: str) -> None:
    assert parse_stamps(["2026-01-01T00:00:00.000Z", text]) is None
