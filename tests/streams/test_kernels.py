"""Compiled loops: nothing compiles once a worker is warm, and they mean what the book says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from models.engines.onnx import OnnxEngine
from models.features import features, model_inputs
from models.network import export
from models.ranking.candidates import candidate_features
from ops.publish.feed import feed
from ops.simulator.simulation import simulate_events
from schemas.events.codec import EventDecoder
from schemas.events.kinds import Kind
from streams.counters.counters import Counters
from streams.counters.item_counts import Covisits
from streams.counters.item_view import Part
from streams.counters.suggest import LEADERS, OWN, suggest
from streams.counters.suggestions import Source, Suggestions
from streams.histories.decision_points import PointPolicy, Task
from streams.histories.histories import Histories
from streams.histories.item_table import NO_ITEM, ItemTable
from streams.monitoring.metrics import Metrics
from streams.plan import Plan
from streams.recommendations.pool import gather
from streams.scoring import Scorer
from streams.settings import Settings
from streams.transport.record_batch import RecordBatch
from streams.warm_up import warm
from tests.models import world
from tests.models.ranking.test_candidate_kernels import histories, suggestions
from tests.streams.event_logs import START_S, E, Record, columns
from tests.streams.first_answers import compiled


def test_nothing_compiles_once_a_worker_is_warm() -> None:
    settings = Settings()
    plan, decoder = Plan.from_settings(settings), EventDecoder(settings.product_contract())
    warm(plan, decoder)
    before = compiled()
    assert any(before.values())

    scorer = Scorer(plan, decoder, ItemTable(), Metrics())
    state = scorer.new_state(0)
    shop = simulate_events(3, users=40, items=60, days=9, events=900)
    for group in feed(shop.events, None):
        n = len(group.keys)
        scorer.score_batch(
            state,
            RecordBatch(
                "events", 0, 0, n - 1, range(n), [1_790_000_000_000 + 99 * i for i in range(n)],
                group.keys, group.values, [()] * n,
            ),
        )  # fmt: skip
    assert compiled() == before


def test_nothing_compiles_for_the_first_answers_of_a_loaded_model() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.streams.first_answers"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {}


@pytest.mark.parametrize("asking", [0, 1, 5])
def test_nothing_compiles_for_a_model_once_it_has_answered_its_golden_inputs(asking: int) -> None:
    settings = Settings()
    warm(Plan.from_settings(settings), EventDecoder(settings.product_contract()))
    table, bias = world.catalogue(80)
    table.flags.writeable = bias.flags.writeable = False  # as a loaded model's
    engine = OnnxEngine(export.to_onnx(world.network(), table), table, bias)
    inputs = world.inputs(9, 80)
    engine.score(inputs)  # what loading does with the golden inputs
    before = compiled()

    windows = histories(np.random.default_rng(0), 9, 80)
    model_inputs.build(windows, features.compute(windows), np.arange(1, 81))
    offered = suggestions(np.random.default_rng(1), 9).take(np.arange(9))
    rows = np.arange(9)[::2][:asking]
    pool = gather(
        windows.take(rows),
        offered.take(rows),
        engine.score(inputs).take(rows),
        indices=np.arange(-1, 80, dtype=np.int32),
        rows=np.arange(1, 81),
        item_table=table,
        item_bias=bias,
    )
    candidate_features(pool, windows.take(rows))
    assert compiled() == before


def by_the_book(seen: list[int], kinds: list[int], part: Part, k: int) -> dict[int, list[float]]:
    """The `k` best of one window, in order: score, nearness in four ways, source, action."""
    row = {item: at for item, at in enumerate(part.row_of.tolist()) if at >= 0}

    def visits(item: int) -> float:
        known = item in row
        return max(float(part.visits[row[item]] * part.visit_scale) if known else 0.0, 1.0)

    current, recent = seen[-1], list(dict.fromkeys(i for i in reversed(seen) if i >= 0))[:10]
    last = dict(zip(seen, kinds, strict=True))
    pairs: list[tuple[int, float, float]] = []  # both ways, and forward alone
    next_to: dict[int, tuple[float, float]] = {}
    for rank, source in enumerate(recent):
        share = 0.7**rank / visits(source) ** 0.5
        if source in row:
            at = row[source]
            near = (
                part.neighbours[at].tolist(),
                part.weights[at].tolist(),
                part.forward[at].tolist(),
            )
            by = share * float(part.visit_scale)
            pairs += [
                (i, w * by / visits(i) ** 0.25, f * by / visits(i) ** 0.25)
                for i, w, f in zip(*near, strict=True)
                if w
            ]
            if rank == 0:
                next_to = {i: (w, f) for i, w, f in pairs}
    for place, item in enumerate(seen):
        beside, after = (
            sum(
                0.7 ** recent.index(other) / visits(other) ** 0.5 / abs(place - at)
                for at, other in enumerate(seen)
                if other in recent and first <= place - at <= 5 and place != at
            )
            / visits(item) ** 0.25
            for first in (-5, 1)
        )
        pairs.append((item, beside, after))
    pairs = [pair for pair in pairs if pair[0] not in (-1, current)]
    top = max((both + after for _, both, after in pairs), default=0.0) or 1.0
    near_of, ahead_of = defaultdict[int, float](float), defaultdict[int, float](float)
    for item, both, after in pairs:
        near_of[item] += both
        ahead_of[item] += after
    usual = {int(Kind.CART): 1.5, **dict.fromkeys([Kind.PURCHASE, Kind.REMOVE, Kind.CANCEL], 0.2)}
    own = {i: 1.5 * 0.7**r * usual.get(last[i], 1.0) for r, i in enumerate(recent) if i != current}
    events = {i: float(part.popularity[row[i]]) for i in part.leaders[:k].tolist()}
    popular = {i: 0.05 * n / max(events.values()) for i, n in events.items() if i != current}
    newest = list(dict.fromkeys(i for i in reversed(seen) if i >= 0))[:OWN]
    found = {}
    for item in {*near_of, *own, *popular} - ({*seen} - {*newest}):
        by_visits = (near_of[item] + ahead_of[item]) / top
        parts = by_visits, own.get(item, 0.0), popular.get(item, 0.0)
        source = Source.COVISITED if parts[0] >= parts[2] else Source.POPULAR
        source = Source.OWN_RECENT if item in own else source
        action = last[item] if item in own else 0
        if sum(parts) > 0:
            newest_to = next_to.get(item, (0.0, 0.0))
            told = near_of[item], newest_to[0], ahead_of[item], newest_to[1]
            found[item] = [sum(parts), *told, float(source), float(action)]
    best = sorted(found, key=lambda item: (-np.float32(found[item][0]), item))[:k]
    return {item: found[item] for item in best}


@pytest.mark.parametrize("k", [4, 30])
def test_candidates_by_the_book(k: int) -> None:
    rng = np.random.default_rng(k)
    kinds = [Kind.VIEW, Kind.VIEW, Kind.CART, Kind.PURCHASE, Kind.LOGIN]
    policy = PointPolicy(refresh_s=1)
    records = [
        Record(
            user=f"u{rng.integers(6)}",
            message=f"m{i}",
            items=(f"item-{int(25 * rng.random() ** 2)}",) if rng.random() < 0.9 else (None,),
            kind=kinds[rng.integers(len(kinds))],
            time_s=START_S + i * 40_000,
            offset=i * 100,
        )
        for i in range(600)
    ]
    items = ItemTable()
    histories = Histories(items, policy, length=16)
    counters = Counters(policy, entities=E, candidates=k)
    compared = 0
    for start in range(0, len(records), 20):
        events = columns(records[start : start + 20])
        applied = histories.apply(events)
        counters.advance(events, applied)
        compared += compare(applied.windows, applied.points.asking(Task.RECOMMEND), counters, k)
    assert compared > 400 * k


def popular_rest(part: Part, k: int, listed: list[int], seen: int) -> list[int]:
    """Popular and hot items in turn that aren't listed yet."""
    turns: list[int] = []
    for place in range(LEADERS):
        for leaders in (part.leaders[:k], part.hottest):
            turns += leaders[place : place + 1].tolist()
    return list(dict.fromkeys(i for i in turns if i not in listed and i != seen))[:LEADERS]


