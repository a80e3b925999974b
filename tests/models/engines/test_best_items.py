"""The selection finds what sorting everything would find."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.engines.best_items import BestItems
from models.sums import BLOCK, item_logits
from tests.example_count import example_count


@given(
    seed=st.integers(0, 2**32 - 1),
    n_items=st.sampled_from([1, 5, BLOCK, 64, 65, 64 * BLOCK - 1, 64 * BLOCK + 7]),
    rows=st.integers(1, 9),
    levels=st.sampled_from([2, 7, 10_000]),
)
@settings(max_examples=example_count(60), deadline=None)
def test_the_best_come_first_and_the_lower_row_among_equals(
    seed: int, n_items: int, rows: int, levels: int
) -> None:
    rng = np.random.default_rng(seed)
    bias = rng.integers(0, levels, n_items + 1).astype(np.float32)  # few levels: many ties
    bias[0] = 1e9  # the unknown item would always win
    table = np.zeros((n_items + 1, 8), np.float32)
    table[:, 0] = rng.integers(0, 3, n_items + 1)
    queries = rng.integers(-2, 3, (rows, 8)).astype(np.float32)
    found, scores = BestItems(table, bias, 64).of(queries)
    logits = (queries @ table.T + bias)[:, 1:]
    order = np.argsort(-logits, axis=1, kind="stable")[:, :64]
    assert np.array_equal(scores, np.take_along_axis(logits, order, axis=1))
    assert np.array_equal(found, order + 1)


@pytest.mark.parametrize("rows", [0, 1, 300])
def test_any_number_of_queries_is_answered(rows: int) -> None:
    rng = np.random.default_rng(1)
    table = rng.normal(size=(501, 16)).astype(np.float32)
    queries = rng.normal(size=(rows, 16)).astype(np.float32)
    found, scores = BestItems(table, np.zeros(501, np.float32), 10).of(queries)
    assert found.shape == scores.shape == (rows, 10)
    assert np.allclose(scores, np.einsum("bd,bkd->bk", queries, table[found]), atol=1e-4)


@pytest.mark.parametrize("d", [3, 16, 50])
@pytest.mark.parametrize("n_items", [70, 2_500])
def test_a_row_has_the_same_bits_in_any_company(n_items: int, d: int) -> None:
    rng = np.random.default_rng(2)
    table = rng.normal(size=(n_items + 1, d)).astype(np.float32)
    table[-20:] = table[1:21]  # equals, which the row decides
    bias = np.zeros(n_items + 1, np.float32)
    queries = rng.normal(size=(100, d)).astype(np.float32)
    best = BestItems(table, bias, 64)
    found, scores = best.of(queries)
    for size in (1, 2, 3, 7, 64):
        parts = [best.of(queries[begin : begin + size]) for begin in range(0, 100, size)]
        assert np.array_equal(np.concatenate([rows for rows, _ in parts]), found)
        assert np.array_equal(np.concatenate([logits for _, logits in parts]), scores)
    every = np.tile(np.arange(1, n_items + 1), (100, 1))
    logits = item_logits(queries, every, table, bias)
    order = np.argsort(-logits, axis=1, kind="stable")[:, :64]
    assert np.array_equal(found, order + 1)
    assert np.array_equal(scores, np.take_along_axis(logits, order, axis=1))


def test_without_items_the_lists_are_empty() -> None:
    found, scores = BestItems(np.zeros((1, 4), np.float32), np.zeros(1, np.float32), 64).of(
        np.ones((3, 4), np.float32)
    )
    assert found.shape == scores.shape == (3, 0)
