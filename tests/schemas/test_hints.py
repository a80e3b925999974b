"""What a refused value is said to look like."""

import json
from typing import Any

import pytest

from schemas.events.hints import hint

EVENT = b'{"messageId":"m","userId":"u","event":"e"}'


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (EVENT.decode().encode("utf-16-be"), "UTF-16"),
        (EVENT.decode().encode("utf-16-le"), "UTF-16"),
        (b"\0" + EVENT, "a NUL byte before the JSON"),
        (b"\0\0\0\0\7" + EVENT, "schema id 7) before JSON"),
        (b"\0\0\0\0\7\x0cabcdef", "schema id 7) before Avro or Protobuf"),
    ],
)
def test_bytes_are_told_apart(value: bytes, said: str) -> None:
    assert said in hint(value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"app_instance_id": "x", "events": []}, "GA4"),
        ({"mpid": 1, "events": []}, "mParticle"),
        ({"events": [], "attributes": [], "purchases": []}, "Braze"),
        ({"id": 1, "admin_graphql_api_id": "gid://shopify/Order/1"}, "Shopify"),
        ({"id": "evt_1", "object": "event", "api_version": "1", "type": "charge.failed"}, "Stripe"),
        ({"app_token": "a", "activity_kind": "event"}, "Adjust"),
        ({"appsflyer_id": "1", "event_name": "af_purchase"}, "AppsFlyer"),
    ],
)
def test_other_senders_are_named(value: dict[str, Any], said: str) -> None:
    assert said in hint(json.dumps(value).encode())