def compare(windows: Any, asking: Any, counters: Counters, k: int) -> int:
    """Ask for every point of a batch again, of the counters after it -> candidates compared."""
    part, found = counters.covisits.part(), Suggestions.none(len(windows), k + LEADERS)
    rows = np.flatnonzero(asking)
    suggest(windows, rows, part, found)
    compared = 0
    for row in rows.tolist():
        n = int(windows.lengths[row])
        expected = by_the_book(
            windows.items[row, :n].tolist(), windows.kinds[row, :n].tolist(), part, k
        )
        got = found.items[row, : len(expected)].tolist()
        rest = found.items[row, len(expected) :]
        assert rest[rest >= 0].tolist() == popular_rest(
            part, k, got, seen=windows.items[row, n - 1]
        )
        # What is only hot is no candidate of its own: it has no score, whatever came before it.
        only_hot = (found.near[row] == 0) & (found.actions[row] == 0) & ~np.isin(
            found.items[row], part.leaders[:k]
        )  # fmt: skip
        assert not found.scores[row][only_hot].any()
        numbers = [
            [float(column[row, place]) for column in
             (found.scores, found.near, found.next_to, found.ahead, found.next_ahead,
              found.sources, found.actions)]
            for place in range(len(got))
        ]  # fmt: skip
        scores = [line[0] for line in numbers]
        assert scores == sorted(scores, reverse=True)
        assert scores == pytest.approx([line[0] for line in expected.values()], rel=1e-4)
        assert len(set(got)) == len(got)
        for item, line in zip(got, numbers, strict=True):
            if item in expected:  # near ties may change places at the end of a list
                assert line == pytest.approx(expected[item], rel=1e-4, abs=1e-6)
                compared += 1
    return compared


@pytest.mark.parametrize("seed", range(5))
def test_leaders_are_the_items_with_the_highest_counts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counters = Covisits(leaders=12, max_items=60)
    for block in range(40):
        items = rng.zipf(1.3, 9).astype(np.int32) % 90
        times_s = np.full(len(items), 1_000_000 + 5_000 * block, np.int64)
        counters.add(items, np.full((len(items), 2), NO_ITEM, np.int32), times_s)
        known, popularity, hot, *_ = counters.columns()
        for found, counts in ((counters.leaders, popularity), (counters.hottest, hot)):
            order = np.lexsort((known, -counts))
            assert found.tolist() == known[order][counts[order] > 0][:12].tolist()
