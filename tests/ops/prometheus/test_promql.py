"""Without a Prometheus, an expression that finds nothing is told from an expression that does."""

from __future__ import annotations

import pytest

from tests.ops.prometheus.promql import Exposition

EXPOSED = Exposition(
    {
        "worker": (
            'events_total{outcome="accepted"} 3\n'
            "# TYPE latency_seconds histogram\n"
            'latency_seconds_bucket{since="broker",le="1"} 3\n'
            'latency_seconds_bucket{since="broker",le="+Inf"} 3\n'
        )
    }
)


@pytest.mark.parametrize(
    "expr",
    [
        'up{job="worker"} == 0 or absent(up{job="worker"})',
        'sum by (instance, outcome) (rate(events_total{instance=~".+"}[1m]))',
        'histogram_quantile(0.9, sum by (le) (rate(latency_seconds_bucket{since!="event"}[1m])))',
        "topk(3, events_total) / on (job) group_left up",
        "max_over_time(rate(events_total[1m])[5m:10s])",
        "sum without (outcome) (events_total) / ignoring (instance) up",
        "-(time() - events_total)",
    ],
)
def test_what_exists_is_found(expr: str) -> None:
    assert EXPOSED.faults(expr) == []


@pytest.mark.parametrize(
    ("expr", "fault"),
    [
        ("sum(rate(event_total[1m]))", "no metric event_total"),
        ('events_total{outcom="accepted"}', "no label outcom"),
        ('events_total{outcome="dead_letter"}', "no series"),
        ('events_total{outcome!~"a.*"}', "no series"),
        ("sum by (reason) (events_total)", "no such label"),
        ("sum without (reason) (events_total)", "no such label"),
        ("sum by (outcome) (sum by (job) (events_total))", "no such label"),
        ("events_total / on (outcome) up", "not on both sides"),
        ("events_total * on (job) group_left (version) up", "no such label"),
        ("histogram_quantile(0.9, sum(rate(latency_seconds_bucket[1m])))", "no label le"),
        ("max_over_time(nothing[5m:10s])", "no metric nothing"),
    ],
)
def test_what_is_missing_is_named(expr: str, fault: str) -> None:
    assert any(fault in found for found in EXPOSED.faults(expr))


@pytest.mark.parametrize(
    ("expr", "fault"),
    [
        ("sum(", "unclosed left parenthesis"),
        ("rate(events_total)", "expected type matrix"),
        ("reckon(events_total)", "unknown function"),
        ("events_total[5m] > 1", "must contain only scalar and instant vector"),
    ],
)
def test_what_is_no_promql_raises(expr: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        EXPOSED.faults(expr)
