"""The record that heads a partition's checkpoints: whose they are, and where in the topics."""

from __future__ import annotations

import msgspec

from schemas.errors import StateError

HEAD = b"checkpoint"
"""Its key in `counters`; the last record of every transaction."""


class Head(msgspec.Struct, frozen=True):
    """What a reader must know before it reads rows and parts.

    Attributes
    ----------
    group
        The consumer group whose offsets the checkpoint belongs to.
    offset
        The next offset of `events` to apply.
    rows_from, parts_from
        Offsets of `user-state` and `counters` at which this state begins. What lies before them
        is of a state that was given up, and means nothing.
    written_ms
        Wall clock.
    alerts_from, letters_from
        Ends of the partitions of `alerts` and `dead-letters` that the partition's outputs go to,
        asked for before the capture: what is said of events from `offset` on lies behind them. -1
        in a head of version 0.1, whose checkpoint holds no incidents: both are read whole.
    """

    group: str
    offset: int
    rows_from: int
    parts_from: int
    written_ms: int
    alerts_from: int = -1
    letters_from: int = -1

    def encode(self) -> bytes:
        """The record's value."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, value: bytes) -> Head:
        """Read a value; raises `StateError` where it is none."""
        try:
            return msgspec.json.decode(value, type=cls)
        except msgspec.DecodeError as error:
            raise StateError(
                f"counters: the head of the checkpoint can't be read: {error}"
            ) from None
