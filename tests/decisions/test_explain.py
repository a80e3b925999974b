"""Reasons of an alert: the features that moved it, in words a person can read."""

from __future__ import annotations

import numpy as np
import pytest

from models.feature_table import FEATURES, NEVER_S, Unit
from models.sequences import ModelInputs
from streams.explain import Explainer, in_words

NAMES = [feature.name for feature in FEATURES]
USUAL = np.array([feature.default for feature in FEATURES], np.float64)
MOVER, IDLE = NAMES.index("events_1h"), NAMES.index("events_24h")


def inputs(features: np.ndarray) -> ModelInputs:
    tokens = np.zeros((1, 8), np.int64)
    return ModelInputs(
        item_rows=tokens,
        kinds=tokens,
        gaps=tokens,
        hours=tokens,
        amounts=np.zeros((1, 8), np.float32),
        features=features,
        lengths=np.ones(1, np.int64),
    )


def by_the_mover(asked: ModelInputs) -> np.ndarray:
    return np.clip(0.1 * asked.features[:, MOVER], 0, 1)


def test_only_what_raised_the_probability_is_a_reason() -> None:
    explainer = Explainer(USUAL, by_the_mover)
    usual = explainer._usual_scaled.copy()
    strayed = usual.copy()
    strayed[MOVER], strayed[IDLE] = usual[MOVER] + 3, usual[IDLE] + 5
    values = USUAL.copy()
    values[MOVER] = 19
    reasons = explainer.explain(inputs(strayed[None].astype(np.float32)), tuple(values))
    assert [reason.code for reason in reasons] == ["events_1h"]
    assert reasons[0].contribution == pytest.approx(0.3, abs=1e-5)
    assert reasons[0].text == "events of the last 1h: 19, usually 0"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "s", "0 s"),
        (16.0, "s", "16 s"),
        (119.0, "s", "119 s"),
        (150.0, "s", "2.5 min"),
        (7_200.0, "s", "2 h"),
        (939_716.0, "s", "10.9 days"),
        (NEVER_S, "s", "never"),
        (NEVER_S - 30.0, "s", "never"),
        (3.0, "day", "3 days"),
        (12_345.6, "money", "12346"),
        (1.0, "flag", "yes"),
        (0.002092, "ratio", "0.002092"),
    ],
)
def test_values_are_told_in_units_of_their_size(value: float, unit: Unit, text: str) -> None:
    assert in_words(value, unit) == text
