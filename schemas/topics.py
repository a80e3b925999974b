"""The topics of Hark: a reviewed table, read by the CLI, the worker and the docs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from msgspec import Struct

from schemas.events import Event, ItemUpsert
from schemas.outputs import Alert, Recommendation

_DAY_MS = 86_400_000
MAX_MESSAGE_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic.

    Attributes
    ----------
    name
        Name on the wire, without the configured prefix.
    key, value
        What the key is; the struct of the value (None: opaque bytes).
    partitions
        At creation; `events` decides how many workers can share the load.
    retention_ms
        How long records stay; -1 for ever (compacted topics).
    cleanup
        Kafka's `cleanup.policy`.
    producers, consumers
        Roles that may write and read it (`schemas/roles.py`).
    """

    name: str
    key: str
    value: type[Struct] | None
    partitions: int
    retention_ms: int
    cleanup: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    max_message_bytes: int = MAX_MESSAGE_BYTES

    @property
    def roles(self) -> frozenset[str]:
        """Who has to do with it."""
        return frozenset((*self.producers, *self.consumers))


EVENTS = TopicSpec(
    "events",
    "user id",
    Event,
    4,
    30 * _DAY_MS,
    "delete",
    ("publisher", "operator"),  # the operator replays dead letters
    ("worker", "trainer"),
)
ITEMS = TopicSpec(
    "items", "item id", ItemUpsert, 1, -1, "compact", ("publisher",), ("worker", "trainer")
)
RECOMMENDATIONS = TopicSpec(
    "recommendations",
    "user id",
    Recommendation,
    4,
    7 * _DAY_MS,
    "delete",
    ("worker",),
    ("reader",),
)
ALERTS = TopicSpec(
    "alerts",
    "subject",
    Alert,
    4,
    30 * _DAY_MS,
    "delete",
    ("worker",),
    ("reader", "worker"),  # a worker that takes a partition over reads its open alerts
)
DEAD_LETTERS = TopicSpec(
    "dead-letters", "original key", None, 1, 30 * _DAY_MS, "delete", ("worker",), ("operator",)
)

TOPICS = (EVENTS, ITEMS, RECOMMENDATIONS, ALERTS, DEAD_LETTERS)


def topics(prefix: str = "") -> tuple[TopicSpec, ...]:
    """All topics, their names with `prefix` in front."""
    return tuple(replace(spec, name=prefix + spec.name) for spec in TOPICS)
