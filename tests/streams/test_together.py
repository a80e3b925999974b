"""Batches that wait are scored together, in order, and answer as each alone would."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from models.registry import registry
from models.registry.registry import Model
from ops.publish.feed import feed
from ops.simulator.simulation import simulate_events
from schemas.events import control
from schemas.events.codec import EventDecoder
from streams.counters.counters import Counters
from streams.histories.item_table import ItemTable
from streams.kafka.producer import Output
from streams.monitoring.metrics import Metrics
from streams.partition import PartitionState
from streams.pipeline import take
from streams.plan import Plan
from streams.scoring import Scorer
from streams.serving.bound_model import BoundModel
from streams.settings import AlertRule, Alerts, Recommend, Settings
from streams.transport.consumer import Delivery
from streams.transport.record_batch import RecordBatch
from tests.models import versions
from tests.streams.snapshot import snapshot

NOW_MS = 1_790_000_000_000
PARTITIONS, SIZE = 3, 120
Row = tuple[bytes, "bytes | None", tuple[tuple[str, bytes], ...]]


@pytest.fixture(scope="module")
def logs() -> list[list[Row]]:
    """A log per partition, with a record that is no event and a user to forget."""
    found: list[list[Row]] = []
    for number in range(PARTITIONS):
        shop = simulate_events(5 + number, users=20, items=30, days=20, events=SIZE)
        rows: list[Row] = [
            (key, value, ())
            for group in feed(shop.events, None)
            for key, value in zip(group.keys, group.values, strict=True)
        ]
        rows[30] = (rows[30][0], b"not json", ())
        found.append(rows[:SIZE])
    key, value, headers = control.forget(found[1][10][0].decode())
    found[1][50] = (key, value, tuple(headers))
    return found


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    root = tmp_path_factory.mktemp("registry")
    files = versions.version_files([f"i{n}" for n in range(30)])
    return registry.load(root, versions.store(root, files))


def batch(rows: list[Row], partition: int, begin: int, end: int) -> RecordBatch:
    part = rows[begin:end]
    return RecordBatch(
        "events", partition, begin, end - 1, range(begin, end),
        [NOW_MS + 9 * i for i in range(begin, end)],
        [key for key, _, _ in part], [value for _, value, _ in part],
        [headers for _, _, headers in part],
    )  # fmt: skip


def run(
    model: Model | None, logs: list[list[Row]], size: int, *, together: bool
) -> tuple[list[list[Output]], list[PartitionState]]:
    rule = AlertRule(raise_at=0.2, clear_at=0.1)
    chosen = Settings(alerts=Alerts(churn=rule, risk=rule), recommend=Recommend(min_interval_s=0))
    decoder = EventDecoder(chosen.product_contract())
    scorer = Scorer(Plan.from_settings(chosen), decoder, ItemTable(), Metrics())
    scorer.use(model)
    states = [scorer.new_state(number) for number in range(PARTITIONS)]
    outputs: list[list[Output]] = [[] for _ in states]
    for begin in range(0, SIZE, size):
        work = [
            (state, batch(rows, state.partition, begin, begin + size))
            for state, rows in zip(states, logs, strict=True)
        ]
        if together:
            scored = scorer.score_together(work)
        else:
            scored = [scorer.score_batch(state, part) for state, part in work]
        for number, one in enumerate(scored):
            outputs[number] += one.outputs
    return outputs, states


@pytest.mark.parametrize("with_model", [True, False])
@pytest.mark.parametrize("size", [1, 8, 40])
def test_the_same_outputs_and_the_same_state(
    logs: list[list[Row]], model: Model, size: int, *, with_model: bool
) -> None:
    used = model if with_model else None
    alone, expected = run(used, logs, size, together=False)
    joined, states = run(used, logs, size, together=True)
    assert sum(map(len, alone)) > 50
    assert joined == alone
    assert [snapshot(state) for state in states] == [snapshot(state) for state in expected]


def test_one_call_of_the_model_serves_all_partitions(
    logs: list[list[Row]], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    answer = BoundModel.answer

    def counting(self: BoundModel, windows: Any, points: Any) -> Any:
        calls.append(len(windows))
        return answer(self, windows, points)

    monkeypatch.setattr(BoundModel, "answer", counting)
    plain = [[row for row in rows if not row[2]] for rows in logs]
    plain = [(rows * 2)[:SIZE] for rows in plain]
    run(model, plain, 40, together=True)
    first = PARTITIONS  # a sweep of item numbers comes before a partition's first record
    assert len(calls) == first + SIZE // 40 - 1


@pytest.mark.parametrize("with_model", [True, False])
def test_what_breaks_one_partition_leaves_no_trace_in_the_others(
    logs: list[list[Row]], model: Model, monkeypatch: pytest.MonkeyPatch, *, with_model: bool
) -> None:
    advance = Counters.advance
    poison = b"poison"
    key, value, _ = logs[2][20]
    assert value is not None
    poisoned = [list(rows) for rows in logs]
    poisoned[2][20] = (key, value.replace(b'"messageId":"', b'"messageId":"poison-'), ())

    def broken(self: Counters, columns: Any, *rest: Any, **named: Any) -> Any:
        live = advance(self, columns, *rest, **named)
        if any(message.startswith(poison.decode()) for message in columns.message_ids):
            raise ValueError("broken")
        return live

    monkeypatch.setattr(Counters, "advance", broken)
    used = model if with_model else None
    alone, expected = run(used, poisoned, 40, together=False)
    joined, states = run(used, poisoned, 40, together=True)
    assert any(b"unprocessable" in dict(output.headers).values() for output in joined[2])
    assert joined == alone
    assert [snapshot(state) for state in states] == [snapshot(state) for state in expected]


VALUE = b"x" * 900  # a record is 1,000 bytes, about


class Waiting:
    """Deliveries of partitions, as they arrive."""

    def __init__(self, *arrivals: tuple[int, int]) -> None:
        """Of each arrival the partition and its number of records."""
        ends: dict[int, int] = {}
        states: Any = {}
        self.queue: deque[tuple[PartitionState, Delivery]] = deque()
        for partition, records in arrivals:
            begin = ends.get(partition, 0)
            ends[partition] = begin + records
            state = states.setdefault(partition, object())
            ticket: Any = None
            consumer: Any = None
            self.queue.append(
                (state, Delivery(records_of(partition, begin, records), ticket, consumer))
            )

    def take(self, nbytes: int) -> list[tuple[int, list[int], int]]:
        """Partition, offsets and number of deliveries of each work."""
        return [
            (work.batch.partition, list(work.batch.offsets), len(work.deliveries))
            for work in take(self.queue, nbytes)
        ]


def records_of(partition: int, begin: int, records: int) -> RecordBatch:
    offsets = list(range(begin, begin + records))
    return RecordBatch(
        "events", partition, begin, begin + records - 1, offsets, [0] * records,
        [b"ann"] * records, [VALUE] * records, [()] * records,
    )  # fmt: skip


def test_all_that_waits_is_one_batch_per_partition() -> None:
    waiting = Waiting((0, 2), (1, 1), (0, 3), (2, 1), (1, 2))
    assert waiting.take(1_000_000) == [
        (0, [0, 1, 2, 3, 4], 2),
        (1, [0, 1, 2], 2),
        (2, [0], 1),
    ]
    assert waiting.take(1_000_000) == []


def test_more_than_the_bound_waits_for_the_next_turn_in_order() -> None:
    waiting = Waiting((0, 2), (1, 2), (0, 2), (1, 2))
    assert waiting.take(3_500) == [(0, [0, 1], 1), (1, [0, 1], 1)]
    assert waiting.take(3_500) == [(0, [2, 3], 1), (1, [2, 3], 1)]


def test_a_batch_larger_than_the_bound_goes_alone() -> None:
    waiting = Waiting((0, 9), (1, 1))
    assert waiting.take(1_000) == [(0, list(range(9)), 1)]
    assert waiting.take(1_000) == [(1, [0], 1)]
