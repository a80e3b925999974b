"""Hysteresis, escalation, cool-down, resolution, and recall from the topic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.outputs import Alert, ReasonCode
from streams.alerts.book import AlertBook, Headers, Observation, Thresholds, in_order, source
from streams.checkpoints.restore import alerts_until
from streams.histories.user_rows import Departure

AT = Thresholds(raise_at=0.8, clear_at=0.6, critical_at=0.95)
COOLDOWN_S = 100


def seen(probability: float, time_s: int = 0, offset: int = 7, subject: str = "u1") -> Observation:
    return Observation(subject, probability, time_s * 1000, 3, offset, time_s * 1000, f"m{offset}")


def observe(book: AlertBook, *observations: Observation) -> list[Alert]:
    alerts = [book.observe(one, AT, "v1") for one in observations]
    return [alert for alert in alerts if alert is not None]


def test_an_alert_is_raised_at_the_threshold_and_only_once() -> None:
    (alert,) = observe(AlertBook("risk", COOLDOWN_S), seen(0.79), seen(0.8), seen(0.9, 1))
    assert (alert.status, alert.severity, alert.probability) == ("firing", "warning", 0.8)
    assert alert.threshold == 0.8
    assert alert.evidence == ["m7"]


def test_between_the_thresholds_nothing_changes() -> None:
    assert len(observe(AlertBook("risk", COOLDOWN_S), seen(0.8), seen(0.61, 1), seen(0.79, 2))) == 1


def test_falling_below_the_clear_threshold_resolves_the_same_alert() -> None:
    raised, resolved = observe(AlertBook("risk", COOLDOWN_S), seen(0.8), seen(0.59, 5, offset=9))
    assert resolved.status == "resolved"
    assert resolved.alert_id == raised.alert_id
    assert resolved.dedup_key == raised.dedup_key == "risk/u1"
    assert (resolved.started_at, resolved.ended_at) == (
        "1970-01-01T00:00:00.000Z",
        "1970-01-01T00:00:05.000Z",
    )
    assert resolved.threshold == 0.6


def test_a_warning_escalates_to_critical_once() -> None:
    book = AlertBook("risk", COOLDOWN_S)
    alerts = observe(book, seen(0.8), seen(0.96, 1), seen(0.99, 2), seen(0.85, 3))
    assert [alert.severity for alert in alerts] == ["warning", "critical"]
    assert alerts[0].alert_id == alerts[1].alert_id


def test_a_subject_stays_quiet_until_its_cool_down_is_over() -> None:
    book = AlertBook("risk", COOLDOWN_S)
    observe(book, seen(0.9), seen(0.1, 10))
    assert observe(book, seen(0.9, 109, offset=11)) == []
    (again,) = observe(book, seen(0.9, 110, offset=12))
    assert again.status == "firing"


def test_subjects_dont_influence_one_another() -> None:
    alerts = observe(AlertBook("risk", COOLDOWN_S), seen(0.9), seen(0.9, subject="u2", offset=8))
    assert len({alert.alert_id for alert in alerts}) == 2


REASON = ReasonCode(code="events_1h", text="", value=1.0, baseline=0.0, contribution=0.5)


def test_an_alert_that_fires_or_escalates_carries_its_reasons() -> None:
    book = AlertBook("risk", COOLDOWN_S)
    levels = seen(0.9), seen(0.96, 1), seen(0.1, 2)
    alerts = [book.observe(one, AT, "v1", [REASON]) for one in levels]
    assert [alert and alert.reason_codes for alert in alerts] == [[REASON], [REASON], []]


no_probability = pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1.5, -0.1])


@no_probability
def test_a_number_that_is_no_probability_raises_nothing(number: float) -> None:
    book = AlertBook("risk", COOLDOWN_S)
    assert observe(book, seen(number)) == []
    assert len(book) == 0
    assert book.may_fire([seen(number)], AT) == []


@no_probability
def test_a_number_that_is_no_probability_neither_clears_nor_escalates(number: float) -> None:
    book = AlertBook("risk", COOLDOWN_S)
    observe(book, seen(0.9))
    assert observe(book, seen(number, 1)) == []
    (resolved,) = observe(book, seen(0.1, 2))
    assert (resolved.status, resolved.severity) == ("resolved", "warning")


probabilities = st.lists(st.floats(0, 1), max_size=40)


@given(probabilities)
def test_every_incident_opens_once_and_closes_at_most_once(values: list[float]) -> None:
    book = AlertBook("churn", COOLDOWN_S)
    alerts = observe(book, *(seen(p, 60 * i, offset=i) for i, p in enumerate(values)))
    by_id: dict[str, list[str]] = {}
    for alert in alerts:
        by_id.setdefault(alert.alert_id, []).append(alert.status)
    assert all(statuses[0] == "firing" for statuses in by_id.values())
    assert all(statuses.count("resolved") <= 1 for statuses in by_id.values())
    assert all("resolved" not in statuses[:-1] for statuses in by_id.values())


@given(probabilities, probabilities)
def test_a_book_recalled_from_its_alerts_goes_on_as_if_nothing_had_happened(
    before: list[float], after: list[float]
) -> None:
    first = AlertBook("churn", COOLDOWN_S)
    sent = observe(first, *(seen(p, 60 * i, offset=i) for i, p in enumerate(before)))
    second = AlertBook("churn", COOLDOWN_S)
    for alert in sent:
        second.recall(alert)
    rest = [seen(p, 60 * (100 + i), offset=100 + i) for i, p in enumerate(after)]
    assert observe(first, *rest) == observe(second, *rest)


observations = st.lists(
    st.builds(
        seen,
        st.sampled_from([0.1, 0.7, 0.85, 0.97]),
        st.integers(0, 4 * COOLDOWN_S),
        st.integers(0, 10**6),
        st.sampled_from(["u1", "u2", "u3", "u4"]),
    ),
    max_size=40,
)


@given(observations, observations, st.booleans())
def test_what_fires_or_escalates_was_foretold(
    before: list[Observation], batch: list[Observation], prunes: bool
) -> None:
    book = AlertBook("risk", COOLDOWN_S)
    observe(book, *before)
    if prunes:
        book._prune_at = 1
    foretold = book.may_fire(batch, AT)
    alerts = [book.observe(one, AT, "v1") for one in batch]
    fired = [i for i, alert in enumerate(alerts) if alert and alert.status == "firing"]
    assert set(fired) <= set(foretold)
    resolved = {alert.subject for alert in alerts if alert and alert.status == "resolved"}
    if not before and not resolved:
        assert fired == foretold


@given(observations, observations)
def test_foretelling_changes_nothing(before: list[Observation], batch: list[Observation]) -> None:
    book, other = AlertBook("risk", COOLDOWN_S), AlertBook("risk", COOLDOWN_S)
    observe(book, *before)
    observe(other, *before)
    book.may_fire(batch, AT)
    assert book._incidents == other._incidents


@dataclass
class Published:
    """An alert as it lies in the topic."""

    value: bytes
    headers: Headers
    offset: int = 0


@given(probabilities, st.integers(0, 40), st.integers(0, 40), st.randoms())
def test_a_topic_that_is_ahead_of_the_commit_gives_the_book_of_the_commit(
    values: list[float], committed: int, repeated: int, drawn: Random
) -> None:
    book = AlertBook("churn", COOLDOWN_S)
    said = [observe(book, seen(p, 60 * i, offset=i)) for i, p in enumerate(values)]
    topic = [
        Published(msgspec.json.encode(alert), source(0, offset))
        for offset, alerts in enumerate(said)
        for alert in alerts
    ]
    for late in topic[:repeated]:  # what a zombie publishes again, at any moment after
        topic.insert(drawn.randint(topic.index(late) + 1, len(topic)), late)
    recalled = AlertBook("churn", COOLDOWN_S)
    for alert in alerts_until(committed, topic):  # type: ignore[arg-type]
        recalled.recall(alert)
    rest = range(committed, len(values))
    again = [observe(recalled, seen(values[i], 60 * i, offset=i)) for i in rest]
    assert again == said[committed:]


def test_a_user_who_makes_room_for_others_leaves_no_incident() -> None:
    book = AlertBook("risk", COOLDOWN_S)
    (fired,) = observe(book, seen(0.9))
    observe(book, seen(0.9, 1, 8, "u2"), seen(0.1, 2, 9, "u2"))
    closing, closed_before = book.depart(Departure(20, 50_000, ["u0", "u1", "u2"]))
    assert (closing.alert_id, closing.status, closing.model_version) == (
        fired.alert_id,
        "resolved",
        "evicted",
    )
    assert closing.ended_at == "1970-01-01T00:00:50.000Z"
    assert closed_before.ended_at == "1970-01-01T00:00:02.000Z"
    assert len(book) == 0
    recalled = AlertBook("risk", COOLDOWN_S)
    for alert in (fired, closing):
        recalled.recall(alert)
    assert len(recalled) == 0


def test_users_depart_before_the_event_that_found_no_room() -> None:
    book = AlertBook("risk", COOLDOWN_S)
    observe(book, seen(0.9, 0, 1))
    observations, left = [seen(0.9, 1, 5), seen(0.9, 2, 6)], Departure(6, 2_000, ["u1"])
    assert list(in_order(observations, [left])) == [observations[0], left, observations[1]]
    assert list(in_order([], [left])) == [left]
    assert book.may_fire(observations, AT) == []
    assert book.may_fire(observations, AT, [left]) == [1]


@pytest.mark.parametrize("kind", ["churn", "risk"])
def test_the_same_event_gives_the_same_alert_id_whatever_the_model(kind: str) -> None:
    one = AlertBook(kind, COOLDOWN_S).observe(seen(0.9), AT, "v1")
    two = AlertBook(kind, COOLDOWN_S).observe(seen(0.99), AT, "v2")
    assert one is not None
    assert two is not None
    assert one.alert_id == two.alert_id
