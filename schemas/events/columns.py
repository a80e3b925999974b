"""Decoded events as columns: the result of decoding one record batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.column_rows import Columns


@dataclass(frozen=True, slots=True)
class EventColumns(Columns):
    """The valid events of one record batch, in log order.

    Attributes
    ----------
    offsets, broker_ms
        int64 (n,): the record's offset and the broker's timestamp, epoch ms.
    time_ms
        int64 (n,): event time, epoch ms; an event dated in the future has the broker's time.
    user_ids, message_ids
        n strings each.
    message_hashes
        uint64 (n,): XXH3-64 of the message id.
    kinds
        uint8 (n,): `schemas.events.kinds.Kind`.
    item_ids
        n strings, None if the event names no item.
    amounts
        float32 (n,): money or quantity of the event, 0 if it has none.
    entities
        uint64 (n, E): hash of each watched risk entity, 0 if absent.
    references
        uint64 (n,): hash of the message that a label event confirms, else 0.
    ends
        bool (n,): whether the row is the last of its record. An order of several products has
        several rows, and only the last row may be a decision point.
    """

    offsets: npt.NDArray[np.int64]
    broker_ms: npt.NDArray[np.int64]
    time_ms: npt.NDArray[np.int64]
    user_ids: list[str]
    message_ids: list[str]
    message_hashes: npt.NDArray[np.uint64]
    kinds: npt.NDArray[np.uint8]
    item_ids: list[str | None]
    amounts: npt.NDArray[np.float32]
    entities: npt.NDArray[np.uint64]
    references: npt.NDArray[np.uint64]
    ends: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.user_ids)

    select = Columns.take
