"""The state of one partition: everything that is a function of its log."""

from __future__ import annotations

from schemas.outputs import Alert
from streams import counter_parts
from streams.alerts import AlertBook
from streams.capture import Captured, Marker, Shape
from streams.counters import Counters
from streams.histories import Histories
from streams.pages import Written
from streams.recommend import SentLists
from streams.row_bytes import pack
from streams.undo import Undo
from streams.user_index import NO_SLOT


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
        Which all of these tell of every change.
    """

    def __init__(
        self,
        partition: int,
        histories: Histories,
        counters: Counters,
        books: dict[str, AlertBook],
        undo: Undo | None = None,
    ) -> None:
        self.undo = undo or Undo()
        self.partition = partition
        self.histories = histories
        self.counters = counters
        self.books = books
        self.sent = SentLists(self.undo)
        self.refused: frozenset[int] = frozenset()  # offsets that were refused before
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
        return self.histories.bytes + self.counters.bytes + self.sent.nbytes

    def recall(self, alert: Alert) -> None:
        """Take over what an alert, read back from its topic, says about its subject."""
        book = self.books.get(alert.kind)
        if book is not None:
            book.recall(alert)

    def capture(self) -> Captured:
        """A copy of what was touched since the last capture, for a checkpoint."""
        users = self.histories.user_rows
        slots, ids, leavers = users.capture()
        tables, rest = counter_parts.capture(self.counters)
        return Captured(
            users=ids,
            rows=pack(users.rows, slots, self.sent.of(slots, users.owners[slots])),
            leavers=leavers,
            items=self.histories.numbers.capture(),
            tables=self.written.changes(tables),
            rest=rest,
            marker=Marker(
                self.next_offset,
                self.last_broker_ms,
                users=len(users),
                items=len(self.histories.numbers),
                evicted=users.evicted,
                shape=Shape.of(self.histories.length, self.counters),
            ),
        )

    def retain(self, captured: Captured) -> None:
        """Let the next capture hold all that this one does: it was not written."""
        users = self.histories.user_rows
        users.touch_users(captured.users)
        users.touch_users(captured.leavers)
        self.written.retain(name for name, _ in captured.tables)
        for page, _ in captured.items:
            self.histories.numbers.touch(page)

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
