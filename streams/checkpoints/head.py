"""The head: a record with the owner of a partition's checkpoint and its place in the topics."""

from __future__ import annotations

import msgspec

from schemas.errors import StateError

HEAD = b"checkpoint"
"""The head's key in `counters`; the head is the last record of every transaction."""


class Head(msgspec.Struct, frozen=True):
    """What a reader must know before it reads a checkpoint's records.

    Attributes
    ----------
    group
        The consumer group whose offsets the checkpoint belongs to.
    offset
        The next offset of `events` to apply.
    rows_from, parts_from
        Offsets of `user-state` and `counters` at which this state begins. Earlier records belong
        to an abandoned state and must be ignored.
    written_ms
        Wall clock, epoch ms.
    alerts_from, letters_from
        Ends of the partitions of `alerts` and `dead-letters` with the partition's outputs, as of
        before the capture: outputs of events from `offset` on lie behind them. -1 in a head of
        version 0.1, whose checkpoint holds no incidents; then both topics are read whole.
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
        """Read a head's value; raises `StateError` if it can't be read."""
        try:
            return msgspec.json.decode(value, type=cls)
        except msgspec.DecodeError as error:
            raise StateError(
                f"counters: the head of the checkpoint can't be read: {error}"
            ) from None
