"""Model inputs: right types, right padding, scaled without fitted statistics."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from models.features import features, model_inputs
from models.features.windows import Windows
from schemas.events.kinds import Kind
from streams.histories.histories import Histories
from streams.histories.item_table import ItemTable
from tests.streams.event_logs import Record, columns, numbered

MONDAY_S = 1_700_438_400  # 2023-11-20T00:00:00Z


def _windows(items: ItemTable, *events: tuple[int, str | None], amount: float = 0.0) -> Windows:
    records = [
        Record(time_s=MONDAY_S + s, kind=Kind.PURCHASE, items=(item,), amount=amount)
        for s, item in events
    ]
    windows = Histories(items, length=8).apply(columns(numbered(records))).windows
    return windows.take(np.array([len(windows) - 1]))


def _inputs(windows: Windows, rows: list[int]) -> model_inputs.ModelInputs:
    return model_inputs.build(windows, features.compute(windows), np.array(rows, np.int64))


def test_items_become_model_rows_and_unknown_ones_zero() -> None:
    items = ItemTable()
    items.indices(["a", "b", "c"])
    windows = _windows(items, (0, "b"), (1, None), (2, "c"), (3, "a"), (4, "new"))
    inputs = _inputs(windows, [9, 7, 0])
    assert inputs.item_rows.tolist() == [[7, 0, 0, 9, 0, 0, 0, 0]]
    assert inputs.lengths.tolist() == [5]
    assert _inputs(windows, []).item_rows.tolist() == [[0] * 8]


def test_gaps_reach_to_the_next_event_and_to_now() -> None:
    windows = _windows(ItemTable(), (0, None), (0, None), (1, None), (65, None))
    later = Windows(
        **{n: getattr(windows, n) for n in Windows.__slots__} | {"now_s": windows.now_s + 1_000}
    )
    # 0 s, 1 s, 64 s, 1,000 s -> 1, 2, 8, 11
    assert _inputs(later, []).gaps.tolist() == [[1, 2, 8, 11, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(-5, 1), (0, 1), (1, 2), (2, 3), (3, 3), (4, 4), (2**31, 33), (2**40, 33)],
)
def test_gap_buckets_are_powers_of_two_and_bounded(seconds: int, bucket: int) -> None:
    assert model_inputs.gap_buckets(np.array([seconds]))[0] == bucket < model_inputs.N_GAPS


def test_hours_are_hours_of_the_week_from_monday() -> None:
    windows = _windows(ItemTable(), (0, None), (3_600, None), (7 * 86_400 - 1, None))
    assert _inputs(windows, []).hours.tolist() == [[1, 2, 168, 0, 0, 0, 0, 0]]


def test_amounts_are_logged() -> None:
    inputs = _inputs(_windows(ItemTable(), (0, None), amount=99.0), [])
    assert inputs.amounts.dtype == np.float32
    assert inputs.amounts[0, :2].tolist() == pytest.approx([np.log(100.0), 0.0])


def test_types_and_shapes_are_the_models() -> None:
    inputs = _inputs(_windows(ItemTable(), (0, "a"), (1, "b")), [1, 2])
    for name in ("item_rows", "kinds", "gaps", "hours"):
        assert getattr(inputs, name).dtype == np.int64
        assert getattr(inputs, name).shape == (1, 8)
    assert inputs.features.dtype == np.float32
    assert inputs.features.shape == (1, len(features.FEATURES))
    assert len(inputs.take(np.array([], np.int64))) == 0


def test_extreme_features_stay_finite_and_small() -> None:
    frame = pl.DataFrame(
        {
            f.name: pl.Series([0, 255 if f.dtype == pl.UInt8 else 65_535], dtype=f.dtype)
            if f.dtype != pl.Float64
            else pl.Series([-1e30, 1e30], dtype=f.dtype)
            for f in features.FEATURES
        }
    )
    scaled = model_inputs.scale(frame.to_numpy().astype(np.float64))
    plain = [f.unit in ("probability", "flag", "hour") for f in features.FEATURES]
    assert np.isfinite(scaled).all()
    assert np.abs(scaled[:, ~np.array(plain)]).max() < 100


def test_no_feature_is_lost_in_scaling() -> None:
    rng = np.random.default_rng(1)
    frame = pl.DataFrame(
        {f.name: pl.Series(rng.integers(0, 24, 50), dtype=f.dtype) for f in features.FEATURES}
    )
    assert (model_inputs.scale(frame.to_numpy().astype(np.float64)).std(axis=0) > 0.01).all()


def test_buckets_are_the_shortest_that_hold_the_length() -> None:
    lengths = np.array([1, 8, 9, 16, 33, 64], np.int64)
    assert model_inputs.bucket(lengths).tolist() == [8, 8, 16, 16, 64, 64]
    assert model_inputs.bucket(lengths[:4], top=12).tolist() == [8, 8, 12, 12]
