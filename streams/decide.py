"""Decisions: what the model or the counters say at each decision point, as messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
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
from schemas.outputs import Alert
from streams.alerts import Observation, Thresholds
from streams.allowed import top_allowed
from streams.answer import Answers, BoundModel, head_quantiles, usual_features
from streams.candidates import Suggestions
from streams.explain import Explainer
from streams.histories import Applied
from streams.items import ItemTable
from streams.metrics import Metrics
from streams.outputs import Output
from streams.partition import PartitionState
from streams.plan import Plan
from streams.points import Points, Task
from streams.recommend import COUNTERS, Candidates, Trigger, build


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
    churn, risk
        Whether these were scored.
    probabilities
        By "churn" and "risk": which decision points were scored, intp (n,), and the calibrated
        probabilities, float64 (n,).
    """

    outputs: list[Output]
    lists: Counter[str]
    alerts: list[tuple[str, str, str]]
    churn: bool
    risk: bool
    probabilities: dict[str, tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]] = field(
        default_factory=dict
    )


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
        self._bound: BoundModel | None = None
        self._explainers: dict[str, Explainer] = {}
        self._thresholds: dict[str, Thresholds] = {}

    @property
    def model_version(self) -> str:
        """Who answers now."""
        return self._bound.model.version if self._bound else COUNTERS

    def use(self, model: Model | None) -> None:
        """Answer with `model` from now on; None: with the counters."""
        self._bound = BoundModel(model, self._items) if model else None
        self._explainers = {
            kind: Explainer(usual_features(model), partial(_logits, model, kind))
            for kind in ("churn", "risk")
            if model and _ships(model, kind)
        }
        self._thresholds = {
            kind: policy.thresholds(head_quantiles(model, kind))
            for kind, policy in self._plan.alert_policies.items()
            if model
        }

    def decide(
        self,
        state: PartitionState,
        columns: EventColumns,
        applied: Applied,
        windows: Windows,
        suggestions: Suggestions,
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

        Raises
        ------
        EngineError
            Before anything was advanced.
        """
        decisions = Decisions([], Counter(), [], churn=False, risk=False)
        points = applied.points
        if not len(points):
            return decisions
        answers = self._answer(windows) if self._bound else None
        triggers = _triggers(state.partition, columns, points, windows)
        asked = np.flatnonzero(points.asking(Task.RECOMMEND))
        slots = applied.slots[points.rows[asked]].tolist()
        with self._metrics.stage("rank"):
            seen = windows.take(asked)
            candidates = self._candidates(answers, suggestions, asked, seen)
            order = top_allowed(candidates, seen, self._items, self._plan.recommend)
        with self._metrics.stage("decide"):
            asking = [triggers[i] for i in asked.tolist()]
            self._recommend(decisions, state, candidates, order, asking, slots)
            if answers is not None:
                frame_row = answers.frame.row
                for kind, task in (("churn", Task.CHURN), ("risk", Task.RISK)):
                    if kind in self._explainers and kind in state.books:
                        at = np.flatnonzero(points.asking(task))
                        self._alert(decisions, state, kind, answers, at, triggers, frame_row)
        return decisions

    def _answer(self, windows: Windows) -> Answers:
        assert self._bound is not None
        with self._metrics.stage("features"):
            frame = features.compute(windows)
        with self._metrics.stage("sequences"):
            inputs = self._bound.inputs(windows, frame)
        with self._metrics.stage("engine"):
            return Answers(frame, inputs, self._bound.model.engine.score(inputs))

    def _candidates(
        self,
        answers: Answers | None,
        suggestions: Suggestions,
        asked: npt.NDArray[np.intp],
        seen: Windows,
    ) -> Candidates:
        mine = suggestions.take(asked)
        if answers is None or self._bound is None:
            return Candidates(mine.items, mine.scores, mine.sources)
        return self._bound.candidates(answers.scores.take(asked), mine, seen)

    def _recommend(
        self,
        decisions: Decisions,
        state: PartitionState,
        candidates: Candidates,
        order: npt.NDArray[np.int64],
        triggers: list[Trigger],
        slots: list[int],
    ) -> None:
        places = np.arange(len(order))[:, None]
        found = order >= 0
        items = candidates.items[places, order].tolist()
        scores = candidates.scores[places, order].astype(np.float64).round(6).tolist()
        sources = candidates.sources[places, order].tolist()
        sizes = found.sum(axis=1).tolist()
        policy = self._plan.recommend
        for i, (trigger, slot, size) in enumerate(zip(triggers, slots, sizes, strict=True)):
            outcome = state.sent.admit(slot, trigger, tuple(items[i][:size]), policy)
            decisions.lists[outcome] += 1
            if outcome == "sent":
                picks = items[i][:size], scores[i][:size], sources[i][:size]
                message = build(trigger, picks, self._items, policy, self.model_version)
                decisions.outputs.append(
                    Output(self._plan.recommendations, trigger.user_id.encode(), encode(message))
                )

    def _alert(
        self,
        decisions: Decisions,
        state: PartitionState,
        kind: str,
        answers: Answers,
        at: npt.NDArray[np.intp],
        triggers: list[Trigger],
        frame_row: Callable[[int], tuple[Any, ...]],
    ) -> None:
        assert self._bound is not None
        setattr(decisions, kind, True)
        book, at_probability = state.books[kind], self._thresholds[kind]
        probabilities = _probability_of(self._bound.model, kind, answers)[at]
        decisions.probabilities[kind] = at, probabilities
        for i, probability in zip(at.tolist(), probabilities.tolist(), strict=True):
            trigger = triggers[i]
            if book.quiet(trigger.user_id, probability, at_probability):
                continue
            seen = Observation(
                trigger.user_id,
                probability,
                trigger.time_ms,
                trigger.partition,
                trigger.offset,
                trigger.broker_ms,
                trigger.message_id,
            )
            why = partial(
                self._explainers[kind].explain, answers.inputs.take(np.array([i])), frame_row(i)
            )
            alert = book.observe(seen, at_probability, self.model_version, why)
            if alert is not None:
                decisions.outputs.append(self._alert_output(alert))
                decisions.alerts.append((alert.kind, alert.severity, alert.status))

    def _alert_output(self, alert: Alert) -> Output:
        return Output(self._plan.alerts, alert.subject.encode(), encode(alert))


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


def _ships(model: Model, kind: str) -> bool:
    return model.has_churn if kind == "churn" else model.has_risk


def _probability_of(model: Model, kind: str, answers: Answers) -> npt.NDArray[np.float64]:
    if kind == "churn":
        return model.churn_probability(answers.scores.churn_logit)
    return model.risk_probability(answers.scores.risk_logit)


def _logits(model: Model, kind: str, inputs: ModelInputs) -> npt.NDArray[np.float32]:
    scores = model.engine.score(inputs)
    return scores.churn_logit if kind == "churn" else scores.risk_logit
