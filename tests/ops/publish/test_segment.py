"""Event frames to JSON."""

from __future__ import annotations

import json

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from ops.publish.segment import records
from schemas.events.codec import EventDecoder
from schemas.events.contract import Contract
from schemas.events.kinds import Kind

TEXT = st.text(st.characters(exclude_categories=("Cs",)))


def _frame(**columns: list[object]) -> pl.DataFrame:
    rows = len(next(iter(columns.values())))
    return pl.DataFrame(
        {
            "message_id": [f"m{i}" for i in range(rows)],
            "user_id": ["u"] * rows,
            "event": ["Product Viewed"] * rows,
            "time_ms": [1_430_623_510_123] * rows,
            **columns,
        }
    )


@given(st.lists(st.tuples(TEXT, st.none() | TEXT, st.none() | st.floats()), min_size=1))
def test_any_text_and_number_survives_json(
    rows: list[tuple[str, str | None, float | None]],
) -> None:
    frame = _frame(
        user_id=[user for user, _, _ in rows],
        **{
            "properties.title": pl.Series([title for _, title, _ in rows], dtype=pl.String),
            "properties.price": pl.Series([price for _, _, price in rows], dtype=pl.Float64),
        },
    )
    encoded = records(frame, "events")
    for (user, title, price), key, value in zip(rows, encoded.keys, encoded.values, strict=True):
        message = json.loads(value or b"")
        properties = message.get("properties", {})
        finite = price is not None and abs(price) < float("inf")
        assert (key.decode(), message["userId"]) == (user, user)
        assert properties.get("title") == title
        assert properties.get("price") == (price if finite else None)


def test_nulls_and_empty_objects_are_left_out() -> None:
    frame = _frame(**{"properties.price": [1.5, None], "context.device.id": ["d", None]})
    full, bare = (json.loads(value or b"") for value in records(frame, "events").values)
    assert full["context"] == {"device": {"id": "d"}}
    assert set(bare) == {"messageId", "type", "userId", "event", "timestamp"}


def test_an_event_without_a_name_is_an_identify_call() -> None:
    frame = _frame(event=pl.Series([None], dtype=pl.String), **{"traits.plan": ["plus"]})
    message = json.loads(records(frame, "events").values[0] or b"")
    assert message["type"] == "identify"
    assert message["traits"] == {"plan": "plus"}
    assert "event" not in message


def test_the_worker_reads_what_was_written() -> None:
    frame = _frame(**{"properties.product_id": ["i1"], "properties.price": [2.5]})
    row = EventDecoder(Contract()).decode(records(frame, "events").values[0])
    assert (row.message_id, row.user_id, row.kind) == ("m0", "u", Kind.VIEW)
    assert row.time_ms == 1_430_623_510_123
    assert row.items == [("i1", 2.5)]
