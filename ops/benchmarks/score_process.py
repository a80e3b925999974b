"""What the score benchmark measures: whole decisions, stage by stage, in a process of its own.

Run as a module it prints one row of JSON per line: `python -m ops.benchmarks.score_process
ARGUMENTS`, the arguments of `rows` as a JSON object. The environment decides about
threads, so it must be set before Polars and numpy load.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from models.features.windows import Windows
from models.registry import registry
from ops.benchmarks.score_shop import ShopSize, batches
from schemas.events.codec import EventDecoder
from schemas.events.columns import EventColumns
from streams.counters.suggest import suggest
from streams.counters.suggestions import Suggestions
from streams.decisions.answers import Undecided
from streams.decisions.decider import Decider
from streams.histories.apply_events import Outcome
from streams.histories.decision_points import Points, Task
from streams.histories.histories import BEFORE, Applied
from streams.histories.item_numbers import ItemNumbers
from streams.histories.item_table import ItemTable
from streams.ingest.decode import BatchDecoder
from streams.monitoring.metrics import Metrics
from streams.plan import Plan
from streams.recommendations.sent_lists import SentLists
from streams.settings import AlertRule, Alerts, Settings

MIXED = "mixed"
"""History lengths as they come in the shop's log."""
LEAST_ROUNDS, LEAST_S = 5, 0.5
MOST_WINDOWS = 4_096
EVERYTHING = np.uint8(Task.RECOMMEND | Task.CHURN | Task.RISK)

STAGES = {
    "features": ("features",),
    "sequences": ("sequences",),
    "engine": ("engine",),
    "heads": ("heads",),  # logits, and trees where the model has them, to probabilities
    "pool": ("pool",),
    "rank": ("rank",),
    "messages": ("filter", "decide"),
}
"""The worker's own stages by the name they have here; `candidates` and `other` come beside."""


