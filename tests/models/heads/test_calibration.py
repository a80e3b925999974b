"""Calibration: probabilities that mean what they say, from logits that don't."""

from __future__ import annotations

import json

import numpy as np
import pytest

from models.heads import calibration
from models.heads.calibration import Calibration
from schemas.errors import ArtefactError


def overconfident(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Logits three times too large, shifted by one."""
    truth = rng.normal(-2, 1, n)
    return 3 * truth + 1, rng.random(n) < calibration.sigmoid(truth)


def ece(probabilities: np.ndarray, labels: np.ndarray) -> float:  # type: ignore[type-arg]
    parts = np.array_split(np.argsort(probabilities), 15)
    gaps = [abs(probabilities[p].mean() - labels[p].mean()) * len(p) for p in parts]
    return float(sum(gaps) / len(labels))


@pytest.mark.parametrize(
    ("n", "method", "error"), [(600, "platt", 0.04), (20_000, "isotonic", 0.02)]
)
def test_it_repairs_an_overconfident_head(n: int, method: str, error: float) -> None:
    rng = np.random.default_rng(0)
    curve = calibration.fit(*overconfident(n, rng))
    assert curve.method == method
    logits, labels = overconfident(20_000, rng)
    before = ece(calibration.sigmoid(logits), labels)
    assert ece(curve.probability(logits), labels) < min(error, before / 2)


@pytest.mark.parametrize("n", [600, 20_000])
def test_a_higher_logit_is_a_higher_probability(n: int) -> None:
    curve = calibration.fit(*overconfident(n, np.random.default_rng(1)))
    steps = curve.probability(np.linspace(-12, 12, 500))
    assert (np.diff(steps) > 0).all()
    assert 0 < steps.min() < steps.max() < 1


def test_one_class_alone_teaches_nothing() -> None:
    curve = calibration.fit(np.array([1.0, 2.0]), np.array([False, False]))
    assert curve == Calibration()


def test_a_head_that_is_wrong_way_round_is_flattened_to_the_base_rate() -> None:
    rng = np.random.default_rng(2)
    logits, labels = overconfident(600, rng)
    curve = calibration.fit(-logits, labels)
    assert curve.probability(logits) == pytest.approx(labels.mean(), abs=0.02)


def test_it_survives_json() -> None:
    curve = calibration.fit(*overconfident(20_000, np.random.default_rng(3)))
    again = Calibration.from_json(json.loads(json.dumps(curve.to_json())))
    logits = np.linspace(-9, 9, 50)
    assert np.array_equal(curve.probability(logits), again.probability(logits))


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ArtefactError, match="spline"):
        Calibration.from_json({"method": "spline"})
    with pytest.raises(ArtefactError):
        Calibration.from_json({"meaning": 42})
