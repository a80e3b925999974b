"""What the newer decisions choose for the ranker, and where targets stand in lists."""

from __future__ import annotations

import numpy as np

from models.evaluation import metrics
from models.ranking.candidates import CANDIDATE_FEATURES, PARTS
from models.training.fit_ranker import PRIOR
from ops.training.ranking import TEACH_SHARE, Lessons, choose
from ops.training.ranks import ranks_of
from tests.models.ranking.test_candidates import pool

NAMES = list(CANDIDATE_FEATURES)


def lessons(n: int, seed: int = 0) -> Lessons:
    """Ten candidates each: `near` tells the next one; `hot` did, and then turned round."""
    rng = np.random.default_rng(seed)
    features = np.zeros((n, 10, len(NAMES)), np.float32)
    for name in ("near", "hot", "own_count"):
        features[:, :, NAMES.index(name)] = rng.normal(size=(n, 10))
    turned = np.arange(n) >= TEACH_SHARE * n
    odds = 1.5 * features[:, :, NAMES.index("near")]
    odds += np.where(turned, -1.5, 1.5)[:, None] * features[:, :, NAMES.index("hot")]
    chosen = (odds + rng.gumbel(size=odds.shape)).argmax(axis=1)
    items = np.tile(np.arange(10, dtype=np.int32), (n, 1))
    return Lessons(pool(items.tolist()), features, chosen.astype(np.int64), np.arange(n) % 50)


def test_a_part_that_stopped_paying_is_dropped_and_the_report_says_so() -> None:
    found = choose(lessons(3_000))
    assert "trend" in found.without
    assert "covisitation" not in found.without
    weights = found.ranker.to_json()
    assert all(weights[name] == 0.0 for name in PARTS["trend"])
    assert weights["near"] > 1.0
    assert found.report["without"] == list(found.without)
    assert found.report["worth"]["trend"] < 0 < found.report["worth"]["covisitation"]
    assert found.report["hark"]["hr_at_10"] == 1.0, "ten candidates"


def test_the_same_lessons_give_the_same_ranker() -> None:
    assert choose(lessons(600)).ranker.to_json() == choose(lessons(600)).ranker.to_json()


def test_without_lessons_the_ranker_is_what_is_believed() -> None:
    found = choose(None)
    assert {name: w for name, w in found.ranker.to_json().items() if w} == {
        name: np.float32(w) for name, w in PRIOR.items()
    }
    assert found.report == {"targets": 0}


def test_ranks_count_from_one_and_ties_keep_the_candidates_order() -> None:
    items = np.array([[4, 7, -1, 9], [4, 7, -1, 9], [4, 7, -1, 9], [4, 7, -1, 9]], np.int32)
    scores = np.array([[0.5, 0.5, 9.0, 0.0]] * 4)
    targets = np.array([7, 9, -1, 5], np.int64)
    assert ranks_of(items, scores, targets).tolist() == [2, 3, metrics.MISSING, metrics.MISSING]
    listed = ranks_of(items, scores, targets, positive=True)
    assert listed.tolist() == [2, metrics.MISSING, metrics.MISSING, metrics.MISSING]
