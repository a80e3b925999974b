"""What a worker reports in a busy minute, for the tests that need metrics with values."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import numpy as np

from ops.training.schedule import Marker, Trainer, TrainerMetrics, trigger
from schemas.errors import Reason
from streams.monitoring.batch_counts import BatchCounts, PartitionLag
from streams.monitoring.health import HealthServer
from streams.monitoring.metrics import Metrics

NOW_S = 1_790_000_000


def a_busy_minute(metrics: Metrics, now_s: float = NOW_S, seed: int = 0) -> None:
    """Report 60 batches of 1,000 records of two partitions."""
    rng = np.random.default_rng(seed)
    metrics.set_model("5f3a9c01", "onnx", loaded_at_s=now_s - 600, trained_at_s=now_s - 3600)
    metrics.set_settings("hark", "5e77")
    metrics.count_rebalance()
    metrics.count_restored(5_000)
    for _ in range(60):
        a_batch(metrics, int(now_s * 1000), rng)
    metrics.set_partitions({0: PartitionLag(12, 0.02, 30_000), 1: PartitionLag(0, 0.0, 29_000)})
    metrics.set_state(users=12_000, items=3_000, state_bytes=19_000_000)
    metrics.count_evicted({0: 3, 1: 0})
    metrics.count_evicted({0: 8, 1: 2})
    for partition in (0, 1):
        metrics.checkpoints.as_of(partition, now_s - 12)
        metrics.checkpoints.written(4_000, 5_000_000)
    metrics.checkpoints.restored(1.5)


def a_batch(metrics: Metrics, confirmed_ms: int, rng: np.random.Generator) -> None:
    for stage, mean_s in {"decode": 2e-3, "engine": 1e-2, "produce": 3e-3}.items():
        with metrics.stage(stage):
            sum(range(int(mean_s * 1e5)))
    metrics.observe_batch(
        BatchCounts(
            records=1_000, accepted=990, duplicates=6,
            dead_letters={Reason.LATE: 3, Reason.MALFORMED_JSON: 1},
            kinds=rng.integers(1, 14, 990).astype(np.uint8),
            unknown_names=2, future=1, out_of_order=9, unkeyed=4,
            ignored={"group": 2, "alias": 1}, left_out={"amount": 3, "object": 1},
            recommend=200, churn=200, risk=80, sent=120, unchanged=60, held=19, empty=1,
        )
    )  # fmt: skip
    broker_ms = confirmed_ms - rng.integers(2, 60, 990)
    metrics.observe_latency(confirmed_ms, broker_ms, broker_ms - rng.integers(0, 30_000, 990))
    metrics.observe_alert("churn", "warning", "firing")
    metrics.observe_alert("risk", "critical", "firing")
    metrics.observe_alert("churn", "warning", "resolved")


@contextmanager
def a_busy_trainer() -> Iterator[int]:
    """A trainer that runs, twice a second, something that takes no time; its port."""
    metrics = TrainerMetrics()
    server = HealthServer(metrics.registry, lambda: "")
    server.start()
    with TemporaryDirectory() as folder:
        trainer = Trainer(
            lambda due: [sys.executable, "-S", "-c", ""],
            trigger(timedelta(seconds=0.5)),
            metrics,
            Marker(Path(folder) / "marker.json"),
        )
        thread = Thread(target=trainer.run)
        thread.start()
        try:
            yield server.port
        finally:
            trainer.stop()
            thread.join()
            server.stop()
