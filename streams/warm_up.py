"""Compiles the kernels before the first batch, so that no batch waits for a compilation."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from models.elementwise import exp, log
from models.engines.engine import Scores
from models.features import features, model_inputs
from models.features.windows import C_NAMES, Windows
from models.ranking.candidates import candidate_features
from schemas.events.codec import EventDecoder
from streams.counters.counters import BLOCK_OFFSETS, Counters
from streams.counters.label_queue import Payments
from streams.counters.suggestions import Suggestions
from streams.histories.item_table import ItemTable
from streams.monitoring.metrics import Metrics
from streams.plan import Plan
from streams.recommendations.pool import gather
from streams.scoring import Scorer
from streams.transport.record_batch import RecordBatch

_EVENT = (
    b'{"messageId":"warm-%d","type":"track","userId":"nobody","event":"Product Viewed",'
    b'"timestamp":"2026-01-01T00:%02d:00.000Z","properties":{"product_id":"thing-%d"}}'
)


def warm(plan: Plan, decoder: EventDecoder) -> None:
    """Score made-up events in a temporary state; takes seconds the first time, then a moment."""
    scorer = Scorer(plan, decoder, ItemTable(), Metrics(), max_failures=0)
    state = scorer.new_state(0)
    for number in range(3):  # the second block counts the first block, the third answers from it
        offset = number * BLOCK_OFFSETS
        value = _EVENT % (number, 10 * number, number)
        batch = RecordBatch(
            "events", 0, offset, offset,
            [offset], [1_800_000_000_000], [b"nobody"], [value], [()],
        )  # fmt: skip
        scorer.score_batch(state, batch)
    _warm_entities(scorer.new_state(0).counters)
    _warm_model()


def _warm_entities(counters: Counters) -> None:
    """Count, label, settle and read a payment of an entity."""
    one_s = np.ones(1, np.int64)
    payment = Payments(
        messages=np.ones(1, np.uint64),
        entities=np.ones((1, counters.queue.entities), np.uint64),
        times_s=one_s,
        usual=np.ones(1, np.bool_),
        labelled=np.zeros(1, np.bool_),
    )
    counters.entities.see(payment.entities, one_s, np.ones(1, np.float32), 1)
    counters.queue.add(payment)
    confirmed, _ = counters.queue.confirm(payment.messages)
    counters.entities.label(confirmed, one_s)
    counters.entities.settle(counters.queue.settle(2 + counters.queue.delay_s))
    counters.entities.read(payment.entities, 1_000 * one_s, 0, np.zeros((1, len(C_NAMES))))


def _warm_model() -> None:
    """Run the loops over a model's inputs and candidates, which events reach only with a model."""
    none = Windows.empty(2)  # empty arrays may have another layout, so a single row is used
    columns = {field.name: getattr(none, field.name) for field in fields(none)}
    windows = Windows(
        **{name: np.ones((1, *column.shape[1:]), column.dtype) for name, column in columns.items()}
    )
    model_inputs.build(windows, features.compute(windows), np.zeros(1, np.int64))
    zeros = np.zeros((1, 2), np.float32)
    table = zeros.copy()
    table.flags.writeable = False  # as a loaded model's arrays
    pool = gather(
        windows,
        Suggestions.none(1, 2),
        Scores(np.zeros((1, 2), np.int64), zeros, zeros, zeros[:, 0], zeros[:, 0]),
        indices=np.full(1, -1, np.int32),
        rows=np.zeros(1, np.int64),
        item_table=table,
        item_bias=table[0],
    )
    candidate_features(pool, windows)
    exp(log(np.ones(1)))  # the heads' curves
