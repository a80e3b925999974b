"""Decisions: turns the answers of the model or the counters into messages.

There are two steps. `_answer` makes all calls of the engine, also those for the reasons of alerts,
and changes no state. `_commit` advances the sent lists and the incidents, and writes messages. So a
model that fails leaves the state as it was before the batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np
import numpy.typing as npt

from models.features.windows import Windows
from models.registry.registry import Model
from schemas.events.codec import encode
from schemas.events.columns import EventColumns
from schemas.outputs import Alert, ReasonCode
from streams.alerts.book import AlertBook, Observation, Thresholds, in_order, source
from streams.counters.suggestions import Suggestions
from streams.histories.decision_points import Points, Task
from streams.histories.histories import Applied
from streams.histories.item_table import NO_ITEM, ItemTable
from streams.histories.user_rows import Departure
from streams.kafka.producer import Output
from streams.monitoring.metrics import Metrics
from streams.partition import PartitionState
from streams.plan import Plan
from streams.recommendations.allowed import top_allowed
from streams.recommendations.message import Lists, RecommendationWriter
from streams.recommendations.sent_lists import COUNTERS, Candidates, Trigger, list_hashes
from streams.serving.bound_model import Answers, BoundModel, head_quantiles


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


Ints = npt.NDArray[np.intp]
Record = Callable[[int, npt.NDArray[np.int64], Decisions], None]
"""Called with the partition, the offsets (D,) of a batch's decision points, and the decisions."""


