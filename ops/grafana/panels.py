"""What the dashboard shows: one table of rows, panels and queries."""

from __future__ import annotations

from dataclasses import dataclass

WORKER = '{instance=~"$instance"}'
RATE = "[$__rate_interval]"


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression and how its series are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: `kind` is Grafana's panel type, `steps` are (from, colour) thresholds."""

    title: str
    meaning: str
    unit: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    width: int = 8
    steps: tuple[tuple[float, str], ...] = ()
    stacked: bool = False


def rate(metric: str, by: str = "") -> str:
    """Sum over workers of a counter's rate, by a label or in all."""
    group = f" by ({by})" if by else ""
    return f"sum{group} (rate({metric}{WORKER}{RATE}))"


def quantile(q: float, metric: str, match: str) -> str:
    """Quantile over all workers of a histogram, of one label value."""
    buckets = f'{metric}_bucket{{instance=~"$instance", {match}}}'
    return f"histogram_quantile({q}, sum by (le) (rate({buckets}{RATE})))"


def or_zero(expr: str) -> str:
    """0 in place of nothing, and of the NaN of a histogram without observations."""
    return f"({expr} >= 0) or vector(0)"


def latency(since: str) -> tuple[Query, ...]:
    return tuple(
        Query(quantile(q, "hark_latency_seconds", f'since="{since}"'), f"p{q * 100:g}")
        for q in (0.5, 0.95, 0.99)
    )


THROUGHPUT = (
    Panel("Events per second", "Records read, whatever became of them.", "short",
          (Query(rate("hark_events_total"), "events/s"),), "stat", 6),
    Panel("Workers up", "Workers that answered the last scrape.", "short",
          (Query('sum(up{job="hark-worker"})', "up"),), "stat", 6,
          ((0, "red"), (1, "green"))),
    Panel("Lag", "Records in Kafka that no worker has read yet.", "short",
          (Query(f"sum(hark_lag_records{WORKER})", "records"),), "stat", 6,
          ((0, "green"), (50_000, "orange"), (500_000, "red"))),
    Panel("Oldest partition", "Broker-time lag of the partition that is furthest behind.", "s",
          (Query(f"max(hark_lag_seconds{WORKER})", "seconds"),), "stat", 6,
          ((0, "green"), (10, "orange"), (60, "red"))),
    Panel("Records by outcome", "Every record is accepted, a duplicate or a dead letter.", "short",
          (Query(rate("hark_events_total", "outcome"), "{{outcome}}"),), stacked=True),
    Panel("Accepted events by kind", "An order of several products counts once per product.",
          "short", (Query(rate("hark_events_by_kind_total", "kind"), "{{kind}}"),), stacked=True),
    Panel("Records per batch", "One Kafka fetch of one partition is one batch.", "short",
          (Query(f"{rate('hark_batch_records_sum')} / {rate('hark_batch_records_count')}",
                 "mean"),
           Query(rate("hark_batches_total"), "batches/s"))),
    Panel("Lag by partition", "Records not read yet.", "short",
          (Query(f"sum by (partition) (hark_lag_records{WORKER})", "{{partition}}"),), width=12),
    Panel("Committed offsets per second", "Progress that survives a crash.", "short",
          (Query(f"sum by (partition) (deriv(hark_committed_offset{WORKER}{RATE}))",
                 "{{partition}}"),), width=12),
)  # fmt: skip

LATENCY = (
    Panel("Broker to confirmed answer",
          "From the broker's timestamp of an event until its answers were confirmed by Kafka.",
          "s", latency("broker"), steps=((0, "green"), (0.05, "orange"), (1, "red"))),
    Panel("Event to confirmed answer",
          "From the time the event says it happened; long for replayed and late events.",
          "s", latency("event")),
    Panel("Distribution since the broker", "Events per latency bucket.", "s",
          (Query('sum by (le) (increase(hark_latency_seconds_bucket'
                 f'{{instance=~"$instance", since="broker"}}{RATE}))', "{{le}}"),), "heatmap"),
    Panel("Time by stage", "Seconds of work per second: 1 is a whole core.", "percentunit",
          (Query(rate("hark_stage_seconds_sum", "stage"), "{{stage}}"),), width=12,
          stacked=True),
    Panel("Slowest batches by stage", "p99 of the time a batch spends in a stage.", "s",
          (Query("histogram_quantile(0.99, sum by (le, stage) "
                 f"(rate(hark_stage_seconds_bucket{WORKER}{RATE})))", "{{stage}}"),), width=12),
)  # fmt: skip

DECISIONS = (
    Panel("Decision points", "Prefixes of histories that were scored, and for what.", "short",
          (Query(rate("hark_decisions_total", "kind"), "{{kind}}"),)),
    Panel("Recommendation lists",
          "sent; unchanged since the last one; held: too soon after it; empty: nothing to show.",
          "short", (Query(rate("hark_recommendations_total", "outcome"), "{{outcome}}"),),
          stacked=True),
    Panel("Alerts in the last hour", "Alert transitions by kind and status.", "short",
          (Query(f"sum by (kind, status) (increase(hark_alerts_total{WORKER}[1h]))",
                 "{{kind}} {{status}}"),)),
    Panel("Alerts per 1,000 decisions", "A jump means drift, a bad model or a real incident.",
          "short",
          (Query('1000 * sum(rate(hark_alerts_total{instance=~"$instance", status="firing"}'
                 f"{RATE})) / {rate('hark_decisions_total')}", "firing"),), width=12),
    Panel("Firing alerts by severity", "Per hour.", "short",
          (Query("sum by (severity) (increase(hark_alerts_total"
                 '{instance=~"$instance", status="firing"}[1h]))', "{{severity}}"),), width=12),
)  # fmt: skip