class Shop:
    """A state filled by a shop's log, and decision points of that log.

    Parameters
    ----------
    size
        Of the shop.
    settings
        The worker's.
    """

    def __init__(self, size: ShopSize, settings: Settings) -> None:
        self.items, self.plan = ItemTable(), Plan.from_settings(settings)
        self.state = self.plan.new_state(0, self.items)
        shop = size.simulate()
        for item_id, category in shop.catalogue.select("item_id", "category").iter_rows():
            self.items.upsert(item_id, category=category)
        decoder = BatchDecoder(EventDecoder(settings.product_contract()))
        found: list[Windows] = []
        for batch in batches(shop.events):
            columns = decoder.decode(batch).columns
            applied = self.state.histories.apply(columns)
            live = self.state.counters.advance(columns, applied, answer=False)
            asked = np.flatnonzero(applied.points.asking(Task.RECOMMEND))
            found.append(applied.windows.with_context(live.context).take(asked))
        self.windows = _draw(Windows.concat(found[len(found) // 2 :]), MOST_WINDOWS)

    def of_length(self, length: int | str) -> Windows:
        """Decision points whose histories have `length` events, cut to the newest of longer ones.

        A log that is too short to have any gives the longest that it has.
        """
        if length == MIXED:
            return self.windows
        n = int(length)
        most = int(self.windows.lengths.max())
        long_enough = np.flatnonzero(self.windows.lengths >= min(n, most))
        return _newest(self.windows.take(long_enough), n)


def rows(
    registry_root: str, version: str, items: int, events: int, sizes: list[int], lengths: list[Any]
) -> Iterator[dict[str, Any]]:
    """Measure every batch size at every history length, for one catalogue."""
    # An explanation runs the model again, on at most `alerts.*.budget` of the decisions: not here.
    never = AlertRule(raise_at=1.0, critical_at=1.0)
    settings = Settings(alerts=Alerts(churn=never, risk=never))
    shop = Shop(ShopSize(items, events), settings)
    metrics = Metrics()
    decider = Decider(shop.plan, shop.items, metrics)
    decider.use(registry.load(Path(registry_root), version))
    for length in lengths:
        windows = shop.of_length(length)
        for size in sizes:
            picked = windows.take(np.resize(np.arange(len(windows)), size))
            whole, cpu, stages = _measure(shop, decider, metrics, picked)
            yield {
                "batch": size,
                "items": items,
                "length": length,
                "mean_length": round(float(picked.lengths.mean()), 1),
                "ms": round(whole * 1000, 3),
                "cpu_ms": round(cpu * 1000, 3),
                "decisions_per_s": round(size / whole, 1),
                "share": {name: round(spent / whole, 4) for name, spent in stages.items()},
            }


def _measure(
    shop: Shop, decider: Decider, metrics: Metrics, windows: Windows
) -> tuple[float, float, dict[str, float]]:
    """Median seconds over several rounds: of all decisions, the same as CPU time, by stage.

    The first round isn't counted. CPU time tells what a busy machine added.
    """
    columns, applied = _batch(windows, shop.state.histories.numbers)
    counters, every = shop.state.counters, np.arange(len(windows))
    counted = counters.covisits.part().by_index(shop.state.histories.numbers.all_indices)
    rounds: list[dict[str, float]] = []
    begun = time.perf_counter()
    while len(rounds) <= LEAST_ROUNDS or time.perf_counter() - begun < LEAST_S:
        shop.state.sent = SentLists()  # so that every list is news
        before = _spent(metrics)
        used, started = time.process_time(), time.perf_counter()
        suggestions = Suggestions.none(len(windows), counters.candidates)
        suggest(windows, every, counted, suggestions)
        suggested = time.perf_counter()
        part = Undecided(shop.state, columns, applied, windows, suggestions)
        (decided,) = decider.decide([part])
        done, used = time.perf_counter(), time.process_time() - used
        assert decided.lists["sent"] + decided.lists["empty"] == len(windows)
        spent = _spent(metrics)
        stages = {name: spent[name] - before[name] for name in spent}
        whole = {"whole": done - started, "cpu": used}
        rounds.append({**whole, "candidates": suggested - started, **stages})
    middle = {name: median(one[name] for one in rounds[1:]) for name in rounds[0]}
    all_of_it, cpu = middle.pop("whole"), middle.pop("cpu")
    return all_of_it, cpu, {**middle, "other": max(0.0, all_of_it - sum(middle.values()))}


def _spent(metrics: Metrics) -> dict[str, float]:
    """Seconds so far by stage."""
    sums = {
        dict(sample.labels)["stage"]: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "hark_stage_seconds_sum"
    }
    return {name: sum(sums[part] for part in parts) for name, parts in STAGES.items()}


def _batch(windows: Windows, numbering: ItemNumbers) -> tuple[EventColumns, Applied]:
    """A batch whose every event is one of the D decision points, each of another user."""
    d = len(windows)
    rows = np.arange(d)
    zeros = np.zeros(d, np.uint64)
    columns = EventColumns(
        offsets=rows,
        broker_ms=windows.now_s * 1000,
        time_ms=windows.now_s * 1000,
        user_ids=[f"user-{row}" for row in range(d)],
        message_ids=[f"message-{row}" for row in range(d)],
        message_hashes=zeros,
        kinds=windows.kinds[rows, windows.lengths - 1],
        item_ids=[None] * d,
        amounts=windows.amounts[rows, windows.lengths - 1],
        entities=np.zeros((d, 0), np.uint64),
        references=zeros,
        ends=np.ones(d, np.bool_),
    )
    items = windows.items[rows, windows.lengths - 1]
    applied = Applied(
        outcomes=np.full(d, Outcome.ACCEPTED, np.uint8),
        slots=rows,
        owners=np.ones(d, np.uint32),
        items=items,
        numbers=numbering.of(items),
        before=np.full((d, BEFORE), -1, np.int32),
        ratios=np.ones(d, np.float32),
        points=Points(rows, np.full(d, EVERYTHING)),
        windows=windows,
        seen=numbering.of(windows.items),
        numbering=numbering,
    )
    return columns, applied


def _draw(windows: Windows, most: int) -> Windows:
    """At most `most` of the windows at random, their order kept."""
    rng = np.random.default_rng(0)
    return windows.take(np.sort(rng.permutation(len(windows))[:most]))


def _newest(windows: Windows, n: int) -> Windows:
    """The windows (D, L) with their newest `n` events only, the others padding."""
    place = np.maximum(windows.lengths - n, 0)[:, None] + np.arange(windows.length)  # (D, L)
    inside = (np.arange(windows.length) < n) & (place < windows.lengths[:, None])
    place = np.minimum(place, windows.length - 1)

    def cut(column: npt.NDArray[Any], padding: int) -> npt.NDArray[Any]:
        moved = np.take_along_axis(column, place, axis=1)
        return np.where(inside, moved, column.dtype.type(padding))

    return replace(
        windows,
        items=cut(windows.items, -1),
        kinds=cut(windows.kinds, 0),
        times_s=cut(windows.times_s, 0),
        amounts=cut(windows.amounts, 0),
        entities=cut(windows.entities, 0),
        categories=cut(windows.categories, -1),
        lengths=np.minimum(windows.lengths, n),
    )


if __name__ == "__main__":
    for row in rows(**json.loads(sys.argv[1])):
        print(json.dumps(row), flush=True)
