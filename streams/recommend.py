"""Recommendations: filter, cut to the top, send only what changed."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import partial

import msgspec
import numpy as np
import numpy.typing as npt

from streams.undo import Undo

COUNTERS = "counters"
"""`model_version` of answers that no model gave."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Candidate items of D decision points, any order.

    Attributes
    ----------
    items
        int32 (D, K): index in the worker's item table, -1 = none.
    scores
        float32 (D, K): higher is better, comparable within a row.
    sources
        uint8 (D, K): `streams.counters.Source`, where the candidate came from.
    """

    items: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]
    sources: npt.NDArray[np.uint8]


class Trigger(msgspec.Struct, gc=False):
    """The event behind one decision point."""

    user_id: str
    message_id: str
    partition: int
    offset: int
    broker_ms: int
    time_ms: int


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be shown and how often (`streams.settings.Recommend`)."""

    top_k: int
    min_interval_s: int
    ttl_s: int
    exclude_bought: bool


class SentLists:
    """What each user was last sent and when, so that only news goes out; by history slot."""

    def __init__(self, undo: Undo | None = None) -> None:
        self._undo = undo or Undo()
        # Arrays of machine integers: read and written one by one, much faster than numpy's.
        self._owners = array("q")
        self._lists = array("q")
        self._sent_ms = array("q")

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return 3 * len(self._owners) * self._owners.itemsize

    def admit(self, slot: int, trigger: Trigger, items: tuple[int, ...], policy: Policy) -> str:
        """Whether a list goes out: `sent`, `unchanged`, `held` (too soon) or `empty`.

        Parameters
        ----------
        slot
            Of the user's history; another owner means the slot was given to a new user.
        items
            Item indices, best first.
        """
        if not items:
            return "empty"
        owners = self._owners
        if slot >= len(owners):
            more = bytes(8 * (max(1024, slot + 1, 2 * len(owners)) - len(owners)))
            for column in (owners, self._lists, self._sent_ms):
                column.frombytes(more)
        owner, shown = hash(trigger.user_id) or 1, hash(items)
        if owners[slot] == owner:
            if self._lists[slot] == shown:
                return "unchanged"
            if trigger.time_ms - self._sent_ms[slot] < policy.min_interval_s * 1000:
                return "held"
        before = slot, owners[slot], self._lists[slot], self._sent_ms[slot]
        self._undo.keep(partial(self._set, *before))
        self._set(slot, owner, shown, trigger.time_ms)
        return "sent"

    def _set(self, slot: int, owner: int, shown: int, sent_ms: int) -> None:
        self._owners[slot], self._lists[slot], self._sent_ms[slot] = owner, shown, sent_ms
