"""Which settings of a topic that Hark didn't make are refused, warned about, or accepted."""

from __future__ import annotations

import pytest

from schemas.topics import (
    ALERTS,
    COUNTERS,
    DEAD_LETTERS,
    EVENTS,
    ITEMS,
    RECOMMENDATIONS,
    TOPICS,
    USER_STATE,
    TopicSpec,
)
from streams.kafka.topic_settings import configs
from streams.kafka.unfit_settings import problems, unfit

FOR_EVER = str(2**63 - 1)
BROKERS_OWN = {
    "cleanup.policy": "delete",
    "compression.type": "gzip",
    "flush.ms": "1000",
    "max.message.bytes": "1048588",
    "message.timestamp.after.max.ms": "3600000",
    "min.insync.replicas": "2",
    "retention.bytes": "-1",
    "retention.ms": "604800000",
    "segment.bytes": "1073741824",
    "segment.ms": "3600000",
    "unclean.leader.election.enable": "false",
}
"""A topic that a Kafka 4 made by its defaults, and an operator changed a little."""


@pytest.mark.parametrize(
    ("spec", "setting", "found", "fatal"),
    [
        (EVENTS, "cleanup.policy", "compact", True),
        (EVENTS, "cleanup.policy", "compact,delete", True),
        (EVENTS, "message.timestamp.after.max.ms", FOR_EVER, True),
        (COUNTERS, "cleanup.policy", "delete", True),
        (COUNTERS, "cleanup.policy", "compact,delete", True),
        (ITEMS, "delete.retention.ms", "86400000", False),
        (EVENTS, "retention.ms", "59999", True),
        (EVENTS, "retention.ms", "3600000", False),
        (EVENTS, "retention.bytes", "1073741824", False),
        (EVENTS, "max.message.bytes", "10485760", True),
        (ITEMS, "max.message.bytes", "10485760", True),
        (EVENTS, "unclean.leader.election.enable", "true", False),
        (USER_STATE, "max.message.bytes", "1048588", False),
        (RECOMMENDATIONS, "max.message.bytes", "65536", True),
        (ALERTS, "max.message.bytes", "65536", True),
        (ALERTS, "cleanup.policy", "compact", False),
        (ALERTS, "retention.ms", "59999", True),
        (DEAD_LETTERS, "cleanup.policy", "compact", True),
    ],
)
def test_a_setting_that_loses_something_is_told(
    spec: TopicSpec, setting: str, found: str, fatal: bool
) -> None:
    assert not list(unfit(spec, configs(spec)))
    (problem,) = unfit(spec, configs(spec) | {setting: found})
    assert (problem.setting, problem.found, problem.fatal) == (setting, found, fatal)
    assert f"--entity-name {spec.name} --add-config {problem.remedy}" in str(problem)


def test_a_catalogue_that_is_deleted_after_a_while_is_told() -> None:
    a_week = configs(ITEMS) | {"cleanup.policy": "delete", "retention.ms": "604800000"}
    assert [problem.fatal for problem in unfit(ITEMS, a_week)] == [False]
    assert not list(unfit(ITEMS, a_week | {"retention.ms": "-1"}))


@pytest.mark.parametrize(
    "found",
    [
        {"message.timestamp.type": "LogAppendTime", "message.timestamp.after.max.ms": FOR_EVER},
        {"message.timestamp.after.max.ms": "86400000"},
        {"message.timestamp.difference.max.ms": "3600000"},
    ],
)
def test_a_clock_that_cant_be_spoilt_is_fine(found: dict[str, str]) -> None:
    assert not list(unfit(EVENTS, {"cleanup.policy": "delete", **found}))


def test_brokers_that_never_look_at_timestamps_are_told() -> None:
    old = {"cleanup.policy": "delete", "message.timestamp.difference.max.ms": FOR_EVER}
    assert [problem.fatal for problem in unfit(EVENTS, old)] == [True]
    assert [problem.fatal for problem in unfit(EVENTS, {"cleanup.policy": "delete"})] == [True]


def test_what_is_harmless_is_accepted() -> None:
    for spec in (EVENTS, RECOMMENDATIONS, ALERTS):
        assert not list(unfit(spec, BROKERS_OWN)), spec.name
    assert not list(unfit(RECOMMENDATIONS, BROKERS_OWN | {"cleanup.policy": "compact"}))


def test_without_checkpoints_no_retention_is_too_short_for_them() -> None:
    short = configs(EVENTS) | {"retention.ms": "1000"}
    assert [each.fatal for each in unfit(EVENTS, short, 0)] == [False]
    assert [each.fatal for each in unfit(EVENTS, short, 0.4)] == [False]
    assert [each.fatal for each in unfit(EVENTS, short, 3_600)] == [True]


def test_a_dead_letter_has_room_for_the_largest_record() -> None:
    own = {spec.name: configs(spec) for spec in TOPICS}
    assert not problems(TOPICS, own, 30)
    small = own | {"events": BROKERS_OWN, "items": configs(ITEMS) | {"max.message.bytes": "1000"}}
    assert not problems(TOPICS, small, 30)
    (problem,) = problems(TOPICS, small | {"dead-letters": BROKERS_OWN}, 30)
    assert (problem.topic, problem.fatal) == ("dead-letters", True)
    assert problem.remedy == f"max.message.bytes={1048588 + 65536}"
