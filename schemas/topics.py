"""The topics of Hark: a reviewed table that the command line, the worker and the docs read."""

from __future__ import annotations

from dataclasses import dataclass, replace

from msgspec import Struct

from schemas.events.messages import Event, ItemUpsert
from schemas.outputs import Alert, Recommendation

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_STATE_SEGMENT_BYTES = 64 * 1024 * 1024
MAX_MESSAGE_BYTES = 8 * 1024 * 1024
LETTER_HEADERS_BYTES = 64 * 1024
DEAD_LETTER_BYTES = MAX_MESSAGE_BYTES + LETTER_HEADERS_BYTES
"""A dead letter holds the largest record that a topic takes, and headers with the reason."""
PARTITIONS = 12
"""Partitions of `events` unless `kafka.partitions` says otherwise; divides by 2, 3, 4 and 6."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic.

    Attributes
    ----------
    name
        Name on the wire, `prefix` included.
    key, value
        What the key is; the struct of the value (None: opaque bytes).
    partitions
        Number at creation; that of `events` limits how many workers can share the load.
    retention_ms
        How long records stay; -1: for ever (compacted topics).
    cleanup
        Kafka's `cleanup.policy`.
    producers, consumers
        Roles that may write and read the topic (`schemas/roles.py`).
    segment_bytes
        Kafka compacts finished segments only, so a topic that is rewritten all the time has small
        segments; None: the broker's default.
    tombstones_ms
        How long compaction keeps a tombstone; None: the broker's default.
    ahead_ms
        How far a record's Kafka timestamp may be ahead of the broker's clock; None: the broker's
        default.
    follows
        The topic whose number of partitions this topic is made with; None: a number of its own.
    at_least
        Whether fewer partitions than the topic that it follows has are an error.
    prefix
        The configured prefix that `name` begins with.
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
    segment_bytes: int | None = None
    tombstones_ms: int | None = None
    ahead_ms: int | None = None
    follows: str | None = None
    at_least: bool = False
    prefix: str = ""

    @property
    def role(self) -> str:
        """The name without the prefix."""
        return self.name.removeprefix(self.prefix)

    @property
    def roles(self) -> frozenset[str]:
        """All roles that may read or write the topic."""
        return frozenset((*self.producers, *self.consumers))


EVENTS = TopicSpec(
    "events",
    "user id",
    Event,
    PARTITIONS,
    30 * _DAY_MS,
    "delete",
    ("publisher", "operator"),  # the operator replays dead letters
    ("worker", "trainer", "operator"),  # the operator reads the forget records
    ahead_ms=_HOUR_MS,  # a partition's clock follows its records' timestamps
)
ITEMS = TopicSpec(
    "items",
    "item id",
    ItemUpsert,
    1,
    -1,
    "compact",
    ("publisher",),
    ("worker", "trainer"),
    # A worker that starts must see old tombstones: a user whose history holds the removed item may
    # be quiet for months. Managed clusters allow no longer retention than this.
    tombstones_ms=2 * 365 * _DAY_MS,
)
RECOMMENDATIONS = TopicSpec(
    "recommendations",
    "user id",
    Recommendation,
    PARTITIONS,
    7 * _DAY_MS,
    "delete",
    ("worker",),
    ("reader",),
    follows=EVENTS.name,
)
ALERTS = TopicSpec(
    "alerts",
    "subject",
    Alert,
    PARTITIONS,
    30 * _DAY_MS,
    "delete",
    ("worker",),
    ("reader", "worker"),  # a worker that takes a partition over reads its open alerts
    follows=EVENTS.name,
)
DEAD_LETTERS = TopicSpec(
    "dead-letters",
    "original key",
    None,
    1,
    30 * _DAY_MS,
    "delete",
    ("worker",),
    ("operator", "trainer", "worker"),  # a replay of the log skips the refused records
    max_message_bytes=DEAD_LETTER_BYTES,
)

USER_STATE = TopicSpec(
    "user-state",
    "user id",
    None,
    PARTITIONS,
    -1,
    "compact",
    ("worker",),
    ("worker",),
    segment_bytes=_STATE_SEGMENT_BYTES,
    follows=EVENTS.name,
    at_least=True,
)
COUNTERS = TopicSpec(
    "counters",
    "part name",
    None,
    PARTITIONS,
    -1,
    "compact",
    ("worker",),
    ("worker",),
    segment_bytes=_STATE_SEGMENT_BYTES,
    follows=EVENTS.name,
    at_least=True,
)

CONTRACT = (EVENTS, ITEMS, RECOMMENDATIONS, ALERTS, DEAD_LETTERS)
"""The topics that other systems write and read."""
STATE = (USER_STATE, COUNTERS)
"""The workers' private topics: partition p holds the state of partition p of `events`."""
TOPICS = (*CONTRACT, *STATE)


def topics(prefix: str = "", partitions: int = PARTITIONS) -> tuple[TopicSpec, ...]:
    """All topics, with `prefix` in front of their names.

    Parameters
    ----------
    prefix
        The configured prefix.
    partitions
        Of `events` and of the topics that follow it.
    """
    return tuple(
        replace(
            spec,
            name=prefix + spec.name,
            partitions=partitions if EVENTS.name in (spec.name, spec.follows) else spec.partitions,
            follows=spec.follows and prefix + spec.follows,
            prefix=prefix,
        )
        for spec in TOPICS
    )


def state_transaction(prefix: str, partition: int) -> str:
    """The transactional id of the writer of one `events` partition's state.

    It doesn't depend on the consumer group: two writers of one state would mix their records.
    """
    return f"{state_transactions(prefix)}{partition}"


def state_transactions(prefix: str) -> str:
    """The prefix of all transactional ids."""
    return f"{prefix}state-"
