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
    """Histories, counters, and what was already said about the users of one partition.

    Parameters
    ----------
    partition
        Of the events topic.
    histories, counters
        Empty; they share the worker's item table.
    books
        One per kind of alert.
    undo
        All of these tell it of every change.
    sweep_offsets
        How far apart in the log items may give their numbers up (`streams.item_sweep`).
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
        self.refused: frozenset[int] = frozenset()  # offsets that were refused before
        self.orphans: list[str] = []  # have an incident, but the partition doesn't know them
        self.written = Written()
        self.next_offset = 0
        self.last_broker_ms = 0

    @property
    def users(self) -> int:
        """Users known."""
        return self.histories.users

    @property
    def nbytes(self) -> int:
        """Memory held, about."""
        books = sum(book.nbytes for book in self.books.values())
        return self.histories.bytes + self.counters.bytes + self.sent.nbytes + books

    def recall(self, alerts: Sequence[Alert]) -> None:
        """Take over what alerts, read back in the order of their events, say of their subjects."""
        for alert in alerts:
            book = self.books.get(alert.kind)
            if book is not None:
                book.recall(alert)
        self._find_orphans()

    def _find_orphans(self) -> None:
        """Look for incidents of users who are not known: the next batch scored closes them.

        There are some after a restore with a smaller `max_users`, or from a checkpoint that holds
        no incidents.
        """
        subjects = list({user for book in self.books.values() for user in book.subjects})
        slots = self.histories.user_rows.slots(subjects).tolist()
        self.orphans = sorted(u for u, s in zip(subjects, slots, strict=True) if s == NO_SLOT)

    def with_orphans(self, columns: EventColumns, applied: Applied) -> Applied:
        """The batch with the orphans among those who depart, before its first event."""
        if not self.orphans or not len(columns):
            return applied
        self.undo.attributes(self, "orphans")
        first = Departure(int(columns.offsets[0]), int(columns.broker_ms[0]), self.orphans)
        self.orphans = []
        return replace(applied, departures=(first, *applied.departures))

    def forget(self, user_id: str) -> None:
        """Keep nothing of this user; the next capture holds a tombstone, known or not."""
        users = self.histories.user_rows
        slot = users.slot(user_id)
        if slot != NO_SLOT:
            self.sent.clear(slot)
        users.remove([user_id])
        self.counters.forget(user_id)
        for book in self.books.values():
            book.forget(user_id)
