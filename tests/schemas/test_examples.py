"""Golden examples: what was valid or refused once stays so, and the schemas agree."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from schemas.documents import examples
from schemas.documents.json_schema import schema_files
from schemas.errors import Reason
from schemas.events.codec import EventDecoder, encode
from schemas.events.contract import Contract
from schemas.events.kinds import Kind
from schemas.topics import CONTRACT, EVENTS, ITEMS
from streams.ingest.decode import decode_batch

BROKER_MS = 1_791_000_000_000
WITH_VALUE = [spec for spec in CONTRACT if spec.value]
NOT_FROM_DECODING = {Reason.LATE, Reason.UNPROCESSABLE, Reason.MISSING_ITEM_ID}


@dataclass
class OneRecord:
    """A record batch of one record."""

    values: list[bytes | None]
    keys: list[bytes | None] = field(default_factory=lambda: [b"u"])
    offsets: list[int] = field(default_factory=lambda: [0])
    timestamps: list[int] = field(default_factory=lambda: [BROKER_MS])
    headers: list[tuple[tuple[str, bytes], ...]] = field(default_factory=lambda: [()])


def validator(topic: str) -> Draft202012Validator:
    schema = json.loads(schema_files()[f"{topic}.v1.schema.json"])
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def valid_examples() -> list[Any]:
    return [
        pytest.param(spec, payload, id=f"{spec.name} {name}")
        for spec in WITH_VALUE
        for name, payload in examples.valid(spec.name).items()
    ]


@pytest.mark.parametrize(("spec", "payload"), valid_examples())
def test_a_golden_example_is_valid_against_the_schema(spec: Any, payload: Any) -> None:
    assert not list(validator(spec.name).iter_errors(payload))


@pytest.mark.parametrize(("spec", "payload"), valid_examples())
def test_a_golden_example_decodes_into_its_struct(spec: Any, payload: Any) -> None:
    msgspec.convert(payload, spec.value)


@pytest.mark.parametrize(
    ("spec", "payload"), [p for p in valid_examples() if "worker" in p.values[0].producers]
)
def test_an_output_of_today_has_every_field_of_the_golden_one(spec: Any, payload: Any) -> None:
    again = json.loads(encode(msgspec.convert(payload, spec.value)))
    assert again == payload


@pytest.mark.parametrize("name", examples.valid(EVENTS.name))
def test_a_golden_event_is_read_as_it_always_was(name: str) -> None:
    payload = examples.valid(EVENTS.name)[name]
    decoded = decode_batch(OneRecord([json.dumps(payload).encode()]), EventDecoder(Contract()))
    columns = decoded.columns
    found = {
        "users": columns.user_ids,
        "messages": columns.message_ids,
        "kinds": [Kind(kind).name for kind in columns.kinds.tolist()],
        "time_ms": columns.time_ms.tolist(),
        "items": columns.item_ids,
        "amounts": [round(amount, 2) for amount in columns.amounts.tolist()],
        "entities": [[hash_ != 0 for hash_ in row] for row in columns.entities.tolist()],
        "references": [hash_ != 0 for hash_ in columns.references.tolist()],
        "unknown_names": decoded.unknown_names,
    }
    golden = json.loads((Path(__file__).parent / "events_v1_decoded.json").read_text())
    assert found == golden[name]


@pytest.mark.parametrize("example", examples.rejected(EVENTS.name), ids=lambda one: one.name)
def test_a_golden_rejection_has_its_reason_and_nothing_else_is_kept(
    example: examples.Rejected,
) -> None:
    decoded = decode_batch(OneRecord([example.value]), EventDecoder(Contract()))
    assert [rejection.reason for rejection in decoded.rejected] == [example.reason]
    assert decoded.rejected[0].detail
    assert len(decoded.columns) == 0


def test_every_reason_that_decoding_can_give_has_an_example() -> None:
    shown = {example.reason for example in examples.rejected(EVENTS.name)}
    assert shown == set(Reason) - NOT_FROM_DECODING


def test_the_schema_refuses_what_a_schema_can_see() -> None:
    """JSON of a wrong shape is refused by both, so a publisher finds it before Kafka does."""
    check = validator(EVENTS.name)
    visible = {
        Reason.WRONG_TYPE, Reason.MISSING_MESSAGE_ID, Reason.MISSING_USER_ID,
        Reason.MISSING_EVENT_NAME,
    }  # fmt: skip
    for example in examples.rejected(EVENTS.name):
        if example.reason in visible:
            assert not check.is_valid(json.loads(example.value or b"")), example.name


@pytest.mark.parametrize("spec", [s for s in WITH_VALUE if s is not ITEMS], ids=lambda s: s.name)
def test_a_schema_refuses_another_topics_message(spec: Any) -> None:
    assert not validator(spec.name).is_valid({"title": "Trail shoe"})
