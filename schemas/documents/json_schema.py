"""JSON Schema files of every topic, made from the structs."""

from __future__ import annotations

import json
from inspect import cleandoc
from pathlib import Path
from typing import Any

import msgspec

from schemas.events.messages import Event
from schemas.outputs import DeadLetterHeaders
from schemas.topics import CONTRACT, TopicSpec

DIALECT = "https://json-schema.org/draft/2020-12/schema"
VERSION = 1
FOLDER = Path(__file__).parents[1] / "json"
HEADER_PREFIX = "hark-"

_HAS_TEXT_OR_NUMBER = {"type": ["string", "integer"]}
_EVENT_RULES: list[dict[str, Any]] = [
    {
        "description": "A message has an id; CloudEvents' ce_id header may replace it.",
        "required": ["messageId"],
        "properties": {"messageId": _HAS_TEXT_OR_NUMBER},
    },
    {
        "description": "An event has a user; CloudEvents' ce_subject header may replace the id.",
        "anyOf": [
            {"required": [name], "properties": {name: _HAS_TEXT_OR_NUMBER}}
            for name in ("userId", "anonymousId")
        ],
    },
    {
        "description": "A track call names its event.",
        "if": {"properties": {"type": {"const": "track"}}},
        "then": {"required": ["event"], "properties": {"event": {"type": "string"}}},
    },
]
"""Rules over several fields, which the struct with its optional fields can't express."""


def schema_files() -> dict[str, str]:
    """File name -> content, for every topic."""
    return {
        name: json.dumps(schema, indent=2) + "\n"
        for name, schema in (_topic_file(spec) for spec in CONTRACT)
    }


def _topic_file(spec: TopicSpec) -> tuple[str, dict[str, Any]]:
    stem = spec.name if spec.value else f"{spec.name}.headers"
    definitions = components([spec])
    (root,) = roots(spec)
    schema = {
        "$schema": DIALECT,
        "$id": f"urn:hark:{stem}:v{VERSION}",
        "title": f"{stem} v{VERSION}",
        "$ref": f"#/$defs/{root}",
        "$defs": definitions,
    }
    return f"{stem}.v{VERSION}.schema.json", schema


def roots(spec: TopicSpec) -> tuple[str, ...]:
    """Names of a topic's root structs: the value's, or the headers' if the value is opaque."""
    return (spec.value.__name__ if spec.value else DeadLetterHeaders.__name__,)


def components(
    specs: list[TopicSpec], reference: str = "#/$defs/{name}"
) -> dict[str, dict[str, Any]]:
    """Schemas by struct name, for all structs that these topics use.

    Parameters
    ----------
    specs
        The topics.
    reference
        The pattern of a `$ref` to the schema called `{name}`.
    """
    found: dict[str, dict[str, Any]] = {}
    for spec in specs:
        struct = spec.value or DeadLetterHeaders
        _, made = msgspec.json.schema_components([struct], ref_template=reference)
        for schema in made.values():
            # Whether docstrings keep their indentation depends on Python's version.
            schema["description"] = cleandoc(schema["description"])
        if spec.value is None:
            made[struct.__name__] = _as_headers(made[struct.__name__])
        elif "worker" in spec.producers:
            made = {name: _complete(schema) for name, schema in made.items()}
        elif struct is Event:
            made["Event"]["allOf"] = _EVENT_RULES
        found |= made
    return found


def _complete(schema: dict[str, Any]) -> dict[str, Any]:
    """Require all fields: Hark always writes them, also those with a default."""
    properties = dict(schema["properties"])
    if "version" in properties:
        properties["version"] = {"const": VERSION}
    return {**schema, "properties": properties, "required": list(properties)}


def _as_headers(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of Kafka headers, which are bytes: text, and numbers in decimal."""
    number, text = {"type": "string", "pattern": "^-?[0-9]+$"}, {"type": "string"}
    properties = {
        HEADER_PREFIX + name: number if value.get("type") == "integer" else text
        for name, value in schema["properties"].items()
    }
    return {**schema, "properties": properties, "required": list(properties)}
