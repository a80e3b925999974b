"""The state of one partition: everything that is a function of its log."""

from __future__ import annotations

from schemas.outputs import Alert
from streams.alerts import AlertBook
from streams.counters import Counters
from streams.histories import Histories
from streams.recommend import SentLists
from streams.undo import Undo


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
