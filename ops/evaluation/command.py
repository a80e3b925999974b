"""`hark evaluate NAME`: measure Hark against what people would use instead."""

from __future__ import annotations

import importlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ops.evaluation.report import Report, Row, Show, Task
from ops.event_files.options import Mapping, how_to_read, reading_options
from schemas.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Protocol:
    """A named evaluation: `module:function` of (Task, Show) -> Report, and its usual file.

    Attributes
    ----------
    spread
        The log may have several partitions.
    """

    target: str
    file: str
    spread: bool = True


PROTOCOLS = {
    "ml1m": Protocol("ops.evaluation.leave_one_out:ml1m", "ml-1m_sasrec.txt", spread=False),
    "beauty": Protocol("ops.evaluation.leave_one_out:beauty", "s3rec_Beauty.txt", spread=False),
    "retailrocket": Protocol("ops.evaluation.shop_lists:retailrocket", "retailrocket_mb.csv"),
    "fraud": Protocol("ops.evaluation.card_fraud:fraud", "fraud_handbook_tx.csv.gz"),
    "online-retail": Protocol("ops.evaluation.churn:online_retail", "online_retail_uci.csv.gz"),
}
OWN = "ops.evaluation.shop_lists:own_events"


@click.command()
@click.argument("name", required=False, type=click.Choice(list(PROTOCOLS)))
@click.option("--events", type=click.Path(path_type=Path), help="Evaluate on a file of your own.")
@click.option(
    "--map",
    "mapping",
    type=Mapping(),
    metavar="WORD=COLUMN,...",
    help="With --events: user, time, and optionally event, item, ... as in hark replay.",
)
@reading_options
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder of the public files; default: $HARK_DATA.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--partitions",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Spread the events over so many, by user, each with its own counters, as a topic does.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("var/evaluation"),
    show_default=True,
    help="Where tables and pictures are written.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def evaluate(
    *,
    name: str | None,
    events: Path | None,
    mapping: dict[str, str] | None,
    encoding: str | None,
    dates: str | None,
    data: Path | None,
    seed: int,
    partitions: int,
    out: Path,
    as_json: bool,
) -> None:
    """Train as Hark would, then measure on what came after, beside simple methods.

    Rankings are over the whole catalogue, intervals are a bootstrap over users. Either NAME, one
    of the public data sets, or --events FILE with --map.
    """
    if (name is None) == (events is None):
        raise click.UsageError("name a data set, or give --events FILE with --map")
    if name is not None and partitions > 1 and not PROTOCOLS[name].spread:
        raise click.UsageError(f"{name} asks everybody of one partition: leave --partitions out")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # see ops.training.train_command
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    if events is not None:
        how = replace(how_to_read(encoding, dates), own_clock=True)
        target, task = OWN, Task(events, mapping, seed, how, partitions)
    else:
        assert name is not None
        target = PROTOCOLS[name].target
        task = Task(_file(data, name), None, seed, partitions=partitions)
    out.mkdir(parents=True, exist_ok=True)  # before the work, where it can't be made
    report = _run(target, task)
    written = report.write(out)
    if as_json:
        click.echo(json.dumps(report.to_json()))
        return
    _show(report)
    click.echo("written: " + ", ".join(str(path) for path in written))


def _file(data: Path | None, name: str) -> Path:
    folder = data or (Path(os.environ["HARK_DATA"]) if os.environ.get("HARK_DATA") else None)
    wanted = PROTOCOLS[name].file
    if folder is None:
        raise ConfigError(f"where is {wanted}? Give --data FOLDER or set HARK_DATA")
    if not (folder / wanted).is_file():
        raise ConfigError(f"{folder / wanted}: no such file")
    return folder / wanted


def _run(target: str, task: Task) -> Report:
    module, _, function = target.partition(":")
    try:
        run: Callable[[Task, Show], Report] = getattr(importlib.import_module(module), function)
    except ImportError as error:
        raise ConfigError(f"{error.name} is missing: pip install 'hark[train]'") from error
    console = Console(stderr=True)
    started = time.monotonic()
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(),
        console=console, disable=not console.is_terminal,
    ) as progress:  # fmt: skip
        bar = progress.add_task(task.file.name, total=1.0)

        def show(share: float | None, line: str) -> None:
            total = None if share is None else 1.0
            progress.update(bar, total=total, completed=share or 0.0, description=line)

        report = run(task, show)
    report.facts["seconds"] = round(time.monotonic() - started, 1)
    report.facts["seed"] = task.seed
    report.facts["partitions"] = task.partitions
    return report


def _show(report: Report) -> None:
    click.echo(report.protocol)
    console = Console()
    groups = {"all": report.results, **report.slices, "without one part": report.ablation}
    for title, rows in groups.items():
        if rows:
            console.print(_table(title, rows))


def _table(title: str, rows: list[Row]) -> Table:
    shown = ("hr_at_10", "ndcg_at_10", "auc", "average_precision", "card_precision_at_100",
             "brier", "ece")  # fmt: skip
    names = [name for name in shown if any(name in row.figures for row in rows)]
    table = Table(title=title, title_justify="left")
    table.add_column("method")
    for name in names:
        table.add_column(name, justify="right")
    for row in rows:
        cells = [str(row.figures[n]) if n in row.figures else "" for n in names]
        table.add_row(row.method, *cells)
    return table
