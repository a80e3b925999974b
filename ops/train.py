"""`hark train`: archive the log, run it again, train, measure, store, promote."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ops.archive import archive_topic
from ops.archive_files import archived_records
from ops.connection import connected_settings
from ops.questions import Keeper
from ops.rerun import rerun
from ops.samples import LabelRules, Samples, collect
from schemas.errors import ConfigError
from schemas.topics import EVENTS, ITEMS
from streams.settings import Settings

if TYPE_CHECKING:
    from models.train import Settings as TrainSettings

ARCHIVE = Path("var/archive")
RANKER_POINTS = 6_000


class Stages:
    """Progress bars, one per stage, and how long each took."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.seconds: dict[str, float] = {}
        self._task: TaskID | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Show and time one stage."""
        self._task = self._progress.add_task(name, total=None, note="")
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 2)
        self._progress.update(self._task, total=1.0, completed=1.0)

    def show(self, share: float | None, note: str) -> None:
        """Move the stage's bar; a share of None says only that something happens."""
        if self._task is not None:
            total = None if share is None else 1.0
            self._progress.update(self._task, total=total, completed=share or 0.0, note=note)


@click.command()
@click.option("--registry", type=click.Path(path_type=Path), help="Where versions are stored.")
@click.option(
    "--archive",
    type=click.Path(path_type=Path),
    default=ARCHIVE,
    show_default=True,
    help="Where the log's Parquet files are.",
)
@click.option("--offline", is_flag=True, help="Use what is archived; don't ask Kafka for more.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--max-seconds",
    type=click.FloatRange(min=1),
    default=45.0,
    show_default=True,
    help="Longest time for the training loop itself.",
)
@click.option("--epochs", type=click.IntRange(min=1), default=6, show_default=True)
@click.option(
    "--churn-days", type=click.FloatRange(min=0, min_open=True), help="Silence that counts as gone."
)
@click.option("--no-promote", is_flag=True, help="Store the version, leave the champion alone.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def train(
    *,
    registry: Path | None,
    archive: Path,
    offline: bool,
    seed: int,
    max_seconds: float,
    epochs: int,
    churn_days: float | None,
    no_promote: bool,
    as_json: bool,
) -> None:
    """Train a model version from the event log and make it the champion.

    Everything comes from the topics `events` and `items`: what isn't archived yet is read from
    Kafka first. The same log and seed give the same version, unless --max-seconds cut it short.
    """
    # Threads that spin while they wait starve each other on a busy machine: measured, 18 times
    # slower. Read when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    try:
        from models.train import Settings as TrainSettings
    except ImportError as error:
        raise ConfigError(f"{error.name} is missing: pip install 'hark[train]'") from error
    settings = connected_settings()
    rules = LabelRules(churn_horizon_s=None if churn_days is None else round(churn_days * 86_400))
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description:<9}"), BarColumn(), TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"), console=console, disable=not console.is_terminal,
    ) as progress:  # fmt: skip
        result = run(
            settings,
            TrainSettings(seed=seed, epochs=epochs, max_seconds=max_seconds),
            rules,
            registry=registry or settings.model.registry,
            archive=archive,
            offline=offline,
            promote=not no_promote,
            stages=Stages(progress),
        )
    click.echo(json.dumps(result) if as_json else _told(result))


