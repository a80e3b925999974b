"""Decoded events as columns: what decoding makes of one record batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class EventColumns:
    """The valid events of one record batch, in log order.

    Attributes
    ----------
    offsets, broker_ms
        int64 (n,): the record's offset and the broker's timestamp in ms.
    time_ms
        int64 (n,): event time in ms, already clamped where it was dated in the future.
    user_ids, message_ids
        n strings each.
    message_hashes
        uint64 (n,): XXH3-64 of the message id.
    kinds
        uint8 (n,): `schemas.kinds.Kind`.
    item_ids
        n strings, None where the event names no item.
    amounts
        float32 (n,): money or quantity of the event, 0 where it has none.
    entities
        uint64 (n, E): hash of each watched risk entity, 0 where absent.
    references
        uint64 (n,): hash of the message that a label event confirms, else 0.
    ends
        bool (n,): the last row of its record; an order of several products has several
        rows, and only the last one may be a decision point.
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

    def select(self, rows: npt.NDArray[Any]) -> EventColumns:
        """The events at `rows` (int indices or a bool mask of shape (n,)), order kept."""
        index = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        picks = index.tolist()
        return EventColumns(
            offsets=self.offsets[index],
            broker_ms=self.broker_ms[index],
            time_ms=self.time_ms[index],
            user_ids=[self.user_ids[i] for i in picks],
            message_ids=[self.message_ids[i] for i in picks],
            message_hashes=self.message_hashes[index],
            kinds=self.kinds[index],
            item_ids=[self.item_ids[i] for i in picks],
            amounts=self.amounts[index],
            entities=self.entities[index],
            references=self.references[index],
            ends=self.ends[index],
        )
