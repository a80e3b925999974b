"""Forward co-visitation counts what came after, and blends with the network."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.blend import Blend, Choice
from models.covisitation import forward_counts
from models.neighbours import (
    DECAY,
    RECENT,
    SOURCE_EXPONENT,
    TARGET_EXPONENT,
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


def test_the_better_half_counts_more() -> None:
    """Where only the neighbours know, they get all the weight there is; and none if they don't."""
    rng = np.random.default_rng(0)
    wanted = rng.integers(0, 50, 200)
    right = np.full((200, 50), 1e-3, dtype=np.float32)
    right[np.arange(200), wanted] = 0.2
    noise = rng.normal(size=(200, 50)).astype(np.float32)

    def best_at(scores: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return (scores.argmax(axis=1) == wanted).astype(float)

    knows, guesses = Choice(), Choice()
    knows.see(noise, right, best_at)
    guesses.see(np.log(right), np.exp(2 * noise), best_at)
    assert knows.best().weight >= 1
    assert guesses.best().weight < 0.5


def test_an_item_that_only_one_knows_is_still_possible() -> None:
    scores = Blend(1.0, 0.1).scores(np.log(np.float32([[0.5, 0.5]])), np.float32([[0.0, 0.9]]))
    assert np.exp(scores[0]).tolist() == pytest.approx([0.05, 0.5])
