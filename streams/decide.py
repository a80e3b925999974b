"""Decisions: what the model or the counters say at each decision point, as messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from models import features
from models.registry import Model
from models.sequences import ModelInputs
from models.windows import Windows
from schemas.codec import encode
from schemas.columns import EventColumns
from schemas.outputs import Alert, ReasonCode
from streams.alerts import Observation, Thresholds, in_order, source
from streams.allowed import top_allowed
from streams.answer import Answers, BoundModel, head_quantiles, usual_features
from streams.candidates import Suggestions
from streams.explain import Explainer
from streams.histories import Applied
from streams.items import NO_ITEM, ItemTable
from streams.metrics import Metrics
from streams.outputs import Output
from streams.partition import PartitionState
from streams.plan import Plan
from streams.points import Points, Task
from streams.recommend import COUNTERS, Candidates, Trigger, list_hashes
from streams.recommendation_writer import Lists, RecommendationWriter
from streams.user_rows import Departure


@dataclass(slots=True)
class Decisions:
    """Messages of one batch and how they came about.

    Attributes
    ----------
    outputs
        In the order of their triggers, recommendations first.
    lists
        Recommendation points by outcome: sent, unchanged, held, empty.
    alerts
        (kind, severity, status) of each alert.
    probabilities
        By "churn" and "risk", where these were scored: which decision points, intp (n,), and the
        calibrated probabilities, float64 (n,).
    """

    outputs: list[Output]
    lists: Counter[str]
    alerts: list[tuple[str, str, str]]
    probabilities: dict[str, tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]] = field(
        default_factory=dict
    )

    def scored(self, kind: str) -> int:
        """How many decision points "churn" or "risk" was asked at."""
        return len(self.probabilities[kind][0]) if kind in self.probabilities else 0


Record = Callable[[int, npt.NDArray[np.int64], Decisions], None]
"""Shown a partition, the offsets (D,) of a batch's decision points, and what was decided."""


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
        self._explainers: dict[str, Explainer] = {}
        self._thresholds: dict[str, Thresholds] = {}

    @property
    def model_version(self) -> str:
        """Who answers now."""
        return self._bound.model.version if self._bound else COUNTERS

    def use(self, model: Model | None) -> None:
        """Answer with `model` from now on; None: with the counters."""
        bound = BoundModel(model, self._items) if model else None
        explainers = {
            kind: Explainer(usual_features(model), partial(_logits, model, kind))
            for kind in self._plan.alert_policies
            if model and model.ships(kind)
        }
        thresholds = {
            kind: policy.thresholds(head_quantiles(model, kind))
            for kind, policy in self._plan.alert_policies.items()
            if model
        }
        # All or nothing: a model that one of these refuses leaves the one before whole.
        self._bound, self._explainers, self._thresholds = bound, explainers, thresholds

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
        """All decisions of one batch.

        Parameters
        ----------
        state
            Of the partition; what was sent and which alerts are open advances.
        columns, applied
            The batch and what the histories made of it.
        windows, suggestions
            Of its D decision points, with the live counters filled in.
        publish
            False only notes which lists went out (a restore); alerts are read back.

        Raises
        ------
        EngineError
            Before anything was advanced.
        """
        decisions = Decisions([], Counter(), [])
        points = applied.points
        departures = applied.departures if publish else ()
        if not len(points):
            self._publish_alerts(decisions, self._departed(state, departures))
            return decisions
        answers = self._answer(windows, points) if self._bound else None
        triggers = _triggers(state.partition, columns, points, windows)
        asked = np.flatnonzero(points.asking(Task.RECOMMEND))
        whose = applied.slots[points.rows[asked]].tolist(), applied.owners[asked].tolist()
        seen, mine = windows.take(asked), suggestions.take(asked)
        candidates = self._candidates(answers, mine, asked, seen)
        with self._metrics.stage("filter"):
            order = top_allowed(candidates, seen, self._items, self._plan.recommend)
        with self._metrics.stage("decide"):
            asking = [triggers[i] for i in asked.tolist()]
            sent, lists = self._admit(decisions, state, candidates, order, asking, whose)
            if not publish:
                return decisions
            alerts: list[tuple[int, Alert]] = []  # with the offset of the event
            observed = self._asked(points) if answers is not None else {}
            if answers is not None:
                frame_row = answers.frame.row
                for kind, at in observed.items():
                    decisions.probabilities[kind] = at, answers.probabilities[kind]
                    alerts += self._alerts(
                        state, kind, answers, at, triggers, frame_row, departures
                    )
            alerts += self._departed(state, departures, observed)
        with self._metrics.stage("encode"):
            messages = self._writer.write(sent, lists, self.model_version)
            decisions.outputs += [
                Output(self._plan.recommendations, trigger.user_id.encode(), message)
                for trigger, message in zip(sent, messages, strict=True)
            ]
            self._publish_alerts(decisions, alerts)
        return decisions

    def _publish_alerts(self, decisions: Decisions, alerts: Iterable[tuple[int, Alert]]) -> None:
        for offset, alert in alerts:
            decisions.outputs.append(
                Output(self._plan.alerts, alert.subject.encode(), encode(alert), source(offset))
            )
            decisions.alerts.append((alert.kind, alert.severity, alert.status))

    def _departed(
        self,
        state: PartitionState,
        departures: Sequence[Departure],
        observed: Container[str] = (),
    ) -> list[tuple[int, Alert]]:
        """What closes the incidents of users who made room, of the kinds not `observed`."""
        return [
            (departure.offset, alert)
            for kind, book in state.books.items()
            if kind not in observed
            for departure in departures
            for alert in book.depart(departure)
        ]

    def _asked(self, points: Points) -> dict[str, npt.NDArray[np.intp]]:
        """The points that ask for each head that the model ships and an alert rule wants."""
        tasks = {"churn": Task.CHURN, "risk": Task.RISK}
        return {kind: np.flatnonzero(points.asking(tasks[kind])) for kind in self._explainers}

    def _answer(self, windows: Windows, points: Points) -> Answers:
        assert self._bound is not None
        model = self._bound.model
        with self._metrics.stage("features"):
            frame = features.compute(windows)
        with self._metrics.stage("sequences"):
            inputs = self._bound.inputs(windows, frame)
        with self._metrics.stage("engine"):
            scores = model.engine.score(inputs)
        with self._metrics.stage("heads"):
            probabilities = {
                kind: model.probability(kind, scores.take(at), inputs.features[at])
                for kind, at in self._asked(points).items()
            }
        return Answers(frame, inputs, scores, probabilities)

    def _candidates(
        self,
        answers: Answers | None,
        mine: Suggestions,
        asked: npt.NDArray[np.intp],
        seen: Windows,
    ) -> Candidates:
        """Of the decision points `asked`, whose suggestions and windows are `mine` and `seen`."""
        if answers is None or self._bound is None:
            return Candidates(mine.items, mine.scores, mine.sources)
        with self._metrics.stage("pool"):
            pool = self._bound.pool(answers.scores.take(asked), mine, seen)
        with self._metrics.stage("rank"):
            return self._bound.rank(pool, mine, seen)

    def _admit(
        self,
        decisions: Decisions,
        state: PartitionState,
        candidates: Candidates,
        order: npt.NDArray[np.int64],
        triggers: list[Trigger],
        whose: tuple[list[int], list[int]],
    ) -> tuple[list[Trigger], Lists]:
        """The lists that go out, and whose they are; `whose`: slots and owners of the rows."""
        found = order >= 0  # (D, top_k), the places without an item last
        items = np.where(found, np.take_along_axis(candidates.items, order, axis=1), NO_ITEM)
        shown = list_hashes(items, self._items.hashes).tolist()
        policy, admit = self._plan.recommend, state.sent.admit
        outcomes = [
            admit(slot, owner, trigger.time_ms // 1000, listed, policy)
            for slot, owner, trigger, listed in zip(*whose, triggers, shown, strict=True)
        ]
        decisions.lists.update(outcomes)
        news = [i for i, outcome in enumerate(outcomes) if outcome == "sent"]
        found, order = found[news], order[news]
        scores = np.take_along_axis(candidates.scores[news], order, axis=1)[found]
        sources = np.take_along_axis(candidates.sources[news], order, axis=1)[found]
        lists = Lists(
            sizes=found.sum(axis=1).tolist(),
            items=items[news][found].tolist(),
            scores=scores.astype(np.float64).round(6).tolist(),
            sources=sources.tolist(),
        )
        return [triggers[i] for i in news], lists

    def _alerts(
        self,
        state: PartitionState,
        kind: str,
        answers: Answers,
        at: npt.NDArray[np.intp],
        triggers: list[Trigger],
        frame_row: Callable[[int], tuple[Any, ...]],
        departures: Sequence[Departure],
    ) -> Iterator[tuple[int, Alert]]:
        """`at`: the decision points that ask for this kind."""
        assert self._bound is not None
        book, at_probability = state.books[kind], self._thresholds[kind]
        probabilities = answers.probabilities[kind].tolist()
        points = at.tolist()
        observations = [
            _observation(triggers[i], probability)
            for i, probability in zip(points, probabilities, strict=True)
        ]
        rows = iter(points)
        for turn in in_order(observations, departures):
            if isinstance(turn, Departure):
                yield from ((turn.offset, alert) for alert in book.depart(turn))
                continue
            i = next(rows)
            reasons: list[ReasonCode] = []
            if book.may_fire([turn], at_probability):
                explain = self._explainers[kind].explain
                reasons = explain(answers.inputs.take(np.array([i])), frame_row(i))
            alert = book.observe(turn, at_probability, self.model_version, reasons)
            if alert is not None:
                yield turn.offset, alert


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


def _logits(model: Model, kind: str, inputs: ModelInputs) -> npt.NDArray[np.float64]:
    return model.logit(kind, model.engine.score(inputs), inputs.features)
