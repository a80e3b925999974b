"""A file as a log of several partitions: users are whole in it, items and entities in parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl
from aiokafka.partitioner import DefaultPartitioner

from models.features.windows import C_NAMES
from ops.archive.rerun import Rerun, Step
from ops.evaluation.file_log import by_partition, rerun_file
from ops.event_files.adapters import Source
from ops.publish.segment import records
from schemas.events.kinds import Kind
from schemas.topics import EVENTS
from streams.histories.decision_points import PointPolicy
from streams.settings import ContractSection, Settings

PARTITIONS = 4
SETTINGS = Settings(contract=ContractSection(entities=("properties.terminal_id",)))
EVERY_PAYMENT = PointPolicy(watch=frozenset({Kind.PURCHASE}), ask=frozenset(Kind))
Seen = Mapping[str, tuple[Any, ...]]


def payments() -> pl.DataFrame:
    """1,500 payments of 40 people for 12 items at 5 terminals, half a minute apart."""
    rng = np.random.default_rng(3)
    n = 1_500
    return pl.DataFrame(
        {
            "message_id": [f"m{row}" for row in range(n)],
            "user_id": [f"u{user}" for user in rng.integers(0, 40, n)],
            "event": ["Order Completed"] * n,
            "time_ms": 1_700_000_000_000 + 30_000 * np.arange(n),
            "properties.product_id": [f"i{item}" for item in rng.integers(0, 12, n)],
            "properties.revenue": rng.integers(1, 90, n).astype(np.float64),
            "properties.terminal_id": [f"t{place}" for place in rng.integers(0, 5, n)],
        }
    )


def read(events: pl.DataFrame, partitions: int) -> tuple[Seen, Seen]:
    """What each message's decision saw: the user's history, and the counters."""
    state, steps = rerun_file(Source(events), SETTINGS, partitions=partitions)
    state.decide_at(EVERY_PAYMENT)
    return seen(state, steps)


def seen(state: Rerun, steps: Iterable[Step]) -> tuple[Seen, Seen]:
    histories: dict[str, tuple[Any, ...]] = {}
    counters: dict[str, tuple[Any, ...]] = {}
    for step in steps:
        name_of = [*state.items.ids, None]  # the last is for -1
        windows, said = step.windows, step.live.suggestions
        for point, row in enumerate(step.applied.points.rows.tolist()):
            message = f"{step.columns.user_ids[row]} {step.columns.time_ms[row]}"
            events = range(int(windows.lengths[point]))
            histories[message] = (
                [name_of[windows.items[point, event]] for event in events],
                windows.kinds[point].tolist(),
                windows.times_s[point].tolist(),
                windows.amounts[point].tolist(),
            )
            counters[message] = (
                windows.context[point].tolist(),
                [name_of[item] for item in said.items[point]],
                said.scores[point].tolist(),
                said.popular[point].tolist(),
            )
    return histories, counters


def test_keys_go_where_kafkas_own_clients_put_them() -> None:
    events = payments()
    places, partitioner = by_partition(events, PARTITIONS), DefaultPartitioner()
    every = list(range(PARTITIONS))
    for partition, rows in enumerate(places):
        users = events["user_id"][rows].unique().to_list()
        assert len(users) > 1
        assert {partitioner(user.encode(), every, every) for user in users} == {partition}
        assert (np.diff(rows) > 0).all()
    assert sorted(np.concatenate(places).tolist()) == list(range(len(events)))


def test_one_partition_is_the_file_as_it_stands() -> None:
    events = payments()
    state = Rerun(SETTINGS)
    state.decide_at(EVERY_PAYMENT)
    assert read(events, 1) == seen(state, state.feed(records(events, EVENTS.name).batch()))


def test_users_are_whole_and_each_partition_counts_for_itself() -> None:
    events = payments()
    histories, counters = read(events, 1)
    spread_histories, spread_counters = read(events, PARTITIONS)
    assert len(histories) == len(events)
    assert spread_histories == histories
    alone: dict[str, tuple[Any, ...]] = {}
    for rows in by_partition(events, PARTITIONS):
        alone |= read(events[rows], 1)[1]
    assert spread_counters == alone
    terminal = C_NAMES.index("entity_count_24h")
    last = max(counters, key=lambda message: int(message.split()[1]))
    assert spread_counters[last][0][terminal] < 0.5 * counters[last][0][terminal]


def test_no_step_holds_events_on_both_sides_of_a_stop() -> None:
    events = payments()
    stop_ms = int(events["time_ms"][777])
    _, steps = rerun_file(Source(events), SETTINGS, stops_ms=[stop_ms], partitions=PARTITIONS)
    sides = [np.unique(step.columns.time_ms < stop_ms) for step in steps if len(step.columns)]
    assert {len(side) for side in sides} == {1}
    assert [bool(side[0]) for side in sides] == sorted((bool(s[0]) for s in sides), reverse=True)


def test_a_partition_without_an_event_counts_nothing() -> None:
    events = payments().filter(pl.col("user_id") == "u1")
    state, steps = rerun_file(Source(events), SETTINGS, partitions=PARTITIONS)
    (partition,) = {step.partition for step in steps}
    assert (state.frozen(partition).row_of >= 0).any()
    assert not (state.frozen((partition + 1) % PARTITIONS).row_of >= 0).any()
