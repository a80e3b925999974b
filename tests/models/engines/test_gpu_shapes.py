"""Every row is answered once, by a shape that holds it and isn't wastefully large."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.engines.gpu_shapes import BATCHES, ROWS_STEP, SHAPES, padded_catalogue, pieces
from schemas.errors import EngineError


@given(st.lists(st.integers(1, 64), max_size=3_000))
def test_every_row_is_in_one_piece_that_holds_it(lengths: list[int]) -> None:
    known = np.array(lengths, np.int64)
    seen: list[int] = []
    for rows, shape in pieces(known):
        assert shape in SHAPES
        assert 0 < len(rows) <= shape.batch
        assert known[rows].max() <= shape.length
        assert known[rows].min() > (shape.length // 2 if shape.length > 8 else 0)
        assert shape.batch <= 64 or 2 * len(rows) > shape.batch
        seen += rows.tolist()
    assert sorted(seen) == list(range(len(lengths)))


@pytest.mark.parametrize("rows", [*BATCHES, 3, 65, 200, 1_500])
def test_a_batch_of_one_length_takes_few_launches(rows: int) -> None:
    assert len(list(pieces(np.full(rows, 20)))) <= 2 + rows / 128


def test_a_history_that_fits_no_shape_is_an_engine_error() -> None:
    with pytest.raises(EngineError, match="65 events"):
        list(pieces(np.array([3, 65])))


@pytest.mark.parametrize("rows", [1, ROWS_STEP, ROWS_STEP + 1])
def test_a_padded_catalogue_offers_no_more_items(rows: int) -> None:
    table, bias = padded_catalogue(np.ones((rows, 4), np.float32), np.ones(rows, np.float32), -1e4)
    assert len(table) == len(bias) == -(-rows // ROWS_STEP) * ROWS_STEP
    assert table[:rows].min() == bias[:rows].min() == 1
    assert (bias[rows:] == -1e4).all()
