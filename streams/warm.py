"""Compile the kernels before the first batch, which must not wait for it."""

from __future__ import annotations

from schemas.codec import EventDecoder
from streams.batches import RecordBatch
from streams.counters import BLOCK_OFFSETS
from streams.items import ItemTable
from streams.metrics import Metrics
from streams.plan import Plan
from streams.scoring import Scorer

_EVENT = (
    b'{"messageId":"warm-%d","type":"track","userId":"nobody","event":"Product Viewed",'
    b'"timestamp":"2026-01-01T00:%02d:00Z","properties":{"product_id":"thing-%d"}}'
)


def warm(plan: Plan, decoder: EventDecoder) -> None:
    """Score made-up events in a state that is thrown away: seconds at first, then a moment."""
    scorer = Scorer(plan, decoder, ItemTable(), Metrics())
    state = scorer.new_state(0)
    for number in range(3):  # the second block takes in the first, the third answers from it
        offset = number * BLOCK_OFFSETS
        value = _EVENT % (number, 10 * number, number)
        batch = RecordBatch(
            "events", 0, offset, offset,
            [offset], [1_800_000_000_000], [b"nobody"], [value], [()],
        )  # fmt: skip
        scorer.score_batch(state, batch)
