"""The item table's start: items visited together lie together."""

from __future__ import annotations

import numpy as np

from models.ranking import covisitation


def two_worlds(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Even users visit items 1-10, odd users items 11-20."""
    users = np.repeat(np.arange(100), 20)
    items = rng.integers(1, 11, len(users)) + 10 * (users % 2)
    return items, users


def test_counts_are_symmetric_weighted_by_distance_and_stay_within_a_user() -> None:
    items = np.array([1, 2, 3, 1, 9])
    users = np.array([0, 0, 0, 0, 1])
    pairs = covisitation.counts(items, users, 10, window=2).toarray()
    assert np.array_equal(pairs, pairs.T)
    assert pairs[1, 2] == 1.0 + 0.5
    assert pairs[1, 3] == 0.5 + 1.0
    assert pairs[9].sum() == 0
    assert np.diag(pairs).sum() == 0


def test_unknown_items_pair_with_nothing() -> None:
    pairs = covisitation.counts(np.array([1, 0, 2]), np.zeros(3, dtype=np.int64), 3).toarray()
    assert pairs[0].sum() == 0
    assert pairs[1, 2] == 0.5


def test_items_of_one_world_are_nearer_than_those_of_two() -> None:
    items, users = two_worlds(np.random.default_rng(0))
    table = covisitation.start_table(items, users, 21, 8, np.random.default_rng(1))
    alike = table[1:] @ table[1:].T
    same = np.equal.outer(np.arange(20) < 10, np.arange(20) < 10)
    assert alike[same].mean() > alike[~same].mean() + 0.3


def test_rows_have_norm_one_and_a_seed_decides_everything() -> None:
    items, users = two_worlds(np.random.default_rng(0))
    one, other = (
        covisitation.start_table(items, users, 30, 8, np.random.default_rng(5)) for _ in range(2)
    )
    assert np.array_equal(one, other)
    assert np.abs(np.linalg.norm(one[1:21], axis=1) - 1).max() < 0.25
    assert np.isfinite(one).all()


def test_a_catalogue_smaller_than_the_width_works() -> None:
    items, users = np.array([1, 2, 1, 2]), np.zeros(4, dtype=np.int64)
    table = covisitation.start_table(items, users, 3, 16, np.random.default_rng(0))
    assert table.shape == (3, 16)
    assert np.isfinite(table).all()


def test_a_log_without_items_has_a_table_of_noise() -> None:
    none = np.zeros(50, np.int64)
    table = covisitation.start_table(none, none, 1, 8, np.random.default_rng(0))
    assert table.shape == (1, 8)
    assert np.isfinite(table).all()
