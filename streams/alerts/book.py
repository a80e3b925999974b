"""Alerts: hysteresis, escalation, cool-down and a resolved message.

An incident opens when a probability reaches `raise_at`, and closes when a probability is below
`clear_at`; afterwards the subject stays quiet for `cooldown_s` of event time. A checkpoint holds
the incidents. Later changes are read back from the topic `alerts`, message by message
(`AlertBook.recall`). Headers of each message name its event, so that only messages of committed
events of the partition are read back.

Invariant: a book holds and publishes probabilities from 0 to 1 only. An observation with any other
number (NaN, infinite) changes nothing: NaN is neither below nor above a threshold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from schemas.outputs import Alert, ReasonCode, Severity, output_id
from schemas.times import format_time_ms, parse_time_ms
from streams.histories.user_rows import Departure
from streams.undo import Undo

Headers = Sequence[tuple[str, bytes]]
_PARTITION = "hark-partition"
_OFFSET = "hark-offset"


def source(partition: int, offset: int) -> Headers:
    """Headers of an alert about the event at an offset of a partition of `events`."""
    return ((_PARTITION, b"%d" % partition), (_OFFSET, b"%d" % offset))


def comes_from(headers: Headers, partition: int) -> bool:
    """Whether an alert is about an event of this partition of `events`.

    With fewer partitions than `events` has, a partition of `alerts` holds the alerts of several.
    Alerts of version 0.1 don't name theirs.

    Examples
    --------
    >>> [comes_from(headers, 1) for headers in (source(1, 42), source(5, 42), [])]
    [True, False, True]
    """
    found = (value for name, value in headers if name == _PARTITION)
    return next(found, None) in (None, b"%d" % partition)


def source_offset(headers: Headers) -> int:
    """Offset of the event that an alert is about, -1 if the headers don't name it.

    Examples
    --------
    >>> source_offset(source(0, 42)), source_offset([])
    (42, -1)
    """
    found = (value for name, value in headers if name == _OFFSET and value and value.isdigit())
    return int(next(found, b"-1"))


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Probabilities at which an alert is raised, cleared and critical."""

    raise_at: float
    clear_at: float
    critical_at: float


@dataclass(frozen=True, slots=True)
class Observation:
    """A calibrated probability for one subject at one event.

    Attributes
    ----------
    subject
        User id.
    probability
        0-1, calibrated.
    time_ms
        Event time of the decision point.
    partition, offset, broker_ms, message_id
        Of the event behind the decision point.
    """

    subject: str
    probability: float
    time_ms: int
    partition: int
    offset: int
    broker_ms: int
    message_id: str


@dataclass(frozen=True, slots=True)
class Incident:
    """A raised alert; open while `ended_ms` (epoch ms) is None, then cooling down."""

    alert_id: str
    severity: Severity
    started_ms: int
    ended_ms: int | None = None


FORGOTTEN = "forgotten"
"""The model version of an alert that closes because its subject is forgotten."""
EVICTED = "evicted"
"""The model version of an alert that closes because its subject was evicted."""
INCIDENT_BYTES = 400
"""Memory of an incident, about: two dict entries, the ids, the object."""


