"""The ranker's view of candidates, and the weights it learns."""

from __future__ import annotations

import numpy as np
import pytest

from models.features.windows import A_NAMES, C_NAMES, Windows
from models.ranking.candidates import CANDIDATE_FEATURES, LOWEST, Pool, candidate_features
from models.ranking.ranker import Ranker
from models.training import fit_ranker
from schemas.errors import ArtefactError
from schemas.events.kinds import Kind

R = len(CANDIDATE_FEATURES)


def windows(rows: list[list[tuple[int, Kind, int]]], now_s: int, length: int = 8) -> Windows:
    """Histories of (item, kind, time) triples."""
    d = len(rows)
    items = np.full((d, length), -1, np.int32)
    kinds = np.zeros((d, length), np.uint8)
    times = np.zeros((d, length), np.int64)
    for i, row in enumerate(rows):
        for j, (item, kind, time) in enumerate(row):
            items[i, j], kinds[i, j], times[i, j] = item, kind, time
    return Windows(
        items=items,
        kinds=kinds,
        times_s=times,
        amounts=np.zeros((d, length), np.float32),
        entities=np.zeros((d, length), np.uint32),
        categories=np.full((d, length), -1, np.int32),
        lengths=np.array([len(row) for row in rows], np.int32),
        now_s=np.full(d, now_s, np.int64),
        accumulators=np.zeros((d, len(A_NAMES))),
        context=np.zeros((d, len(C_NAMES))),
    )


def pool(items: list[list[int]], near: list[list[float]] | None = None) -> Pool:
    found = np.array(items, np.int32)
    shape = found.shape
    weights = np.zeros(shape, np.float32) if near is None else np.array(near, np.float32)
    return Pool(
        items=found,
        near=weights,
        next_to=np.zeros(shape, np.float32),
        ahead=weights / 2,
        next_ahead=np.zeros(shape, np.float32),
        popular=np.zeros(shape, np.float32),
        hot=np.zeros(shape, np.float32),
        usual=np.zeros(shape, np.float32),
        offered=weights > 0,
        engine=np.full(shape, LOWEST, np.float32),
        engine_place=np.full(shape, -1),
        known=np.zeros(shape, np.bool_),
        bias=np.zeros(shape, np.float32),
        sources=np.ones(shape, np.uint8),
    )


def named(features: np.ndarray, name: str) -> list[list[float]]:  # type: ignore[type-arg]
    column: list[list[float]] = features[:, :, list(CANDIDATE_FEATURES).index(name)].tolist()
    return column


HISTORY = [
    (5, Kind.VIEW, 0),
    (7, Kind.VIEW, 3_600),
    (5, Kind.CART, 7_200),
    (9, Kind.VIEW, 7_300),
]


def test_what_the_user_did_to_a_candidate_is_told() -> None:
    features = candidate_features(pool([[5, 7, 4, -1]]), windows([HISTORY], 7_300))
    assert features.shape == (1, 4, R)
    assert named(features, "own") == [[1, 1, 0, 0]]
    assert named(features, "own_cart") == [[1, 0, 0, 0]]
    assert named(features, "own_view") == [[0, 1, 0, 0]]
    assert named(features, "own_place")[0] == pytest.approx([1 / 2, 1 / 3, 0, 0])
    assert named(features, "own_count")[0] == pytest.approx(np.log1p([2, 1, 0, 0]))
    assert named(features, "own_now") == [[1, 0, 0, 0]]


def test_places_by_co_visitation_are_per_decision() -> None:
    features = candidate_features(
        pool([[1, 2, 3], [1, 2, 3]], [[0.2, 0.8, 0.0], [0.4, 0.1, 0.3]]),
        windows([HISTORY, HISTORY], 7_300),
    )
    assert named(features, "near_place") == [
        pytest.approx([0.5, 1, 0]),
        pytest.approx([1, 1 / 3, 0.5]),
    ]
    assert named(features, "near_share")[0] == pytest.approx([0.25, 1, 0])
    assert named(features, "ahead_share")[0] == pytest.approx([0.25, 1, 0])


def test_an_empty_place_has_no_features() -> None:
    features = candidate_features(pool([[-1, 5]]), windows([HISTORY], 7_300))
    assert not features[0, 0].any()
    assert features[0, 1].any()


def test_a_decisions_features_depend_on_it_alone() -> None:
    one = pool([[5, 7, 4]], [[0.1, 0.0, 0.3]])
    both = Pool.concat([pool([[1, 2, 3]]), one])
    short = [(1, Kind.PURCHASE, 10)]
    alone = candidate_features(one, windows([HISTORY], 7_300))
    together = candidate_features(both, windows([short, HISTORY], 7_300))
    assert np.array_equal(alone[0], together[1])


def decisions(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Ten candidates each; `near` raises the odds, `popular` lowers them, others do nothing."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 10, R)).astype(np.float32)
    names = list(CANDIDATE_FEATURES)
    odds = 2.0 * features[:, :, names.index("near")] - features[:, :, names.index("popular")]
    chosen = (odds + rng.gumbel(size=odds.shape)).argmax(axis=1)
    items = rng.permuted(np.tile(np.arange(10, dtype=np.int32), (n, 1)), axis=1)
    return features, items, items[np.arange(n), chosen].astype(np.int64)


def test_the_fit_finds_the_weights_that_made_the_choices() -> None:
    weights = fit_ranker.fit(*decisions(6_000, 0)).to_json()
    assert weights["near"] == pytest.approx(2.0, abs=0.2)
    assert weights["popular"] == pytest.approx(-1.0, abs=0.15)
    others = [abs(w) for name, w in weights.items() if name not in ("near", "popular")]
    assert max(others) < 0.15


def test_without_decisions_the_counters_order_is_believed() -> None:
    features, items, targets = decisions(500, 0)
    for nothing in (
        fit_ranker.fit(*decisions(40, 0)),
        fit_ranker.fit(features, items, -targets - 2),
    ):
        weights = nothing.to_json()
        assert {name: w for name, w in weights.items() if w} == pytest.approx(fit_ranker.PRIOR)


def test_a_strong_pull_keeps_what_was_believed_and_a_part_left_out_stays_out() -> None:
    features, items, targets = decisions(500, 0)
    pulled = fit_ranker.fit(features, items, targets, ridge=1e6).to_json()
    assert pulled["near_share"] == pytest.approx(fit_ranker.PRIOR["near_share"], abs=0.05)
    without = fit_ranker.fit(features, items, targets, without=["near", "own_decay"]).to_json()
    assert without["near"] == without["own_decay"] == 0.0
    assert without["popular"] < -0.3


def test_stored_weights_find_their_features_whatever_their_order() -> None:
    ranker = Ranker(np.arange(R, dtype=np.float32))
    stored = dict(sorted(ranker.to_json().items()))
    assert np.array_equal(Ranker.from_json(stored).weights, ranker.weights)


def test_a_ranker_for_other_features_is_refused() -> None:
    stored = Ranker(np.ones(R, dtype=np.float32)).to_json()
    with pytest.raises(ArtefactError, match="moon_phase"):
        Ranker.from_json(stored | {"moon_phase": 1.0})
    with pytest.raises(ArtefactError, match="finite"):
        Ranker.from_json(stored | {"near": float("nan")})
