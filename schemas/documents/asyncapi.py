"""The AsyncAPI 3.0 document: all topics, senders and receivers, messages, keys and headers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from schemas.documents import examples
from schemas.documents.json_schema import VERSION, components, roots
from schemas.topics import CONTRACT, TopicSpec

FILE = Path(__file__).parents[1] / "asyncapi.json"
_BINDING = "0.5.0"
_REFERENCE = "#/components/schemas/{name}"

_CLOUDEVENTS_HEADERS = {
    "type": "object",
    "description": "CloudEvents, binary mode: a header fills a field that the value lacks.",
    "properties": {
        "ce_id": {"type": "string", "description": "messageId"},
        "ce_type": {"type": "string", "description": "event"},
        "ce_subject": {"type": "string", "description": "userId"},
        "ce_time": {"type": "string", "description": "timestamp"},
    },
}


def document() -> dict[str, Any]:
    """The whole document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Hark",
            "version": f"{VERSION}.0.0",
            "description": "Behaviour events in, recommendations and alerts out. Delivery is at "
            "least once; upsert by recommendation_id and alert_id. Topic names may carry a prefix.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {spec.name: _channel(spec) for spec in CONTRACT},
        "operations": dict(_operation(spec) for spec in CONTRACT),
        "components": {
            "messages": {_message_name(spec): _message(spec) for spec in CONTRACT},
            "schemas": components(list(CONTRACT), _REFERENCE),
        },
    }


def text() -> str:
    """The file's content."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _channel(spec: TopicSpec) -> dict[str, Any]:
    name = _message_name(spec)
    return {
        "address": spec.name,
        "description": f"From {', '.join(spec.producers)} to {', '.join(spec.consumers)}; "
        f"key: {spec.key}.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "bindings": {
            "kafka": {
                "topic": spec.name,
                "partitions": spec.partitions,
                "topicConfiguration": {
                    "cleanup.policy": [spec.cleanup],
                    "retention.ms": spec.retention_ms,
                    "max.message.bytes": spec.max_message_bytes,
                },
                "bindingVersion": _BINDING,
            }
        },
    }


def _operation(spec: TopicSpec) -> tuple[str, dict[str, Any]]:
    action = "send" if "worker" in spec.producers else "receive"
    message = f"#/channels/{spec.name}/messages/{_message_name(spec)}"
    return f"{action}-{spec.name}", {
        "action": action,
        "channel": {"$ref": f"#/channels/{spec.name}"},
        "summary": f"Hark {action}s {spec.name}.",
        "messages": [{"$ref": message}],
    }


def _message_name(spec: TopicSpec) -> str:
    return spec.value.__name__ if spec.value else "DeadLetter"


def _message(spec: TopicSpec) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": _message_name(spec),
        "title": f"{spec.name} v{VERSION}",
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": spec.key},
                "bindingVersion": _BINDING,
            }
        },
    }
    (root,) = roots(spec)
    schema = {"$ref": _REFERENCE.format(name=root)}
    if spec.value is None:
        message["contentType"] = "application/octet-stream"
        message["headers"] = schema
        message["summary"] = "The original key and value, byte for byte; the rest is in headers."
        return message
    if spec.name == "events":
        message["headers"] = _CLOUDEVENTS_HEADERS
    message["payload"] = schema
    message["examples"] = [
        {"name": name, "payload": payload} for name, payload in examples.valid(spec.name).items()
    ]
    return message
