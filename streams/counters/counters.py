"""Live counters over all users of a partition, advanced in blocks of the log.

A block ends where ``(offset // 2048, broker_ms // 1000)`` changes from a record of the partition to
the next. Decisions in a block see the counters as of the block's start, and its events wait until
the first record of the next block. So decisions are a function of the log, and don't depend on how
the log is cut into batches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from models.features.windows import C_NAMES, Windows
from schemas.events.columns import EventColumns
from streams.counters.entities import NONE, Entities
from streams.counters.item_counts import Covisits
from streams.counters.label_queue import LabelQueue, Payments
from streams.counters.pending import Pending
from streams.counters.suggest import LEADERS, suggest
from streams.counters.suggestions import Source, Suggestions
from streams.histories.decision_points import PointPolicy, Task
from streams.histories.histories import Applied
from streams.histories.item_numbers import ItemNumbers
from streams.undo import Undo

__all__ = ["Counters", "Live", "Source", "Suggestions"]

BLOCK_OFFSETS = 2048
BLOCK_MS = 1000
CANDIDATES = 64
MAX_LABELLED_USERS = 100_000
MIN_CAPACITY = 1024

Ints = npt.NDArray[np.int64]
T = TypeVar("T", bound=np.generic)


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
        recommend = points.asking(Task.RECOMMEND) & answer
        contexts = np.zeros((len(points), len(C_NAMES)), np.float64)
        suggestions = Suggestions.none(len(points), self.candidates + LEADERS)
        starts, opens = self._blocks(columns)
        waiting = (
            Pending.split(columns, applied, starts, self.policy.watched) if len(starts) else []
        )
        bounds = np.searchsorted(points.rows, np.append(starts, len(columns))).tolist()
        for number, pending in enumerate(waiting):
            if number or opens:
                self.finish_block()
            here = slice(bounds[number], bounds[number + 1])
            if here.start < here.stop:
                if context:
                    contexts[here] = self._context(columns, points.rows[here])
                rows = here.start + np.flatnonzero(recommend[here])
                if len(rows):
                    self._suggest(windows, rows, applied.numbering, suggestions)
            if pending is not None:
                self.pending.append(pending)
        return Live(contexts, suggestions)

    def _suggest(
        self,
        windows: Windows,
        rows: Ints,
        numbering: ItemNumbers,
        out: Suggestions,
    ) -> None:
        """Fill `out` at the decision points `rows`."""
        part = self.covisits.part()
        suggest(replace(windows, items=numbering.of(windows.items)), rows, part, out)
        out.items[rows] = numbering.indices(out.items[rows])

    def forget(self, user_id: str) -> None:
        """Drop everything that names this user; counts over all users stay."""
        self.labelled.pop(user_id, None)
        self.pending = [pending.without(user_id) for pending in self.pending]

    def _blocks(self, columns: EventColumns) -> tuple[Ints, bool]:
        """Rows at which the batch's blocks begin, and whether the first block is a new block."""
        if not len(columns):
            return np.zeros(0, np.int64), False
        offsets, seconds = columns.offsets // BLOCK_OFFSETS, columns.broker_ms // BLOCK_MS
        changed = (np.diff(offsets) != 0) | (np.diff(seconds) != 0)
        opens = self.block != (int(offsets[0]), int(seconds[0]))
        self.block = (int(offsets[-1]), int(seconds[-1]))
        return np.append(0, np.flatnonzero(changed) + 1), opens

    def finish_block(self) -> None:
        """Count the pending events; the next block's first record calls this."""
        block, self.pending = self.pending, []
        if not block:
            return
        self.clock_s = max(self.clock_s, *(p.clock_s for p in block))
        self.covisits.add(
            _joined([p.items for p in block]),
            _joined([p.before for p in block]),
            _joined([p.item_times_s for p in block]),
        )
        payments = Payments.concat([p.payments for p in block])
        if len(payments):
            amounts = _joined([p.amounts for p in block])
            self.entities.see(payments.entities, payments.times_s, amounts, self.clock_s)
            self.queue.add(payments)
        references = _joined([p.references for p in block])
        if len(references):
            times_s = _joined([p.label_times_s for p in block])
            self._label(references, times_s, [user for p in block for user in p.label_users])
        if len(self.queue) and len(settled := self.queue.settle(self.clock_s)):
            self.entities.settle(settled)

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

    def _context(self, columns: EventColumns, rows: Ints) -> npt.NDArray[np.float64]:
        """`Windows.context` of the events at `rows` (D,)."""
        context = np.zeros((len(rows), len(C_NAMES)), np.float64)
        hashes = columns.entities[rows]  # (D, E)
        if self.labelled:
            labelled = [self.labelled.get(columns.user_ids[row], (0, 0)) for row in rows.tolist()]
            context[:, _USER_LABELS] = np.array(labelled, np.float64).reshape(len(rows), 2)
        if not hashes.any():
            return context
        found = np.full(hashes.shape, NONE, np.int64)
        found[hashes != 0] = self.entities.rows(hashes[hashes != 0])
        # An event older than the counters sees their present values: decay isn't reversed.
        times_s = np.maximum(columns.time_ms[rows] // 1000, self.clock_s)
        for name, column in _PRIMARY.items():
            context[:, column] = self.entities.read(found[:, 0], name, times_s)
        for place in range(1, hashes.shape[1]):
            for name, column in _OTHERS.items():
                other = self.entities.read(found[:, place], name, times_s)
                np.maximum(context[:, column], other, out=context[:, column])
        return context


_PRIMARY = {
    name.removeprefix("entity_"): i for i, name in enumerate(C_NAMES) if name.startswith("entity_")
}
_OTHERS = {
    name.removeprefix("others_"): i for i, name in enumerate(C_NAMES) if name.startswith("others_")
}
_USER_LABELS = [C_NAMES.index("user_labels"), C_NAMES.index("user_label_s")]


def _joined(parts: list[npt.NDArray[T]]) -> npt.NDArray[T]:
    """The concatenation of `parts`; usually there is a single part."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
