"""The AsyncAPI document is whole: every topic, every reference, every example."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from schemas.documents.asyncapi import document
from schemas.topics import CONTRACT

DOCUMENT = document()


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolve(reference: str) -> Any:
    node: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def test_every_reference_leads_somewhere() -> None:
    found = set(references(DOCUMENT))
    assert len(found) > 10
    for reference in found:
        assert resolve(reference), reference


@pytest.mark.parametrize("spec", CONTRACT, ids=lambda spec: spec.name)
def test_every_topic_is_a_channel_with_one_operation_seen_from_hark(spec: Any) -> None:
    channel = DOCUMENT["channels"][spec.name]
    assert channel["address"] == spec.name
    assert channel["bindings"]["kafka"]["partitions"] == spec.partitions
    operations = [
        operation
        for operation in DOCUMENT["operations"].values()
        if operation["channel"]["$ref"] == f"#/channels/{spec.name}"
    ]
    assert [operation["action"] for operation in operations] == [
        "send" if "worker" in spec.producers else "receive"
    ]


@pytest.mark.parametrize("spec", CONTRACT, ids=lambda spec: spec.name)
def test_every_message_says_its_key_and_shows_examples_or_headers(spec: Any) -> None:
    (message,) = (resolve(m["$ref"]) for m in DOCUMENT["channels"][spec.name]["messages"].values())
    assert message["bindings"]["kafka"]["key"]["description"] == spec.key
    if spec.value:
        assert message["examples"]
        assert message["payload"]
    else:
        assert "hark-reason" in resolve(message["headers"]["$ref"])["properties"]
