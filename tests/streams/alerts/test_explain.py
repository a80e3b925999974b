"""Reasons of an alert: the features that moved it, in words a person can read."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.engines.onnx import OnnxEngine
from models.features.model_inputs import ModelInputs, unscale
from models.features.table import FEATURES, NEVER_S, Unit
from models.heads.calibration import Calibration
from models.heads.stack import HEADS, Mix, Stack
from models.network import export
from streams.alerts.explain import Explainer, WhatIf, in_words
from tests.models import world

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


def by_the_mover(_: ModelInputs, features: np.ndarray, heads: np.ndarray) -> np.ndarray:
    return np.where(heads[:, None] == 0, np.clip(0.1 * features[:, :, MOVER], 0, 1), 0)


def test_only_what_raised_the_probability_is_a_reason() -> None:
    explainer = Explainer(USUAL, by_the_mover)
    usual = explainer._usual_scaled.copy()
    strayed = usual.copy()
    strayed[MOVER], strayed[IDLE] = usual[MOVER] + 3, usual[IDLE] + 5
    values = USUAL.copy()
    values[MOVER] = 19
    asked = inputs(strayed[None].astype(np.float32)).take(np.array([0, 0]))
    reasons, of_another_head = explainer.explain(asked, np.array([0, 1]), [tuple(values)] * 2)
    assert of_another_head == []
    assert [reason.code for reason in reasons] == ["events_1h"]
    assert reasons[0].contribution == pytest.approx(0.3, abs=1e-5)
    assert reasons[0].text == "events of the last 1h: 19, usually 0"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_no_json_can_hold_is_no_reason(value: float) -> None:
    explainer = Explainer(USUAL, by_the_mover)
    strayed = explainer._usual_scaled.copy()
    strayed[MOVER] += 3
    values = USUAL.copy()
    values[MOVER] = value
    asked = inputs(strayed[None].astype(np.float32))
    assert explainer.explain(asked, np.array([0]), [tuple(values)]) == [[]]


@pytest.fixture(scope="module")
def asked_of_the_network() -> WhatIf:
    table, bias = world.catalogue(40, d=64)
    engine = OnnxEngine(export.to_onnx(world.network(d=64, heads=4), table), table, bias)
    heads = {name: Stack(Mix(0.5, 0.7, 0.1, Calibration()), world.trees()) for name in HEADS}

    def what_if(rows: ModelInputs, features: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        network = engine.what_if(rows, features)
        each = [
            [heads[name].logit(network[name][i], features[i]) for name in HEADS]
            for i in range(len(rows))
        ]
        return np.array([each[i][number] for i, number in enumerate(numbers)])

    return what_if


@pytest.mark.parametrize("most", [10**6, 7, 1])
def test_alerts_explained_together_have_the_reasons_that_each_has_alone(
    monkeypatch: pytest.MonkeyPatch,
    asked_of_the_network: WhatIf,
    most: int,
) -> None:
    monkeypatch.setattr("streams.alerts.explain.POINTS", most)
    explainer = Explainer(USUAL, asked_of_the_network)
    n = 40
    points = world.inputs(n, 40, seed=3)
    points.features[: n // 2] *= 5
    points.features[0] = explainer._usual_scaled  # nothing strays
    points.features[1, 3:] = explainer._usual_scaled[3:]
    heads = np.arange(n) % len(HEADS)
    values = unscale(points.features)
    together = explainer.explain(points, heads, values)
    alone = [
        explainer.explain(points.take(np.array([i])), heads[i : i + 1], values[i : i + 1])[0]
        for i in range(n)
    ]
    assert together == alone
    assert together[0] == []
    assert sum(map(len, together)) > n


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
