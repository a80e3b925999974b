"""Recommendations, alerts and dead letters as text for people and as JSON for scripts."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from schemas.outputs import Alert, Recommendation
from streams.kafka.log import Record

_SEVERITY_STYLE = {"info": "cyan", "warning": "yellow", "critical": "bold red"}
_FIRST_BYTES = 120
_decode_recommendation = msgspec.json.Decoder(Recommendation).decode
_decode_alert = msgspec.json.Decoder(Alert).decode


def recommendation(record: Record) -> RenderableType:
    """Render a recommendation: the user, and the items grouped by reason."""
    return describe_recommendation(_decode_recommendation(record.value))


def describe_recommendation(made: Recommendation) -> RenderableType:
    """Render a decoded recommendation."""
    head = Text.assemble(
        (made.generated_at, "dim"), " ", (made.user_id, "bold"),
        (f"  {made.variant} {made.model_version}, after {made.trigger_message_id}", "dim"),
    )  # fmt: skip
    because: dict[str, list[str]] = {}
    for item in made.items:
        why = item.reasons[0].text if item.reasons else "no reason given"
        because.setdefault(why, []).append(f"{item.rank}. {item.item_id}")
    lines = [
        Text.assemble("  ", "  ".join(items), (f"   {why}", "dim"))
        for why, items in because.items()
    ]
    return Group(head, *lines)


def alert(record: Record) -> RenderableType:
    """Render an alert: its kind, subject, probability and reasons."""
    return describe_alert(_decode_alert(record.value))


def describe_alert(raised: Alert) -> RenderableType:
    """Render a decoded alert."""
    style = "green" if raised.status == "resolved" else _SEVERITY_STYLE[raised.severity]
    what = "resolved" if raised.status == "resolved" else raised.severity
    head = Text.assemble(
        (raised.generated_at, "dim"), " ", (f"{what} {raised.kind}", style), " ",
        (raised.subject, "bold"),
        f"  probability {raised.probability:.2f}, threshold {raised.threshold:.2f}",
        (f"  since {raised.started_at}  {raised.model_version}", "dim"),
    )  # fmt: skip
    lines = [Text(f"  {reason.text}") for reason in raised.reason_codes]
    return Group(head, *lines)


def dead_letter(record: Record) -> RenderableType:
    """Render a dead letter: its reason, coordinates and first bytes."""
    headers = _headers(record)
    value = record.value or b""
    head = Text.assemble(
        (headers.get("hark-reason", "unknown"), "bold red"),
        f"  {headers.get('hark-detail', '')}  ",
        (f"{_coordinates(headers)}, {len(value):,} bytes", "dim"),
    )
    return Group(head, Text("  " + escaped(value[:_FIRST_BYTES]), style="dim"))


def escaped(value: bytes) -> str:
    r"""Bytes as one line that is safe on a terminal.

    Examples
    --------
    >>> print(escaped(b'{"a":\x1b[31m\xff}\n'))
    {"a":\x1b[31m\xff}\n
    """
    text = value.decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def as_json(record: Record) -> str:
    """The message as published; a dead letter with its coordinates and original bytes."""
    headers = _headers(record)
    if "hark-reason" not in headers:
        return str((record.value or b"null").decode())
    letter: dict[str, Any] = {
        name.removeprefix("hark-"): value
        for name, value in headers.items()
        if name.startswith("hark-")
    }
    for name, original in (("key", record.key), ("value", record.value)):
        letter[name] = None if original is None else escaped(original)
        letter[f"{name}_base64"] = None if original is None else base64.b64encode(original).decode()
    return msgspec.json.encode(letter).decode()


def _headers(record: Record) -> dict[str, str]:
    return {name: value.decode(errors="replace") for name, value in record.headers}


def _coordinates(headers: dict[str, str]) -> str:
    topic, partition, offset = (
        headers.get(f"hark-{name}", "?") for name in ("topic", "partition", "offset")
    )
    return f"{topic}/{partition} at {offset}"
