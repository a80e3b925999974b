"""Every kind of bad input has one defined outcome, and none raises anything else."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import ConfigError, Reason
from schemas.events.codec import EventDecoder
from schemas.events.contract import Contract, contract_from_names
from schemas.events.kinds import Kind
from streams.ingest.decode import BatchDecoder, Decoded, decode_batch

NOW_MS = 1_790_000_000_000
GOOD: dict[str, Any] = {
    "messageId": "m1",
    "userId": "u1",
    "event": "Product Viewed",
    "timestamp": "2026-09-21T13:33:20Z",
    "properties": {"product_id": "p1", "price": 2.5, "quantity": 2, "terminal_id": "t1"},
    "context": {"device": {"id": "d1"}, "ip": "10.0.0.1"},
}


@dataclass
class Batch:
    values: list[bytes | None]
    headers: list[tuple[tuple[str, bytes], ...]] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        n = len(self.values)
        self.headers = self.headers or [()] * n
        self.keys = self.keys or [b"k"] * n
        self.offsets = list(range(n))
        self.timestamps = [NOW_MS] * n


def decode(*values: object, **more: Any) -> Decoded:
    raw = [v if isinstance(v, bytes | None) else json.dumps(v).encode() for v in values]
    return decode_batch(Batch(raw, **more), EventDecoder(Contract()))


def changed(**fields: object) -> dict[str, Any]:
    return {key: value for key, value in {**GOOD, **fields}.items() if value is not ...}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Reason.NULL_VALUE),
        (b"", Reason.MALFORMED_JSON),
        (b"{", Reason.MALFORMED_JSON),
        (b"not json", Reason.MALFORMED_JSON),
        (json.dumps(GOOD).encode() + b"{}", Reason.MALFORMED_JSON),
        (b"[]", Reason.WRONG_TYPE),
        (b'"text"', Reason.WRONG_TYPE),
        (b"\xff\xfe", Reason.INVALID_UTF8),
        (b'{"messageId":"m","userId":"M\xfcller","event":"x"}', Reason.INVALID_UTF8),
        (b'{"messageId":"m\xff","userId":"u","event":"x"}', Reason.INVALID_UTF8),
        (b'{"messageId":"m","userId":"u","event":"Caf\xe9"}', Reason.INVALID_UTF8),
        (b'{"messageId":"m","userId":"u","event":"x","traits":{"a":"\xff"', Reason.INVALID_UTF8),
        (b" " * 2_000_000, Reason.TOO_LARGE),
        (changed(messageId=...), Reason.MISSING_MESSAGE_ID),
        (changed(messageId=""), Reason.MISSING_MESSAGE_ID),
        (changed(messageId=None), Reason.MISSING_MESSAGE_ID),
        (changed(messageId=["m"]), Reason.WRONG_TYPE),
        (changed(messageId="m" * 513), Reason.WRONG_TYPE),
        (changed(userId=...), Reason.MISSING_USER_ID),
        (changed(userId="", anonymousId=""), Reason.MISSING_USER_ID),
        (changed(userId={"id": 1}), Reason.WRONG_TYPE),
        (changed(userId=True), Reason.WRONG_TYPE),
        (changed(userId=10**600), Reason.WRONG_TYPE),
        (changed(event="e" * 513), Reason.WRONG_TYPE),
        (changed(event=...), Reason.MISSING_EVENT_NAME),
        (changed(event=7), Reason.WRONG_TYPE),
        (changed(type="banana"), Reason.WRONG_TYPE),
        (changed(type=3), Reason.WRONG_TYPE),
        (changed(userId=..., anonymousId=[1]), Reason.WRONG_TYPE),
        (changed(event="Fraud Confirmed", properties={"payment_id": [1]}), Reason.WRONG_TYPE),
        (changed(event="Fraud Confirmed", properties="m1"), Reason.WRONG_TYPE),
        (changed(timestamp="yesterday"), Reason.INVALID_TIMESTAMP),
        (changed(timestamp=1e300), Reason.INVALID_TIMESTAMP),
        (changed(timestamp=""), Reason.INVALID_TIMESTAMP),
        (changed(timestamp="20260921133320"), Reason.INVALID_TIMESTAMP),
        (changed(timestamp="2026-09-21 UTC"), Reason.INVALID_TIMESTAMP),
        (changed(timestamp="2026-09-21+02:00"), Reason.INVALID_TIMESTAMP),
        (changed(timestamp="١٧٨٩٩٩٧٦٠٠١٢٣"), Reason.INVALID_TIMESTAMP),
        (changed(timestamp="2026-09-21T13:33:20+02:80"), Reason.INVALID_TIMESTAMP),
        (changed(timestamp="2026-09-21x13:33:20"), Reason.INVALID_TIMESTAMP),
        (changed(timestamp=True), Reason.WRONG_TYPE),
        (changed(timestamp="1970-01-01T00:00:00Z"), Reason.TIMESTAMP_TOO_OLD),
        (changed(timestamp=1_430_623_510), Reason.TIMESTAMP_TOO_OLD),
        (changed(timestamp=-1), Reason.TIMESTAMP_TOO_OLD),
    ],
)
def test_bad_input_is_rejected_with_its_reason(value: object, reason: Reason) -> None:
    decoded = decode(GOOD, value, GOOD)
    assert [(r.index, r.reason) for r in decoded.rejected] == [(1, reason)]
    assert decoded.rejected[0].detail
    assert decoded.index.tolist() == [0, 2]


@pytest.mark.parametrize("broker_ms", [-1, 0, 2**63 - 1, -(2**63), 4_102_444_800_001])
def test_a_record_whose_kafka_timestamp_can_t_be_is_a_dead_letter(broker_ms: int) -> None:
    batch = Batch([json.dumps(GOOD).encode()])
    batch.timestamps = [broker_ms]
    decoder = EventDecoder(Contract())
    for decoded in (decode_batch(batch, decoder), BatchDecoder(decoder).decode(batch)):
        assert [r.reason for r in decoded.rejected] == [Reason.INVALID_TIMESTAMP]


@pytest.mark.parametrize(
    ("value", "reason"),
    [(b"x" * 513, Reason.WRONG_TYPE), (b"\xff", Reason.INVALID_UTF8)],
)
def test_an_id_in_a_header_is_as_good_as_one_in_the_value(value: bytes, reason: Reason) -> None:
    decoded = decode(changed(messageId=...), headers=[(("ce_id", value),)])
    assert [r.reason for r in decoded.rejected] == [reason]


@pytest.mark.parametrize(
    ("timestamp", "time_ms"),
    [
        ("2026-09-21T13:33:20.123Z", 1_789_997_600_123),
        ("2026-09-21T15:33:20.123+02:00", 1_789_997_600_123),
        ("2026-09-21 13:33:20", 1_789_997_600_000),
        ("2026-09-21 13:33:20 +0000", 1_789_997_600_000),  # Ruby
        ("2026-09-21 15:33:20 +0200", 1_789_997_600_000),
        ("2026-09-21 13:33:20 UTC", 1_789_997_600_000),  # Ruby, BigQuery
        ("2026-09-21 13:33:20.123456 UTC", 1_789_997_600_123),
        ("2026-09-21 13:33:20.123456789 +0000 UTC", 1_789_997_600_123),  # Go's String()
        ("2026-09-21T13:33:20.123456789Z", 1_789_997_600_123),  # Go's RFC3339Nano
        ("2026-09-21T13:33:20.1234567+00:00", 1_789_997_600_123),  # .NET's O
        ("2026-09-21T15:33:20.123+02:00[Europe/Berlin]", 1_789_997_600_123),  # Java
        ("2026-09-21T13:33:20.123456", 1_789_997_600_123),  # Python's isoformat()
        ("2026-09-21 13:33:20.123456+00:00", 1_789_997_600_123),  # Python's str()
        ("2026-09-21 13:33:20.12+00", 1_789_997_600_120),  # PostgreSQL
        ("2026-09-21t13:33:20z", 1_789_997_600_000),
        (1_789_997_600_123.456, 1_789_997_600_123),
        ("1789997600123.456", 1_789_997_600_123),
        (1_789_997_600_123, 1_789_997_600_123),
        ("1789997600123", 1_789_997_600_123),
        (None, NOW_MS),
    ],
)
def test_timestamps_are_read_as_utc_milliseconds(timestamp: object, time_ms: int) -> None:
    assert decode(changed(timestamp=timestamp)).columns.time_ms.tolist() == [time_ms]


def test_an_event_dated_in_the_future_is_clamped_to_the_broker_and_counted() -> None:
    decoded = decode(changed(timestamp="2100-01-01T00:00:00Z"), GOOD)
    assert decoded.columns.time_ms[0] == NOW_MS
    assert decoded.future == 1


def test_a_small_clock_error_is_not_clamped() -> None:
    decoded = decode(changed(timestamp=NOW_MS + 60_000))
    assert decoded.columns.time_ms.tolist() == [NOW_MS + 60_000]
    assert decoded.future == 0


def test_an_unknown_event_name_is_accepted_as_other_and_counted() -> None:
    decoded = decode(changed(event="Rocket Launched"))
    assert decoded.columns.kinds.tolist() == [Kind.OTHER]
    assert decoded.unknown_names == 1


def test_ids_may_be_numbers_and_anonymous_users_count() -> None:
    decoded = decode(changed(userId=..., anonymousId=77, properties={"product_id": 5}))
    assert decoded.columns.user_ids == ["77"]
    assert decoded.columns.item_ids == ["5"]


def test_amount_is_price_times_quantity_else_any_money_property() -> None:
    decoded = decode(GOOD, changed(properties={"revenue": "12.50"}), changed(properties=None))
    assert decoded.columns.amounts.tolist() == [5.0, 12.5, 0.0]


def test_an_order_of_several_products_becomes_several_rows_of_one_record() -> None:
    products = [{"product_id": "a", "price": 1, "quantity": 3}, {"sku": "b", "price": 2}]
    decoded = decode(GOOD, changed(event="Order Completed", properties={"products": products}))
    assert decoded.columns.item_ids == ["p1", "a", "b"]
    assert decoded.columns.amounts.tolist() == [5.0, 3.0, 2.0]
    assert decoded.index.tolist() == [0, 1, 1]
    assert decoded.columns.ends.tolist() == [True, False, True]


def test_an_order_without_products_is_still_an_event() -> None:
    decoded = decode(changed(event="Order Completed", properties={"products": [], "total": 9}))
    assert decoded.columns.item_ids == [None]
    assert decoded.columns.amounts.tolist() == [9.0]


def test_entities_are_hashed_per_kind_and_explicit_nulls_are_absent() -> None:
    decoded = decode(
        GOOD, changed(context=None), changed(context={"device": None, "ip": "t1"}), changed()
    )
    entities = decoded.columns.entities
    assert (entities[0] != 0).tolist() == [True, True, True, False]
    assert (entities[1] != 0).tolist() == [True, False, False, False]
    assert entities[2, 2] != entities[0, 0], "an ip and a terminal of one spelling differ"
    assert entities[3].tolist() == entities[0].tolist()


def test_a_label_event_references_the_message_it_confirms() -> None:
    label = changed(messageId="m2", event="Fraud Confirmed", properties={"payment_id": "m1"})
    decoded = decode(GOOD, label)
    assert decoded.columns.kinds.tolist() == [Kind.VIEW, Kind.LABEL]
    assert decoded.columns.references[1] == decoded.columns.message_hashes[0]


def test_identify_is_accepted_with_its_traits() -> None:
    decoded = decode({"messageId": "m", "type": "identify", "userId": 1, "traits": {"age": 3}})
    assert decoded.columns.kinds.tolist() == [Kind.IDENTIFY]


def test_cloudevents_headers_fill_what_the_json_leaves_out() -> None:
    headers = (("ce_id", b"c1"), ("ce_type", b"Product Viewed"), ("ce_subject", b"u9"))
    decoded = decode({"properties": {"sku": "x"}}, headers=[headers])
    assert decoded.columns.message_ids == ["c1"]
    assert decoded.columns.user_ids == ["u9"]
    assert decoded.columns.kinds.tolist() == [Kind.VIEW]


@pytest.mark.parametrize("headers", [None, [(("ce_id", b"c1"),)] * 5])
def test_events_whose_key_isnt_their_user_are_counted(headers: Any) -> None:
    """Whole batches and record by record."""
    keys = [None, b"u1", b"", b"u10", b"m1"]
    value = json.dumps(GOOD).encode()
    batch = Batch([value] * 5, keys=keys, **({"headers": headers} if headers else {}))
    assert BatchDecoder(EventDecoder(Contract())).decode(batch).unkeyed == 4


def test_a_product_names_its_own_events_and_entities() -> None:
    contract = contract_from_names({"kauf": "purchase"}, entities=("traits.card.number",))
    value = changed(event="kauf", traits={"card": {"number": 5}})
    decoded = decode_batch(Batch([json.dumps(value).encode()]), EventDecoder(contract))
    assert decoded.columns.kinds.tolist() == [Kind.PURCHASE]
    assert decoded.columns.entities.shape == (1, 1)
    assert decoded.columns.entities[0, 0] != 0


def test_a_wrong_kind_or_path_is_a_config_error_that_says_what_to_use() -> None:
    with pytest.raises(ConfigError, match="use one of view, cart"):
        contract_from_names({"kauf": "buy"})
    with pytest.raises(ConfigError, match="must start with properties"):
        Contract(entities=("terminal",))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(st.lists(st.none() | st.binary(max_size=60), max_size=5))
def test_arbitrary_bytes_never_raise_and_are_all_accounted_for(values: list[bytes | None]) -> None:
    decoded = decode(*values)
    assert len(decoded.rejected) + len(set(decoded.index.tolist())) == len(values)


@settings(suppress_health_check=[HealthCheck.too_slow])  # first draw builds character tables
@given(st.dictionaries(st.sampled_from([*GOOD, "type", "traits", "anonymousId"]), json_values))
def test_arbitrary_fields_never_raise_and_are_all_accounted_for(fields: dict[str, Any]) -> None:
    decoded = decode({**GOOD, **fields})
    assert len(decoded.rejected) + len(set(decoded.index.tolist())) == 1


@given(st.integers(1, 3_000))
def test_deep_nesting_never_raises(depth: int) -> None:
    value = b'{"messageId":"m","userId":"u","event":"e","x":' + b"[" * depth + b"]" * depth + b"}"
    assert len(decode(value).columns) + len(decode(value).rejected) == 1