MODEL = (
    Panel("Answering model", "Version and engine per worker.", "short",
          (Query(f"hark_model_info{WORKER}", "{{version}} on {{engine}} at {{instance}}"),),
          "stat", 10),
    Panel("Age of the model", "Since it was trained; 0 while counters answer.", "s",
          (Query(f"max((time() - hark_model_trained_timestamp_seconds{WORKER}) "
                 f"* (hark_model_trained_timestamp_seconds{WORKER} > bool 0))", "trained"),),
          "stat", 7, ((0, "green"), (172_800, "orange"), (604_800, "red"))),
    Panel("Engine time per batch", "p50 and p99; 0 while counters answer.", "s",
          (Query(or_zero(quantile(0.5, "hark_stage_seconds", 'stage="engine"')), "p50"),
           Query(or_zero(quantile(0.99, "hark_stage_seconds", 'stage="engine"')), "p99")),
          width=7),
    Panel("Training runs in a day", "By how they ended.", "short",
          (Query("sum by (outcome) (increase(hark_trainer_runs_total[1d]))", "{{outcome}}"),),
          width=12),
    Panel("Duration of training", "Of the last run.", "s",
          (Query("max(hark_trainer_run_seconds)", "last run"),), width=12),
)  # fmt: skip

STATE = (
    Panel("Users in memory", "Bounded by state.max_users per partition.", "short",
          (Query(f"sum by (instance) (hark_users{WORKER})", "{{instance}}"),)),
    Panel("Memory", "The process, and the histories and counters in it.", "bytes",
          (Query(f"sum by (instance) (process_resident_memory_bytes{WORKER})",
                 "process {{instance}}"),
           Query(f"sum by (instance) (hark_state_bytes{WORKER})", "state {{instance}}"))),
    Panel("CPU", "Cores used.", "short",
          (Query(f"sum by (instance) (rate(process_cpu_seconds_total{WORKER}{RATE}))",
                 "{{instance}}"),)),
    Panel("Items known", "From events and the items topic.", "short",
          (Query(f"max(hark_items{WORKER})", "items"),)),
    Panel("Users evicted", "Least recently seen users dropped to keep the bound, per second.",
          "short", (Query(rate("hark_evicted_users_total"), "evicted/s"),)),
    Panel("Rebalances and restores",
          "Rebalances, and events applied again to restore state, in an hour.", "short",
          (Query(f"sum(increase(hark_rebalances_total{WORKER}[1h]))", "rebalances"),
           Query(f"sum(increase(hark_restored_events_total{WORKER}[1h]))", "events restored"))),
    Panel("Age of the checkpoints", "Of the oldest partition: a new owner replays that much.", "s",
          (Query(f"max by (instance) (time() - hark_checkpoint_timestamp_seconds{WORKER})",
                 "{{instance}}"),)),
    Panel("Checkpoints", "Bytes and users' rows written per second.", "short",
          (Query(rate("hark_checkpoint_bytes_total"), "bytes/s"),
           Query(rate("hark_checkpoint_rows_total"), "rows/s"),
           Query(rate("hark_checkpoints_total", "outcome"), "{{outcome}}/s"))),
    Panel("Restore", "How far it has come, 1 = done, and how long the last one took.", "short",
          (Query(f"min by (instance) (hark_restore_ratio{WORKER})", "done {{instance}}"),
           Query(f"max by (instance) (hark_restore_seconds{WORKER})", "seconds {{instance}}"))),
)  # fmt: skip

ERRORS = (
    Panel("Dead letters by reason", "Their original bytes are in the dead-letters topic.",
          "short", (Query(rate("hark_dead_letters_total", "reason"), "{{reason}}"),),
          stacked=True),
    Panel("Share of dead letters", "Too high a share stops a worker (limits.*).", "percentunit",
          (Query('sum(rate(hark_events_total{instance=~"$instance", outcome="dead_letter"}'
                 f"{RATE})) / {rate('hark_events_total')}", "share"),),
          steps=((0, "green"), (0.01, "orange"), (0.05, "red"))),
    Panel("Odd but accepted", "Accepted, and counted because it hints at a faulty tracker.",
          "short",
          (Query(rate("hark_unknown_event_names_total"), "unknown event name"),
           Query(rate("hark_future_events_total"), "dated in the future"),
           Query(rate("hark_out_of_order_events_total"), "out of order"),
           Query(rate("hark_unkeyed_events_total"), "not keyed by its user"),
           Query('sum(rate(hark_events_total{instance=~"$instance", outcome="duplicate"}'
                 f"{RATE}))", "duplicate"))),
)  # fmt: skip

ROWS = (
    ("Throughput", THROUGHPUT),
    ("Latency", LATENCY),
    ("Decisions and alerts", DECISIONS),
    ("Model", MODEL),
    ("State", STATE),
    ("Errors", ERRORS),
)