def run(
    settings: Settings,
    training: TrainSettings,
    rules: LabelRules,
    *,
    registry: Path,
    archive: Path,
    offline: bool,
    promote: bool,
    stages: Stages,
) -> dict[str, Any]:
    """Everything `hark train` does; returns what it prints as JSON."""
    from models import aliases, build, decisions
    from models import registry as versions
    from ops.ranking import fit_ranker

    prefix = settings.kafka.topic_prefix
    archived = 0
    if not offline:
        with stages.stage("archive"):
            for topic in (prefix + ITEMS.name, prefix + EVENTS.name):
                archived += asyncio.run(
                    archive_topic(
                        settings.kafka.client(),
                        topic,
                        archive,
                        lambda done, total: stages.show(done / max(total, 1), f"{done:,} records"),
                    )
                )
    with stages.stage("rerun"):
        records = archived_records(archive, prefix + EVENTS.name)
        state, steps = rerun(
            archive,
            settings,
            lambda done: stages.show(done / max(records, 1), f"{done:,} records"),
        )
        keeper = Keeper(round((1 - build.VALIDATION_SHARE) * records), RANKER_POINTS)
        samples = collect(steps, rules, look=keeper.see)
    with stages.stage("train"):
        trained = build.train_version(
            samples.corpus,
            len(samples.item_index),
            training,
            horizon_s=samples.horizon_s,
            label_delay_s=samples.label_delay_s,
            progress=stages.show,
        )
    with stages.stage("rank"):
        ranking = fit_ranker(samples, keeper.asked(), trained, len(state.items))
    with stages.stage("store"):
        item_ids = [state.items.ids[i] for i in samples.item_index.tolist()]
        version = build.store(
            registry,
            trained,
            item_ids,
            ranking.ranker,
            {"ranking": ranking.report, **_facts(samples, training, archive, settings)},
        )
        decisions.write_card(registry / version)
        if promote:
            aliases.promote(registry, version)
        versions.load(registry, version)
    return {
        "version": version,
        "promoted": promote,
        "archived": archived,
        "events": len(samples.corpus),
        "points": len(samples.corpus.points.event),
        "items": len(item_ids),
        "epochs": len(trained.fitted.curve),
        "cut_short": trained.fitted.cut_short,
        "parity": trained.parity,
        "next_item": trained.next_item,
        "ranking": ranking.report,
        "heads": {"churn": trained.churn.report, "risk": trained.risk.report},
        "seconds": stages.seconds,
    }


def _facts(
    samples: Samples, training: TrainSettings, archive: Path, settings: Settings
) -> dict[str, Any]:
    from ops.archive_files import partitions

    parts = partitions(archive, settings.kafka.topic_prefix + EVENTS.name)
    return {
        "data": {
            "events": len(samples.corpus),
            "points": len(samples.corpus.points.event),
            "log_end_s": samples.log_end_s,
            "offsets": {
                str(part.partition): max((span.next for span in part.spans()), default=0)
                for part in parts
            },
        },
        "labels": {"churn_horizon_s": samples.horizon_s, "risk_delay_s": samples.label_delay_s},
        "training": {
            name: getattr(training, name)
            for name in ("seed", "epochs", "learning_rate", "batch_tokens")
        },
    }


def _told(result: dict[str, Any]) -> str:
    """The result for a person, a few lines."""
    item = result["next_item"]
    lines = [
        f"model {result['version']}" + (", now the champion" if result["promoted"] else ""),
        f"  {result['events']:,} events, {result['points']:,} decision points, "
        f"{result['items']:,} items, {result['epochs']} epochs"
        + (" (cut short by --max-seconds)" if result["cut_short"] else ""),
        f"  next item, network alone: HR@10 {item['hr_at_10']:.4f}, "
        f"popularity {item['popularity_hr_at_10']:.4f}, {item['targets']:,} targets",
    ]
    lists = result["ranking"]
    for method in ("hark", "covisitation", "own_recent", "network"):
        if method in lists:
            figures = lists[method]
            lines.append(
                f"  lists, {method}: HR@10 {figures['hr_at_10']:.4f}, "
                f"NDCG@10 {figures['ndcg_at_10']:.4f}, {lists['targets']:,} targets"
            )
    if "hark" not in lists:
        lines.append(
            f"  lists: only {lists['targets']:,} of the newest decisions have an answer yet, no "
            "ranker; they are ordered by the network and the counters"
        )
    for name, head in result["heads"].items():
        if head["shipped"]:
            area, error = head["auc"], head["ece"]
            lines.append(f"  {name}: AUC {area:.3f}, ECE {error:.3f}, n {head['validation']:,}")
        else:
            lines.append(f"  {name}: not shipped, {head['why']}")
    took = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result["seconds"].items())
    return "\n".join([*lines, f"  {took}"])
