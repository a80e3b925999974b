"""Which offset of a partition may be committed while batches are being worked on."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(eq=False, slots=True)
class Ticket:
    """One delivered batch: `next_offset` is where reading goes on after it."""

    run: OpenBatches
    next_offset: int
    acked: bool = False


class OpenBatches:
    """The delivered batches of one partition since its last seek, in log order.

    A seek or a revoke starts a new one, so a ticket of before can't move the commit.

    Examples
    --------
    >>> run = OpenBatches()
    >>> first, second = run.push(100), run.push(205)
    >>> run.ack(second), run.committable
    (True, None)
    >>> run.ack(first), run.committable
    (True, 205)
    """

    def __init__(self) -> None:
        self._open: deque[Ticket] = deque()
        self._last: int | None = None
        self.committable: int | None = None

    def __len__(self) -> int:
        return len(self._open)

    def push(self, next_offset: int) -> Ticket:
        """Register the batch that is delivered now."""
        if self._last is not None and next_offset <= self._last:
            raise ValueError(f"batch up to {next_offset} delivered after one up to {self._last}")
        self._last = next_offset
        ticket = Ticket(self, next_offset)
        self._open.append(ticket)
        return ticket

    def ack(self, ticket: Ticket) -> bool:
        """Mark a batch as done; False if it was already, or belongs to another run."""
        if ticket.run is not self or ticket.acked:
            return False
        ticket.acked = True
        while self._open and self._open[0].acked:
            self.committable = self._open.popleft().next_offset
        return True

    def advance(self, next_offset: int) -> None:
        """Reading went on to `next_offset` without records (aborted transactions, compaction)."""
        if self._last is not None and next_offset <= self._last:
            return
        self._last = next_offset
        if self._open:
            self._open[-1].next_offset = next_offset
        else:
            self.committable = next_offset
