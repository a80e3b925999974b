"""What people see of outputs."""

from __future__ import annotations

import base64
import json

from aiokafka.structs import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from ops import render
from schemas.events.codec import dead_letter_headers, encode
from schemas.outputs import (
    Alert,
    DeadLetterHeaders,
    ItemReason,
    ReasonCode,
    Recommendation,
    RecommendedItem,
)

NOW = "2026-01-01T00:00:00.000Z"


def _record(value: bytes | None, headers: list[tuple[str, bytes]] | None = None) -> ConsumerRecord:
    return ConsumerRecord("t", 0, 0, 0, 0, b"k", value, 0, 1, 1, tuple(headers or ()))


def _shown(rendered: RenderableType) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(rendered)
    return capture.get()


def _alert(status: str) -> bytes:
    reason = ReasonCode("velocity", "payments in the last hour: 7, usually 0.3", 7.0, 0.3, 1.2)
    return encode(
        Alert("a1", "risk:u1", "risk", "u1", status, "critical", 0.93, 0.5, [reason], ["m1"],
              NOW, None, "v1", NOW)  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_list_shows_items_grouped_by_their_reason() -> None:
    places = [
        RecommendedItem(f"item-{rank}", rank, 1 / rank, [ItemReason("c", "why " + "AB"[rank % 2])])
        for rank in (1, 2, 3)
    ]
    made = Recommendation("r", "u1", "m1", places, "model", "v1", NOW, NOW)
    lines = _shown(render.recommendation(_record(encode(made)))).splitlines()
    assert "u1" in lines[0]
    assert lines[1].split() == ["1.", "item-1", "3.", "item-3", "why", "B"]
    assert lines[2].split() == ["2.", "item-2", "why", "A"]


def test_an_alert_shows_severity_probability_and_reasons() -> None:
    shown = _shown(render.alert(_record(_alert("firing"))))
    for part in (
        "critical risk",
        "u1",
        "0.93",
        "0.50",
        "payments in the last hour: 7, usually 0.3",
    ):
        assert part in shown
    assert "resolved risk" in _shown(render.alert(_record(_alert("resolved"))))


@given(st.binary(max_size=300))
def test_no_payload_reaches_the_terminal_unescaped(value: bytes) -> None:
    assert render.escaped(value).isprintable()


def test_a_dead_letter_shows_reason_and_coordinates_and_keeps_its_bytes() -> None:
    story = DeadLetterHeaders(
        reason="wrong_type",
        detail="[red]x",
        topic="events",
        partition=1,
        offset=9,
        timestamp=0,
        code_version="0",
        attempt=1,
    )
    record = _record(b'\xff{"a"\x1b[31m', dead_letter_headers(story, []))
    shown = _shown(render.dead_letter(record))
    for part in ("wrong_type", "[red]x", "events/1 at 9", '\\xff{"a"\\x1b[31m'):
        assert part in shown
    letter = json.loads(render.as_json(record))
    assert base64.b64decode(letter["value_base64"]) == record.value
    assert (letter["reason"], letter["offset"]) == ("wrong_type", "9")
