"""Recommendations written from pieces are what the contract's struct encodes to."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas.events.codec import encode
from schemas.outputs import Recommendation, RecommendedItem, output_id
from schemas.times import format_time_ms
from streams.counters.suggestions import Source
from streams.histories.item_table import ItemTable
from streams.recommendations.message import REASONS, Lists, RecommendationWriter
from streams.recommendations.sent_lists import COUNTERS, Trigger

TTL_S = 60
ids = st.text(min_size=1, max_size=8) | st.sampled_from(['"', "\\", "\n\x00", "ü€😀", "</script>"])
scores = st.floats(width=32, allow_nan=False).map(lambda score: round(score, 6))
places = st.tuples(ids, scores, st.sampled_from(sorted(REASONS)))
times = st.integers(0, 253_402_300_799_000 - TTL_S * 1000)
triggers = st.builds(Trigger, ids, ids, st.integers(0, 99), st.integers(0, 2**62), times, times)
lists = st.lists(st.tuples(triggers, st.lists(places, max_size=12)), max_size=4)


def by_the_struct(trigger: Trigger, ranked: list[Any], version: str) -> bytes:
    return encode(
        Recommendation(
            recommendation_id=output_id("recommendation", trigger.partition, trigger.offset),
            user_id=trigger.user_id,
            trigger_message_id=trigger.message_id,
            items=[
                RecommendedItem(item, rank, score, REASONS[source])
                for rank, (item, score, source) in enumerate(ranked, 1)
            ],
            variant="counters" if version == COUNTERS else "model",
            model_version=version,
            generated_at=format_time_ms(trigger.broker_ms),
            expires_at=format_time_ms(trigger.broker_ms + TTL_S * 1000),
        )
    )


def written(batch: list[tuple[Trigger, list[Any]]], version: str) -> list[bytes]:
    items = ItemTable()
    flat = [place for _, ranked in batch for place in ranked]
    packed = Lists(
        sizes=[len(ranked) for _, ranked in batch],
        items=items.indices([item for item, _, _ in flat]).tolist(),
        scores=[score for _, score, _ in flat],
        sources=[source for _, _, source in flat],
    )
    writer = RecommendationWriter(items, TTL_S)
    return writer.write([trigger for trigger, _ in batch], packed, version)


@given(lists, st.sampled_from([COUNTERS, "v1", 'ö"']))
def test_written_messages_are_what_the_struct_encodes_to(
    batch: list[tuple[Trigger, list[Any]]], version: str
) -> None:
    assert written(batch, version) == [by_the_struct(*one, version) for one in batch]


def test_a_message_says_who_what_why_and_until_when() -> None:
    trigger = Trigger("u", "m", 0, 5, 1_000, 0)
    ranked = [("c", 0.5, Source.COVISITED), ("a", 0.25, Source.POPULAR)]
    (value,) = written([(trigger, ranked)], "v1")
    message = msgspec.json.decode(value, type=Recommendation)
    assert [(place.item_id, place.rank) for place in message.items] == [("c", 1), ("a", 2)]
    assert [place.reasons[0].code for place in message.items] == ["covisited", "popular"]
    assert (message.generated_at, message.expires_at) == (
        "1970-01-01T00:00:01.000Z",
        "1970-01-01T00:01:01.000Z",
    )
    (again,) = written([(trigger, ranked[:1])], "v2")
    assert json.loads(again)["recommendation_id"] == message.recommendation_id
