"""A head ships what pays: one part where the other adds nothing, both where both know something."""

from __future__ import annotations

import numpy as np
import pytest

from models.evaluation import metrics
from models.heads.calibration import Calibration, sigmoid
from models.heads.stack import Mix, Stack, weigh
from models.training.fit_stacks import Answers, choose, mixed
from schemas.errors import ArtefactError
from tests.models import world


def answers(network: float, trees: float, n: int = 8_000, seed: int = 0) -> Answers:
    """Each part knows another half of the truth, as far as its weight goes, and has noise."""
    rng = np.random.default_rng(seed)
    half, other = rng.normal(size=(2, n))
    labels = rng.random(n) < sigmoid(2 * half + 2 * other - 1)
    noise = rng.normal(size=(2, n)) * 0.3
    return Answers(network * half + noise[0], trees * other + noise[1], labels, np.arange(n) // 4)


@pytest.mark.parametrize(
    ("network", "trees", "wanted"), [(1, 1, "stack"), (0, 1, "trees"), (1, 0, "network")]
)
def test_what_pays_is_shipped(network: float, trees: float, wanted: str) -> None:
    shipped, report = choose(answers(network, trees), answers(network, trees, seed=1))
    assert shipped == wanted
    assert (report["stack_gain"]["low"] > 0) == (wanted == "stack")
    assert report["ece"] < 0.05
    assert report["intervals"]["auc"][0] < report["auc"] < report["intervals"]["auc"][1]
    best = max(part["auc"] for part in report["parts"].values())
    assert report["auc"] == pytest.approx(best, abs=0.01)


def test_weights_are_those_that_made_the_labels() -> None:
    rng = np.random.default_rng(0)
    network, trees = rng.normal(size=(2, 100_000))
    labels = rng.random(100_000) < sigmoid(0.5 * network + 1.5 * trees - 1)
    assert weigh(network, trees, labels) == pytest.approx((0.5, 1.5, -1.0), abs=0.05)


@pytest.mark.parametrize("seed", [18, 20, 33])
def test_weights_stay_sane_where_some_answers_are_far_off(seed: int) -> None:
    """Newton's whole steps overshoot here, and end at weights of 10^10."""
    rng = np.random.default_rng(seed)
    labels = np.arange(2_000) % 100 == 0
    known = rng.choice([2, 4, 8]) * labels * (rng.random(2_000) < 0.5)
    network = rng.normal(size=2_000) * 0.5 - 5 + known
    trees = rng.standard_t(1.2, size=2_000) * 10 - 6 + 20 * labels * (rng.random(2_000) < 0.3)
    weights = weigh(network, trees, labels)
    assert max(np.abs(weights)) < 100
    assert metrics.auc(weights[0] * network + weights[1] * trees, labels) > 0.7


def test_a_part_that_points_the_wrong_way_gets_no_weight() -> None:
    found = answers(1, 1)
    network, trees, _ = weigh(-found.network, found.trees, found.labels)
    assert network == 0
    assert trees > 0


def test_the_mix_is_calibrated_where_it_was_not_fitted() -> None:
    mix, fresh = mixed("stack", answers(1, 1)), answers(1, 1, seed=2)
    probability = mix.probability(fresh.network, fresh.trees)
    assert metrics.ece(probability, fresh.labels) < 0.03


def test_a_head_is_stored_and_read_back() -> None:
    trees = world.trees()
    head = Stack(Mix(0.4, 0.6, -0.2, Calibration(slope=0.9)), trees)
    again = Stack.from_json(head.to_json(), trees.text)
    inputs = world.inputs(20, 5)
    logits = np.linspace(-3, 3, 20, dtype=np.float32)
    assert np.array_equal(
        again.probability(logits, inputs.features), head.probability(logits, inputs.features)
    )
    assert again.mix.shipped == "stack"


@pytest.mark.parametrize(
    "damage", [{"network": -1.0}, {"network": 0.0, "trees": 0.0}, {"intercept": float("nan")},
               {"trees": None}, {"curve": None}],
)  # fmt: skip
def test_weights_that_make_no_sense_are_refused(damage: dict[str, object]) -> None:
    trees = world.trees()
    stored = Stack(Mix(0.4, 0.6, -0.2, Calibration()), trees).to_json() | damage
    with pytest.raises(ArtefactError, match=r"heads|calibration"):
        Stack.from_json(stored, trees.text)
