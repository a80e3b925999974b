"""`hark bench faults`: kill, stop, cut and restart everything, then count what was lost."""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ops.benchmarks.ingest import machine
from ops.faults.check import Checked, check
from ops.faults.inflict import Tell
from ops.faults.run import Plan, Ran, faults_run
from ops.local_kafka.jars import cached_jars, download_progress
from streams.monitoring import logs

COUNTED = (
    "sigkills", "sigstops", "worker_restarts", "leaves", "broker_kills", "broker_stops",
    "broker_restarts", "network_cuts", "rebalances", "restores", "whole_log_restores", "crashes",
)  # fmt: skip
WRONG = ("lost", "missing", "unexpected", "different", "unrecognised", "histories_different")
"""None of these may be above 0."""


@click.command()
@click.option("--minutes", type=click.FloatRange(min=0.1), default=5.0, show_default=True)
@click.option("--rate", type=click.FloatRange(min=1), default=1_000.0, show_default=True,
    help="Events a second.")  # fmt: skip
@click.option("--partitions", type=click.IntRange(1, 64), default=4, show_default=True)
@click.option("--workers", type=click.IntRange(2, 8), default=3, show_default=True)
@click.option("--seed", type=int, default=7, show_default=True, help="Of events and faults.")
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path),
    help="Leave the brokers' and workers' logs in this new folder.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def faults(
    context: click.Context,
    *,
    minutes: float,
    rate: float,
    partitions: int,
    workers: int,
    seed: int,
    keep: Path | None,
    as_json: bool,
) -> None:
    """Run workers on three brokers, break them in a loop, and count what became of every event.

    A seeded producer records what the brokers acknowledged, while workers are killed, stopped,
    restarted and cut off, and brokers are killed, stopped and restarted one at a time. Then an
    independent reader compares the topics with what the log leads to, computed offline. Exits with
    1 if anything was lost or differs.
    """
    logs.configure("ERROR")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # outages are what it is about
    console = Console(stderr=True)
    facts = machine()
    with ExitStack() as stack:
        advance = stack.enter_context(download_progress(console))
        cached_jars(advance=advance)
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hark-")))
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        tell = stack.enter_context(_telling(console))
        plan = Plan(minutes, rate, partitions, workers, seed, folder)
        with faults_run(plan, tell) as ran:
            tell("counting", 1)
            checked = asyncio.run(check(ran, partitions))
    answer = _answer(plan, ran, checked, facts)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        _print(answer)
    context.exit(1 if any(answer[name] for name in WRONG) else 0)


@contextmanager
def _telling(console: Console) -> Iterator[Tell]:
    progress = Progress(
        TextColumn("{task.description:40}"), BarColumn(), TimeElapsedColumn(),
        console=console, disable=not console.is_terminal,
    )  # fmt: skip
    with progress:
        task = progress.add_task("", total=1.0)
        yield lambda what, share: progress.update(task, description=what, completed=share)


def _answer(plan: Plan, ran: Ran, checked: Checked, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **msgspec.to_builtins(checked.account),
        "events": checked.events,
        "users": checked.users,
        "histories_different": checked.histories_different,
        **{name: ran.counts[name] for name in COUNTED},
        "crash_reasons": ran.reasons,
        "producer_gaps": ran.ledger.gaps,
        "sent": dict(ran.workload.sorts),
        "seconds": round(ran.seconds, 1),
        "minutes": plan.minutes,
        "rate": plan.rate,
        "partitions": plan.partitions,
        "workers": plan.workers,
        "seed": plan.seed,
        "machine": facts,
    }


def _print(answer: Mapping[str, Any]) -> None:
    console = Console()
    table = Table("", "records", title="what became of them")
    for name in ("acked", "scored", "dead_lettered", "duplicates", "lost"):
        table.add_row(name, f"{answer[name]:,}")
    console.print(table)
    table = Table("", "number", title="outputs and histories")
    for name in ("missing", "unexpected", "different", "unrecognised", "repeated", "silent"):
        table.add_row(name, f"{answer[name]:,}")
    table.add_row("histories_different", f"{answer['histories_different']:,}")
    table.add_row("users", f"{answer['users']:,}")
    console.print(table)
    table = Table("", "times", title=f"faults in {answer['seconds']:.0f} s")
    for name in COUNTED:
        table.add_row(name, f"{answer[name]:,}")
    console.print(table)
    for reason in answer["crash_reasons"]:
        console.print(f"a worker ended: {reason}", soft_wrap=True)
    facts = answer["machine"]
    console.print(f"{facts['cpu']}, {facts['cores']} cores, load {facts['load_1m_before']}")
