"""Hints about a refused value: another tracker's event, a frame, a wrong encoding."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from schemas.events.tolerant import BOM

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])

_BYTES = (
    (b"\xff\xfe", "UTF-16, not UTF-8"),
    (b"\xfe\xff", "UTF-16, not UTF-8"),
    (b"\x1f\x8b", "gzip: let the Kafka client compress (compression.type), not the product"),
    (b"\x28\xb5\x2f\xfd", "zstd: let the Kafka client compress (compression.type)"),
    (b"\x04\x22\x4d\x18", "lz4: let the Kafka client compress (compression.type)"),
    (b"Obj\x01", "an Avro file: Hark reads JSON"),
    (b"\xac\xed\x00\x05", "a serialized Java object: Hark reads JSON"),
    (b"\x80\x04\x95", "a Python pickle: Hark reads JSON"),
    (b"<", "XML: Hark reads JSON"),
)
_JSON: tuple[tuple[tuple[str, ...], str], ...] = (
    (("batch",), 'a tracker\'s HTTP body, {"batch": [...]}: one event a record'),
    (("events", "api_key"), "Amplitude's HTTP body: one event a record"),
    (("events", "client_id"), "a GA4 Measurement Protocol body: one event a record"),
    (
        ("specversion",),
        "a structured CloudEvent: send binary mode (headers ce_id, ...)",
    ),
    (("schema", "payload"), "a Kafka Connect envelope: set value.converter.schemas.enable=false"),
    (("before", "after", "op"), "a Debezium change event: unwrap it into an event"),
    (("events", "app_instance_id"), "a GA4 Measurement Protocol body: one event a record"),
    (("events", "mpid"), "mParticle's HTTP body: one event a record"),
    (("events", "attributes"), "Braze's HTTP body: one event a record"),
    (("admin_graphql_api_id",), "a Shopify webhook: turn it into an event"),
    (("object", "api_version", "type"), "a Stripe event: turn it into an event"),
    (("activity_kind", "app_token"), "a callback of Adjust: turn it into an event"),
    (("appsflyer_id",), "a callback of AppsFlyer: turn it into an event"),
    (("distinct_id",), "a PostHog event (distinct_id)"),
    (("event_name", "event_timestamp"), "a row of GA4's BigQuery export"),
    (("event_name", "user_pseudo_id"), "a row of GA4's BigQuery export"),
    (("event_type", "event_properties"), "an Amplitude event"),
    (("event_type", "insert_id"), "an Amplitude event"),
    (("event_type", "device_id"), "an Amplitude event"),
    (("collector_tstamp",), "an enriched Snowplow event"),
    (("event_id", "app_id"), "an enriched Snowplow event"),
    (("schema", "data"), "a self-describing Snowplow event"),
    (("idsite",), "a Matomo request"),
    (("idVisit",), "a Matomo visit"),
    (("idSite",), "a Matomo visit"),
    (("actionDetails",), "a Matomo visit"),
    (("message_id",), "an event with snake_case names (message_id): Hark reads messageId, userId"),
    (("user_id",), "an event with snake_case names (user_id): Hark reads messageId, userId"),
    (("MessageId",), "an event with names in capitals (MessageId): Hark reads messageId, userId"),
    (("UserId",), "an event with names in capitals (UserId): Hark reads messageId, userId"),
    (("messageid",), "an event with names in small letters: Hark reads messageId, userId"),
)
"""Names of fields, and what an object with all of them is; the first match counts."""


def hint(value: bytes) -> str:
    r"""What a refused value looks like, as the end of a sentence; "" if there is no hint.

    Examples
    --------
    >>> hint(b'\x00\x00\x00\x00\x07{"messageId":"m"}')
    "a schema registry's frame (magic byte 0, schema id 7) before JSON: use a plain JSON serializer"
    >>> hint(b'{"batch":[]}')
    'a tracker\'s HTTP body, {"batch": [...]}: one event a record'
    """
    text = value.removeprefix(BOM)
    return (_of_bytes(text) or _of_json(text)) if text else ""


def _of_bytes(value: bytes) -> str:
    if value[:1] == b"\0" and value[1:2] in (b"{", b"["):
        return "UTF-16, not UTF-8" if value[2:3] == b"\0" else "a NUL byte before the JSON"
    if value[0] == 0 and len(value) > 5:
        schema_id = int.from_bytes(value[1:5], "big")
        what = "JSON" if value[5:6] in (b"{", b"[") else "Avro or Protobuf"
        return (
            f"a schema registry's frame (magic byte 0, schema id {schema_id}) before {what}: "
            "use a plain JSON serializer"
        )
    if value[:2] in (b"\x03\x00", b"\x03\x05") and len(value) > 18:
        return "the frame of AWS Glue's schema registry (byte 3): use a plain JSON serializer"
    found = next((what for start, what in _BYTES if value.startswith(start)), "")
    if found:
        return found
    if b"\x00" in value[1:4:2] and value[:1] == b"{":
        return "UTF-16, not UTF-8"
    text = value.lstrip()
    if text[:1] == b'"' and rb"\"" in value:
        return "JSON inside a JSON string: it is encoded twice"
    if text[:1] == b"[":
        return "a list: one event a record"
    if text[:1] == b"{" and b"}\n{" in value.replace(b"\r", b""):
        return "several lines of JSON: one event a record"
    if value.count(b"\t") > 100:
        return "an enriched Snowplow event (tab-separated): Hark reads JSON"
    return ""


def _of_json(value: bytes) -> str:
    try:
        found = _OBJECT.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    if "event" in found and ("$insert_id" in (inner := _inside(found)) or "distinct_id" in inner):
        library = inner.get("$lib", msgspec.Raw(b""))
        posthog = "api_key" in found or "uuid" in found or b"posthog" in bytes(library)
        return f"{'a PostHog' if posthog else 'a Mixpanel'} event (properties.distinct_id)"
    return next((what for names, what in _JSON if all(name in found for name in names)), "")


def _inside(found: Mapping[str, msgspec.Raw]) -> Mapping[str, msgspec.Raw]:
    """The fields of `properties`."""
    try:
        return _OBJECT.decode(found.get("properties", msgspec.Raw(b"{}")))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
