"""`hark bench`: measure this machine."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextlib import ExitStack
from statistics import median
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from ops.benchmarks.faults import faults
from ops.benchmarks.frame import any_kafka, print_machine, progress_bar
from ops.benchmarks.ingest import ROWS, TRACING, WORKER, filled_topic, machine, measure
from ops.benchmarks.ingest_worker import trained_on
from ops.benchmarks.latency.command import latency
from ops.benchmarks.restore import restore
from ops.benchmarks.score import BATCHES, CATALOGUES, LENGTHS
from ops.benchmarks.score import measure as measure_score
from ops.benchmarks.score_process import MIXED


@click.group()
def bench() -> None:
    """Measure this machine: each command prints the machine, the versions and the numbers."""


bench.add_command(faults)
bench.add_command(latency)
bench.add_command(restore)


@bench.command()
@click.option(
    "--events",
    type=click.IntRange(min=10_000),
    default=300_000,
    show_default=True,
    help="Events in the topic; slow ways read a part of them.",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Every way is measured once per round; the median counts.",
)
@click.option(
    "--only",
    type=click.Choice([row.name for row in ROWS]),
    multiple=True,
    help="Measure these ways only.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def ingest(*, events: int, rounds: int, only: tuple[str, ...], as_json: bool) -> None:
    """Read the same topic in several ways, each in a process of its own, one after the other.

    Uses the cluster that is set or runs, else a broker of its own for the time of the run.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what matters is raised
    rows = [row for row in ROWS if not only or row.name in only]
    console = Console(stderr=True)
    facts = machine()
    rates: dict[str, list[float]] = {row.name: [] for row in rows}
    with any_kafka(console) as kafka, progress_bar(console) as progress:
        task = progress.add_task("filling a topic", total=len(rows) * (rounds + 1) + 1)
        with ExitStack() as stack:
            plain = stack.enter_context(filled_topic(kafka, events))
            traced = plain
            if any(row.traced for row in rows):
                traced = stack.enter_context(filled_topic(kafka, events, headers=TRACING))
            if WORKER in rates:
                progress.update(task, description="training a model")
                stack.enter_context(trained_on(kafka, plain.topic))
            # Round by round, so that a busy minute of the machine hits all alike.
            # The first round isn't counted: a broker that has just started compiles itself.
            for turn, row in enumerate(rows * (rounds + 1)):
                progress.update(task, advance=1, description=row.name)
                rate = measure(row, kafka, traced if row.traced else plain)
                if turn >= len(rows):
                    rates[row.name].append(rate)
            progress.update(task, advance=1, description="done")
    answer = {
        "machine": facts,
        "topic": {"events": plain.events, "mean_bytes": round(plain.mean_bytes, 1)},
        "results": {row.name: _result(rates[row.name], plain.part(row)) for row in rows},
    }
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        _print(answer)


@bench.command()
@click.option(
    "--batch",
    "batches",
    type=click.IntRange(min=1),
    multiple=True,
    default=BATCHES,
    show_default=True,
    help="Decisions at once; may be given several times.",
)
@click.option(
    "--items",
    "catalogues",
    type=click.IntRange(min=20),
    multiple=True,
    default=CATALOGUES,
    show_default=True,
    help="Items in the catalogue.",
)
@click.option(
    "--length",
    "lengths",
    type=click.Choice(LENGTHS),
    multiple=True,
    default=LENGTHS,
    show_default=True,
    help="Events per history; mixed: as they come.",
)
@click.option(
    "--events",
    type=click.IntRange(min=2_000),
    default=60_000,
    show_default=True,
    help="In the simulated log behind histories, counters and model.",
)
@click.option(
    "--train-seconds",
    type=click.FloatRange(min=1),
    default=10.0,
    show_default=True,
    help="For the training loop: weights hardly change the speed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def score(
    *,
    batches: tuple[int, ...],
    catalogues: tuple[int, ...],
    lengths: tuple[str, ...],
    events: int,
    train_seconds: float,
    as_json: bool,
) -> None:
    """Measure whole decisions of a size-S model on one core, stage by stage.

    A decision is everything between the histories and the encoded messages; all of them ask for
    a list, churn and risk. Decoding and publishing are `hark bench ingest`'s.
    """
    console = Console(stderr=True)
    facts = machine()
    total = len(batches) * len(catalogues) * len(lengths)
    with progress_bar(console) as progress:
        task = progress.add_task("", total=total)
        results = measure_score(
            batches,
            catalogues,
            lengths,
            events=events,
            train_seconds=train_seconds,
            progress=lambda doing, row: progress.update(
                task, description=doing, advance=row is not None
            ),
        )
    answer = {"machine": facts, "results": results}
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        _print_score(answer)


def _result(rates: list[float], n_events: int) -> dict[str, Any]:
    return {
        "events_per_s": round(median(rates), 1),
        "rounds": [round(rate, 1) for rate in rates],
        "events": n_events,
    }


def _print(answer: Mapping[str, Any]) -> None:
    results, facts = answer["results"], answer["machine"]
    slowest = results.get("faust_each", {}).get("events_per_s")
    table = Table("", "events/s", "times faust_each", "events read")
    for name, row in results.items():
        times = f"{row['events_per_s'] / slowest:.1f}" if slowest else ""
        table.add_row(name, f"{row['events_per_s']:,.0f}", times, f"{row['events']:,}")
    console = Console()
    console.print(f"{answer['topic']['mean_bytes']:.0f} bytes per event")
    console.print(table)
    print_machine(console, facts)


def _print_score(answer: Mapping[str, Any]) -> None:
    results = answer["results"]
    stages = list(results[0]["share"])
    table = Table(
        "items", "length", "batch", "ms", "CPU ms", "decisions/s", *(f"{s} %" for s in stages)
    )
    for column in table.columns:
        column.justify = "right"
    for row in results:
        mean = f" ({row['mean_length']:.0f})" if row["length"] == MIXED else ""
        table.add_row(
            f"{row['items']:,}", f"{row['length']}{mean}", f"{row['batch']:,}",
            f"{row['ms']:.1f}", f"{row['cpu_ms']:.1f}", f"{row['decisions_per_s']:,.0f}",
            *(f"{100 * row['share'][stage]:.0f}" for stage in stages),
        )  # fmt: skip
    console = Console()
    console.print(table)
    print_machine(console, answer["machine"])
