"""Which settings of a topic lose records or stop a worker.

A topic that Hark didn't make needn't be as Hark makes it. Some settings look right but aren't: the
worker runs, and later loses events, checkpoints or removals, or can't write what it must. They are
refused if the loss would be permanent, and warned about otherwise. All others are accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from schemas.topics import (
    ALERTS,
    DEAD_LETTERS,
    EVENTS,
    ITEMS,
    LETTER_HEADERS_BYTES,
    MAX_MESSAGE_BYTES,
    RECOMMENDATIONS,
    STATE,
    TopicSpec,
)
from streams.kafka.producer import BATCH_BYTES

AHEAD = "message.timestamp.after.max.ms"
TOMBSTONES = "delete.retention.ms"
AHEAD_MS = 86_400_000
"""A record's Kafka timestamp further ahead of the broker's clock spoils its partition's clock."""
_AHEAD_BEFORE_3_6 = "message.timestamp.difference.max.ms"
_POLICY = "cleanup.policy"
_KEPT = "retention.ms"
_KEPT_BYTES = "retention.bytes"
_LARGEST = "max.message.bytes"
_UNCLEAN = "unclean.leader.election.enable"
_DAY_MS = 86_400_000
_INTERVALS = 2  # between two checkpoints, a worker may miss one

