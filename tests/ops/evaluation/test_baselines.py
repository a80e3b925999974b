"""Forward co-visitation counts what came after."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.ranking.covisitation import forward_counts
from ops.baselines import (
    DECAY,
    RECENT,
    SOURCE_EXPONENT,
    TARGET_EXPONENT,
    Counters,
    Neighbours,
)

N_ROWS = 7
logs = st.lists(
    st.lists(st.integers(1, N_ROWS - 1), min_size=1, max_size=8), min_size=1, max_size=5
)


def flat(log: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    users = np.repeat(np.arange(len(log)), [len(row) for row in log])
    return np.concatenate([np.array(row, np.int64) for row in log]), users


@given(logs)
def test_what_follows_counts_by_its_distance(log: list[list[int]]) -> None:
    wanted = np.zeros((N_ROWS, N_ROWS))
    for row in log:
        for i, source in enumerate(row):
            for distance, target in enumerate(row[i + 1 : i + 6], start=1):
                wanted[source, target] += (source != target) / distance
    assert np.allclose(forward_counts(*flat(log), N_ROWS).toarray(), wanted)


@given(logs, st.lists(st.integers(1, N_ROWS - 1), min_size=1, max_size=RECENT + 3))
def test_the_last_items_vote(log: list[list[int]], history: list[int]) -> None:
    items, users = flat(log)
    visits = np.bincount(items, minlength=N_ROWS) + 1.0
    pairs = forward_counts(items, users, N_ROWS).toarray()
    wanted = np.zeros(N_ROWS)
    for age, item in enumerate(history[::-1][:RECENT]):
        wanted += DECAY**age * pairs[item] / visits[item] ** SOURCE_EXPONENT
    wanted /= visits**TARGET_EXPONENT
    padded = np.array([[*history, 3, 3]])
    found = Neighbours(items, users, N_ROWS).scores(padded, np.array([len(history)]))
    assert np.allclose(found[0], wanted, rtol=1e-5)


@given(logs)
def test_the_demo_asks_the_same_method_as_the_evaluations(log: list[list[int]]) -> None:
    counters = Counters()
    for user, row in enumerate(log):
        for item in row:
            counters.add(str(user), str(item))
    near = Neighbours(*flat(log), N_ROWS)
    for user, row in enumerate(log):
        scores = near.scores(np.array([row]), np.array([len(row)]))[0].astype(float)
        scores[row[-1]] = 0.0
        shown = counters.covisited(str(user))
        assert {int(item) for item in shown} == set(np.flatnonzero(scores > 0).tolist())
        assert np.allclose(scores[[int(item) for item in shown]], np.sort(scores[scores > 0])[::-1])
