"""Decisions are a function of the log, never of how it was cut into batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ops.publish.feed import feed
from ops.simulator.simulation import simulate_events
from schemas.events.codec import EventDecoder
from streams.histories.item_table import ItemTable
from streams.kafka.producer import Output
from streams.monitoring.metrics import Metrics
from streams.plan import Plan
from streams.scoring import Scorer
from streams.settings import Settings
from streams.transport.record_batch import RecordBatch
from tests.example_count import example_count

SIZE = 1_200
NOW_MS = 1_790_000_000_000


@dataclass(frozen=True)
class Log:
    keys: list[bytes]
    values: list[bytes | None]
    timestamps: list[int]


@pytest.fixture(scope="module")
def log() -> Log:
    shop = simulate_events(5, users=60, items=80, days=20, events=SIZE)
    keys: list[bytes] = []
    values: list[bytes | None] = []
    for group in feed(shop.events, None):
        keys += group.keys
        values += group.values
    values[100] = b"not json"
    values[700] = values[699]  # a duplicate
    return Log(keys, values, [NOW_MS + 9 * i for i in range(len(keys))])


def new_scorer() -> Scorer:
    plan = Plan.from_settings(Settings())
    decoder = EventDecoder(Settings().product_contract())
    return Scorer(plan, decoder, ItemTable(), Metrics())


def cut(log: Log, begin: int, end: int) -> RecordBatch:
    return RecordBatch(
        "events", 0, begin, end - 1,
        range(begin, end), log.timestamps[begin:end], log.keys[begin:end],
        log.values[begin:end], [()] * (end - begin),
    )  # fmt: skip


def run(log: Log, sizes: Sequence[int], restored: int = 0) -> list[Output]:
    """The outputs of the log, cut so; the first `restored` records are replayed without output."""
    scorer = new_scorer()
    state = scorer.new_state(0)
    if restored:
        scorer.apply_batch(state, cut(log, 0, restored))
    outputs: list[Output] = []
    begin = restored
    for size in [*sizes, len(log.keys)]:
        end = min(begin + size, len(log.keys))
        if begin == end:
            break
        scored = scorer.score_batch(state, cut(log, begin, end))
        outputs += sorted(scored.outputs, key=lambda one: one.topic)
        begin = end
    return sorted(outputs, key=lambda one: one.topic)  # stable: order within a topic is kept


@pytest.fixture(scope="module")
def whole(log: Log) -> list[Output]:
    return run(log, [])


def test_there_is_something_to_compare(whole: list[Output]) -> None:
    topics = [output.topic for output in whole]
    assert topics.count("recommendations") > 100
    assert topics.count("dead-letters") == 1


def test_batches_of_one_give_the_same_outputs(log: Log, whole: list[Output]) -> None:
    assert run(log, [1] * SIZE) == whole


@settings(max_examples=example_count(10), deadline=None)
@given(sizes=st.lists(st.integers(1, 400), max_size=30))
def test_any_cut_gives_the_same_outputs(log: Log, whole: list[Output], sizes: list[int]) -> None:
    assert run(log, sizes) == whole


@settings(max_examples=example_count(10), deadline=None)
@given(restored=st.integers(1, SIZE - 1))
def test_a_restored_worker_goes_on_as_the_one_before_would_have(log: Log, restored: int) -> None:
    scorer = new_scorer()
    before = scorer.score_batch(scorer.new_state(0), cut(log, 0, restored)).outputs
    after = run(log, [], restored=restored)
    whole = run(log, [])
    assert sorted([*before, *after], key=_content) == sorted(whole, key=_content)


def _content(output: Output) -> tuple[str, bytes]:
    return output.topic, output.value or b""