Found = Mapping[str, str]
"""A topic's present settings."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """A setting that makes a topic lose records or stops the worker.

    Attributes
    ----------
    topic, setting, found
        The topic's name on the wire, the setting and its present value.
    why
        What happens.
    remedy
        The right settings, as `kafka-configs` takes them.
    fatal
        Whether the loss is permanent, or the worker can't go on.
    """

    topic: str
    setting: str
    found: str
    why: str
    remedy: str
    fatal: bool

    def __str__(self) -> str:
        return (
            f"topic {self.topic} has {self.setting}={self.found}: {self.why}; set it with "
            f"`kafka-configs --alter --entity-type topics --entity-name {self.topic} "
            f"--add-config {self.remedy}`"
        )


def problems(
    specs: Sequence[TopicSpec], found: Mapping[str, Found], checkpoint_s: float
) -> list[Unfit]:
    """The unfit settings of all topics.

    Parameters
    ----------
    specs
        The topics.
    found
        The present settings by topic name; topics that are missing are left out.
    checkpoint_s
        Seconds between two checkpoints, 0 = there are none.
    """
    there = [spec for spec in specs if spec.name in found]
    alone = [each for spec in there for each in unfit(spec, found[spec.name], checkpoint_s)]
    return [*alone, *_letters(there, found)]


def unfit(spec: TopicSpec, found: Found, checkpoint_s: float = 30.0) -> Iterator[Unfit]:
    """The unfit settings of one topic."""
    rules = _RULES.get(spec.role, ())
    for setting, why, remedy, fatal in (each for rule in rules for each in rule(found, spec)):
        yield Unfit(spec.name, setting, found.get(setting, "unknown"), why, remedy, fatal)
    if spec.role in (EVENTS.name, ALERTS.name):
        for setting, why, remedy, fatal in _kept_too_short(found, spec, checkpoint_s):
            yield Unfit(spec.name, setting, found[setting], why, remedy, fatal)


_Problems = Iterator[tuple[str, str, str, bool]]
"""Setting, why, remedy, fatal."""


def _compacted_events(found: Found, _spec: TopicSpec) -> _Problems:
    if "compact" in found.get(_POLICY, ""):
        yield _POLICY, "compaction keeps one event per user", f"{_POLICY}=delete", True


def _years_ahead(found: Found, spec: TopicSpec) -> _Problems:
    if ahead_ms(found) > AHEAD_MS:
        why = (
            "one record dated years ahead spoils its partition's clock for good (Kafka before 3.6: "
            "set message.timestamp.type=LogAppendTime)"
        )
        yield AHEAD, why, f"{AHEAD}={spec.ahead_ms}", True


def _bounded_by_size(found: Found, _spec: TopicSpec) -> _Problems:
    if number(found, _KEPT_BYTES, -1) >= 0:
        yield _KEPT_BYTES, "a burst deletes events that nobody has read", f"{_KEPT_BYTES}=-1", False


def _unclean(found: Found, _spec: TopicSpec) -> _Problems:
    if found.get(_UNCLEAN) == "true":
        why = "a broker that was behind may become leader, and confirmed records are lost"
        yield _UNCLEAN, why, f"{_UNCLEAN}=false", False


def _larger_than_letters(found: Found, _spec: TopicSpec) -> _Problems:
    if number(found, _LARGEST) > MAX_MESSAGE_BYTES:
        why = (
            f"a record above {MAX_MESSAGE_BYTES} bytes that can't be read fits into no dead letter "
            "and stops the worker"
        )
        yield _LARGEST, why, f"{_LARGEST}={MAX_MESSAGE_BYTES}", True


def _smaller_than_outputs(found: Found, spec: TopicSpec) -> _Problems:
    if number(found, _LARGEST, MAX_MESSAGE_BYTES) < BATCH_BYTES:
        why = f"the worker writes batches of up to {BATCH_BYTES} bytes, and stops if one is refused"
        yield _LARGEST, why, f"{_LARGEST}={spec.max_message_bytes}", True


def _smaller_than_state(found: Found, spec: TopicSpec) -> _Problems:
    if number(found, _LARGEST, MAX_MESSAGE_BYTES) < MAX_MESSAGE_BYTES:
        why = "a checkpoint with a larger record isn't taken, and a restore replays the log instead"
        yield _LARGEST, why, f"{_LARGEST}={spec.max_message_bytes}", False


def _deleted_state(found: Found, _spec: TopicSpec) -> _Problems:
    if found.get(_POLICY, "") != "compact":
        why = "checkpoints of quiet users are deleted"
        yield _POLICY, why, f"{_POLICY}=compact,{_KEPT}=-1", True


def _deleted_items(found: Found, _spec: TopicSpec) -> _Problems:
    if found.get(_POLICY, "") != "compact" and found.get(_KEPT) != "-1":
        why = "entries are deleted, and hidden items are shown again"
        yield _POLICY, why, f"{_POLICY}=compact,{_KEPT}=-1", False


def _forgotten_removals(found: Found, spec: TopicSpec) -> _Problems:
    kept_ms = number(found, TOMBSTONES)
    if "compact" in found.get(_POLICY, "") and kept_ms < (spec.tombstones_ms or 0):
        why = "a worker that starts later than that doesn't learn that an item was removed"
        yield TOMBSTONES, why, f"{TOMBSTONES}={spec.tombstones_ms}", False


def _compacted_alerts(found: Found, _spec: TopicSpec) -> _Problems:
    if "compact" in found.get(_POLICY, ""):
        why = "of a user's alerts of churn and risk only the latest is kept"
        yield _POLICY, why, f"{_POLICY}=delete", False


def _compacted_letters(found: Found, _spec: TopicSpec) -> _Problems:
    if "compact" in found.get(_POLICY, ""):
        why = "letters of one key replace each other, and one without a key stops the worker"
        yield _POLICY, why, f"{_POLICY}=delete", True


_STATE_RULES = (_deleted_state, _smaller_than_state, _unclean)
_RULES: dict[str, tuple[Callable[[Found, TopicSpec], _Problems], ...]] = {
    EVENTS.name: (
        _compacted_events,
        _years_ahead,
        _bounded_by_size,
        _larger_than_letters,
        _unclean,
    ),
    ITEMS.name: (_deleted_items, _forgotten_removals, _larger_than_letters),
    RECOMMENDATIONS.name: (_smaller_than_outputs,),
    ALERTS.name: (_compacted_alerts, _smaller_than_outputs, _unclean),
    DEAD_LETTERS.name: (_compacted_letters, _smaller_than_outputs),
    **{spec.name: _STATE_RULES for spec in STATE},
}


def _kept_too_short(found: Found, spec: TopicSpec, checkpoint_s: float) -> _Problems:
    """Both logs are read again from the newest checkpoint on."""
    kept_ms = number(found, _KEPT, -1)
    remedy = f"{_KEPT}={spec.retention_ms}"
    if "delete" not in found.get(_POLICY, "delete") or kept_ms < 0:
        return
    if kept_ms < _INTERVALS * checkpoint_s * 1000:
        why = (
            f"records are gone before a checkpoint holds them (state.checkpoint_s={checkpoint_s:g})"
        )
        yield _KEPT, why, remedy, True
    elif spec.role == EVENTS.name and kept_ms < _DAY_MS:
        yield _KEPT, "workers that are away for longer lose events", remedy, False


def _letters(specs: Sequence[TopicSpec], found: Mapping[str, Found]) -> Iterator[Unfit]:
    """A dead letter is the record and headers with the reason."""
    by_role = {spec.role: spec.name for spec in specs}
    if DEAD_LETTERS.name not in by_role:
        return
    name = by_role[DEAD_LETTERS.name]
    room = number(found[name], _LARGEST, MAX_MESSAGE_BYTES + LETTER_HEADERS_BYTES)
    for role in (EVENTS.name, ITEMS.name):
        if role not in by_role:
            continue
        largest = min(number(found[by_role[role]], _LARGEST), MAX_MESSAGE_BYTES)
        if room < largest + LETTER_HEADERS_BYTES:
            why = (
                f"the largest record of {by_role[role]} ({largest} bytes) doesn't fit with its "
                "headers, and stops the worker"
            )
            remedy = f"{_LARGEST}={largest + LETTER_HEADERS_BYTES}"
            yield Unfit(name, _LARGEST, str(room), why, remedy, fatal=True)
            return


def ahead_ms(found: Found) -> int:
    """How far ahead of the broker's clock a record's Kafka timestamp may be."""
    if found.get("message.timestamp.type") == "LogAppendTime":
        return 0
    return number(found, AHEAD if AHEAD in found else _AHEAD_BEFORE_3_6, 2**63 - 1)


def number(found: Found, setting: str, without: int = 0) -> int:
    """A setting as a number; `without` where it isn't one."""
    text = found.get(setting, "")
    return int(text) if text.lstrip("-").isdigit() else without
