"""The events of a fault run: seeded, and each sort is what the worker takes it for."""

from __future__ import annotations

from ops.benchmarks.faults import faults
from ops.faults.expected import Expected
from ops.faults.run import Plan
from ops.faults.workload import SHARES, Sort, Workload
from ops.publish.segment import Records
from streams.settings import Recommend, Settings
from streams.transport.record_batch import RecordBatch

TOTAL = 3_000


class Record:
    """One record as a client gives it."""

    headers: tuple[tuple[str, bytes], ...] = ()

    def __init__(self, batch: RecordBatch, row: int) -> None:
        self.offset = batch.offsets[row]
        self.timestamp = batch.timestamps[row]
        self.key, self.value = batch.keys[row], batch.values[row]


def made(seed: int) -> tuple[Workload, list[Records]]:
    workload = Workload(seed, topic="events", users=100)
    return workload, list(workload.records(TOTAL))


def test_the_same_seed_makes_the_same_events() -> None:
    values = [[one for chunk in made(seed)[1] for one in chunk.values] for seed in (1, 1, 2)]
    assert values[0] == values[1] != values[2]


def test_the_worker_takes_each_sort_for_what_it_is() -> None:
    workload, chunks = made(3)
    sorts = workload.sorts
    assert all(sorts[sort] > TOTAL * share / 2 for sort, share in SHARES.items())
    offline = Expected(Settings(recommend=Recommend(refresh_s=1, min_interval_s=0)), 0)
    found = []
    first = 0
    for chunk in chunks:
        batch = chunk.batch(first)
        found += list(offline.take("events", [Record(batch, row) for row in range(len(chunk))]))
        first += len(chunk)
    assert offline.duplicates == sorts[Sort.REPEATED]
    assert offline.dead == sorts[Sort.MALFORMED] + sorts[Sort.LATE]
    assert offline.accepted == sorts[Sort.BEHAVIOUR] + sorts[Sort.LABEL]
    lists = [one for one in found if not one.id.startswith("dead-")]
    assert len(lists) > offline.accepted * 0.7, "most events leave evidence of their own"


def test_a_run_of_five_minutes_sends_more_than_200_000_events() -> None:

    defaults = {option.name: option.default for option in faults.params}
    plan = Plan(5, defaults["rate"], 4, 3, 7, folder=None)  # type: ignore[arg-type]
    assert plan.total >= 200_000
