"""The demo's summary: for scripts as JSON, for people as tables and two examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from ops.demo.list_quality import Standing
from ops.demo.scrape import Scrape
from ops.render import describe_alert, describe_recommendation
from schemas.outputs import Alert, Recommendation

_METHODS = {
    "hark": "Hark, as published",
    "popularity": "popularity",
    "covisitation": "co-visitation",
    "own_recent": "own recent items",
}


def accounting(reading: Scrape) -> dict[str, int]:
    """What the worker did with the records it read."""
    outcomes = reading.by("hark_events_total", "outcome")
    return {
        "ingested": round(outcomes.get("accepted", 0)),
        "duplicates": round(outcomes.get("duplicate", 0)),
        "dead_letters": round(outcomes.get("dead_letter", 0)),
    }


def summarise(
    reading: Scrape,
    *,
    sent: int,
    recommendations: int,
    alerts: Sequence[Alert],
    latency_ms: Mapping[str, float | None],
    standings: Mapping[str, Standing],
    events_per_s: float,
    cores: float,
) -> dict[str, Any]:
    """Everything of the run that a script might check.

    Parameters
    ----------
    reading
        The worker's metrics at the end.
    sent
        Records the broker acknowledged.
    recommendations
        Lists found on the topic; `alerts` likewise, transitions of both statuses.
    events_per_s
        The worker's speed while it caught up on the first part.
    cores
        The worker's processor time per second of the live part.
    """
    firing = Counter(alert.kind for alert in alerts if alert.status == "firing")
    decisions = reading.by("hark_decisions_total", "kind")
    return {
        "sent": sent,
        **accounting(reading),
        "dead_letters_by_reason": _counts(reading.by("hark_dead_letters_total", "reason")),
        "decisions": round(sum(decisions.values())),
        "decisions_by_kind": _counts(decisions),
        "recommendations": recommendations,
        "alerts": {kind: firing.get(kind, 0) for kind in sorted({"churn", "risk", *firing})},
        "alerts_resolved": sum(alert.status == "resolved" for alert in alerts),
        "latency_ms": dict(latency_ms),
        "events_per_s": round(events_per_s, 1),
        "cores": round(cores, 2),
        "quality": {name: standing.summary() for name, standing in standings.items()},
        "quality_lists": standings["hark"].asked,
        "model_version": model_version(reading),
    }


def model_version(reading: Scrape) -> str:
    """The model that answers."""
    versions = [v for v, on in reading.by("hark_model_info", "version").items() if on]
    return versions[0] if versions else "none"


def _trained(training: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What `hark train` said about the heads."""
    heads = training.get("heads", {}).items()
    return [
        (
            f"  {name}",
            f"AUC {head['auc']:.3f}" if head["shipped"] else f"not shipped: {head['why']}",
        )
        for name, head in heads
    ]


def _gate(training: Mapping[str, Any]) -> str:
    """Why the new version answers, or why it doesn't."""
    decision = training.get("decision", {})
    verdict = "promoted" if training.get("promoted") else "not promoted, the counters answer"
    return f"{verdict}: {decision.get('why', 'no decision')}"


def _counts(values: Mapping[str, float]) -> dict[str, int]:
    return {name: round(value) for name, value in values.items() if value}


def show(
    console: Console,
    summary: Mapping[str, Any],
    recommendations: Sequence[Recommendation],
    alerts: Sequence[Alert],
) -> None:
    """Print it."""
    table = Table(title="what happened", show_header=False, title_justify="left")
    latency = summary["latency_ms"]
    for name, value in (
        ("events sent", f"{summary['sent']:,}"),
        ("ingested", f"{summary['ingested']:,}"),
        ("duplicates", f"{summary['duplicates']:,}"),
        ("dead letters", f"{summary['dead_letters']:,}"),
        ("decisions scored", f"{summary['decisions']:,}"),
        ("recommendation lists", f"{summary['recommendations']:,}"),
        ("alerts", ", ".join(f"{count:,} {kind}" for kind, count in summary["alerts"].items())),
        ("latency of the live part", f"p50 {latency['p50']} ms, p99 {latency['p99']} ms"),
        ("cores used by the worker there", summary["cores"]),
        ("catching up", f"{summary['events_per_s']:,.0f} events/s"),
        ("model", summary["model_version"]),
        ("the gate", _gate(summary["training"])),
        *_trained(summary["training"]),
        ("took", ", ".join(f"{name} {took:.0f} s" for name, took in summary["seconds"].items())),
    ):
        table.add_row(name, str(value))
    quality = Table("method", "HR@10", "NDCG@10", title_justify="left", title=(
        f"was the user's next other item on the list? {summary['quality_lists']:,} live lists"
    ))  # fmt: skip
    for method, text in _METHODS.items():
        figures = summary["quality"][method]
        quality.add_row(text, f"{figures['hr_at_10']:.4f}", f"{figures['ndcg_at_10']:.4f}")
    console.print(table, quality)
    if recommendations:
        console.print(Panel(describe_recommendation(recommendations[-1]), title="one user's list"))
    explained = [alert for alert in alerts if alert.status == "firing" and alert.reason_codes]
    if explained:
        surest = max(explained, key=lambda alert: alert.probability)
        console.print(Panel(describe_alert(surest), title="one alert and its reasons"))
