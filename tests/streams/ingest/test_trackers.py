"""What trackers and languages really send: accepted as a fact, or refused with words that help."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.errors import ConfigError, Reason
from schemas.events.codec import EventDecoder
from schemas.events.contract import Contract
from schemas.events.control import FORGET, HEADER, forget, users_named
from schemas.events.kinds import Kind
from streams.ingest.decode import BatchDecoder, Decoded, decode_batch
from streams.ingest.decode_whole import WholeDecoder
from tests.streams.ingest.test_decode import GOOD, Batch, changed, decode

DECODER = EventDecoder(Contract())


def view(**properties: Any) -> dict[str, Any]:
    return changed(properties={"product_id": "p1", **properties})


def order(*products: Any, **properties: Any) -> dict[str, Any]:
    return changed(event="Order Completed", properties={"products": list(products), **properties})


def raw(**change: Any) -> bytes:
    return json.dumps({**GOOD, **change}).encode()


def only(decoded: Decoded) -> str:
    """The detail of the one rejection."""
    assert [one.index for one in decoded.rejected] == [0]
    return decoded.rejected[0].detail


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (changed(event="Setting Changed", properties={"value": "dark"}), {"amount": 1}),
        (changed(event="Toggle Clicked", properties={"value": True}), {"amount": 1}),
        (changed(event="Tagged", properties={"value": ["red"]}), {"amount": 1}),
        (changed(event="Cart Seen", properties={"total": {"eur": 3}}), {"amount": 1}),
        (changed(event="Order Completed", properties={"total": {"eur": 3}}), {"amount": 1}),
        (changed(event="Campaign Viewed", properties={"products": "all"}), {"product": 1}),
        (changed(event="Campaign Viewed", properties={"products": 3}), {"product": 1}),
        (changed(event="Compared", properties={"sku": ["a", "b"]}), {"item": 1}),
        (changed(event="Paid", properties={"payment_method": {"type": "card"}}), {"entity": 1}),
        (changed(event="Paid", properties={"payment_method": ["card"]}), {"entity": 1}),
        (changed(event="Fraud Suspected", properties={"payment_id": {}}), {"entity": 1}),
        (changed(context={"device": "phone"}), {"entity": 1}),
        (changed(context={"device": ["phone"]}), {"entity": 1}),
        (changed(context={"ip": ["10.0.0.1", "10.0.0.2"]}), {"entity": 1}),
        (changed(context="web"), {"object": 1}),
        (changed(traits=[1]), {"object": 1}),
        (changed(properties=[1]), {"object": 1}),
        (changed(properties="none"), {"object": 1}),
        (changed(properties=[]), {}),
        (changed(context=[], traits=[]), {}),
        (changed(context={"device": []}), {}),
        (changed(anonymousId={"id": 1}), {"id": 1}),
        (changed(type="page", event=7), {"id": 1}),
        (changed(type="identify", event=["x"]), {"id": 1}),
        (view(price=""), {}),
        (view(price=" ", quantity=""), {}),
        (view(price="dear"), {"amount": 1}),
        (view(price="nan"), {"amount": 1}),
        (view(price="1e999"), {"amount": 1}),
        (view(price="1_000"), {"amount": 1}),
        (view(price="١٢"), {"amount": 1}),
        (view(price="1,299"), {"amount": 1}),
        (view(price=1e29, quantity=1e29), {"amount": 1}),
        (view(price={"amount": 19.9, "currency": "EUR"}), {"amount": 1}),
        (changed(properties={"product_id": [1]}), {"item": 1}),
        (changed(properties={"product_id": "p" * 513}), {"item": 1}),
        (changed(properties={"product_id": 10**600}), {"item": 1}),
        (changed(properties={"product_id": 12.5}), {"item": 1}),
        (order(None, {"product_id": "a"}), {"product": 1}),
        (order("a", 7, [], {"product_id": "a"}), {"product": 3}),
        (order({"product_id": ["a"], "price": True}), {"item": 1, "amount": 1}),
    ],
    ids=str,
)
def test_a_field_that_cannot_be_read_is_left_out_and_counted(
    value: dict[str, Any], left: dict[str, int]
) -> None:
    decoded = decode(GOOD, value, GOOD)
    assert decoded.rejected == []
    assert dict(decoded.left_out) == left
    assert decoded.columns.message_ids == ["m1"] * 3


def test_the_rest_of_an_event_counts_when_a_field_is_left_out() -> None:
    decoded = decode(changed(properties={"product_id": "p1", "price": 3, "terminal_id": ["t1"]},
                             context={"device": 4, "ip": "10.0.0.1"}))  # fmt: skip
    columns = decoded.columns
    assert (columns.item_ids, columns.amounts.tolist()) == (["p1"], [3.0])
    assert (columns.entities[0] != 0).tolist() == [False, False, True, False]
    assert dict(decoded.left_out) == {"entity": 2}


@pytest.mark.parametrize(
    ("price", "amount"),
    [
        ("19.90", 19.9), ("$19.90", 19.9), ("19,90", 19.9), ("19,90 €", 19.9), ("€19", 19),
        ("1.299,00 €", 1299), ("1,299.00", 1299), ("US$ 1,299.00", 1299), ("1'299.00 CHF", 1299),
        ("1 299,00 zł", 1299), ("1\u202f299,00\u00a0€", 1299), ("R$ 19,90", 19.9),
        ("EUR 19.90", 19.9), ("1.234.567", 1_234_567), ("-5,50", -5.5), ("1.299", 1.299),
        ("1,299", 0), ("1.299 €", 0), ("1,2,3", 0), ("12 kg", 0), ("19.90 or less", 0), ("€", 0),
    ],
)  # fmt: skip
def test_money_in_text_is_read_where_it_has_one_reading(price: str, amount: float) -> None:
    assert decode(view(price=price)).columns.amounts.tolist() == pytest.approx([amount])


@pytest.mark.parametrize(
    ("fields", "amount"),
    [
        ({"price": "dear", "total": 9}, 9), ({"price": 2, "quantity": "two"}, 2),
        ({"price": "", "revenue": "7,50"}, 7.5), ({"value": True, "amount": 3}, 3),
        ({"price": "1e31", "value": 4}, 4), ({"price": 2, "quantity": 0}, 0),
    ],
)  # fmt: skip
def test_an_amount_that_cannot_be_read_is_as_if_it_were_not_there(
    fields: dict[str, Any], amount: float
) -> None:
    assert decode(view(**fields)).columns.amounts.tolist() == [amount]


@pytest.mark.parametrize(
    ("products", "properties", "items", "amounts"),
    [
        ([{"product_id": "a", "price": 10}, {"product_id": "a", "price": 20}], {}, "aa", [10, 20]),
        ([{"id": "a", "price": 1}, {"sku": "b"}, {}], {}, ["a", "b", None], [1, 0, 0]),
        ([{"product_id": "a", "id": "z"}], {}, "a", [0]),
        ([{"product_id": "", "sku": None, "id": 7}], {}, "7", [0]),
        ([{"product_id": "a"}, {"product_id": "b"}], {"revenue": 25}, "ab", [12.5, 12.5]),
        ([{"id": "a"}, {"id": "b"}], {"total": "$25.00"}, "ab", [12.5, 12.5]),
        ([{"id": "a", "price": "?"}, {"id": "b"}], {"value": 25}, "ab", [12.5, 12.5]),
        ([{"id": "a", "price": 5}, {"id": "b"}], {"revenue": 25}, "ab", [5, 0]),
        ([{"id": "a", "price": 0}, {"id": "b"}], {"revenue": 25}, "ab", [0, 0]),
        ([None], {"revenue": 25}, [None], [25]),
        ([], {"revenue": 25}, [None], [25]),
    ],
)
def test_every_line_of_an_order_counts(
    products: list[Any], properties: dict[str, Any], items: Any, amounts: list[float]
) -> None:
    columns = decode(order(*products, **properties)).columns
    assert columns.item_ids == list(items)
    assert columns.amounts.tolist() == amounts
    assert columns.ends.tolist() == [False] * (len(amounts) - 1) + [True]


def test_lines_that_php_numbered_with_a_gap_are_a_list() -> None:
    value = changed(properties={"products": {"0": {"id": "a"}, "2": {"id": "b"}}})
    assert decode(value).columns.item_ids == ["a", "b"]


def test_products_beyond_a_hundred_are_counted() -> None:
    decoded = decode(order(*({"product_id": f"p{i}", "price": 1} for i in range(150))))
    assert len(decoded.columns) == 100
    assert dict(decoded.left_out) == {"product": 50}


@pytest.mark.parametrize("call", ["Track", "TRACK", " track ", "", None])
def test_the_type_is_read_in_any_case_and_track_where_there_is_none(call: str | None) -> None:
    batch = Batch([raw(type=call)])
    for decoded in (decode_batch(batch, DECODER), BatchDecoder(DECODER).decode(batch)):
        assert decoded.columns.kinds.tolist() == [Kind.VIEW]
    assert not WholeDecoder(DECODER).decode(batch.values).odd.any()


@pytest.mark.parametrize("call", ["group", "alias", "Alias"])
def test_group_and_alias_are_accepted_counted_and_without_effect(call: str) -> None:
    said = {"type": call, "userId": "u1", "previousId": "a1", "groupId": ["g"], "messageId": {}}
    decoded = decode(GOOD, said, GOOD)
    assert decoded.rejected == []
    assert decoded.index.tolist() == [0, 2]
    assert dict(decoded.ignored) == {call.lower(): 1}


@pytest.mark.parametrize(
    "value",
    [
        b"\xef\xbb\xbf" + raw(),
        raw() + b"\0",
        raw() + b"\0\0\0",
    ],
)
def test_a_byte_order_mark_and_the_end_of_a_c_string_are_taken_off(value: bytes) -> None:
    decoded = decode(value)
    assert decoded.columns.message_ids == ["m1"]
    assert not decoded.left_out


@pytest.mark.parametrize("half", [rb"\ud83d", rb"\uDE00", rb"\ud83d\ud83d", rb"\\\ud83d"])
@pytest.mark.parametrize("field", ["title", "product_id"])
def test_half_of_a_surrogate_pair_is_replaced(half: bytes, field: str) -> None:
    value = raw(properties={field: "cut X"}).replace(b"X", half)
    decoded = decode(value)
    assert dict(decoded.left_out) == {"text": 1}
    item = json.loads(value)["properties"].get("product_id")
    wanted = item and item.replace("\ud83d", "\ufffd").replace("\ude00", "\ufffd")
    assert decoded.columns.item_ids == [wanted]


@pytest.mark.parametrize("whole", [rb"\ud83d\ude00", rb"\\ud83d"])
def test_a_whole_pair_and_an_escaped_backslash_stay(whole: bytes) -> None:
    value = raw(context=[], properties={"product_id": "cut X"}).replace(b"X", whole)
    decoded = decode(value)
    assert not decoded.left_out
    assert decoded.columns.item_ids == [json.loads(value)["properties"]["product_id"]]


@pytest.mark.parametrize("constant", [b"NaN", b"Infinity", b"-Infinity"])
def test_a_number_that_json_has_not_is_null(constant: bytes) -> None:
    value = raw(properties={"product_id": "NaN", "price": "#", "weight": "#", "title": '"NaN#'})
    decoded = decode(value.replace(b'"#"', constant))
    assert decoded.columns.item_ids == ["NaN"], "a text stays"
    assert decoded.columns.amounts.tolist() == [0.0]
    assert dict(decoded.left_out) == {"text": 1}
    assert only(decode(b"{NaN:1}")).startswith("JSON")


def test_bytes_that_are_not_utf_8_cost_the_field_and_not_the_event() -> None:
    value = raw(properties={"title": "Caf#", "product_id": "p#", "price": 3}).replace(b"#", b"\xe9")
    decoded = decode(value)
    assert decoded.columns.item_ids == [None], "two items could become one"
    assert decoded.columns.amounts.tolist() == [3.0]
    assert dict(decoded.left_out) == {"text": 1, "item": 1}


@pytest.mark.parametrize(
    ("stamp", "reason", "words"),
    [
        (1_796_030_788_930_686, Reason.INVALID_TIMESTAMP, "microseconds, not ms?"),
        ("1796030788930686", Reason.INVALID_TIMESTAMP, "microseconds, not ms?"),
        (1_796_030_788_930_686_123, Reason.INVALID_TIMESTAMP, "nanoseconds, not ms?"),
        ("1796030788930686123", Reason.INVALID_TIMESTAMP, "nanoseconds, not ms?"),
        (1_796_030_788, Reason.TIMESTAMP_TOO_OLD, "seconds, not ms?"),
        ("1796030788", Reason.TIMESTAMP_TOO_OLD, "seconds, not ms?"),
        (1_796_030_788.930686, Reason.TIMESTAMP_TOO_OLD, "seconds, not ms?"),  # Java, Python
        ("1796030788.930686", Reason.TIMESTAMP_TOO_OLD, "seconds, not ms?"),
        (20_261_130_092_628, Reason.INVALID_TIMESTAMP, "not a time before 2100 in ms"),
    ],
)
def test_a_time_in_another_unit_is_refused_and_named(
    stamp: object, reason: Reason, words: str
) -> None:
    batch = Batch([raw(timestamp=stamp)])
    for decoded in (decode_batch(batch, DECODER), BatchDecoder(DECODER).decode(batch)):
        assert words in only(decoded)
        assert decoded.rejected[0].reason == reason


def test_a_very_old_time_in_ms_is_not_taken_for_seconds() -> None:
    assert "seconds" not in only(decode(changed(timestamp="1969-07-20T20:17:40Z")))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"\0\0\0\0\x07" + raw(), "schema registry's frame (magic byte 0, schema id 7)"),
        (b"\0\0\0\x01\x02\x10\x06abc", "schema registry's frame"),
        (b"\x03\x00" + b"u" * 16 + raw(), "AWS Glue"),
        (raw().decode().encode("utf-16"), "UTF-16"),
        (raw().decode().encode("utf-16-le"), "UTF-16"),
        (b"\x1f\x8b\x08\0\0\0", "gzip"),
        (b"Obj\x01\x04\x14avro.codec", "Avro"),
        (b"<event/>", "XML"),
        (json.dumps(json.dumps(GOOD)).encode(), "encoded twice"),
        (json.dumps([GOOD]).encode(), "a list: one event a record"),
        (raw() + b"\n" + raw(), "one event a record"),
        ({"batch": [GOOD], "sentAt": "2026-09-21T13:33:20Z"}, '{"batch": [...]}'),
        ({"api_key": "k", "batch": [{"event": "x"}]}, '{"batch": [...]}'),
        ({"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": GOOD},
         "structured CloudEvent"),
        ({"event": "$pageview", "distinct_id": "u1", "properties": {"$lib": "posthog-js"}},
         "PostHog"),
        ({"uuid": "1", "event": "x", "properties": {"distinct_id": "u1"}}, "PostHog"),
        ({"event": "Sign up", "properties": {"distinct_id": "u1", "$insert_id": "i"}}, "Mixpanel"),
        ({"event_name": "view_item", "event_timestamp": 1, "user_pseudo_id": "1"}, "GA4"),
        ({"client_id": "c", "events": [{"name": "purchase"}]}, "GA4"),
        ({"user_id": "u", "event_type": "View", "insert_id": "i", "time": 1}, "Amplitude"),
        ({"api_key": "k", "events": [{"event_type": "View"}]}, "Amplitude"),
        ({"schema": "iglu:com.acme/view/jsonschema/1-0-0", "data": {}}, "Snowplow"),
        ({"app_id": "shop", "event_id": "e", "collector_tstamp": "2026"}, "Snowplow"),
        ({"idsite": 1, "rec": 1, "action_name": "x"}, "Matomo"),
        ({"idVisit": "1", "actionDetails": []}, "Matomo"),
        ({"schema": {"type": "struct"}, "payload": GOOD}, "value.converter.schemas.enable"),
        ({"before": None, "after": GOOD, "op": "c"}, "Debezium"),
        ({"message_id": "m", "user_id": "u", "event": "x"}, "snake_case"),
        ({"MessageId": "m", "UserId": "u", "Event": "x"}, "capitals"),
    ],
    ids=str,
)  # fmt: skip
def test_a_refusal_says_what_the_value_looks_like(value: object, words: str) -> None:
    assert words in only(decode(value))


def test_what_looks_like_nothing_has_no_hint() -> None:
    assert only(decode(changed(messageId=""))) == "messageId is missing or empty"


@pytest.mark.parametrize(
    "value",
    [
        {"messageId": "m", "type": "track", "userId": "u", "event": "Product Viewed",
         "timestamp": "2026-09-21T13:33:20.123Z", "originalTimestamp": "2026-09-21T15:33:20+0200",
         "integrations": {"All": True}, "context": {"library": {"name": "analytics.js"},
         "traits": [], "ip": None, "device": {"id": "d"}}, "properties": {"product_id": "p1"}},
        {"messageId": "m", "type": "track", "userId": "", "anonymousId": "a", "channel": "web",
         "event": "Product Viewed", "rudderId": "r", "properties": {"product_id": "p1"}},
        {"messageId": "m", "type": "track", "userId": 4711, "event": "Product Viewed",
         "timestamp": "2026-09-21 13:33:20 UTC", "context": [], "properties": {"sku": "p1"}},
    ],
    ids=["Segment", "RudderStack", "Segment for Ruby and PHP"],
)  # fmt: skip
def test_events_of_the_trackers_that_hark_speaks_are_read(value: dict[str, Any]) -> None:
    decoded = decode(value)
    assert decoded.columns.item_ids == ["p1"]
    assert not decoded.left_out


def test_an_empty_entity_is_none() -> None:
    empty = changed(properties={"terminal_id": "", "payment_method": ""},
                    context={"device": {"id": ""}, "ip": ""})  # fmt: skip
    batch = Batch([json.dumps(empty).encode()])
    for decoded in (decode_batch(batch, DECODER), BatchDecoder(DECODER).decode(batch)):
        assert not decoded.columns.entities.any()
    zero = decode(changed(properties={"terminal_id": 0}))
    assert zero.columns.entities[0, 0] != 0


def test_an_empty_reference_is_none() -> None:
    label = raw(event="Fraud Confirmed", properties={"payment_id": ""})
    batch = Batch([label])
    for decoded in (decode_batch(batch, DECODER), BatchDecoder(DECODER).decode(batch)):
        assert decoded.columns.references.tolist() == [0]


def test_tracing_headers_do_not_switch_the_fast_decoder_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    traced = Batch([raw()] * 3, headers=[(("traceparent", b"00-4bf9-00f0-01"),)] * 3)
    with monkeypatch.context() as only_whole:
        only_whole.setattr("streams.ingest.decode.decode_batch", None)
        assert len(BatchDecoder(DECODER).decode(traced).columns) == 3
    named = Batch([raw(), raw(messageId=None)], headers=[(), (("ce_id", b"c1"),)])
    assert BatchDecoder(DECODER).decode(named).columns.message_ids == ["m1", "c1"]


def test_a_forget_record_that_names_nobody_says_so() -> None:
    decoded = decode(b'{"type":"forget","userId":""}', headers=[((HEADER, FORGET),)])
    assert only(decoded) == "a forget record without a user id"
    assert decoded.rejected[0].reason == Reason.MISSING_USER_ID
    with pytest.raises(ConfigError, match="the user id is empty"):
        forget("")


@pytest.mark.parametrize(
    "value",
    [b'\xef\xbb\xbf{"userId":"u1"}', b'{"userId":"u1"}\0', rb'{"userId":"u1","a":"\ud83d"}',
     b'{"userId":"u1","anonymousId":[1]}', b'{"userId":"u1","a":"\xff"}'],
)  # fmt: skip
def test_whom_an_odd_record_names_is_known_when_the_user_is_forgotten(value: bytes) -> None:
    assert users_named(None, value, []) == {"u1"}


@pytest.mark.parametrize(
    "value", [b'{"userId":0}', b'{"anonymousId":0}', b'{"userId":0,"anonymousId":[1]}']
)
def test_a_user_whose_number_is_0_is_named_like_any_other(value: bytes) -> None:
    assert decode(b'{"messageId":"m","event":"e",' + value[1:]).columns.user_ids == ["0"]
    assert users_named(None, value, []) == {"0"}
