"""The compiled loops over candidates say what plain Python says, one candidate at a time."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.engines.engine import Scores
from models.features.windows import A_NAMES, C_NAMES, Windows
from models.ranking.candidates import (
    CANDIDATE_FEATURES,
    LOWEST,
    NEAR_EPSILON,
    Pool,
    candidate_features,
)
from models.ranking.own_items import NOW_S, REPEAT_PRIOR
from schemas.events.kinds import N_KINDS, Kind
from streams.counters.suggestions import Source, Suggestions
from streams.recommendations.pool import COUNTED, ENGINE_CANDIDATES, OWN_CANDIDATES, gather
from tests.example_count import example_count

LENGTH, K, WORKER_ITEMS, MODEL_ITEMS, WIDTH = 12, 6, 30, 20, 8


def histories(rng: np.random.Generator, d: int, most: int) -> Windows:
    lengths = rng.integers(1, LENGTH + 1, d).astype(np.int32)
    inside = np.arange(LENGTH) < lengths[:, None]
    times = np.sort(rng.integers(0, 9_000, (d, LENGTH)), axis=1)
    return Windows(
        items=np.where(inside, rng.integers(-1, most, (d, LENGTH)), -1).astype(np.int32),
        kinds=np.where(inside, rng.integers(1, N_KINDS, (d, LENGTH)), 0).astype(np.uint8),
        times_s=np.where(inside, times, 0),
        amounts=np.zeros((d, LENGTH), np.float32),
        entities=np.zeros((d, LENGTH), np.uint32),
        categories=np.full((d, LENGTH), -1, np.int32),
        lengths=lengths,
        now_s=times[np.arange(d), lengths - 1] + rng.integers(0, 4_000, d),
        accumulators=np.zeros((d, len(A_NAMES))),
        context=np.zeros((d, len(C_NAMES))),
    )


def suggestions(rng: np.random.Generator, d: int) -> Suggestions:
    found = Suggestions.none(d, K)
    for row in range(d):
        n = int(rng.integers(0, K + 1))
        found.items[row, :n] = rng.permutation(WORKER_ITEMS)[:n]
        found.near[row, :n] = rng.integers(0, 3, n)
        found.next_to[row, :n] = rng.random(n)
        found.ahead[row, :n] = found.near[row, :n] * rng.random(n)
        found.next_ahead[row, :n] = found.next_to[row, :n] * rng.random(n)
        for name in ("popular", "hot", "usual"):
            getattr(found, name)[row, :n] = rng.random(n)
        found.sources[row, :n] = rng.integers(1, 4, n)
    return found


def answers(rng: np.random.Generator, d: int, table: np.ndarray, bias: np.ndarray) -> Scores:  # type: ignore[type-arg]
    queries = rng.normal(size=(d, WIDTH)).astype(np.float32)
    logits = (queries @ table.T + bias)[:, 1:]
    order = np.argsort(-logits, axis=1)[:, : int(rng.integers(0, MODEL_ITEMS + 1))]
    zeros = np.zeros(d, np.float32)
    return Scores(order + 1, np.take_along_axis(logits, order, axis=1), queries, zeros, zeros)


@given(seed=st.integers(0, 2**32 - 1), d=st.integers(1, 5), most=st.sampled_from([1, 4, 40]))
@settings(max_examples=example_count(60), deadline=None)
def test_the_pool_holds_each_source_once(seed: int, d: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    windows, offered = histories(rng, d, min(most, WORKER_ITEMS)), suggestions(rng, d)
    table = rng.normal(size=(MODEL_ITEMS + 1, WIDTH)).astype(np.float32)
    bias = rng.normal(size=MODEL_ITEMS + 1).astype(np.float32)
    indices = np.r_[-1, rng.permutation(WORKER_ITEMS)[:MODEL_ITEMS]].astype(np.int32)
    rows = np.zeros(WORKER_ITEMS - 5, np.int64)  # the last five came after the model
    for row, index in enumerate(indices):
        if 0 <= index < len(rows):
            rows[index] = row
    scores = answers(rng, d, table, bias)
    pool = gather(
        windows, offered, scores, indices=indices, rows=rows, item_table=table, item_bias=bias
    )
    for at in range(d):
        seen = windows.items[at, : windows.lengths[at]].tolist()
        current = seen[-1]
        own = [item for item in dict.fromkeys(reversed(seen)) if item >= 0][:OWN_CANDIDATES]
        listed = indices[scores.candidates[at, :ENGINE_CANDIDATES]].tolist()
        wanted: list[tuple[int, int]] = []
        for item, source in zip(offered.items[at], offered.sources[at], strict=True):
            wanted.append((-1 if item == current else int(item), int(source)))
        for items, width, source in (
            (own, OWN_CANDIDATES, Source.OWN_RECENT),
            (listed, len(listed), Source.MODEL),
        ):
            there = {item for item, _ in wanted}
            new = [-1 if item in there or item == current else item for item in items]
            wanted += [(item, int(source)) for item in new + [-1] * (width - len(items))]
        assert list(zip(pool.items[at].tolist(), pool.sources[at].tolist(), strict=True)) == wanted
        total = math.log(sum(math.exp(score) for score in scores.scores[at].tolist()) + 1e-9)
        for c, (item, _) in enumerate(wanted):
            row = int(rows[item]) if 0 <= item < len(rows) else 0
            logit = float(table[row] @ scores.queries[at] + bias[row])
            engine = min(max(logit - total, LOWEST), 0.0) if row else LOWEST
            assert pool.known[at, c] == (row > 0)
            assert abs(pool.engine[at, c] - engine) < 1e-4
            place = listed.index(item) if item >= 0 and item in listed else -1
            assert pool.engine_place[at, c] == place
        real = [item >= 0 for item, _ in wanted]
        assert pool.offered[at].tolist() == real[:K] + [False] * (len(real) - K)
        for name in COUNTED:
            assert np.array_equal(getattr(pool, name)[at, :K], getattr(offered, name)[at])


@given(seed=st.integers(0, 2**32 - 1), d=st.integers(1, 4), most=st.sampled_from([1, 4, 40]))
@settings(max_examples=example_count(60), deadline=None)
def test_features_are_what_they_say(seed: int, d: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    windows = histories(rng, d, most)
    items = np.array([rng.permutation(40)[:10] for _ in range(d)], np.int32)
    items[rng.random(items.shape) < 0.2] = -1
    shape = items.shape
    known = rng.random(shape) < 0.5
    near = (rng.integers(0, 4, shape) * 0.7).astype(np.float32)
    next_to = rng.random(shape).astype(np.float32)
    pool = Pool(
        items=items,
        near=near,
        next_to=next_to,
        ahead=(near * rng.random(shape)).astype(np.float32),
        next_ahead=(next_to * rng.random(shape)).astype(np.float32),
        popular=rng.random(shape).astype(np.float32),
        hot=rng.random(shape).astype(np.float32),
        usual=rng.random(shape).astype(np.float32),
        offered=rng.random(shape) < 0.5,
        engine=np.where(known, -rng.random(shape), LOWEST).astype(np.float32),
        engine_place=rng.integers(-1, 5, shape),
        known=known,
        bias=rng.normal(size=shape).astype(np.float32),
        sources=np.ones(shape, np.uint8),
    )
    features = candidate_features(pool, windows)
    for at, c in np.ndindex(*shape):
        wanted = by_the_book(pool, windows, at, c) if items[at, c] >= 0 else {}
        found = dict(zip(CANDIDATE_FEATURES, features[at, c].tolist(), strict=True))
        for name in CANDIDATE_FEATURES:
            assert math.isclose(found[name], wanted.get(name, 0.0), rel_tol=2e-6, abs_tol=1e-6), (
                name
            )


def by_the_book(pool: Pool, windows: Windows, at: int, c: int) -> dict[str, float]:
    """Every feature of one candidate."""
    item, near = int(pool.items[at, c]), pool.near[at].tolist()
    n = int(windows.lengths[at])
    seen, kinds = windows.items[at, :n].tolist(), windows.kinds[at, :n].tolist()
    doing, place = kinds[-1], int(pool.engine_place[at, c])
    stronger = sum(other > near[c] or (other == near[c] and i < c) for i, other in enumerate(near))
    share = near[c] / max(*near, 1e-9)
    near_place = 1 / (1 + stronger) if near[c] > 0 else 0.0
    engine_place = 1 / (1 + place) if place >= 0 else 0.0
    told = {
        "near": math.log(near[c] / NEAR_EPSILON + 1),
        "near_share": share,
        "next_to": math.log(pool.next_to[at, c] / NEAR_EPSILON + 1),
        "near_place": near_place,
        "ahead": math.log(pool.ahead[at, c] / NEAR_EPSILON + 1),
        "ahead_share": pool.ahead[at, c] / max(*pool.ahead[at].tolist(), 1e-9),
        "next_ahead": math.log(pool.next_ahead[at, c] / NEAR_EPSILON + 1),
        "popular": math.log1p(pool.popular[at, c]),
        "hot": math.log1p(pool.hot[at, c]),
        "usual": math.log1p(pool.usual[at, c]),
        "offered": float(pool.offered[at, c]),
        "engine": float(pool.engine[at, c]),
        "engine_share": math.exp(pool.engine[at, c]),
        "engine_place": engine_place,
        "known": float(pool.known[at, c]),
        "bias": float(pool.bias[at, c]),
    }
    if item not in seen:
        return told
    own = [one for one in dict.fromkeys(reversed(seen)) if one >= 0]
    rank, newest = own.index(item), n - 1 - seen[::-1].index(item)
    age_s = max(int(windows.now_s[at] - windows.times_s[at, newest]), 0)
    did = {kind for one, kind in zip(seen, kinds, strict=True) if one == item}
    viewed, carted, bought = (kind in did for kind in (Kind.VIEW, Kind.CART, Kind.PURCHASE))
    looked, waits = viewed and not carted and not bought, carted and not bought
    moves = moves_of(seen)
    back = [to in seen[:when] for when, _, to in moves]
    hits, tries = REPEAT_PRIOR
    leaving = [to for _, of, to in moves if of == own[0]]
    stages = {
        "viewed": viewed, "carted": carted, "bought": bought,
        "done": viewed and carted and bought,
        **{f"looked_{name}": looked and doing == kind for name, kind in DOING.items()},
        **{f"waits_{name}": waits and doing == kind for name, kind in DOING.items()},
    }  # fmt: skip
    last = kinds[newest]
    return (
        told
        | {f"own_{name}": float(value) for name, value in stages.items()}
        | {
            "own": 1.0,
            "own_place": 1 / (1 + rank),
            "own_decay": 0.7**rank,
            "own_count": math.log1p(seen.count(item)),
            "own_view": float(last == Kind.VIEW),
            "own_cart": float(last == Kind.CART),
            "own_purchase": float(last == Kind.PURCHASE),
            "own_age": math.log1p(age_s / 3_600) / 8,
            "own_now": float(age_s <= NOW_S),
            "own_rare": 1 / math.log2(1 + len(own)),
            "own_repeat": (sum(back) + hits) / (len(moves) + tries),
            "own_again": float(bool(back) and back[-1]),
            "own_follows": float(bool(leaving) and leaving[-1] == item),
            "own_near": share,
            "own_after_purchase": float(doing == Kind.PURCHASE),
            "own_after_cart": float(doing == Kind.CART),
        }
    )


DOING = {"viewing": Kind.VIEW, "carting": Kind.CART, "buying": Kind.PURCHASE}


def moves_of(seen: list[int]) -> list[tuple[int, int, int]]:
    """(place, from, to) of every move from one item to another."""
    with_item = [(when, item) for when, item in enumerate(seen) if item >= 0]
    pairs = pairwise(with_item)
    return [(when, of, to) for (_, of), (when, to) in pairs if of != to]
