"""Which offset of a partition may be committed while batches are in work."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(eq=False, slots=True)
class Ticket:
    """A delivered batch: `next_offset` is where reading goes on after the batch."""

    run: OpenBatches
    next_offset: int
    acked: bool = False


class OpenBatches:
    """The delivered batches of a partition since its last seek, in log order.

    A seek or a revoke closes this object, so earlier tickets can't move the commit.

    Attributes
    ----------
    reached
        Where reading goes on: the end of the last batch, at first the offset of the seek.
    committable
        End of the acked prefix; None until a batch is acked or a hole is passed.
    closed
        Whether acks are refused.

    Examples
    --------
    >>> run = OpenBatches(0)
    >>> first, second = run.push(100), run.push(205)
    >>> run.ack(second), run.committable
    (True, None)
    >>> run.ack(first), run.committable
    (True, 205)
    """

    def __init__(self, offset: int) -> None:
        self._open: deque[Ticket] = deque()
        self.reached = offset
        self.committable: int | None = None
        self.closed = False

    def __len__(self) -> int:
        return len(self._open)

    def push(self, next_offset: int) -> Ticket:
        """Register the batch that is delivered now."""
        if next_offset <= self.reached:
            raise ValueError(f"batch up to {next_offset} delivered after one up to {self.reached}")
        self.reached = next_offset
        ticket = Ticket(self, next_offset)
        self._open.append(ticket)
        return ticket

    def ack(self, ticket: Ticket) -> bool:
        """Mark a batch as done; False if it was acked before, or isn't one of these batches."""
        if self.closed or ticket.run is not self or ticket.acked:
            return False
        ticket.acked = True
        while self._open and self._open[0].acked:
            self.committable = self._open.popleft().next_offset
        return True

    def advance(self, next_offset: int) -> None:
        """Reading went on to `next_offset` without records (aborted transactions, compaction)."""
        if next_offset <= self.reached:
            return
        self.reached = next_offset
        if self._open:
            self._open[-1].next_offset = next_offset
        else:
            self.committable = next_offset

    def close(self) -> None:
        """Refuse all further acks."""
        self.closed = True
