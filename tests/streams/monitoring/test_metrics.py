"""The worker's metrics: complete, bounded, and cheap enough to update per batch."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from prometheus_client import generate_latest

from ops.demo.scrape import Scrape
from schemas.errors import Reason
from schemas.events.kinds import Kind
from streams.monitoring.batch_counts import BatchCounts, PartitionLag
from streams.monitoring.histogram import quantile
from streams.monitoring.metrics import Metrics
from tests.ops.prometheus.scenario import a_busy_minute


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def series(metrics: Metrics) -> set[str]:
    lines = generate_latest(metrics.registry).decode().splitlines()
    return {line.rsplit(" ", 1)[0] for line in lines if not line.startswith("#")}


def test_every_record_of_a_batch_is_accepted_a_duplicate_or_a_dead_letter() -> None:
    metrics = Metrics()
    metrics.observe_batch(
        BatchCounts(
            records=10, accepted=6, duplicates=1, dead_letters={Reason.LATE: 2, "null_value": 1}
        )
    )
    outcomes = ("accepted", "duplicate", "dead_letter")
    counted = {o: value(metrics, "hark_events_total", outcome=o) for o in outcomes}
    assert counted == {"accepted": 6, "duplicate": 1, "dead_letter": 3}
    assert value(metrics, "hark_dead_letters_total", reason="late") == 2
    assert value(metrics, "hark_dead_letters_total", reason="null_value") == 1
    assert value(metrics, "hark_batches_total") == 1
    assert value(metrics, "hark_batch_records_sum") == 10


def test_kinds_are_counted_from_the_column_of_numbers() -> None:
    metrics = Metrics()
    kinds = np.array([Kind.VIEW, Kind.CART, Kind.VIEW, Kind.IDENTIFY], np.uint8)
    metrics.observe_batch(BatchCounts(records=4, accepted=4, kinds=kinds))
    assert value(metrics, "hark_events_by_kind_total", kind="view") == 2
    assert value(metrics, "hark_events_by_kind_total", kind="identify") == 1
    assert value(metrics, "hark_events_by_kind_total", kind="purchase") == 0


def test_what_was_left_out_and_ignored_is_counted_by_name() -> None:
    metrics = Metrics()
    parts = [
        BatchCounts(records=1, accepted=1, ignored={"alias": 1}, left_out={"amount": 2}),
        BatchCounts(records=2, accepted=2, ignored={"group": 1}, left_out={"amount": 1, "text": 1}),
    ]
    metrics.observe_batch(BatchCounts.joined(parts))
    assert value(metrics, "hark_left_out_fields_total", part="amount") == 3
    assert value(metrics, "hark_left_out_fields_total", part="text") == 1
    assert value(metrics, "hark_left_out_fields_total", part="entity") == 0
    assert value(metrics, "hark_ignored_calls_total", call="alias") == 1
    assert value(metrics, "hark_ignored_calls_total", call="group") == 1


def test_what_nobody_foresaw_counts_as_other_and_adds_no_series() -> None:
    metrics = Metrics()
    before = series(metrics)
    for n in range(100):
        metrics.observe_batch(
            BatchCounts(
                records=2, accepted=1, dead_letters={f"new-{n}": 1},
                kinds=np.array([14 + n], np.uint8),
            )
        )  # fmt: skip
        metrics.observe_alert(f"kind-{n}", f"severity-{n}", f"status-{n}")
        with metrics.stage(f"stage-{n}"):
            pass
    assert series(metrics) == before
    assert value(metrics, "hark_dead_letters_total", reason="other") == 100
    assert value(metrics, "hark_events_by_kind_total", kind="other") == 100
    labels = {"kind": "other", "severity": "other", "status": "other"}
    assert value(metrics, "hark_alerts_total", **labels) == 100
    assert value(metrics, "hark_stage_seconds_count", stage="other") == 100


def test_only_the_model_that_answers_is_shown() -> None:
    metrics = Metrics()
    metrics.set_model("a" * 8, "onnx", loaded_at_s=10.0, trained_at_s=5.0)
    metrics.set_model("b" * 8, "tensorrt", loaded_at_s=20.0, trained_at_s=15.0)
    assert value(metrics, "hark_model_info", version="a" * 8, engine="onnx") is None
    assert value(metrics, "hark_model_info", version="b" * 8, engine="tensorrt") == 1
    assert value(metrics, "hark_model_loaded_timestamp_seconds") == 20
    assert value(metrics, "hark_model_trained_timestamp_seconds") == 15


def test_partitions_given_up_disappear() -> None:
    metrics = Metrics()
    metrics.set_partitions({0: PartitionLag(5, 0.5, 100), 1: PartitionLag(0, 0.0, 7)})
    metrics.set_partitions({1: PartitionLag(3, 0.1, 9)})
    assert value(metrics, "hark_lag_records", partition="0") is None
    assert value(metrics, "hark_lag_records", partition="1") == 3
    assert value(metrics, "hark_lag_seconds", partition="1") == 0.1
    assert value(metrics, "hark_committed_offset", partition="1") == 9


def test_a_scrape_finds_what_stays_whenever_it_comes() -> None:
    metrics, names = Metrics(), ("hark_lag_records", "hark_lag_seconds", "hark_committed_offset")
    metrics.set_partitions({0: PartitionLag(1, 1.0, 1), 1: PartitionLag(1, 1.0, 1)})
    metrics.set_model("a" * 8, "onnx", loaded_at_s=1.0)
    shown = {("hark_model_info", "1"), *((name, "1") for name in names)}

    def scrape() -> bool:
        found = {
            (metric.name, sample.labels.get("partition", "1"))
            for metric in metrics.registry.collect()
            for sample in metric.samples
        }
        return shown <= found

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(1) as pool:
            scrapes = [pool.submit(scrape) for _ in range(12)]
            while not scrapes[-1].done():
                metrics.set_partitions({1: PartitionLag(2, 2.0, 2)})
                metrics.set_model("a" * 8, "onnx", loaded_at_s=1.0)
    finally:
        sys.setswitchinterval(interval)
    assert all(done.result() for done in scrapes)


def test_users_dropped_are_counted_once_wherever_their_partition_goes() -> None:
    metrics, shown = Metrics(), lambda: value(metrics, "hark_evicted_users_total")
    metrics.count_evicted({0: 100, 1: 7})  # of before: they came with the states
    assert shown() == 0
    metrics.count_evicted({0: 103, 1: 7})
    assert shown() == 3
    metrics.count_evicted({1: 8})  # 0 is given up
    assert shown() == 4
    metrics.count_evicted({0: 500, 1: 8})  # and comes back
    assert shown() == 4
    metrics.count_evicted({0: 501, 1: 8})
    assert shown() == 5


def test_a_stage_that_raises_is_timed_too() -> None:
    metrics = Metrics()
    with pytest.raises(ZeroDivisionError), metrics.stage("engine"):
        _ = 1 / 0
    assert value(metrics, "hark_stage_seconds_count", stage="engine") == 1


def test_latency_is_counted_per_event_since_broker_and_event_time() -> None:
    metrics = Metrics()
    broker_ms = np.array([999_990, 999_980, 1_000_050], np.int64)  # the last: a clock ahead of ours
    metrics.observe_latency(1_000_000, broker_ms, broker_ms - 5_000)
    assert value(metrics, "hark_latency_seconds_count", since="broker") == 3
    assert value(metrics, "hark_latency_seconds_sum", since="broker") == pytest.approx(0.030)
    assert value(metrics, "hark_latency_seconds_sum", since="event") == pytest.approx(14.98)


def test_latency_quantiles_are_within_a_few_per_cent_of_the_exact_ones() -> None:
    rng = np.random.default_rng(3)
    exact_s = rng.lognormal(np.log(0.02), 0.8, 20_000)
    metrics = Metrics()
    now_ms = 1_700_000_000_000
    # The clock ticks in whole milliseconds, so the truth does too.
    broker_ms = now_ms - (exact_s * 1000).astype(np.int64)
    metrics.observe_latency(now_ms, broker_ms, broker_ms)
    shown = Scrape(generate_latest(metrics.registry).decode())
    buckets = shown.buckets("hark_latency_seconds", since="broker")
    for q in (0.5, 0.9, 0.99):
        exact = np.quantile((now_ms - broker_ms) / 1000, q)
        assert quantile(buckets, q) == pytest.approx(exact, rel=0.05)


def test_a_worker_without_events_shows_every_series_at_zero() -> None:
    metrics = Metrics()
    assert value(metrics, "hark_events_total", outcome="dead_letter") == 0
    assert value(metrics, "hark_dead_letters_total", reason="malformed_json") == 0
    assert value(metrics, "hark_latency_seconds_count", since="broker") == 0


def test_process_metrics_are_part_of_the_registry() -> None:
    names = {line.split("{")[0] for line in series(Metrics())}
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total"} <= names


def test_registries_are_separate() -> None:
    first, second = Metrics(), Metrics()
    first.observe_batch(BatchCounts(records=1, accepted=1))
    assert value(second, "hark_batches_total") == 0


def test_a_busy_worker_shows_under_a_thousand_series() -> None:
    metrics = Metrics()
    a_busy_minute(metrics)
    assert len(series(metrics)) < 1000
