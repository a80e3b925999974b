"""Live counters over all users of a partition, advanced in blocks of the log.

A block ends where ``(offset // 2048, broker_ms // 1000)`` changes from a record of the partition to
the next. Decisions in a block see the counters as of the block's start, and its events wait until
the first record of the next block. So decisions are a function of the log, and don't depend on how
the log is cut into batches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models.features.windows import C_NAMES
from schemas.events.columns import EventColumns
from streams.counters.entities import Entities
from streams.counters.item_counts import Covisits
from streams.counters.label_queue import LabelQueue
from streams.counters.pending import BLOCK_OFFSETS, Pending, split
from streams.counters.suggest import LEADERS, suggest
from streams.counters.suggestions import Source, Suggestions
from streams.histories.decision_points import PointPolicy
from streams.histories.histories import Applied
from streams.undo import Undo

__all__ = ["BLOCK_OFFSETS", "Counters", "Live", "Source", "Suggestions"]

CANDIDATES = 64
MAX_LABELLED_USERS = 100_000
MIN_CAPACITY = 1024

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Live:
    """The counters' answers at D decision points.

    Attributes
    ----------
    context
        float64 (D, C): `Windows.context`.
    suggestions
        Candidates; empty at decision points that don't ask for RECOMMEND.
    """

    context: npt.NDArray[np.float64]
    suggestions: Suggestions


class Counters:
    """One partition's counters: items, entities, payments awaiting their label.

    Parameters
    ----------
    policy
        The entity counters count events of its watched kinds.
    entities
        E, risk entities per event.
    candidates
        Suggestions per decision; `suggest.LEADERS` more places are for popular items.
    max_items, max_entities, max_payments
        Bounds; `Covisits`, `Entities` and `LabelQueue` document what is evicted beyond them.
    label_delay_s
        Event time after which an unlabelled payment counts as good.
    covisit_tau_s
        Time constant of co-visitation.
    covisit_neighbours
        Most neighbours kept per item.
    max_labelled
        Most users whose confirmed frauds are remembered.
    undo
        Records every change.
    capacity
        Rows that every table has room for at first.

    Attributes
    ----------
    clock_s
        Newest event time of the finished blocks, epoch seconds.
    labelled
        User -> number of confirmed frauds and time of the last; the user with the latest label
        is last.
    block, pending
        The present block, which isn't over yet, and its events.
    """

    def __init__(
        self,
        policy: PointPolicy | None = None,
        *,
        entities: int = 4,
        candidates: int = CANDIDATES,
        max_items: int = 100_000,
        max_entities: int = 500_000,
        max_payments: int = 500_000,
        label_delay_s: int = 7 * 86_400,
        covisit_tau_s: float = 90 * 86_400.0,
        covisit_neighbours: int = 32,
        max_labelled: int = MAX_LABELLED_USERS,
        undo: Undo | None = None,
        capacity: int = MIN_CAPACITY,
    ) -> None:
        self._undo = undo = undo or Undo()
        self.policy = policy or PointPolicy()
        self.candidates = candidates
        self.covisits = Covisits(
            max_items=max_items,
            neighbours=covisit_neighbours,
            covisit_tau_s=covisit_tau_s,
            undo=undo,
            capacity=capacity,
        )
        self.entities = Entities(max_entities=max_entities, undo=undo, capacity=capacity)
        self.queue = LabelQueue(
            entities,
            max_payments=max_payments,
            delay_s=label_delay_s,
            undo=undo,
            capacity=capacity,
        )
        self.max_labelled = max_labelled
        self.clock_s = 0
        self.labelled: dict[str, tuple[int, int]] = {}
        self.block: tuple[int, int] | None = None
        self.pending: list[Pending] = []

    @property
    def bytes(self) -> int:
        """Bytes held, about."""
        return self.covisits.nbytes + self.entities.nbytes + self.queue.nbytes

    def advance(
        self,
        columns: EventColumns,
        applied: Applied,
        *,
        answer: bool = True,
        context: bool = True,
    ) -> Live:
        """Answer at the batch's decision points, and count the batch's events.

        Parameters
        ----------
        columns, applied
            The batch and the histories' results.
        answer
            False leaves the suggestions empty, if nobody reads them.
        context
            False leaves the context 0, if there is no model to read it.
        """
        self._undo.attributes(self, "clock_s", "labelled", "block", "pending")
        self.pending = list(self.pending)
        points, windows = applied.points, applied.windows
        contexts = np.zeros((len(points), len(C_NAMES)), np.float64)
        suggestions = Suggestions.none(len(points), self.candidates + LEADERS)
        parts = split(columns, applied, self.policy.watched)
        answer = answer and any(len(part.asking) for part in parts)
        if answer:
            windows = replace(windows, items=applied.seen)
        for part in parts:
            if part.block != self.block:
                self.finish_block()
                self.block = part.block
            if context and part.points.start < part.points.stop:
                self._context(columns, points.rows[part.points], contexts[part.points])
            if answer and len(part.asking):
                suggest(windows, part.asking, self.covisits.part(), suggestions)
            if part.pending is not None:
                self.pending.append(part.pending)
        if answer:
            suggestions.items[:] = applied.numbering.indices(suggestions.items)
        return Live(contexts, suggestions)

    def forget(self, user_id: str) -> None:
        """Drop everything that names this user; counts over all users stay."""
        self.labelled.pop(user_id, None)
        self.pending = [pending.without(user_id) for pending in self.pending]

    def finish_block(self) -> None:
        """Count the pending events; the next block's first record calls this."""
        block, self.pending = self.pending, []
        if not block:
            return
        events = Pending.concat(block)
        self.clock_s = max(self.clock_s, events.clock_s)
        if len(events.items):
            self.covisits.add(events.items, events.before, events.item_times_s)
        if len(payments := events.payments):
            self.entities.see(payments.entities, payments.times_s, events.amounts, self.clock_s)
            self.queue.add(payments)
        if len(events.references):
            self._label(events.references, events.label_times_s, events.label_users)
        if self.queue.due(self.clock_s):
            self.entities.settle(self.queue.settle(self.clock_s))

    def _label(self, references: npt.NDArray[np.uint64], times_s: Ints, users: list[str]) -> None:
        confirmed, labels = self.queue.confirm(references)
        self.entities.label(confirmed, times_s[labels])
        if self._undo.recording and len(labels):
            self.labelled = dict(self.labelled)
        for label in labels.tolist():
            user, time_s = users[label], int(times_s[label])
            if not user:  # forgotten since the label came
                continue
            count, last_s = self.labelled.pop(user, (0, 0))
            self.labelled[user] = (count + 1, max(last_s, time_s))
        while len(self.labelled) > self.max_labelled:
            del self.labelled[next(iter(self.labelled))]

    def _context(self, columns: EventColumns, rows: Ints, context: npt.NDArray[np.float64]) -> None:
        """Fill in `Windows.context` (D, C), which is 0, of the events at `rows` (D,)."""
        if self.labelled:
            for place, row in enumerate(rows.tolist()):
                if found := self.labelled.get(columns.user_ids[row]):
                    context[place, _USER_LABELS] = found
        # An event older than the counters sees their present values: decay isn't reversed.
        self.entities.read(columns.entities[rows], columns.time_ms[rows], self.clock_s, context)


_USER_LABELS = slice(C_NAMES.index("user_labels"), C_NAMES.index("user_label_s") + 1)
