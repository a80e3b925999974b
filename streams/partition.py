"""The state of one partition: everything that is a function of its log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from schemas.events.columns import EventColumns
from schemas.outputs import Alert
from streams.alerts.book import AlertBook
from streams.counters.counters import Counters
from streams.counters.pages import Written
from streams.histories.histories import Applied, Histories
from streams.histories.user_index import NO_SLOT
from streams.histories.user_rows import Departure
from streams.recommendations.sent_lists import SentLists
from streams.undo import Undo

SWEEP_OFFSETS = 65_536


class PartitionState:
    """Histories, counters, incidents and sent lists of the users of one partition.

    Parameters
    ----------
    partition
        Number of the partition of `events`.
    histories, counters
        Empty; they share the worker's item table.
    books
        An alert book per kind of alert.
    undo
        Records every change of all of these.
    sweep_offsets
        Least distance in the log between two sweeps of item numbers (`streams.item_sweep`).
    """

    def __init__(
        self,
        partition: int,
        histories: Histories,
        counters: Counters,
        books: dict[str, AlertBook],
        undo: Undo | None = None,
        *,
        sweep_offsets: int = SWEEP_OFFSETS,
    ) -> None:
        self.undo = undo or Undo()
        self.sweep_offsets = sweep_offsets
        self.partition = partition
        self.histories = histories
        self.counters = counters
        self.books = books
        self.sent = SentLists(self.undo)
        self.refused: frozenset[int] = frozenset()  # offsets of records refused before a restore
        self.orphans: list[str] = []  # users with an incident whom the partition doesn't know
        self.written = Written()
        self.next_offset = 0
        self.last_broker_ms = 0

    @property
    def users(self) -> int:
        """Number of known users."""
        return self.histories.users

    @property
    def nbytes(self) -> int:
        """Bytes held, about."""
        books = sum(book.nbytes for book in self.books.values())
        return self.histories.bytes + self.counters.bytes + self.sent.nbytes + books

    def recall(self, alerts: Sequence[Alert]) -> None:
        """Take over the incidents of alerts that were read back, in the order of their events."""
        for alert in alerts:
            book = self.books.get(alert.kind)
            if book is not None:
                book.recall(alert)
        self._find_orphans()

    def _find_orphans(self) -> None:
        """Find incidents of unknown users; the next scored batch closes these incidents.

        They exist after a restore with a smaller `max_users`, or from a checkpoint without
        incidents.
        """
        subjects = list({user for book in self.books.values() for user in book.subjects})
        slots = self.histories.user_rows.slots(subjects).tolist()
        self.orphans = sorted(u for u, s in zip(subjects, slots, strict=True) if s == NO_SLOT)

    def with_orphans(self, columns: EventColumns, applied: Applied) -> Applied:
        """Add the orphans to the batch's departures, before its first event."""
        if not self.orphans or not len(columns):
            return applied
        self.undo.attributes(self, "orphans")
        first = Departure(int(columns.offsets[0]), int(columns.broker_ms[0]), self.orphans)
        self.orphans = []
        return replace(applied, departures=(first, *applied.departures))

    def forget(self, user_id: str) -> None:
        """Drop everything about a user; the next capture holds a tombstone, known or not."""
        users = self.histories.user_rows
        slot = users.slot(user_id)
        if slot != NO_SLOT:
            self.sent.clear(slot)
        users.remove([user_id])
        self.counters.forget(user_id)
        for book in self.books.values():
            book.forget(user_id)
