"""Buckets counted per batch mean the same as buckets counted one by one."""

from __future__ import annotations

from math import inf, isnan

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Histogram
from prometheus_client.registry import CollectorRegistry

from streams.monitoring.histogram import BatchHistogram, quantile

BOUNDS = (0.5, 1.0, 2.5, 10.0)
values = st.lists(st.floats(0, 20) | st.sampled_from(BOUNDS), max_size=50)


@given(values)
def test_a_batch_counts_as_prometheus_clients_own_histogram_does(numbers: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    batch = BatchHistogram("h", "doc", BOUNDS, registry=ours)
    single = Histogram("h", "doc", buckets=BOUNDS, registry=theirs)
    batch.observe_many(np.array(numbers, np.float64))
    for number in numbers:
        single.observe(number)
    for le in ("0.5", "1.0", "2.5", "10.0", "+Inf"):
        at = {"le": le}
        assert ours.get_sample_value("h_bucket", at) == theirs.get_sample_value("h_bucket", at)
    assert ours.get_sample_value("h_count") == theirs.get_sample_value("h_count")


@given(values)
def test_one_by_one_and_at_once_count_the_same(numbers: list[float]) -> None:
    registry = CollectorRegistry()
    once = BatchHistogram("a", "doc", BOUNDS, registry=registry)
    each = BatchHistogram("b", "doc", BOUNDS, registry=registry)
    once.observe_many(np.array(numbers, np.float64))
    for number in numbers:
        each.observe(number)
    assert once.buckets() == each.buckets()


def test_a_quantile_is_linear_inside_its_bucket() -> None:
    buckets = {1.0: 10.0, 2.0: 30.0, 4.0: 40.0, inf: 40.0}
    assert quantile(buckets, 0.5) == 1.5
    assert quantile(buckets, 0.875) == 3.0
    assert quantile(buckets, 1.0) == 4.0


def test_a_quantile_above_all_bounds_is_the_highest_bound() -> None:
    assert quantile({1.0: 1.0, 2.0: 1.0, inf: 10.0}, 0.9) == 2.0


def test_a_quantile_of_nothing_is_nan() -> None:
    assert isnan(quantile({1.0: 0.0, inf: 0.0}, 0.5))
