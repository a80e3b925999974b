"""Recorded windows as sequences: what the worker knew at each decision, each event stored once.

A window that only continues the one before it adds its new events to the same sequence. One that
doesn't (an event came late, the user was evicted or forgotten between) begins another sequence
with all of it. Either way the last L events of the sequence, up to the decision, are the window.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

TOKEN = np.dtype([("item", "<i4"), ("kind", "u1"), ("amount", "<f4"), ("time_s", "<i8")])
"""One event as a window shows it, packed."""
_SIZE = TOKEN.itemsize


@dataclass(slots=True)
class _Tail:
    """One user's newest sequence.

    Attributes
    ----------
    sequence
        Its number.
    events
        How many events it has.
    window
        The last L of them, packed.
    pending
        Events accepted since, packed, in log order.
    """

    sequence: int = -1
    events: int = 0
    window: bytes = b""
    pending: bytes = b""


@dataclass(slots=True)
class Sequences:
    """Sequences that grow window by window.

    Parameters
    ----------
    length
        L, the most events of a window.
    """

    length: int
    _tails: dict[int, _Tail] = field(default_factory=dict)
    _tokens: list[bytes] = field(default_factory=list)
    _users: list[int] = field(default_factory=list)
    _numbers: list[int] = field(default_factory=list)
    _sizes: list[int] = field(default_factory=list)
    _first_seen: list[bytes] = field(default_factory=list)
    _next: int = 0
    events: int = 0

    def accept(self, user: int, token: bytes) -> None:
        """An event of a user was accepted."""
        tail = self._tails.get(user)
        if tail is None:
            tail = self._tails[user] = _Tail()
        tail.pending += token

    def decide(self, user: int, window: bytes) -> int:
        """A decision saw `window`, its newest event accepted just now -> where that event is.

        Returns
        -------
        Index among all events stored so far.
        """
        tail = self._tails[user]
        fresh, count = len(tail.pending) // _SIZE, len(window) // _SIZE
        overlap = count - fresh
        continues = (
            tail.sequence >= 0
            and overlap >= 0
            and (count == self.length or overlap == tail.events)
            and overlap <= len(tail.window) // _SIZE
            and window[: overlap * _SIZE] == tail.window[len(tail.window) - overlap * _SIZE :]
        )
        if continues:
            self._store(user, tail, window[overlap * _SIZE :], b"\1" * fresh)
            tail.pending = b""
        else:
            seen, left = _first_seen(window, tail.pending)
            newest_s = np.frombuffer(window[-_SIZE:], TOKEN)["time_s"][0]
            tail.pending = left[left["time_s"] >= newest_s].tobytes()  # a later window has it
            self._end(user, tail, left[left["time_s"] < newest_s])
            tail.sequence, tail.events = self._next, 0
            self._next += 1
            self._store(user, tail, window, seen)
        tail.window = window
        return self.events - 1

    def finish(self) -> None:
        """Store what was accepted after each user's last decision: somebody's answers are in it."""
        for user, tail in self._tails.items():
            if not tail.pending:
                continue
            events = np.frombuffer(tail.pending, TOKEN)
            last_s = np.frombuffer(tail.window[-_SIZE:], TOKEN)["time_s"].max(initial=0)
            ordered = np.concatenate([[last_s], events["time_s"]])
            if (np.diff(ordered) < 0).any() or tail.sequence < 0:
                tail.sequence, tail.events = self._next, 0
                self._next += 1
                events = events[np.argsort(events["time_s"], kind="stable")]
            self._store(user, tail, events.tobytes(), b"\1" * len(events))
            tail.pending = b""

    def keep_users(self, kept: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Drop the users that `kept` (by number) doesn't name.

        Returns
        -------
        int64 (events before,): where each event is now, -1 where it was dropped.
        """
        stays = kept[np.array(self._users, np.int64)]
        moved = np.repeat(stays, self._sizes)
        columns: list[list[Any]] = [
            self._tokens, self._users, self._numbers, self._sizes, self._first_seen,
        ]  # fmt: skip
        for column in columns:
            column[:] = [value for value, stay in zip(column, stays, strict=True) if stay]
        self._tails = {user: tail for user, tail in self._tails.items() if kept[user]}
        self.events = int(moved.sum())
        return np.where(moved, np.cumsum(moved) - 1, -1)

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """The events in the order in which they were stored: `TOKEN`'s fields, users, numbers."""
        tokens = np.frombuffer(b"".join(self._tokens), TOKEN)
        return {
            **{name: tokens[name] for name in TOKEN.names or ()},
            "user": np.repeat(np.array(self._users, np.int64), self._sizes),
            "sequence": np.repeat(np.array(self._numbers, np.int64), self._sizes),
            "first_seen": np.frombuffer(b"".join(self._first_seen), np.bool_),
        }

    def _end(self, user: int, tail: _Tail, left: npt.NDArray[np.void]) -> None:
        """Let a sequence end with what came after its last decision (the user was evicted then)."""
        last_s = np.frombuffer(tail.window[-_SIZE:], TOKEN)["time_s"].max(initial=0)
        left = np.sort(left[left["time_s"] >= last_s], order="time_s")
        if tail.sequence >= 0 and len(left):
            self._store(user, tail, left.tobytes(), b"\1" * len(left))

    def _store(self, user: int, tail: _Tail, tokens: bytes, first_seen: bytes) -> None:
        size = len(tokens) // _SIZE
        self._tokens.append(tokens)
        self._users.append(user)
        self._numbers.append(tail.sequence)
        self._sizes.append(size)
        self._first_seen.append(first_seen)
        tail.events += size
        self.events += size


def _first_seen(window: bytes, pending: bytes) -> tuple[bytes, npt.NDArray[np.void]]:
    """Which events of a window were pending, a byte each, and which pending ones it lacks."""
    new = Counter(pending[at : at + _SIZE] for at in range(0, len(pending), _SIZE))
    seen = bytearray(len(window) // _SIZE)
    for place in range(len(seen) - 1, -1, -1):
        token = window[place * _SIZE : (place + 1) * _SIZE]
        if new[token] > 0:
            new[token] -= 1
            seen[place] = 1
    return bytes(seen), np.frombuffer(b"".join(new.elements()), TOKEN)
