"""`hark bench latency`: milliseconds from event to list, beside a hand-written loop."""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from ops.benchmarks.frame import any_kafka, print_machine, progress_bar
from ops.benchmarks.ingest import machine
from ops.benchmarks.latency.rebalance import rebalance as measure_rebalance
from ops.benchmarks.latency.rivals import HARK, NAMES, prepare
from ops.benchmarks.latency.row import Setup, measure
from ops.benchmarks.score_shop import ShopSize

_CHANGES = "rebalance"
_COLUMNS = "p50_ms", "p99_ms", "max_ms", "cores", "outputs", "missing"


@click.command()
@click.option("--rate", "rates", type=click.FloatRange(min=1), multiple=True,
    default=(50.0, 200.0, 1_000.0), show_default=True,
    help="Events a second; may be given several times.")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(min=1), default=20.0, show_default=True,
    help="Measured at each rate.")  # fmt: skip
@click.option("--only", type=click.Choice(NAMES), multiple=True, help="Measure these only.")
@click.option("--rebalance", is_flag=True,
    help="Also two workers at 500 events/s: one joins, leaves, is killed.")  # fmt: skip
@click.option("--users", type=click.IntRange(min=0), default=0, show_default=True,
    help="With --rebalance: so many users have histories before.")  # fmt: skip
@click.option("--items", type=click.IntRange(min=20), default=5_000, show_default=True,
    help="Items in the catalogue.")  # fmt: skip
@click.option("--events", type=click.IntRange(min=2_000), default=60_000, show_default=True,
    help="In the simulated log that the model is trained on.")  # fmt: skip
@click.option("--train-seconds", type=click.FloatRange(min=1), default=10.0, show_default=True,
    help="For the training loop: weights hardly change the speed.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def latency(
    *,
    rates: tuple[float, ...],
    seconds: float,
    only: tuple[str, ...],
    rebalance: bool,
    users: int,
    items: int,
    events: int,
    train_seconds: float,
    as_json: bool,
) -> None:
    """Measure the time from the broker's stamp of an event to its stamp of the event's list.

    A process of its own sends by a schedule that waits for nobody, at each rate to Hark with a
    size-S model, to Hark with its counters, and to a loop written by hand with 28 features and a
    model of that size. A list is due at every event. Uses the cluster that is set or runs, else a
    broker of its own for the time of the run.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what matters is raised
    console = Console(stderr=True)
    facts = machine()
    rows = [(name, rate) for name in only or NAMES for rate in rates]
    results: dict[str, dict[str, Any]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="hark-") as place,
        any_kafka(console) as kafka,
        progress_bar(console) as progress,
    ):
        task = progress.add_task("training a model", total=len(rows) + 1 + rebalance)
        folder = Path(place).resolve()
        names = {*(only or NAMES), *([HARK] if rebalance else [])}
        size = ShopSize(items, events)
        prepared = prepare(folder, size, train_seconds=train_seconds, names=names)
        for name, rate in rows:
            progress.update(task, advance=1, description=f"{name}, {rate:g}/s")
            setup = Setup(kafka, prepared, folder / f"{name}-{rate:g}")
            row = asyncio.run(measure(name, rate, seconds, setup))
            results.setdefault(name, {})[f"{rate:g}"] = row
        if rebalance:
            progress.update(task, advance=1)
            setup = Setup(kafka, prepared, folder / _CHANGES)
            results[_CHANGES] = asyncio.run(
                measure_rebalance(
                    setup, lambda what: progress.update(task, description=what), users=users
                )
            )
        progress.update(task, advance=1, description="done")
    answer = {"machine": facts, "seconds": seconds, "results": results}
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        _print(answer)


def _print(answer: Mapping[str, Any]) -> None:
    results = dict(answer["results"])
    changes = results.pop(_CHANGES, {})
    console = Console()
    rows = [
        ((name, rate), {column: row[column] for column in _COLUMNS})
        for name in results
        for rate, row in results[name].items()
    ]
    _print_table(console, ("", "events/s"), rows)
    _print_table(console, ("a worker",), [((change,), row) for change, row in changes.items()])
    print_machine(console, answer["machine"])


def _print_table(
    console: Console, heads: tuple[str, ...], rows: Sequence[tuple[tuple[str, ...], dict[str, Any]]]
) -> None:
    if not rows:
        return
    table = Table(*heads, *rows[0][1])
    for column in table.columns[1:]:
        column.justify = "right"
    for names, row in rows:
        values = ("" if value is None else f"{value:,}" for value in row.values())
        table.add_row(*names, *values)
    console.print(table)
