"""What the published schema allows, the decoder takes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from schemas.documents.json_schema import schema_files
from schemas.errors import Reason, RejectedRecord
from schemas.events.codec import EventDecoder
from schemas.events.contract import Contract
from tests.example_count import example_count

CHECK = Draft202012Validator(json.loads(schema_files()["events.v1.schema.json"]))
DECODER = EventDecoder(Contract())
# What a schema can't see: what a string holds.
OF_STRINGS = {Reason.INVALID_TIMESTAMP}

ids = st.text(max_size=5) | st.integers(-5, 10**18) | st.sampled_from([None, True, 0.5, "a", []])
money = st.integers(-10, 10) | st.floats(-1e9, 1e9) | st.sampled_from([None, False, "1.5", {}])
moments = st.sampled_from([None, "2026-01-02T03:04:05Z", "soon", 1_790_000_000_000, True, 1.5e12])
odd = st.none() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)


def some(fields: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Objects with any of the fields, or rarely something odd in their place."""
    objects = st.fixed_dictionaries({}, optional=fields)
    return st.one_of(objects, objects, objects, odd)


product = some({"product_id": ids, "sku": ids, "price": money, "quantity": money})
properties = some(
    {"product_id": ids, "price": money, "total": money, "terminal_id": ids, "payment_id": ids,
     "payment_method": ids, "products": st.lists(product, max_size=2)}
)  # fmt: skip
FIELDS = {
    "messageId": ids,
    "userId": ids,
    "anonymousId": ids,
    "type": st.sampled_from(["track", "identify", "page", "screen", "alias", "teleport", None, 3]),
    "event": st.sampled_from([None, "Product Viewed", "Fraud Confirmed", "X", "", 7]),
    "timestamp": moments,
    "properties": properties,
    "context": some({"device": some({"id": ids}), "ip": st.sampled_from([None, "::1", 3])}),
    "traits": some({"plan": odd}),
}
changes = st.lists(
    st.sampled_from(sorted(FIELDS)).flatmap(lambda name: st.tuples(st.just(name), FIELDS[name])),
    max_size=4,
)


def valid(**changed: Any) -> dict[str, Any]:
    return {"messageId": "m", "userId": "u", "event": "Product Viewed", **changed}


@settings(max_examples=example_count(400))
@given(changes)
def test_an_event_that_is_valid_against_the_schema_is_accepted(
    changes: list[tuple[str, Any]],
) -> None:
    event = valid(**dict(changes))
    if not CHECK.is_valid(event):
        return
    try:
        DECODER.decode(json.dumps(event).encode())
    except RejectedRecord as error:
        assert error.reason in OF_STRINGS, error  # noqa: PT017 - most are accepted


def test_the_smallest_event_is_valid() -> None:
    assert CHECK.is_valid(valid())


@pytest.mark.parametrize(
    "changes",
    [
        {"messageId": None}, {"messageId": ""}, {"userId": None}, {"userId": ""}, {"userId": 1.5},
        {"event": None}, {"event": ""}, {"event": 7}, {"type": "teleport"}, {"timestamp": True},
        {"properties": []}, {"properties": {"product_id": {}}}, {"context": "web"},
        {"properties": {"products": {}}}, {"userId": "u" * 513},
    ],
    ids=str,
)  # fmt: skip
def test_an_event_of_a_wrong_shape_is_invalid(changes: dict[str, Any]) -> None:
    assert not CHECK.is_valid(valid(**changes))


def test_an_anonymous_event_without_user_is_valid() -> None:
    assert CHECK.is_valid(valid(userId=None, anonymousId="a"))


def test_identify_needs_no_event_name() -> None:
    event = valid(type="identify")
    del event["event"]
    assert CHECK.is_valid(event)
