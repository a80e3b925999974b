"""Outbound messages: recommendations, alerts, and the headers of dead letters."""

from __future__ import annotations

from typing import Annotated, Literal

import xxhash
from msgspec import Meta, Struct

Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
Severity = Literal["info", "warning", "critical"]
Status = Literal["firing", "resolved"]
Timestamp = Annotated[str, Meta(description="ISO 8601, UTC, milliseconds")]

OUTPUT_VERSION = 1


class ItemReason(Struct, gc=False):
    """Why an item is on the list: a code for programs and a text for people."""

    code: str
    text: str


class RecommendedItem(Struct, gc=False):
    """One place of a ranked list; `rank` starts at 1, scores are comparable within a list."""

    item_id: str
    rank: Annotated[int, Meta(ge=1)]
    score: float
    reasons: list[ItemReason]


class Recommendation(Struct, gc=False):
    """What to show a user now. Kafka key: the user id; upsert by `recommendation_id`.

    `generated_at` is the broker's timestamp of the triggering event, so that a repeated output is
    identical.
    """

    recommendation_id: str
    user_id: str
    trigger_message_id: str
    items: list[RecommendedItem]
    variant: str
    model_version: str
    generated_at: Timestamp
    expires_at: Timestamp
    version: int = OUTPUT_VERSION


class ReasonCode(Struct, gc=False):
    """One feature that raised the probability: the user's value and the usual value.

    `contribution` is what the feature added, in log-odds before calibration.
    """

    code: str
    text: str
    value: float
    baseline: float
    contribution: float


class Alert(Struct, gc=False):
    """A state change worth a person's time. Kafka key: the subject; upsert by `alert_id`.

    A `firing` message and its `resolved` message share the `alert_id`; `dedup_key` is stable for a
    kind and a subject.
    """

    alert_id: str
    dedup_key: str
    kind: str
    subject: str
    status: Status
    severity: Severity
    probability: Probability
    threshold: Probability
    reason_codes: list[ReasonCode]
    evidence: list[str]
    started_at: Timestamp
    ended_at: Timestamp | None
    model_version: str
    generated_at: Timestamp
    version: int = OUTPUT_VERSION


class DeadLetterHeaders(Struct, rename={"code_version": "code-version"}):
    """Headers (prefix `hark-`) of a dead letter; key and value are the original bytes."""

    reason: str
    detail: str
    topic: str
    partition: int
    offset: int
    timestamp: int
    code_version: str
    attempt: int


def output_id(kind: str, partition: int, offset: int) -> str:
    """Deterministic id of an output, from its kind and the event that caused it.

    Parameters
    ----------
    kind
        `recommendation`, `churn`, `risk`, ...
    partition, offset
        Coordinates of the source event; the same record always gives the same id.

    Examples
    --------
    >>> output_id("churn", 3, 42) == output_id("churn", 3, 42)
    True
    """
    return f"{kind[:3]}-{xxhash.xxh3_128_hexdigest(f'{kind}/{partition}/{offset}'.encode())}"
