"""Recommendations as JSON, joined from cached pieces.

Nine tenths of a message are the same text in all messages, so the JSON of items and reasons is
encoded once and kept. The result equals `encode(Recommendation(...))` byte for byte
(`tests/streams/recommendations/test_message.py`), in a quarter of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from schemas.events.codec import encode
from schemas.outputs import OUTPUT_VERSION, ItemReason, output_id
from schemas.times import format_time_ms
from streams.counters.suggestions import Source
from streams.histories.item_table import ItemTable
from streams.recommendations.sent_lists import COUNTERS, Trigger

REASONS: dict[int, list[ItemReason]] = {
    Source.COVISITED: [ItemReason("covisited", "often looked at together with your recent items")],
    Source.OWN_RECENT: [ItemReason("recently_viewed", "you looked at this recently")],
    Source.POPULAR: [ItemReason("popular", "popular right now")],
    Source.MODEL: [ItemReason("next_item_model", "expected next after your recent events")],
}
_RANKS = [b',"rank":%d,"score":' % rank for rank in range(1, 101)]
_REASONS = {source: b',"reasons":%b}' % encode(reasons) for source, reasons in REASONS.items()}
_PIECES = 4  # pieces per place: item, rank, score, reasons


@dataclass(frozen=True, slots=True)
class Lists:
    """The concatenated lists of several messages, each list best first.

    Attributes
    ----------
    sizes
        Number of places of each list; the sum is the length of the other columns.
    items
        Indices into the worker's item table.
    scores, sources
        Score and `Source` of each place.
    """

    sizes: Sequence[int]
    items: Sequence[int]
    scores: Sequence[float]
    sources: Sequence[int]


class RecommendationWriter:
    """Writes recommendations as JSON.

    Parameters
    ----------
    items
        The worker's item table.
    ttl_s
        Seconds after which a list expires.
    """

    def __init__(self, items: ItemTable, ttl_s: int) -> None:
        self._items = _ItemPieces(items)
        self._ttl_ms = ttl_s * 1000

    def write(self, triggers: Sequence[Trigger], lists: Lists, model_version: str) -> list[bytes]:
        """The messages of n triggers and their n lists."""
        self._items.renew()
        pieces = list(
            chain.from_iterable(
                zip(
                    map(self._items.__getitem__, lists.items),
                    chain.from_iterable(map(_RANKS.__getitem__, map(slice, lists.sizes))),
                    encode(lists.scores)[1:-1].split(b",") if lists.scores else (),
                    map(_REASONS.__getitem__, lists.sources),
                    strict=True,
                )
            )
        )
        variant = "model" if model_version != COUNTERS else COUNTERS
        model = b'],"variant":%b,"model_version":%b' % (encode(variant), encode(model_version))
        join, ttl_ms = b"".join, self._ttl_ms
        messages = []
        begin = 0
        for trigger, size in zip(triggers, lists.sizes, strict=True):
            end = begin + _PIECES * size
            places = join(pieces[begin:end])
            begin = end
            messages.append(
                join(
                    (
                        b'{"recommendation_id":"',
                        output_id("recommendation", trigger.partition, trigger.offset).encode(),
                        b'","user_id":',
                        encode(trigger.user_id),
                        b',"trigger_message_id":',
                        encode(trigger.message_id),
                        b',"items":[',
                        places[1:],  # without the leading comma
                        model,
                        _moments(trigger.broker_ms, ttl_ms),
                    )
                )
            )
        return messages


class _ItemPieces(dict[int, bytes]):
    """The cached JSON that begins the place of an item, by item index."""

    def __init__(self, items: ItemTable) -> None:
        self._table = items
        self._sweeps = items.sweeps

    def __missing__(self, item: int) -> bytes:
        self[item] = piece = b',{"item_id":' + encode(self._table.ids[item])
        return piece

    def renew(self) -> None:
        """Drop all pieces if item indices were reused for other items."""
        if self._sweeps != self._table.sweeps:
            self._sweeps = self._table.sweeps
            self.clear()


@lru_cache(maxsize=4096)
def _moments(broker_ms: int, ttl_ms: int) -> bytes:
    return (
        f',"generated_at":"{format_time_ms(broker_ms)}"'
        f',"expires_at":"{format_time_ms(broker_ms + ttl_ms)}","version":{OUTPUT_VERSION}}}'
    ).encode()
