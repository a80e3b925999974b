"""Recommendations: filter, cut to the top, give reasons, send only what changed."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.outputs import ItemReason, Recommendation, RecommendedItem, output_id
from schemas.times import format_time_ms
from streams.candidates import Source
from streams.items import ItemTable

COUNTERS = "counters"
"""`model_version` of answers that no model gave."""

_REASONS: dict[int, list[ItemReason]] = {
    Source.COVISITED: [ItemReason("covisited", "often looked at together with your recent items")],
    Source.OWN_RECENT: [ItemReason("recently_viewed", "you looked at this recently")],
    Source.POPULAR: [ItemReason("popular", "popular right now")],
    Source.MODEL: [ItemReason("next_item_model", "expected next after your recent events")],
}
_RANKS = range(1, 101)


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

    def __init__(self) -> None:
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
        owners[slot], self._lists[slot], self._sent_ms[slot] = owner, shown, trigger.time_ms
        return "sent"


def build(
    trigger: Trigger,
    picks: tuple[Sequence[int], Sequence[float], Sequence[int]],
    items: ItemTable,
    policy: Policy,
    model_version: str,
) -> Recommendation:
    """The message for one user.

    Parameters
    ----------
    picks
        Item indices, scores and sources, best first; as many as there are indices.
    """
    chosen, scores, sources = picks
    ids = items.ids
    names = [ids[item] for item in chosen]
    reasons = [_REASONS[source] for source in sources]
    return Recommendation(
        recommendation_id=output_id("recommendation", trigger.partition, trigger.offset),
        user_id=trigger.user_id,
        trigger_message_id=trigger.message_id,
        items=list(map(RecommendedItem, names, _RANKS, scores, reasons)),
        variant="model" if model_version != COUNTERS else COUNTERS,
        model_version=model_version,
        generated_at=format_time_ms(trigger.broker_ms),
        expires_at=format_time_ms(trigger.broker_ms + policy.ttl_s * 1000),
    )
