"""The plan: the settings resolved once, as the plain values that scoring needs."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Self

from schemas.errors import ConfigError
from schemas.events.kinds import Kind
from schemas.topics import ALERTS, DEAD_LETTERS, RECOMMENDATIONS
from streams.alerts.book import AlertBook
from streams.alerts.thresholds import AlertPolicy
from streams.counters.counters import Counters
from streams.histories.decision_points import PointPolicy
from streams.histories.histories import Histories
from streams.histories.item_table import ItemTable
from streams.partition import PartitionState
from streams.recommendations.sent_lists import Policy
from streams.settings import AlertRule, Settings
from streams.undo import Undo


@dataclass(frozen=True, slots=True)
class Plan:
    """All parameters of the scoring function except the model.

    Attributes
    ----------
    points
        Which events ask for a decision.
    recommend
        What may be shown, and how often.
    alert_policies
        By kind of alert; only enabled kinds.
    entities
        E, watched risk entities per event.
    max_users, late_s, covisit_tau_s, covisit_neighbours
        Parameters of `Histories` and `Counters`.
    recommendations, alerts, dead_letters
        Topic names on the wire.
    code_version
        Hark's version, for the headers of dead letters.
    """

    points: PointPolicy
    recommend: Policy
    alert_policies: dict[str, AlertPolicy]
    entities: int
    max_users: int
    late_s: int
    covisit_tau_s: float
    covisit_neighbours: int
    recommendations: str
    alerts: str
    dead_letters: str
    code_version: str

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The plan of these settings; raises `ConfigError` if they contradict each other."""
        prefix = settings.kafka.topic_prefix
        rules = {"churn": settings.alerts.churn, "risk": settings.alerts.risk}
        return cls(
            points=PointPolicy(
                watch=frozenset(_kind(name) for name in settings.alerts.watch),
                refresh_s=settings.recommend.refresh_s,
            ),
            recommend=Policy(
                top_k=settings.recommend.top_k,
                min_interval_s=settings.recommend.min_interval_s,
                ttl_s=settings.recommend.ttl_s,
                exclude_bought=settings.recommend.exclude_bought,
            ),
            alert_policies={kind: _policy(kind, r) for kind, r in rules.items() if r.enabled},
            entities=len(settings.contract.entities),
            max_users=settings.state.max_users,
            late_s=settings.state.late_s,
            covisit_tau_s=settings.state.covisit_days * 86_400.0,
            covisit_neighbours=settings.state.covisit_neighbours,
            recommendations=prefix + RECOMMENDATIONS.name,
            alerts=prefix + ALERTS.name,
            dead_letters=prefix + DEAD_LETTERS.name,
            code_version=version("hark"),
        )

    def new_state(self, partition: int, items: ItemTable) -> PartitionState:
        """The empty state of a partition."""
        undo = Undo()
        return PartitionState(
            partition,
            Histories(items, self.points, max_users=self.max_users, late_s=self.late_s, undo=undo),
            Counters(
                self.points,
                entities=self.entities,
                covisit_tau_s=self.covisit_tau_s,
                covisit_neighbours=self.covisit_neighbours,
                undo=undo,
            ),
            {kind: AlertBook(kind, p.cooldown_s, undo) for kind, p in self.alert_policies.items()},
            undo,
        )


def _kind(name: str) -> Kind:
    try:
        return Kind[name.upper()]
    except KeyError:
        raise ConfigError(f"alerts.watch: no kind {name!r} (see schemas/events/kinds.py)") from None


def _policy(kind: str, rule: AlertRule) -> AlertPolicy:
    fixed = [at for at in (rule.clear_at, rule.raise_at, rule.critical_at) if at is not None]
    if fixed != sorted(fixed):
        raise ConfigError(f"alerts.{kind}: clear_at <= raise_at <= critical_at must hold")
    return AlertPolicy(rule.budget, rule.raise_at, rule.clear_at, rule.critical_at, rule.cooldown_s)