class AlertBook:
    """Incidents of one kind in one partition: open, or cooling down.

    A subject keeps its latest incident as long as the partition knows the user, even after the
    cool-down. So a book holds at most `max_users` incidents, and the alerts of a subject depend
    only on that subject's events and evictions.

    Parameters
    ----------
    kind
        `churn` or `risk`.
    cooldown_s
        Event time after the end of an incident during which its subject stays quiet.
    undo
        Records every change.
    """

    def __init__(self, kind: str, cooldown_s: int, undo: Undo | None = None) -> None:
        self._undo = undo or Undo()
        self.kind = kind
        self._cooldown_ms = cooldown_s * 1000
        self._incidents: dict[str, Incident] = {}
        self._touched: dict[str, None] = {}  # subjects, since the last capture

    def __len__(self) -> int:
        return len(self._incidents)

    @property
    def nbytes(self) -> int:
        """Bytes held, about."""
        return INCIDENT_BYTES * len(self._incidents)

    @property
    def subjects(self) -> list[str]:
        """The users with an incident."""
        return list(self._incidents)

    def quiet(self, subject: str, probability: float, at: Thresholds) -> bool:
        """Whether `observe` certainly returns None and changes nothing."""
        return probability < at.raise_at and subject not in self._incidents

    def may_fire(
        self,
        observations: Sequence[Observation],
        at: Thresholds,
        departures: Sequence[Departure] = (),
    ) -> list[int]:
        """Which of these observations raise or escalate an alert; the book stays as it is.

        Parameters
        ----------
        observations
            In the order in which `observe` is going to be called.
        at
            Thresholds of the model that answered.
        departures
            In between, as `in_order` places them.

        Returns
        -------
        list
            Indices of `observations`, ascending.
        """
        incidents: dict[str, Incident | None] = {}
        found = []
        number = 0
        for turn in in_order(observations, departures):
            if isinstance(turn, Departure):
                incidents.update(dict.fromkeys(turn.users))
                continue
            known = incidents if turn.subject in incidents else self._incidents
            before = known.get(turn.subject)
            incidents[turn.subject] = after = self._after(before, turn, at)
            if after is not before and after is not None and after.ended_ms is None:
                found.append(number)
            number += 1
        return found

    def observe(
        self,
        seen: Observation,
        at: Thresholds,
        model_version: str,
        reasons: Sequence[ReasonCode] = (),
    ) -> Alert | None:
        """The alert this observation causes, if any.

        Parameters
        ----------
        seen
            Probability and where it came from.
        at
            Thresholds of the model that answered.
        model_version
            Written into the alert.
        reasons
            Written into an alert that is raised or escalated (`may_fire`).
        """
        before = self._incidents.get(seen.subject)
        after = self._after(before, seen, at)
        if after is before or after is None:
            return None
        self._put(seen.subject, after)
        return self._alert(seen, at, after, model_version, reasons)

    def depart(self, departure: Departure) -> list[Alert]:
        """Forget users who made room for others -> what closes their incidents."""
        found = [self.closed(user, departure.broker_ms, EVICTED) for user in departure.users]
        alerts = [alert for alert in found if alert is not None]
        for alert in alerts:
            self.forget(alert.subject)
        return alerts

    def _after(
        self, incident: Incident | None, seen: Observation, at: Thresholds
    ) -> Incident | None:
        """The subject's incident after `seen`; the same object where nothing changes."""
        if not 0.0 <= seen.probability <= 1.0:
            return incident
        severity: Severity = "critical" if seen.probability >= at.critical_at else "warning"
        if incident is None or incident.ended_ms is not None:
            cooling = incident is not None and seen.time_ms < self._quiet_until_ms(incident)
            if cooling or seen.probability < at.raise_at:
                return incident
            alert_id = output_id(self.kind, seen.partition, seen.offset)
            return Incident(alert_id, severity, seen.time_ms)
        if seen.probability < at.clear_at:
            return replace(incident, ended_ms=seen.time_ms)
        if severity == "critical" and incident.severity == "warning":
            return replace(incident, severity=severity)
        return incident

    def _quiet_until_ms(self, incident: Incident) -> int:
        assert incident.ended_ms is not None
        return incident.ended_ms + self._cooldown_ms

    def closed(self, subject: str, ended_ms: int, model_version: str = FORGOTTEN) -> Alert | None:
        """The alert that closes a subject's incident because the subject leaves, None without one.

        It is published for an open incident and for one that is cooling down.
        """
        incident = self._incidents.get(subject)
        if incident is None:
            return None
        if incident.ended_ms is not None:
            ended_ms = incident.ended_ms
        return Alert(
            alert_id=incident.alert_id,
            dedup_key=f"{self.kind}/{subject}",
            kind=self.kind,
            subject=subject,
            status="resolved",
            severity=incident.severity,
            probability=0.0,
            threshold=0.0,
            reason_codes=[],
            evidence=[],
            started_at=format_time_ms(incident.started_ms),
            ended_at=format_time_ms(ended_ms),
            model_version=model_version,
            generated_at=format_time_ms(ended_ms),
        )

    def recall(self, alert: Alert) -> None:
        """Take over the state after `alert`; alerts must come in the order of their events."""
        if alert.model_version in (FORGOTTEN, EVICTED):
            self.forget(alert.subject)
            return
        incident = Incident(
            alert.alert_id,
            alert.severity,
            parse_time_ms(alert.started_at),
            None if alert.ended_at is None else parse_time_ms(alert.ended_at),
        )
        self._put(alert.subject, incident)

    def forget(self, subject: str) -> None:
        """Drop a subject's incident."""
        if subject in self._incidents:
            self._put(subject, None)

    def capture(self) -> list[tuple[str, Incident | None]]:
        """The incidents that changed since the last capture, by subject; None = dropped."""
        touched, self._touched = self._touched, {}
        return [(subject, self._incidents.get(subject)) for subject in touched]

    def touch(self, subjects: Iterable[str]) -> None:
        """Mark these subjects for the next capture."""
        self._touched.update(dict.fromkeys(subjects))

    def restore(self, subject: str, incident: Incident) -> None:
        """Take over a captured incident."""
        self._incidents[subject] = incident

    def _put(self, subject: str, incident: Incident | None) -> None:
        self._undo.entries(self._incidents, [subject])
        self._undo.entries(self._touched, [subject])
        self._touched[subject] = None
        if incident is None:
            del self._incidents[subject]
        else:
            self._incidents[subject] = incident

    def _alert(
        self,
        seen: Observation,
        at: Thresholds,
        incident: Incident,
        model_version: str,
        reasons: Sequence[ReasonCode],
    ) -> Alert:
        ended = incident.ended_ms
        return Alert(
            alert_id=incident.alert_id,
            dedup_key=f"{self.kind}/{seen.subject}",
            kind=self.kind,
            subject=seen.subject,
            status="firing" if ended is None else "resolved",
            severity=incident.severity,
            probability=round(seen.probability, 6),
            threshold=at.raise_at if ended is None else at.clear_at,
            reason_codes=list(reasons) if ended is None else [],
            evidence=[seen.message_id],
            started_at=format_time_ms(incident.started_ms),
            ended_at=None if ended is None else format_time_ms(ended),
            model_version=model_version,
            generated_at=format_time_ms(seen.broker_ms),
        )


def in_order(
    observations: Sequence[Observation], departures: Sequence[Departure]
) -> Iterator[Observation | Departure]:
    """Merge both in log order; users depart before the event that they made room for."""
    waiting = list(departures)
    for seen in observations:
        while waiting and waiting[0].offset <= seen.offset:
            yield waiting.pop(0)
        yield seen
    yield from waiting
