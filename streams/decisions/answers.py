"""Answers: what the model or the counters say at the decision points of some batches.

All calls of the engine are made here, also those for the reasons of alerts, and no state changes.
Batches of several partitions are answered in one call, because a call costs much and a row little;
a row's answer doesn't depend on the company it is in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, repeat

import numpy as np
import numpy.typing as npt

from models.features.windows import Windows
from models.registry.registry import Model
from schemas.events.columns import EventColumns
from schemas.outputs import ReasonCode
from streams.alerts.book import AlertBook, Observation, Thresholds
from streams.counters.suggestions import Suggestions
from streams.histories.decision_points import Task
from streams.histories.histories import Applied
from streams.histories.item_table import NO_ITEM, ItemTable
from streams.monitoring.metrics import Metrics
from streams.partition import PartitionState
from streams.plan import Plan
from streams.recommendations.allowed import top_allowed
from streams.recommendations.message import Lists
from streams.recommendations.sent_lists import COUNTERS, Candidates, Trigger, list_hashes
from streams.serving.bound_model import Answers as ModelAnswers
from streams.serving.bound_model import BoundModel, head_quantiles

Ints = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]
_TASKS = {"churn": Task.CHURN, "risk": Task.RISK}


@dataclass(frozen=True, slots=True)
class Undecided:
    """A batch of one partition that histories and counters have taken in.

    Attributes
    ----------
    state
        Of the partition.
    columns, applied
        The batch and the histories' results.
    windows, suggestions
        Of the batch's D decision points, with the live counters filled in.
    """

    state: PartitionState
    columns: EventColumns
    applied: Applied
    windows: Windows
    suggestions: Suggestions

    def triggers(self) -> list[Trigger]:
        """The events behind the D decision points."""
        columns, points = self.columns, self.applied.points
        rows = points.rows.tolist()
        return list(
            map(
                Trigger,
                [columns.user_ids[row] for row in rows],
                [columns.message_ids[row] for row in rows],
                repeat(self.state.partition),
                columns.offsets[points.rows].tolist(),
                columns.broker_ms[points.rows].tolist(),
                (self.windows.now_s * 1000).tolist(),
            )
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """All answers for the decision points of one batch.

    Attributes
    ----------
    triggers
        The events behind the D decision points.
    listing
        intp (n,): the decision points that ask for a list.
    first, shown
        Place of the first of these n lists among all batches' lists (`Listed`), and the lists'
        hashes (`list_hashes`).
    probabilities
        By head: intp (m,), the decision points at which the head was asked, and float64 (m,), the
        calibrated probabilities.
    alarms
        By kind, in log order: observations that may cause an alert, with the alert's reasons.
    """

    triggers: list[Trigger]
    listing: Ints
    first: int
    shown: list[int]
    probabilities: dict[str, tuple[Ints, Floats]]
    alarms: Mapping[str, Sequence[tuple[Observation, Sequence[ReasonCode]]]]


@dataclass(frozen=True, slots=True)
class Listed:
    """The lists of all batches that were answered together.

    Attributes
    ----------
    candidates, order
        Candidates of n lists, and the columns of the candidates that may be shown, int64
        (n, top_k), -1 after the last.
    items
        int32 (n, top_k): these candidates' indices in the worker's item table, -1 = none.
    """

    candidates: Candidates
    order: npt.NDArray[np.int64]
    items: npt.NDArray[np.int32]

    @staticmethod
    def of(candidates: Candidates, order: npt.NDArray[np.int64]) -> Listed:
        """The lists with `order` columns of their candidates."""
        each = np.arange(len(order))[:, None]
        items = np.where(order >= 0, candidates.items[each, order], np.int32(NO_ITEM))
        return Listed(candidates, order, items)

    def contents(self, lists: Sequence[int]) -> Lists:
        """What goes into the messages of some of the lists."""
        each, order, items = np.array(lists, np.intp)[:, None], self.order[lists], self.items[lists]
        found = order >= 0  # the places without an item are last
        scores = self.candidates.scores[each, order][found]
        return Lists(
            sizes=found.sum(axis=1).tolist(),
            items=items[found].tolist(),
            scores=scores.astype(np.float64).round(6).tolist(),
            sources=self.candidates.sources[each, order][found].tolist(),
        )


class Answerer:
    """Answers with a model, or with the counters' suggestions if there is none.

    Parameters
    ----------
    plan
        Policies and alert rules.
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
        self.thresholds: dict[str, Thresholds] = {}
        """By kind of alert, for the heads that the model ships."""

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
        self._bound, self.thresholds = bound, thresholds

    def answer(
        self, parts: Sequence[Undecided], *, alarms: bool = True
    ) -> tuple[list[Answer], Listed]:
        """Answer batches of different partitions together -> an answer for each, and their lists.

        Parameters
        ----------
        parts
            At least one; each has decision points.
        alarms
            Whether alerts are wanted.

        Raises
        ------
        EngineError
            The model failed.
        """
        windows = Windows.concat([part.windows for part in parts])
        tasks = np.concatenate([part.applied.points.tasks for part in parts])
        begins = np.cumsum([0, *(len(part.windows) for part in parts)])
        listing = np.flatnonzero(tasks & np.uint8(Task.RECOMMEND))
        shown, offered = windows, Suggestions.concat([part.suggestions for part in parts])
        if len(listing) < len(windows):
            shown, offered = windows.take(listing), offered.take(listing)
        candidates = Candidates(offered.items, offered.scores, offered.sources)
        answers: ModelAnswers | None = None
        if self._bound is not None:
            heads = {
                head: np.flatnonzero(tasks & np.uint8(_TASKS[head])) for head in self.thresholds
            }
            answers = self._bound.answer(windows, heads)
            candidates = self._bound.list_candidates(answers, listing, offered, shown)
        with self._metrics.stage("filter"):
            order = top_allowed(candidates, shown, self._items, self._plan.recommend)
        triggers = [part.triggers() for part in parts]
        probabilities = _by_part(answers, begins) if answers else [{} for _ in parts]
        found: list[dict[str, list[tuple[Observation, list[ReasonCode]]]]] = [{} for _ in parts]
        if answers and alarms:
            found = self._alarms(parts, answers, begins, probabilities, triggers)
        cuts = np.searchsorted(listing, begins).tolist()
        listed = Listed.of(candidates, order)
        hashes = list_hashes(listed.items, self._items.hashes).tolist()
        return [
            Answer(
                triggers[i],
                listing[begin:end] - begins[i],
                begin,
                hashes[begin:end],
                probabilities[i],
                found[i],
            )
            for i, (begin, end) in enumerate(pairwise(cuts))
        ], listed

    def _alarms(
        self,
        parts: Sequence[Undecided],
        answers: ModelAnswers,
        begins: Ints,
        probabilities: Sequence[Mapping[str, tuple[Ints, Floats]]],
        triggers: Sequence[list[Trigger]],
    ) -> list[dict[str, list[tuple[Observation, list[ReasonCode]]]]]:
        """By part and kind: observations that may cause an alert; one call gives all reasons."""
        assert self._bound is not None
        observed: list[dict[str, list[tuple[int, Observation]]]] = [{} for _ in parts]
        firing: list[tuple[int, str, int]] = []  # part, kind, decision point in the part
        for i, part in enumerate(parts):
            for kind, book in part.state.books.items():
                if kind not in probabilities[i]:
                    continue
                points, chances = (column.tolist() for column in probabilities[i][kind])
                at = self.thresholds[kind]
                seen = _noteworthy(book, points, chances, triggers[i], at)
                rows = book.may_fire([one for _, one in seen], at, part.applied.departures)
                observed[i][kind] = seen
                firing += [(i, kind, seen[row][0]) for row in rows]
        heads = [kind for _, kind, _ in firing]
        explained = [int(begins[i]) + point for i, _, point in firing]
        reasons = dict(zip(firing, self._bound.explain(answers, heads, explained), strict=True))
        return [
            {
                kind: [(one, reasons.get((i, kind, point), [])) for point, one in seen]
                for kind, seen in kinds.items()
            }
            for i, kinds in enumerate(observed)
        ]


def _by_part(answers: ModelAnswers, begins: Ints) -> list[dict[str, tuple[Ints, Floats]]]:
    """The probabilities of each part, with the part's own decision points."""
    parts: list[dict[str, tuple[Ints, Floats]]] = [{} for _ in begins[1:]]
    for head, points in answers.points.items():
        cuts = np.searchsorted(points, begins).tolist()
        for i, (begin, end) in enumerate(pairwise(cuts)):
            chances = answers.probabilities[head][begin:end]
            parts[i][head] = points[begin:end] - begins[i], chances
    return parts


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
