"""Decisions: turns the answers of the model or the counters into messages.

There are two steps. `Answerer.answer` makes all calls of the engine and changes no state. `_commit`
advances the sent lists and the incidents, and writes messages. So a model that fails leaves the
states as they were before the batches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.registry.registry import Model
from schemas.events.codec import encode
from schemas.outputs import Alert, ReasonCode
from streams.alerts.book import Headers, Observation, in_order, source
from streams.decisions.answers import Answer, Answerer, Listed, Undecided
from streams.histories.item_table import ItemTable
from streams.histories.user_rows import Departure
from streams.kafka.producer import Output
from streams.monitoring.metrics import Metrics
from streams.plan import Plan
from streams.recommendations.message import RecommendationWriter
from streams.recommendations.sent_lists import Trigger


@dataclass(slots=True)
class Decisions:
    """The messages of a batch, and the facts behind them.

    Attributes
    ----------
    outputs
        Recommendations, then alerts, each in the order of their triggers.
    lists
        Number of lists by outcome: sent, unchanged, held, empty.
    alerts
        (kind, severity, status) of each alert.
    probabilities
        "churn" and "risk", if scored -> the decision points, intp (n,), and the calibrated
        probabilities, float64 (n,).
    """

    outputs: list[Output]
    lists: Counter[str]
    alerts: list[tuple[str, str, str]]
    probabilities: dict[str, tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]] = field(
        default_factory=dict
    )

    def scored(self, kind: str) -> int:
        """Number of decision points at which `kind` ("churn" or "risk") was scored."""
        return len(self.probabilities[kind][0]) if kind in self.probabilities else 0


Record = Callable[[int, npt.NDArray[np.int64], Decisions], None]
"""Called with the partition, the offsets (D,) of a batch's decision points, and the decisions."""


@dataclass(frozen=True, slots=True)
class _Made:
    """Decisions without their messages.

    Attributes
    ----------
    sent, lists
        Triggers of the lists to send, and the lists' places in `Listed`.
    alerts
        With their headers.
    """

    decisions: Decisions
    sent: list[Trigger]
    lists: list[int]
    alerts: list[tuple[Headers, Alert]]


class Decider:
    """Turns decision points into messages.

    Parameters
    ----------
    plan
        Policies, rules and topic names.
    items
        The worker's item table.
    metrics
        Times the stages.
    """

    def __init__(self, plan: Plan, items: ItemTable, metrics: Metrics) -> None:
        self._plan = plan
        self._items = items
        self._metrics = metrics
        self._writer = RecommendationWriter(items, plan.recommend.ttl_s)
        self._answerer = Answerer(plan, items, metrics)

    @property
    def model_version(self) -> str:
        """The version that answers now, or "counters"."""
        return self._answerer.model_version

    def use(self, model: Model | None) -> None:
        """Answer with `model` from now on; None: with the counters."""
        self._answerer.use(model)

    def decide(self, parts: Sequence[Undecided], *, publish: bool = True) -> list[Decisions]:
        """Make all decisions of some batches, and advance their states by them.

        Parameters
        ----------
        parts
            Batches of different partitions; the sent lists and alert books of their states
            advance.
        publish
            False makes no messages and only advances the sent lists, for a restore, which reads
            alerts back from their topic.

        Returns
        -------
        list
            The decisions of each batch; empty if there is no decision point and no departure.

        Raises
        ------
        EngineError
            The model failed. The states are unchanged, so the batches can be decided again.
        """
        pointed = [part for part in parts if len(part.applied.points)]
        answers, listed = self._answerer.answer(pointed, alarms=publish) if pointed else ([], None)
        following = iter(answers)
        with self._metrics.stage("decide"):
            made = [
                self._commit(part, next(following) if len(part.applied.points) else None, publish)
                for part in parts
            ]
        if publish:
            with self._metrics.stage("encode"):
                self._write_lists(made, listed)
                for one in made:
                    self._write_alerts(one)
        return [one.decisions for one in made]

    def _commit(self, part: Undecided, answer: Answer | None, publish: bool) -> _Made:
        """Advance the state; `answer` is None for a batch without decision points."""
        decisions = Decisions([], Counter(), [])
        sent, lists = self._admit(decisions, part, answer) if answer else ([], [])
        if not publish:
            return _Made(decisions, [], [], [])
        if answer:
            decisions.probabilities |= answer.probabilities
        return _Made(decisions, sent, lists, self._alerts(part, answer.alarms if answer else {}))

    def _alerts(
        self,
        part: Undecided,
        alarms: Mapping[str, Sequence[tuple[Observation, Sequence[ReasonCode]]]],
    ) -> list[tuple[Headers, Alert]]:
        """Advance the books, drop evicted users -> alerts with headers that name their events."""
        found: list[tuple[Headers, Alert]] = []
        number = part.state.partition
        departures = part.applied.departures
        for kind, book in part.state.books.items():
            found_alarms = alarms.get(kind, ())
            reasons = iter([why for _, why in found_alarms])
            for turn in in_order([observation for observation, _ in found_alarms], departures):
                if isinstance(turn, Departure):
                    headers = source(number, turn.offset)
                    found += [(headers, alert) for alert in book.depart(turn)]
                    continue
                at, why = self._answerer.thresholds[kind], next(reasons)
                alert = book.observe(turn, at, self.model_version, why)
                if alert is not None:
                    found.append((source(number, turn.offset), alert))
        return found

    def _write_lists(self, made: Sequence[_Made], listed: Listed | None) -> None:
        """Write the recommendations of all batches."""
        sent = [trigger for one in made for trigger in one.sent]
        if not sent or listed is None:
            return
        lists = listed.contents([place for one in made for place in one.lists])
        messages = iter(self._writer.write(sent, lists, self.model_version))
        for one in made:
            one.decisions.outputs += [
                Output(self._plan.recommendations, trigger.user_id.encode(), next(messages))
                for trigger in one.sent
            ]

    def _write_alerts(self, made: _Made) -> None:
        """Write the alerts of a batch."""
        decisions, alerts = made.decisions, made.alerts
        decisions.outputs += [
            Output(self._plan.alerts, alert.subject.encode(), encode(alert), headers)
            for headers, alert in alerts
        ]
        decisions.alerts += [(alert.kind, alert.severity, alert.status) for _, alert in alerts]

    def _admit(
        self, decisions: Decisions, part: Undecided, answer: Answer
    ) -> tuple[list[Trigger], list[int]]:
        """Advance the sent lists by all triggers -> triggers and places of the lists to send."""
        applied, listing = part.applied, answer.listing
        triggers = [answer.triggers[point] for point in listing.tolist()]
        slots = applied.slots[applied.points.rows[listing]].tolist()
        owners = applied.owners[listing].tolist()
        policy, admit = self._plan.recommend, part.state.sent.admit
        outcomes = [
            admit(slot, owner, trigger.time_ms // 1000, shown, policy)
            for slot, owner, trigger, shown in zip(
                slots, owners, triggers, answer.shown, strict=True
            )
        ]
        decisions.lists.update(outcomes)
        sent = [i for i, outcome in enumerate(outcomes) if outcome == "sent"]
        return [triggers[i] for i in sent], [answer.first + i for i in sent]
