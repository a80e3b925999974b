"""The model card of a version: its parts, its data, its quality and its limits.

It is made from the manifest and the decision alone, so it says only what was measured.

References
----------
Mitchell et al., "Model Cards for Model Reporting", 2019.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

_LIMITS = (
    "Figures are of the newest part of this log, not of the future: a sale, a new season or a "
    "changed product moves them.",
    "Items and users newer than the training are ranked by live counters alone.",
    "A churn or risk score is a probability among this product's users at the time; it is no "
    "judgement of a person. Look at an alert's reasons before anybody acts on it.",
)


def render(version: str, manifest: Mapping[str, Any], decision: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    lines = [
        f"# Model {version}",
        *_data(manifest),
        *_parts(manifest),
        *_lists(manifest),
        *_heads(manifest),
        *_gate(decision),
        "\n## Limits",
        *(f"- {line}" for line in _LIMITS),
        f"- Parity of the exported graph with the network: {_number(manifest.get('parity'))}.",
    ]
    return "\n".join(lines) + "\n"


def _data(manifest: Mapping[str, Any]) -> Iterator[str]:
    data, labels = manifest.get("data", {}), manifest.get("labels", {})
    training = manifest.get("training", {})
    yield "\n## Trained on"
    yield f"- {_count(data.get('events'))} events, {_count(data.get('points'))} decision points"
    yield f"- {_count(manifest.get('items'))} items; the log ends {_day(data.get('log_end_s'))}"
    if "train_end_s" in data:
        yield f"- learnt from events before {_day(data['train_end_s'])}; the rest judged it"
    if labels:
        yield (
            f"- gone means silent for {_days(labels.get('churn_horizon_s'))}; risk labels count "
            f"as complete after {_days(labels.get('risk_delay_s'))}"
        )
    started = (manifest.get("warm_start") or {}).get("version")
    yield f"- {'started from ' + started if started else 'started afresh'}; " + ", ".join(
        f"{name} {value}" for name, value in sorted(training.items())
    )
    if manifest.get("cut_short"):
        yield "- cut short by its time limit: another run may give another version"


def _parts(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Which parts are shipped, and why the others aren't."""
    yield "\n## Parts"
    yield "| part | shipped | why |\n|---|---|---|"
    yield "| network | yes | candidates and scores |"
    lists = manifest.get("ranking") or {}
    ranked = "hark" in lists
    why = "orders the candidates" if ranked else lists.get("why", "too few answers to learn from")
    yield f"| ranker | {'yes' if ranked else 'no'} | {why} |"
    for name, head in sorted(manifest.get("heads", {}).items()):
        shipped = head.get("shipped")
        text = shipped if isinstance(shipped, str) else ("network" if shipped else "no")
        yield f"| {name} | {text} | {head.get('why', 'measured below')} |"


def _lists(manifest: Mapping[str, Any]) -> Iterator[str]:
    lists = manifest.get("ranking") or {}
    rows = {
        name: row for name, row in lists.items() if isinstance(row, Mapping) and "hr_at_10" in row
    }
    alone = manifest.get("next_item") or {}
    yield "\n## Lists"
    if not rows and not alone:
        yield "Nothing could be measured."
        return
    yield f"{_count(lists.get('targets'))} decisions of its validation part.\n"
    yield "| method | HR@10 | NDCG@10 |\n|---|---|---|"
    for name, row in rows.items():
        yield f"| {name} | {_number(row.get('hr_at_10'))} | {_number(row.get('ndcg_at_10'))} |"
    if alone:
        for prefix, name in (("", "network, whole catalogue"), ("popularity_", "popularity")):
            hits, gain = (alone.get(f"{prefix}{key}") for key in ("hr_at_10", "ndcg_at_10"))
            yield f"| {name} | {_number(hits)} | {_number(gain)} |"


def _heads(manifest: Mapping[str, Any]) -> Iterator[str]:
    shown = ("validation", "base_rate", "auc", "average_precision", "brier", "ece")
    yield "\n## Probabilities"
    yield "| head | points | base rate | AUC | AP | Brier | ECE |\n|---|---|---|---|---|---|---|"
    for name, head in sorted(manifest.get("heads", {}).items()):
        bounds = head.get("intervals") or {}
        cells = [_number(head.get(key)) + _interval(bounds.get(key)) for key in shown]
        yield f"| {name} | " + " | ".join(cells) + " |"


def _gate(decision: Mapping[str, Any]) -> Iterator[str]:
    gate, operator = decision.get("gate"), decision.get("operator") or []
    yield "\n## Decision"
    if gate:
        yield f"{'Promoted' if gate['promote'] else 'Refused'} by the gate: {gate['why']}.\n"
        yield "| check | measured | limit | |\n|---|---|---|---|"
        words = {True: "passed", False: "failed", None: ""}
        for check in gate["checks"]:
            limit = _number(check.get("limit"))
            yield f"| {check['name']} | {_figure(check)} | {limit} | {words[check['passed']]} |"
    elif not operator:
        yield "No gate has looked at it."
    for entry in operator:
        yield f"- {entry['at']}: {entry['action']} by an operator"


def _figure(check: Mapping[str, Any]) -> str:
    if check.get("value") is None:
        return str(check.get("why") or "-")
    if check.get("low") is None:
        return _number(check["value"])
    return f"{check['value']:.4f} ({check['low']:.4f} to {check['high']:.4f})"


def _interval(bounds: Any) -> str:
    return f" ({bounds[0]:.4g} to {bounds[1]:.4g})" if bounds else ""


def _number(value: Any) -> str:
    if isinstance(value, Mapping):  # a figure with its interval
        return f"{value['value']:.4f} ({value['low']:.4f} to {value['high']:.4f})"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else "an unknown number of"


def _day(time_s: Any) -> str:
    if not isinstance(time_s, int):
        return "at an unknown time"
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M} UTC"


def _days(seconds: Any) -> str:
    return f"{seconds / 86_400:g} days" if isinstance(seconds, int) else "an unknown time"