@dataclass(frozen=True, slots=True)
class Answer:
    """All answers for the decision points of a batch, before any state changes.

    Attributes
    ----------
    triggers
        The events behind the D decision points.
    listing
        intp (n,): the decision points that ask for a list.
    slots, owners
        Slots and owner numbers of the users' rows at these n decision points.
    candidates, order
        Candidates at these n decision points, and the columns of the candidates that may be shown,
        int64 (n, top_k).
    probabilities
        As in `Decisions`.
    alarms
        By kind, in log order: observations that may cause an alert, with the alert's reasons.
    departures
        Evicted users in log order; their incidents close.
    """

    triggers: list[Trigger]
    listing: Ints
    slots: list[int]
    owners: list[int]
    candidates: Candidates
    order: npt.NDArray[np.int64]
    probabilities: dict[str, tuple[Ints, npt.NDArray[np.float64]]]
    alarms: Mapping[str, Sequence[tuple[Observation, Sequence[ReasonCode]]]]
    departures: Sequence[Departure]


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
        self._bound: BoundModel | None = None
        self._thresholds: dict[str, Thresholds] = {}

    @property
    def model_version(self) -> str:
        """The version that answers now, or "counters"."""
        return self._bound.model.version if self._bound else COUNTERS

    def use(self, model: Model | None) -> None:
        """Answer with `model` from now on; None: with the counters."""
        bound = BoundModel(model, self._items, self._metrics.stage) if model else None
        thresholds = {
            kind: policy.thresholds(head_quantiles(model, kind))
            for kind, policy in self._plan.alert_policies.items()
            if model and model.ships(kind)
        }
        # Both or neither: if one of these raises, the previous model stays in place.
        self._bound, self._thresholds = bound, thresholds

    def decide(
        self,
        state: PartitionState,
        columns: EventColumns,
        applied: Applied,
        windows: Windows,
        suggestions: Suggestions,
        *,
        publish: bool = True,
    ) -> Decisions:
        """Make all decisions of a batch, and advance the state by them.

        Parameters
        ----------
        state
            Of the partition; its sent lists and alert books advance.
        columns, applied
            The batch and the histories' results.
        windows, suggestions
            Of the batch's D decision points, with the live counters filled in.
        publish
            False makes no messages and only advances the sent lists, for a restore, which reads
            alerts back from their topic.

        Returns
        -------
        Decisions
            Empty if there is no decision point and no departure.

        Raises
        ------
        EngineError
            The model failed. The state is unchanged, so the batch can be decided again.
        """
        if not len(applied.points):
            decisions = Decisions([], Counter(), [])
            if publish and applied.departures:
                self._publish(decisions, self._alerts(state, {}, applied.departures))
            return decisions
        triggers = _triggers(state.partition, columns, applied.points, windows)
        books = state.books if publish else {}
        answer = self._answer(books, applied, windows, suggestions, triggers)
        return self._commit(state, answer, publish=publish)

    def _answer(
        self,
        books: Mapping[str, AlertBook],
        applied: Applied,
        windows: Windows,
        suggestions: Suggestions,
        triggers: list[Trigger],
    ) -> Answer:
        """Get answers from the model or the counters; may raise `EngineError`, changes no state."""
        points = applied.points
        listing = np.flatnonzero(points.asking(Task.RECOMMEND))
        shown, offered = windows.take(listing), suggestions.take(listing)
        candidates = Candidates(offered.items, offered.scores, offered.sources)
        answers: Answers | None = None
        if self._bound is not None:
            answers = self._bound.answer(windows, self._heads(points))
            candidates = self._bound.list_candidates(answers, listing, offered, shown)
        with self._metrics.stage("filter"):
            order = top_allowed(candidates, shown, self._items, self._plan.recommend)
        return Answer(
            triggers,
            listing,
            applied.slots[points.rows[listing]].tolist(),
            applied.owners[listing].tolist(),
            candidates,
            order,
            {head: (at, answers.probabilities[head]) for head, at in answers.points.items()}
            if answers
            else {},
            self._alarms(books, answers, triggers, applied.departures) if answers else {},
            applied.departures,
        )

    def _heads(self, points: Points) -> dict[str, Ints]:
        """The decision points of each head that the model ships and an alert rule uses."""
        tasks = {"churn": Task.CHURN, "risk": Task.RISK}
        return {head: np.flatnonzero(points.asking(tasks[head])) for head in self._thresholds}

    def _alarms(
        self,
        books: Mapping[str, AlertBook],
        answers: Answers,
        triggers: list[Trigger],
        departures: Sequence[Departure],
    ) -> dict[str, list[tuple[Observation, list[ReasonCode]]]]:
        """By kind: observations that may cause an alert; all reasons come from a single call."""
        assert self._bound is not None
        observed: dict[str, list[tuple[int, Observation]]] = {}  # by kind, with the decision point
        heads: list[str] = []
        explained: list[int] = []  # decision points
        for kind, book in books.items():
            if kind not in answers.points:
                continue
            at, thresholds = answers.points[kind].tolist(), self._thresholds[kind]
            found = _noteworthy(
                book, at, answers.probabilities[kind].tolist(), triggers, thresholds
            )
            observations = [observation for _, observation in found]
            firing = book.may_fire(observations, thresholds, departures)
            observed[kind] = found
            heads += [kind] * len(firing)
            explained += [found[i][0] for i in firing]
        reasons = dict(
            zip(
                zip(heads, explained, strict=True),
                self._bound.explain(answers, heads, explained),
                strict=True,
            )
        )
        return {
            kind: [(observation, reasons.get((kind, point), [])) for point, observation in found]
            for kind, found in observed.items()
        }

    def _commit(self, state: PartitionState, answer: Answer, *, publish: bool) -> Decisions:
        """Advance the state and write messages, without further calls of the model."""
        decisions = Decisions([], Counter(), [])
        with self._metrics.stage("decide"):
            asking = [answer.triggers[i] for i in answer.listing.tolist()]
            sent, lists = self._admit(decisions, state, answer, asking)
            if not publish:
                return decisions
            decisions.probabilities |= answer.probabilities
            alerts = self._alerts(state, answer.alarms, answer.departures)
        with self._metrics.stage("encode"):
            messages = self._writer.write(sent, lists, self.model_version)
            decisions.outputs += [
                Output(self._plan.recommendations, trigger.user_id.encode(), message)
                for trigger, message in zip(sent, messages, strict=True)
            ]
            self._publish(decisions, alerts)
        return decisions

    def _alerts(
        self,
        state: PartitionState,
        alarms: Mapping[str, Sequence[tuple[Observation, Sequence[ReasonCode]]]],
        departures: Sequence[Departure],
    ) -> list[tuple[int, Alert]]:
        """Advance the books, drop evicted users -> alerts with the offsets of their events."""
        found: list[tuple[int, Alert]] = []
        for kind, book in state.books.items():
            found_alarms = alarms.get(kind, ())
            reasons = iter([why for _, why in found_alarms])
            for turn in in_order([observation for observation, _ in found_alarms], departures):
                if isinstance(turn, Departure):
                    found += [(turn.offset, alert) for alert in book.depart(turn)]
                    continue
                at, why = self._thresholds[kind], next(reasons)
                alert = book.observe(turn, at, self.model_version, why)
                if alert is not None:
                    found.append((turn.offset, alert))
        return found

    def _publish(self, decisions: Decisions, alerts: list[tuple[int, Alert]]) -> None:
        decisions.outputs += [
            Output(self._plan.alerts, alert.subject.encode(), encode(alert), source(offset))
            for offset, alert in alerts
        ]
        decisions.alerts += [(alert.kind, alert.severity, alert.status) for _, alert in alerts]

    def _admit(
        self,
        decisions: Decisions,
        state: PartitionState,
        answer: Answer,
        triggers: list[Trigger],
    ) -> tuple[list[Trigger], Lists]:
        """Advance the sent lists by all `triggers` -> triggers and contents of lists to send."""
        candidates, order = answer.candidates, answer.order
        found = order >= 0  # (n, top_k), the places without an item last
        items = np.where(found, np.take_along_axis(candidates.items, order, axis=1), NO_ITEM)
        shown = list_hashes(items, self._items.hashes).tolist()
        policy, admit = self._plan.recommend, state.sent.admit
        outcomes = [
            admit(slot, owner, trigger.time_ms // 1000, listed, policy)
            for slot, owner, trigger, listed in zip(
                answer.slots, answer.owners, triggers, shown, strict=True
            )
        ]
        decisions.lists.update(outcomes)
        sent = [i for i, outcome in enumerate(outcomes) if outcome == "sent"]
        found, order = found[sent], order[sent]
        scores = np.take_along_axis(candidates.scores[sent], order, axis=1)[found]
        sources = np.take_along_axis(candidates.sources[sent], order, axis=1)[found]
        lists = Lists(
            sizes=found.sum(axis=1).tolist(),
            items=items[sent][found].tolist(),
            scores=scores.astype(np.float64).round(6).tolist(),
            sources=sources.tolist(),
        )
        return [triggers[i] for i in sent], lists


def _noteworthy(
    book: AlertBook,
    points: list[int],
    probabilities: list[float],
    triggers: list[Trigger],
    at: Thresholds,
) -> list[tuple[int, Observation]]:
    """The observations that can change the book, with their decision points; most can't."""
    raised = {
        triggers[point].user_id
        for point, probability in zip(points, probabilities, strict=True)
        if probability >= at.raise_at
    }
    return [
        (point, _observation(triggers[point], probability))
        for point, probability in zip(points, probabilities, strict=True)
        if triggers[point].user_id in raised
        or not book.quiet(triggers[point].user_id, probability, at)
    ]


def _observation(trigger: Trigger, probability: float) -> Observation:
    return Observation(
        trigger.user_id,
        probability,
        trigger.time_ms,
        trigger.partition,
        trigger.offset,
        trigger.broker_ms,
        trigger.message_id,
    )


def _triggers(
    partition: int, columns: EventColumns, points: Points, windows: Windows
) -> list[Trigger]:
    rows = points.rows.tolist()
    return list(
        map(
            Trigger,
            [columns.user_ids[row] for row in rows],
            [columns.message_ids[row] for row in rows],
            repeat(partition),
            columns.offsets[points.rows].tolist(),
            columns.broker_ms[points.rows].tolist(),
            (windows.now_s * 1000).tolist(),
        )
    )
