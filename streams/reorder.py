"""The meaning of a history, event by event: duplicates, late events and disorder.

`Histories` appends whole batches at once where a user's events are new and in order; the events of
any other user go through here. The rules, for each event in log order:

1. an event whose (message, item, kind) is among the user's last L events is a duplicate;
2. one that is older than the user's newest by more than `late_s` is late;
3. any other is accepted and takes its place by event time, after those of the same second; beyond
   L events the oldest goes (which may be the new one itself).
"""

from __future__ import annotations

from bisect import bisect_right
from enum import IntEnum

Key = tuple[int, int, int]
"""Message (low half of its hash), item index, kind."""


class Outcome(IntEnum):
    """What became of an event."""

    ACCEPTED = 0
    DUPLICATE = 1
    LATE = 2


class OpenHistory:
    """One user's last L events while new ones are taken in.

    Parameters
    ----------
    length, late_s
        L and the late policy in seconds.
    times_s, keys, marks
        The events so far, oldest first; a mark is the caller's own name of an event.

    Examples
    --------
    >>> history = OpenHistory(2, 60, [], [], [])
    >>> history.take(100, (1, 0, 1), 10), history.window
    (<Outcome.ACCEPTED: 0>, [10])
    >>> history.take(90, (2, 0, 1), 11), history.window, history.marks
    (<Outcome.ACCEPTED: 0>, [11], [11, 10])
    >>> history.take(30, (3, 0, 1), 12)
    <Outcome.LATE: 2>
    """

    def __init__(
        self, length: int, late_s: int, times_s: list[int], keys: list[Key], marks: list[int]
    ) -> None:
        self.length = length
        self.late_s = late_s
        self.times_s = times_s
        self.keys = keys
        self.marks = marks
        self.window: list[int] = []  # marks up to and including the event taken last
        self.newest_s = times_s[-1] if times_s else None

    def take(self, time_s: int, key: Key, mark: int) -> Outcome:
        """Take in one event; if it is accepted, `window` tells what it sees."""
        if key in self.keys:
            return Outcome.DUPLICATE
        if self.newest_s is not None and time_s < self.newest_s - self.late_s:
            return Outcome.LATE
        place = bisect_right(self.times_s, time_s)
        self.times_s.insert(place, time_s)
        self.keys.insert(place, key)
        self.marks.insert(place, mark)
        self.window = self.marks[max(0, place + 1 - self.length) : place + 1]
        if len(self.marks) > self.length:
            del self.times_s[0], self.keys[0], self.marks[0]
        self.newest_s = self.times_s[-1]
        return Outcome.ACCEPTED
