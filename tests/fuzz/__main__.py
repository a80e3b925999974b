"""Fuzzing by hand: `python -m tests.fuzz codec --count 100000 --seed 1`.

Exit code 1 on a finding; it is printed with the input, and `--seed` with `--case` plays it again.
"""

from __future__ import annotations

import functools
import json
import sys
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.fuzz import artefacts, codec
from tests.fuzz.isolated import Play, hunt


@click.group()
def main() -> None:
    """Feed what must never crash, hang or be taken wrongly."""


def _run(name: str, play: Play, count: int, seed: int, case: int | None, per_case: int,
         hang_s: float, as_json: bool) -> None:  # fmt: skip
    cases = range(-(-count // per_case)) if case is None else range(case, case + 1)
    console = Console(stderr=True)
    started = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task(f"{name}, seed {seed}", total=count)
        findings = hunt(
            play, cases, hang_s=hang_s,
            advance=lambda done: progress.update(task, completed=min(count, done * per_case)),
        )  # fmt: skip
    answer = {
        "target": name, "seed": seed, "inputs": len(cases) * per_case,
        "seconds": round(time.monotonic() - started, 1),
        "findings": [finding._asdict() for finding in findings],
    }  # fmt: skip
    if as_json:
        click.echo(json.dumps(answer))
    else:
        for finding in findings:
            click.echo(f"case {finding.case}: {finding.what}\n  {finding.input:.2000}")
        click.echo(f"{name}: {answer['inputs']} inputs, {len(findings)} findings, "
                   f"{answer['seconds']} s")  # fmt: skip
    sys.exit(1 if findings else 0)


def _options(command: click.decorators.FC) -> click.decorators.FC:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="One JSON object."),
        click.option("--case", type=int, help="Only this one, as a finding names it."),
        click.option("--seed", default=0, show_default=True),
    ):
        command = option(command)
    return command


@main.command("codec")
@click.option("--count", default=100_000, show_default=True, help="Records.")
@_options
def codec_command(count: int, seed: int, case: int | None, as_json: bool) -> None:
    """Records, as odd as can be, through both decoders."""
    play = functools.partial(codec.play, seed=seed)
    _run("codec", play, count, seed, case, codec.BATCH, 10, as_json)


@main.command("artefacts")
@click.option("--count", default=2_000, show_default=True, help="Model versions.")
@_options
def artefacts_command(count: int, seed: int, case: int | None, as_json: bool) -> None:
    """Model versions, damaged, through the registry."""
    with tempfile.TemporaryDirectory() as folder:
        artefacts.prepare(Path(folder))
        play = functools.partial(artefacts.play, seed=seed, folder=Path(folder))
        _run("artefacts", play, count, seed, case, 1, artefacts.HANG_S, as_json)


if __name__ == "__main__":
    main()
