"""Recommendations: filter, cut to the top, give reasons, send only what changed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from models.windows import Windows

from schemas.kinds import Kind
from schemas.outputs import ItemReason, Recommendation, RecommendedItem, output_id
from schemas.times import format_time_ms
from streams.counters import Source
from streams.items import ItemTable

_TEXTS = {
    Source.COVISITED: ("covisited", "people who looked at your last items looked at this too"),
    Source.OWN_RECENT: ("recently_viewed", "you looked at this recently"),
    Source.POPULAR: ("popular", "popular right now"),
    Source.MODEL: ("next_item_model", "the model expects this next after your recent events"),
}


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


@dataclass(frozen=True, slots=True)
class Trigger:
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


def top_allowed(
    candidates: Candidates, windows: Windows, items: ItemTable, policy: Policy
) -> npt.NDArray[np.intp]:
    """Columns of the `top_k` best candidates that may be shown, -1 where there are fewer.

    Parameters
    ----------
    candidates, windows
        Of the same D decision points.
    items
        Knows what is available.
    policy
        Whether items the user already bought are left out.

    Returns
    -------
    intp (D, top_k)
        Best first; ties keep the candidates' order.
    """
    allowed = candidates.items >= 0  # (D, K)
    allowed &= items.available[candidates.items]
    if policy.exclude_bought:
        bought = np.where(windows.kinds == Kind.PURCHASE, windows.items, -1)  # (D, L)
        for row in np.flatnonzero((bought >= 0).any(axis=1)):
            allowed[row] &= ~np.isin(candidates.items[row], bought[row])
    scores = np.where(allowed, candidates.scores, -np.inf)
    order = np.argsort(-scores, axis=1, kind="stable")[:, : policy.top_k]
    return np.where(np.take_along_axis(allowed, order, axis=1), order, -1)


class SentLists:
    """What each user was last sent and when, so that only news goes out; by history slot."""

    def __init__(self) -> None:
        self._hashes = np.zeros(0, np.int64)
        self._sent_ms = np.zeros(0, np.int64)

    def _grow(self, slot: int) -> None:
        if slot >= len(self._hashes):
            more = max(1024, slot + 1, 2 * len(self._hashes)) - len(self._hashes)
            self._hashes = np.concatenate([self._hashes, np.zeros(more, np.int64)])
            self._sent_ms = np.concatenate([self._sent_ms, np.zeros(more, np.int64)])

    def forget(self, slots: npt.NDArray[np.intp]) -> None:
        """The slots belong to other users now."""
        known = slots[slots < len(self._hashes)]
        self._hashes[known] = 0
        self._sent_ms[known] = 0

    def admit(self, slot: int, items: tuple[int, ...], now_ms: int, min_interval_s: int) -> str:
        """Whether a list goes out: `sent`, `unchanged`, `held` (too soon) or `empty`."""
        if not items:
            return "empty"
        self._grow(slot)
        digest = hash(items) or 1
        if self._hashes[slot] == digest:
            return "unchanged"
        if self._hashes[slot] and now_ms - int(self._sent_ms[slot]) < min_interval_s * 1000:
            return "held"
        self._hashes[slot] = digest
        self._sent_ms[slot] = now_ms
        return "sent"


def build(
    trigger: Trigger,
    picks: list[tuple[int, float, int]],
    items: ItemTable,
    model_version: str,
    variant: str,
    ttl_s: int,
) -> Recommendation:
    """The message for one user.

    Parameters
    ----------
    picks
        (item index, score, source) best first.
    """
    places = []
    for rank, (item, score, source) in enumerate(picks, start=1):
        code, text = _TEXTS[Source(source)]
        reason = ItemReason(code=code, text=text)
        places.append(
            RecommendedItem(
                item_id=items.ids[item], rank=rank, score=round(score, 6), reasons=[reason]
            )
        )
    return Recommendation(
        recommendation_id=output_id("recommendation", trigger.partition, trigger.offset),
        user_id=trigger.user_id,
        trigger_message_id=trigger.message_id,
        items=places,
        variant=variant,
        model_version=model_version,
        generated_at=format_time_ms(trigger.broker_ms),
        expires_at=format_time_ms(trigger.broker_ms + ttl_s * 1000),
    )
