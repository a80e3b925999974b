"""The hand-written loop is right: a rival that answers anything else proves nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ops.benchmarks.latency.loop import LENGTH, STEP, WINDOWS_S, Event, Scorer, Users, features
from ops.benchmarks.latency.loop import _decode as decode
from ops.benchmarks.latency.loop_model import write_model

KINDS = ("Product Viewed", "Product Added", "Order Completed", "Payment Made", "Signed In")
ITEMS = 50


def values(n: int, users: int, seed: int = 3) -> list[bytes]:
    rng = np.random.default_rng(seed)
    time_s = 1_750_000_000 + rng.exponential(30_000, n).cumsum()
    return [
        json.dumps(
            {
                "messageId": f"m-{i}",
                "userId": f"u-{rng.integers(users)}",
                "event": KINDS[rng.integers(5)],
                "timestamp": f"{np.datetime64(int(time_s[i]), 's')}Z",
                "properties": {
                    "product_id": f"p-{rng.integers(20)}",
                    "price": float(rng.integers(1, 99)),
                    "quantity": int(rng.integers(1, 4)),
                },
            }
        ).encode()
        for i in range(n)
    ]


def expected(history: list[Event]) -> list[float]:
    """The features of the last event of a user, one at a time."""
    now = history[-1].timestamp.timestamp()
    rows = [
        (KINDS.index(e.event), now - e.timestamp.timestamp(), e.properties)
        for e in history[-LENGTH:]
    ]
    counts = [
        float(sum(kind == k and age <= w for kind, age, _ in rows))
        for k in range(4)
        for w in WINDOWS_S.tolist()
    ]
    since = [min([720.0, *(a / 3600 for kind, a, _ in rows if kind == k)]) for k in range(4)]
    money: list[float] = []
    for window in WINDOWS_S[[1, 3]].tolist():
        spent = [p.price * p.quantity for _, age, p in rows if age <= window]
        money += [sum(spent) / len(spent), max(spent)]
    distinct = len({p.product_id for _, _, p in rows})
    today = len({p.product_id for _, age, p in rows if age <= WINDOWS_S[1]})
    before = min(720.0, rows[-2][1] / 3600) if len(rows) > 1 else 720.0
    return [*counts, *since, *money, distinct, today, len(rows), before]


def test_features_of_a_step_equal_those_of_one_event_after_the_other() -> None:
    events = [decode(value) for value in values(1_500, users=9)]  # more than a ring each
    users, histories = Users(ITEMS, room=2), dict[str, list[Event]]()
    for first in range(0, len(events), STEP):
        kept, slots, numbers = users.add(events[first : first + STEP])
        made = features(*users.windows(slots, numbers))
        for event, row in zip(kept, made, strict=True):
            histories.setdefault(event.user_id, []).append(event)
            np.testing.assert_allclose(row, expected(histories[event.user_id]), rtol=1e-5)
    assert max(map(len, histories.values())) > 128


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    file: Path = tmp_path_factory.mktemp("loop") / "loop.onnx"
    write_model(file, ITEMS)
    return str(file)


def answered(scorer: Scorer, batch: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(value) for _, value in scorer.answers(batch)]


def test_each_event_has_one_answer_however_the_log_is_cut(model: str) -> None:
    log = values(200, users=6)
    whole = answered(Scorer(model), log)
    assert [each["trigger_message_id"] for each in whole] == [f"m-{i}" for i in range(200)]
    assert {len(each["items"]) for each in whole} == {10}
    scorer = Scorer(model)
    parts = [each for value in log for each in answered(scorer, [value])]
    for one, other in zip(whole, parts, strict=True):
        assert one["churn"] == pytest.approx(other["churn"], abs=2e-4)
        assert [i["score"] for i in one["items"]] == pytest.approx(
            [i["score"] for i in other["items"]], abs=2e-3
        )


def test_a_repeated_event_has_no_answer(model: str) -> None:
    scorer, log = Scorer(model), values(10, users=2)
    assert len(answered(scorer, [*log, log[0]])) == 10
    assert answered(scorer, log[5:]) == []


def test_the_list_depends_on_the_history_and_not_on_what_pads_it(model: str) -> None:
    log = values(3, users=1)
    lists = [each["items"] for each in answered(Scorer(model), log)]
    assert lists[0] != lists[1] != lists[2]
