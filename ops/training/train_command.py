"""`hark train`: train a version from the event log, and promote it if it passes the gate."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ops.connection import connected_settings
from ops.since import Since
from ops.training.samples import LabelRules
from ops.training.stages import Stages
from schemas.errors import ConfigError

ARCHIVE = Path("var/archive")
INTERACTIVE_S, NIGHTLY_S = 45.0, 3_600.0


@click.command()
@click.option(
    "--registry",
    type=click.Path(path_type=Path),
    help="Folder of the versions [default: model.registry].",
)
@click.option(
    "--archive",
    type=click.Path(path_type=Path),
    default=ARCHIVE,
    show_default=True,
    help="Folder of the archived log (Parquet).",
)
@click.option("--offline", is_flag=True, help="Use the archive alone; read nothing from Kafka.")
@click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]),
    metavar="DATE",
    help="Use only events before DATE (UTC; a day begins at 00:00). A DATE is trained once.",
)
@click.option(
    "--since",
    "since_ms",
    type=Since(),
    help="Learn from records since then [default: train.window_days before the log's end].",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--max-seconds",
    type=click.FloatRange(min=1),
    help=f"Longest time for the training loop itself [default: {INTERACTIVE_S:g}, with --as-of "
    f"{NIGHTLY_S:g}].",
)
@click.option("--epochs", type=click.IntRange(min=1), default=6, show_default=True)
@click.option(
    "--churn-days", type=click.FloatRange(min=0, min_open=True), help="Silence that counts as gone."
)
@click.option("--no-promote", is_flag=True, help="Keep the champion, whatever the gate says.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def train(
    *,
    registry: Path | None,
    archive: Path,
    offline: bool,
    as_of: datetime | None,
    since_ms: int | None,
    seed: int,
    max_seconds: float | None,
    epochs: int,
    churn_days: float | None,
    no_promote: bool,
    as_json: bool,
) -> None:
    """Train a model version from the event log, and promote it if it passes the gate.

    The data are the topics `events` and `items`. Records that aren't archived yet are read from
    Kafka first. Records older than train.window_days and train.warm_up_days are deleted from the
    archive (train.prune_archive); the result says how many. The newest part of the window judges
    the version and trains nothing. The same log, seed and champion give the same version, unless
    --max-seconds cuts the training short. A registry admits one run at a time; a killed run needs
    no cleaning up.
    """
    # Threads that spin while they wait starve each other on a busy machine (measured: 18 times
    # slower). torch reads these when it loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    try:
        from models.training.train import Settings as TrainSettings
    except ImportError as error:
        raise ConfigError(f"{error.name} is missing: pip install 'hark[train]'") from error
    from ops.training.run import Job, run

    settings = connected_settings("trainer")
    seconds = max_seconds or (INTERACTIVE_S if as_of is None else NIGHTLY_S)
    job = Job(
        settings,
        TrainSettings(seed=seed, epochs=epochs, max_seconds=seconds),
        LabelRules(churn_horizon_s=None if churn_days is None else round(churn_days * 86_400)),
        root=registry or settings.model.registry,
        archive=archive,
        as_of=None if as_of is None else as_of.replace(tzinfo=UTC),
        since_ms=since_ms,
        offline=offline,
        promote=not no_promote,
    )
    with Stages() as stages:
        result = run(job, stages)
    if result:  # torchrun's other processes have no result
        click.echo(json.dumps(result) if as_json else describe(result))


def describe(result: dict[str, Any]) -> str:
    """Describe the result for a person, in a few lines."""
    decision = result["decision"]
    if result["already"]:
        return f"already trained for this date: model {result['version']}"
    item = result["next_item"]
    verdict = "now the champion" if result["promoted"] else "not promoted"
    lines = [
        f"model {result['version']}, {verdict}: {decision['why']}",
        f"  {result['events']:,} events, {result['points']:,} decision points, "
        f"{result['items']:,} items, {result['epochs']} epochs"
        + (" (cut short by --max-seconds)" if result["cut_short"] else ""),
        f"  next item, network alone: HR@10 {item['hr_at_10']:.4f}, "
        f"popularity {item['popularity_hr_at_10']:.4f}, {item['targets']:,} targets",
        *_lists(result["ranking"]),
        *_heads(result["heads"]),
        "  the gate, on the newest part of the log:",
        *_checks(decision["checks"]),
    ]
    if result["pruned"]["files"]:
        pruned = result["pruned"]
        lines.append(
            f"  archive: deleted {pruned['records']:,} records up to {pruned['up_to']} in "
            f"{pruned['files']:,} files, older than the window (train.prune_archive)"
        )
    if not result["promoted"] and result["champion_before"] is None:
        lines.append("  there is no champion yet: workers go on with their counters")
    took = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result["seconds"].items())
    return "\n".join([*lines, f"  {took}"])


def _lists(lists: dict[str, Any]) -> list[str]:
    lines = [
        f"  lists, {method}: HR@10 {lists[method]['hr_at_10']:.4f}, "
        f"NDCG@10 {lists[method]['ndcg_at_10']:.4f}, {lists['targets']:,} targets"
        for method in ("hark", "covisitation", "own_recent", "network")
        if method in lists
    ]
    if "hark" not in lists:
        lines.append(
            f"  lists: only {lists['targets']:,} of the newest decisions have an answer yet, no "
            "ranker; they are ordered by the network and the counters"
        )
    return lines


def _heads(heads: dict[str, Any]) -> list[str]:
    return [
        f"  {name}: AUC {head['auc']:.3f}, ECE {head['ece']:.3f}, n {head['validation']:,}"
        if head["shipped"]
        else f"  {name}: not shipped, {head['why']}"
        for name, head in heads.items()
    ]


def _checks(checks: list[dict[str, Any]]) -> list[str]:
    words = {True: "ok", False: "FAILED", None: ""}
    lines = []
    for check in checks:
        figure = check["why"] if check["value"] is None else f"{check['value']:.4g}"
        if check["low"] is not None:
            figure += f" ({check['low']:.4g} to {check['high']:.4g})"
        limit = "" if check["limit"] is None else f", limit {check['limit']:.4g}"
        lines.append(f"    {check['name']}: {figure}{limit} {words[check['passed']]}".rstrip())
    return lines
