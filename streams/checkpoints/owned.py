"""What a worker knows of a partition whose state it writes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from streams.checkpoints.head import Head
from streams.checkpoints.writer import CheckpointWriter


@dataclass
class Owned:
    """A partition whose state this worker writes.

    Attributes
    ----------
    rows_from, parts_from
        Of the state's head; None until the state is restored.
    saved
        The offset of the newest checkpoint.
    alerts_from, letters_from
        Of the newest checkpoint's head (`Head`), -1 if there is none.
    known, tried
        The value of the newest head that was found or written, and of the latest head that may or
        may not have been written.
    leaving
        The partition is about to be given up: no further commit will come.
    """

    writer: CheckpointWriter
    rows_from: int | None = None
    parts_from: int = 0
    saved: int | None = None
    alerts_from: int = -1
    letters_from: int = -1
    known: bytes | None = None
    tried: bytes | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    leaving: bool = False

    def note(self, head: Head) -> None:
        """Note that the newest checkpoint has this head."""
        self.saved, self.known = head.offset, head.encode()
        self.alerts_from, self.letters_from = head.alerts_from, head.letters_from
