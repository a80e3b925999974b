"""Reading the worker's metrics."""

from __future__ import annotations

import numpy as np
import pytest
from prometheus_client import generate_latest

from ops.demo.scrape import Scrape, latency_ms
from ops.demo.summary import accounting, model_version
from schemas.errors import Reason
from streams.monitoring.batch_counts import BatchCounts
from streams.monitoring.metrics import Metrics


def _scrape(metrics: Metrics) -> Scrape:
    return Scrape(generate_latest(metrics.registry).decode())


def _observe_ms(metrics: Metrics, latency: list[int]) -> None:
    now_ms = 10_000_000
    since = now_ms - np.array(latency, np.int64)
    metrics.observe_latency(now_ms, since, since)


def test_latency_is_that_of_the_time_between_two_readings() -> None:
    metrics = Metrics()
    _observe_ms(metrics, [20_000] * 1_000)
    before = _scrape(metrics)
    _observe_ms(metrics, [10] * 98 + [300] * 2)
    found = latency_ms(before, _scrape(metrics))
    assert found["p50"] == pytest.approx(10, rel=0.15)
    assert found["p99"] == pytest.approx(300, rel=0.15)


def test_no_latency_without_events() -> None:
    reading = _scrape(Metrics())
    assert latency_ms(None, reading) == {"p50": None, "p99": None}
    assert latency_ms(reading, reading) == {"p50": None, "p99": None}


def test_every_record_has_one_outcome() -> None:
    metrics = Metrics()
    counts = BatchCounts(
        records=10, accepted=6, duplicates=1, dead_letters={Reason.LATE: 2, "wrong_type": 1}
    )
    metrics.observe_batch(counts)
    metrics.set_model("v7", "onnx", loaded_at_s=1.0)
    reading = _scrape(metrics)
    assert accounting(reading) == {"ingested": 6, "duplicates": 1, "dead_letters": 3}
    assert model_version(reading) == "v7"
