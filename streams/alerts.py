"""Alerts: hysteresis, escalation, cool-down and a resolved message.

An incident opens when a probability reaches `raise_at`, closes when it falls below
`clear_at`, and the same subject stays quiet for `cooldown_s` of event time afterwards.
The topic `alerts` is the changelog of this state: `AlertBook.recall` reads it back. A header says
which event a message is about, so that only what came of committed events is read back.

Invariant: a book holds and publishes probabilities from 0 to 1 only. An observation with any other
number (NaN, infinite) changes nothing: NaN is neither below nor above a threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from schemas.outputs import Alert, ReasonCode, Severity, output_id
from schemas.times import format_time_ms, parse_time_ms
from streams.undo import Undo

Headers = Sequence[tuple[str, bytes]]
_SOURCE = "hark-offset"


def source(offset: int) -> Headers:
    """Headers of an alert about the event at `offset`."""
    return ((_SOURCE, b"%d" % offset),)


def source_offset(headers: Headers) -> int:
    """Offset of the event that an alert is about, -1 where its headers don't say.

    Examples
    --------
    >>> source_offset(source(42)), source_offset([])
    (42, -1)
    """
    return next((int(value) for name, value in headers if name == _SOURCE and value.isdigit()), -1)


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
        Of the event behind it.
    """

    subject: str
    probability: float
    time_ms: int
    partition: int
    offset: int
    broker_ms: int
    message_id: str


@dataclass(frozen=True, slots=True)
class _Incident:
    alert_id: str
    severity: Severity
    started_ms: int
    ended_ms: int | None = None


FORGOTTEN = "forgotten"
"""The model version of an alert that closes because its subject is forgotten."""


class AlertBook:
    """Open and cooling incidents of one kind in one partition.

    Parameters
    ----------
    kind
        `churn`, `risk`.
    cooldown_s
        Event time after the end of an incident in which its subject stays quiet.
    undo
        Told of every change.
    """

    def __init__(self, kind: str, cooldown_s: int, undo: Undo | None = None) -> None:
        self._undo = undo or Undo()
        self.kind = kind
        self._cooldown_ms = cooldown_s * 1000
        self._incidents: dict[str, _Incident] = {}
        self._prune_at = 1024

    def __len__(self) -> int:
        return len(self._incidents)

    def quiet(self, subject: str, probability: float, at: Thresholds) -> bool:
        """Whether `observe` would certainly have nothing to say."""
        return probability < at.raise_at and subject not in self._incidents

    def may_fire(self, observations: Sequence[Observation], at: Thresholds) -> list[int]:
        """Which of these observations may raise or escalate an alert; the book stays as it is.

        Every observation that does is among them. So is each one at or above `raise_at` of a
        subject that cools down in between: its incident may be pruned before its turn.

        Parameters
        ----------
        observations
            In the order in which `observe` is going to be called.
        at
            Thresholds of the model that answered.

        Returns
        -------
        list
            Indices of `observations`, ascending.
        """
        incidents: dict[str, _Incident | None] = {}
        cooled: set[str] = set()
        found = []
        for i, seen in enumerate(observations):
            subject = seen.subject
            before = incidents.get(subject, self._incidents.get(subject))
            incidents[subject] = after = self._after(before, seen, at)
            if (before and before.ended_ms is not None) or (after and after.ended_ms is not None):
                cooled.add(subject)
            fires = after is not before and subject not in cooled
            if fires or (subject in cooled and seen.probability >= at.raise_at):
                found.append(i)
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
        self._undo.entries(self._incidents, [seen.subject])
        before = self._incidents.get(seen.subject)
        after = self._after(before, seen, at)
        if after is before or after is None:
            return None
        if before is None or before.alert_id != after.alert_id:
            self._prune(seen.time_ms)
        self._incidents[seen.subject] = after
        return self._alert(seen, at, after, model_version, reasons)

    def _after(
        self, incident: _Incident | None, seen: Observation, at: Thresholds
    ) -> _Incident | None:
        """The subject's incident after `seen`; the same object where nothing changes."""
        if not 0.0 <= seen.probability <= 1.0:
            return incident
        severity: Severity = "critical" if seen.probability >= at.critical_at else "warning"
        if incident is None or incident.ended_ms is not None:
            cooling = incident is not None and seen.time_ms < self._quiet_until_ms(incident)
            if cooling or seen.probability < at.raise_at:
                return incident
            alert_id = output_id(self.kind, seen.partition, seen.offset)
            return _Incident(alert_id, severity, seen.time_ms)
        if seen.probability < at.clear_at:
            return replace(incident, ended_ms=seen.time_ms)
        if severity == "critical" and incident.severity == "warning":
            return replace(incident, severity=severity)
        return incident

    def _quiet_until_ms(self, incident: _Incident) -> int:
        assert incident.ended_ms is not None
        return incident.ended_ms + self._cooldown_ms

    def closed(self, subject: str, ended_ms: int) -> Alert | None:
        """What closes a subject's incident, open or cooling down, as it is forgotten."""
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
            model_version=FORGOTTEN,
            generated_at=format_time_ms(ended_ms),
        )

    def recall(self, alert: Alert) -> None:
        """Take over the state that `alert`, read from the topic in order, says."""
        if alert.model_version == FORGOTTEN:
            self.forget(alert.subject)
            return
        self._incidents[alert.subject] = _Incident(
            alert.alert_id,
            alert.severity,
            parse_time_ms(alert.started_at),
            None if alert.ended_at is None else parse_time_ms(alert.ended_at),
        )

    def forget(self, subject: str) -> None:
        """Know nothing of a subject any more."""
        self._incidents.pop(subject, None)

    def _prune(self, now_ms: int) -> None:
        """Forget incidents whose cool-down is over, each time the book has doubled."""
        if len(self._incidents) < self._prune_at:
            return
        self._undo.attributes(self, "_incidents", "_prune_at")
        oldest_ms = now_ms - self._cooldown_ms
        self._incidents = {
            subject: incident
            for subject, incident in self._incidents.items()
            if incident.ended_ms is None or incident.ended_ms > oldest_ms
        }
        self._prune_at = max(1024, 2 * len(self._incidents))

    def _alert(
        self,
        seen: Observation,
        at: Thresholds,
        incident: _Incident,
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
