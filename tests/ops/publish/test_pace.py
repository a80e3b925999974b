"""Schedules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.publish.pace import at_rate, at_speed
from schemas.errors import ConfigError


@given(st.integers(1, 50), st.integers(0, 200), st.floats(0.1, 1e6))
def test_cutting_into_chunks_changes_no_schedule(cut: int, count: int, rate: float) -> None:
    times = np.zeros(count, np.int64)
    pace = at_rate(rate)
    parts = [pace(times[i : i + cut], i) for i in range(0, count, cut)]
    assert np.allclose(np.concatenate([*parts, np.zeros(0)]), pace(times, 0))


def test_ten_times_as_fast_takes_a_tenth() -> None:
    times = np.array([5_000, 6_000, 65_000])
    assert at_speed(10.0, 5_000)(times, 0).tolist() == [0.0, 0.1, 6.0]


@pytest.mark.parametrize("nonsense", [0.0, -1.0])
def test_no_speed_or_rate_is_refused(nonsense: float) -> None:
    with pytest.raises(ConfigError):
        at_rate(nonsense)
    with pytest.raises(ConfigError):
        at_speed(nonsense, 0)
