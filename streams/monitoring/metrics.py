"""A worker's Prometheus metrics, updated once per batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from time import perf_counter

import numpy as np
import numpy.typing as npt
from prometheus_client import Counter, Gauge
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import CollectorRegistry

from schemas.errors import Reason
from schemas.events.codec import IGNORED, PARTS
from schemas.events.kinds import Kind
from streams.monitoring.batch_counts import BatchCounts, PartitionLag
from streams.monitoring.catalogue_metrics import CatalogueMetrics
from streams.monitoring.checkpoint_metrics import CheckpointMetrics
from streams.monitoring.histogram import BatchHistogram

OTHER = "other"
STAGES = (
    "decode", "histories", "features", "sequences", "engine", "heads", "pool", "rank", "filter",
    "explain", "decide", "encode", "produce", OTHER,
)  # fmt: skip
ALERT_KINDS = ("churn", "risk", OTHER)
SEVERITIES = ("info", "warning", "critical", OTHER)
STATUSES = ("firing", "resolved", OTHER)
KINDS = tuple(kind.name.lower() for kind in Kind if kind is not Kind.PAD)
REASONS = (*(reason.value for reason in Reason), OTHER)

LATENCY_BOUNDS_S = tuple(float(f"{10 ** (step / 10):.3g}") for step in range(-30, 31))
"""1 ms to 1,000 s, ten per decade: quantiles are accurate to a few per cent, at worst 13."""
STAGE_BOUNDS_S = tuple(float(f"{10 ** (step / 5):.3g}") for step in range(-20, 6))
"""0.1 ms to 10 s, five per decade."""
BATCH_BOUNDS = tuple(float(2**step) for step in range(15))


class Metrics:
    """All metrics of a worker, in their own registry.

    Every label value exists from the start, and unforeseen values count as `other`. So the number
    of series is known, and a rate exists before the first error.
    """

    def __init__(self) -> None:
        self.handled = 0  # records finished so far
        self._partitions: set[int] = set()
        self._model_shown: tuple[str, str] | None = None  # version and engine
        self._evicted_before: dict[int, int] = {}
        self._refused_before = 0
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._make_event_metrics()
        self._make_batch_metrics()
        self._make_decision_metrics()
        self._make_partition_metrics()
        self._make_model_metrics()
        self.checkpoints = CheckpointMetrics(self.registry)
        self.catalogue = CatalogueMetrics(self.registry)
        self._settings = self._gauge(
            "hark_settings_info", "1 for the settings that decide, hashed", "group", "hash"
        )

    def _make_event_metrics(self) -> None:
        self._events = self._counters(
            "hark_events", "Records by outcome", outcome=("accepted", "duplicate", "dead_letter")
        )
        self._by_kind = self._counters("hark_events_by_kind", "Accepted events by kind", kind=KINDS)
        self._unknown_names = self._counter(
            "hark_unknown_event_names", "Accepted events whose name is mapped to no kind"
        )
        self._future = self._counter(
            "hark_future_events", "Accepted events dated in the future, clamped to broker time"
        )
        self._out_of_order = self._counter(
            "hark_out_of_order_events", "Accepted events older than the user's newest"
        )
        self._unkeyed = self._counter(
            "hark_unkeyed_events", "Accepted events without the user id as record key"
        )
        self._ignored = self._counters(
            "hark_ignored_calls", "Accepted calls without effect", call=IGNORED
        )
        self._left_out = self._counters(
            "hark_left_out_fields", "Fields of accepted events that could not be read", part=PARTS
        )
        self._dead_letters = self._counters(
            "hark_dead_letters", "Dead letters by reason", reason=REASONS
        )

    def _make_batch_metrics(self) -> None:
        self._batches = self._counter("hark_batches", "Record batches finished")
        self._batch_records = BatchHistogram(
            "hark_batch_records", "Records per batch", BATCH_BOUNDS, registry=self.registry
        )
        self._stage_seconds = BatchHistogram(
            "hark_stage_seconds", "Seconds of a batch in each stage", STAGE_BOUNDS_S,
            label="stage", values=STAGES, registry=self.registry,
        )  # fmt: skip
        self._latency = BatchHistogram(
            "hark_latency_seconds", "From an event's broker or event time to its confirmed output",
            LATENCY_BOUNDS_S, label="since", values=("broker", "event"), registry=self.registry,
        )  # fmt: skip

    def _make_decision_metrics(self) -> None:
        self._decisions = self._counters(
            "hark_decisions", "Decision points scored", kind=("recommend", "churn", "risk")
        )
        self._recommendations = self._counters(
            "hark_recommendations", "Recommendation lists by outcome",
            outcome=("sent", "unchanged", "held", "empty"),
        )  # fmt: skip
        alerts = Counter(
            "hark_alerts", "Alert transitions published", ("kind", "severity", "status"),
            registry=self.registry,
        )  # fmt: skip
        self._alerts = {
            (kind, severity, status): alerts.labels(kind, severity, status)
            for kind in ALERT_KINDS
            for severity in SEVERITIES
            for status in STATUSES
        }

    def _make_partition_metrics(self) -> None:
        self._lag_records = self._gauge("hark_lag_records", "Records not read yet", "partition")
        self._lag_seconds = self._gauge(
            "hark_lag_seconds", "Broker-time age of the last record read, 0 at the end", "partition"
        )
        self._committed = self._gauge("hark_committed_offset", "Committed offset", "partition")
        self._users = self._gauge("hark_users", "Users held in memory")
        self._state_bytes = self._gauge("hark_state_bytes", "Bytes of histories and counters")
        self._items = self._gauge("hark_items", "Items known")
        self._evicted = self._counter("hark_evicted_users", "Users dropped to keep the bound")
        self._refused_items = self._counter(
            "hark_refused_items", "Events and catalogue entries whose item found no room"
        )
        self._rebalances = self._counter("hark_rebalances", "Rebalances completed")
        self._restored = self._counter(
            "hark_restored_events", "Events applied without output to restore state"
        )

    def _make_model_metrics(self) -> None:
        self._model = self._gauge(
            "hark_model_info", "1 for the model that answers", "version", "engine"
        )
        self._model_loaded = self._gauge(
            "hark_model_loaded_timestamp_seconds", "When the model was loaded, 0 without a model"
        )
        self._model_trained = self._gauge(
            "hark_model_trained_timestamp_seconds", "When the model was trained, 0 without a model"
        )
        self._refused_models = self._counter(
            "hark_refused_models", "Versions the alias named that failed a check before the swap"
        )
        self._failed_models = self._counter(
            "hark_failed_models", "Times that the counters took over from a model that failed"
        )
        self._champion_named = self._gauge(
            "hark_champion_named", "1 once the registry's alias has named a version, 0 before"
        )

    def observe_batch(self, batch: BatchCounts) -> None:
        """Count a finished batch; to be called after its outputs were confirmed."""
        self.handled += batch.records
        self._batches.inc()
        self._batch_records.observe(batch.records)
        self._observe_events(batch)
        for kind, count in _by_kind(batch.kinds):
            self._by_kind[kind].inc(count)
        for kind, count in (
            ("recommend", batch.recommend), ("churn", batch.churn), ("risk", batch.risk),
        ):  # fmt: skip
            _add(self._decisions[kind], count)
        for outcome, count in (
            ("sent", batch.sent), ("unchanged", batch.unchanged), ("held", batch.held),
            ("empty", batch.empty),
        ):  # fmt: skip
            _add(self._recommendations[outcome], count)

    def _observe_events(self, batch: BatchCounts) -> None:
        _add(self._events["accepted"], batch.accepted)
        _add(self._events["duplicate"], batch.duplicates)
        for reason, count in batch.dead_letters.items():
            self._events["dead_letter"].inc(count)
            self._dead_letters[_fold(reason, REASONS)].inc(count)
        _add(self._unknown_names, batch.unknown_names)
        _add(self._future, batch.future)
        _add(self._out_of_order, batch.out_of_order)
        _add(self._unkeyed, batch.unkeyed)
        for call, count in batch.ignored.items():
            self._ignored[call].inc(count)
        for part, count in batch.left_out.items():
            self._left_out[part].inc(count)

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Time a stage (one of `STAGES`) of a batch, even if the stage raises."""
        return _Timer(self, name)

    def observe_stage(self, name: str, seconds: float) -> None:
        """Count the time of a stage (one of `STAGES`) of a batch."""
        self._stage_seconds.observe(seconds, _fold(name, STAGES))

    def observe_latency(
        self,
        confirmed_ms: int,
        broker_ms: npt.NDArray[np.int64],
        time_ms: npt.NDArray[np.int64],
    ) -> None:
        """Count how old accepted events were when the outputs of their batches were confirmed.

        Parameters
        ----------
        confirmed_ms
            When the broker had confirmed the outputs, epoch ms.
        broker_ms, time_ms
            int64 (n,): broker and event time of the accepted events, epoch ms.
        """
        for since, at_ms in (("broker", broker_ms), ("event", time_ms)):
            # Clocks of two machines may differ: count a negative latency as 0.
            self._latency.observe_many(np.maximum(confirmed_ms - at_ms, 0) / 1000, since)

    def observe_alert(self, kind: str, severity: str, status: str) -> None:
        """Count a published alert transition."""
        key = _fold(kind, ALERT_KINDS), _fold(severity, SEVERITIES), _fold(status, STATUSES)
        self._alerts[key].inc()

    def set_partitions(self, lags: Mapping[int, PartitionLag]) -> None:
        """Show the lags of the partitions held now; other partitions disappear."""
        gauges = self._lag_records, self._lag_seconds, self._committed
        for partition, lag in lags.items():
            for gauge, now in zip(gauges, (lag.records, lag.seconds, lag.committed), strict=True):
                gauge.labels(partition).set(now)
        # Removed one by one: a scrape between clear() and set() would find no partition at all.
        for partition in self._partitions - lags.keys():
            for gauge in gauges:
                gauge.remove(partition)
        self._partitions = set(lags)

    def set_state(self, *, users: int, items: int, state_bytes: int) -> None:
        """Show how many users, items and bytes the worker holds in memory."""
        self._users.set(users)
        self._items.set(items)
        self._state_bytes.set(state_bytes)

    def set_model(
        self, version: str, engine: str, *, loaded_at_s: float, trained_at_s: float = 0.0
    ) -> None:
        """Show the model that answers from now on; the previous model disappears.

        Parameters
        ----------
        version, engine
            Of the model; "counters" and "none" without a model.
        loaded_at_s, trained_at_s
            Epoch seconds, 0 without a model.
        """
        before, self._model_shown = self._model_shown, (version, engine)
        self._model.labels(version, engine).set(1)
        if before not in (None, self._model_shown):
            self._model.remove(*before)
        self._model_loaded.set(loaded_at_s)
        self._model_trained.set(trained_at_s)

    def set_settings(self, group: str, fingerprint: str) -> None:
        """Show the fingerprint of the settings that this worker of a group decides by."""
        self._settings.labels(group, fingerprint).set(1)

    def count_refused_model(self) -> None:
        """Count a model version that failed a check before the swap."""
        self._refused_models.inc()

    def count_failed_model(self) -> None:
        """Count a model that failed while it answered, so that the counters took over."""
        self._failed_models.inc()

    def set_champion_named(self) -> None:
        """Show that the registry's alias has named a version."""
        self._champion_named.set(1)

    def count_evicted(self, totals: Mapping[int, int]) -> None:
        """Count the users evicted since the last call.

        Parameters
        ----------
        totals
            Partition -> number of users that its state has ever evicted, for each partition held
            now. A restored partition begins with the total in its state, which isn't counted.
        """
        for partition, total in totals.items():
            self._evicted.inc(max(0, total - self._evicted_before.get(partition, total)))
        self._evicted_before = dict(totals)

    def count_refused_items(self, total: int) -> None:
        """Count items that found no room since the last call; `total` since the start."""
        self._refused_items.inc(total - self._refused_before)
        self._refused_before = total

    def count_rebalance(self) -> None:
        """Count a completed rebalance."""
        self._rebalances.inc()

    def count_restored(self, events: int) -> None:
        """Count the events that a restore applied without output."""
        self._restored.inc(events)

    def _counter(self, name: str, documentation: str) -> Counter:
        return Counter(name, documentation, registry=self.registry)

    def _counters(
        self, name: str, documentation: str, **label: tuple[str, ...]
    ) -> dict[str, Counter]:
        ((label_name, values),) = label.items()
        counter = Counter(name, documentation, (label_name,), registry=self.registry)
        return {value: counter.labels(value) for value in values}

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        return Gauge(name, documentation, labels, registry=self.registry)


def _add(counter: Counter, count: int) -> None:
    """Add a count, which is mostly 0: adding 0 costs as much as any number."""
    if count:
        counter.inc(count)


def _fold(value: str, known: tuple[str, ...]) -> str:
    return value if value in known else OTHER


def _by_kind(kinds: npt.NDArray[np.uint8]) -> Iterator[tuple[str, int]]:
    counts = np.bincount(kinds)
    for number in np.flatnonzero(counts).tolist():
        known = 0 < number <= len(KINDS)
        yield KINDS[number - 1] if known else OTHER, int(counts[number])


class _Timer(AbstractContextManager[None]):
    """Times a stage."""

    __slots__ = ("_metrics", "_name", "_start_s")

    def __init__(self, metrics: Metrics, name: str) -> None:
        self._metrics = metrics
        self._name = name

    def __enter__(self) -> None:
        self._start_s = perf_counter()

    def __exit__(self, *_: object) -> None:
        self._metrics.observe_stage(self._name, perf_counter() - self._start_s)
