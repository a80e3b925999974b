"""Evidence: an output's id, its content and the event behind it, from the bytes alone.

Everything in an output is a function of the log: `generated_at` is the broker's time of the event
behind it. So the content is all of it, key and headers included; only another model version could
say something else under the same id.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import xxhash

from schemas.topics import ALERTS, DEAD_LETTERS, RECOMMENDATIONS

Headers = Sequence[tuple[str, bytes]]


class Evidence(NamedTuple):
    """One output.

    Attributes
    ----------
    id
        The same for the same output, however often it is published.
    content
        Hash of key, value and headers.
    source
        Message id of the event behind it; `partition/offset` of a dead letter's record.
    """

    id: str
    content: int
    source: str


class _Recommendation(msgspec.Struct):
    recommendation_id: str
    trigger_message_id: str


class _Alert(msgspec.Struct):
    alert_id: str
    status: str
    severity: str
    evidence: list[str]


_recommendation = msgspec.json.Decoder(_Recommendation).decode
_alert = msgspec.json.Decoder(_Alert).decode


def _of_recommendation(value: bytes, _headers: Headers) -> tuple[str, str]:
    said = _recommendation(value)
    return said.recommendation_id, said.trigger_message_id


def _of_alert(value: bytes, _headers: Headers) -> tuple[str, str]:
    said = _alert(value)
    return f"{said.alert_id}/{said.status}/{said.severity}", said.evidence[0]


def _of_dead_letter(_value: bytes, headers: Headers) -> tuple[str, str]:
    told = dict(headers)
    place = f"{int(told['hark-partition'])}/{int(told['hark-offset'])}"
    return f"dead-{place}", place


_READERS: dict[str, Callable[[bytes, Headers], tuple[str, str]]] = {
    RECOMMENDATIONS.name: _of_recommendation,
    ALERTS.name: _of_alert,
    DEAD_LETTERS.name: _of_dead_letter,
}


def evidence(topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> Evidence:
    """What one message of an output topic shows; `topic` without a prefix."""
    name, source = _READERS[topic](value or b"", headers)
    content = xxhash.xxh3_64(key or b"")
    for part in (value or b"", *(part for name_, v in headers for part in (name_.encode(), v))):
        content.update(len(part).to_bytes(4))
        content.update(part)
    return Evidence(name, content.intdigest(), source)
