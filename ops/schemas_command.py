"""`hark schemas`: write the contract's files from the structs, or check them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from schemas.documents import asyncapi, json_schema
from schemas.documents.compatibility import Comparison, Direction
from schemas.errors import ConfigError
from schemas.topics import CONTRACT


@click.group()
def schemas() -> None:
    """Write or check the JSON Schema files and the AsyncAPI document."""


@schemas.command()
def generate() -> None:
    """Write all files again."""
    for file, text in _files().items():
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    click.echo(f"{len(_files())} files in {json_schema.FOLDER.parent}")


@schemas.command()
@click.option(
    "--against",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Also compare with the *.schema.json of an older checkout or release in this folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the problems as a JSON list.")
@click.pass_context
def check(ctx: click.Context, against: Path | None, as_json: bool) -> None:
    """Exit with 1 when a file isn't what the structs say, or a change breaks the contract."""
    problems = _stale() + (_breaking(against) if against else [])
    if as_json:
        click.echo(json.dumps(problems))
    else:
        for problem in problems:
            click.echo(problem)
    if problems:
        ctx.exit(1)
    if not as_json:
        click.echo("current")


def _files() -> dict[Path, str]:
    files = {json_schema.FOLDER / name: text for name, text in json_schema.schema_files().items()}
    return {**files, asyncapi.FILE: asyncapi.text()}


def _stale() -> list[str]:
    wanted = _files()
    problems = [
        f"{file.name}: not current; run: hark schemas generate"
        for file, text in wanted.items()
        if not file.is_file() or file.read_text() != text
    ]
    strays = set(json_schema.FOLDER.glob("*.schema.json")) - wanted.keys()
    return problems + [f"{file.name}: belongs to no topic; delete it" for file in sorted(strays)]


def _breaking(folder: Path) -> list[str]:
    """What in today's schemas breaks publishers or subscribers that go by those in `folder`."""
    released = {file.name: _json(file) for file in folder.glob("*.schema.json")}
    if not released:
        raise ConfigError(f"{folder}: no *.schema.json files to compare with")
    today = {name: json.loads(text) for name, text in json_schema.schema_files().items()}
    inward = {spec.name for spec in CONTRACT if "worker" not in spec.producers}
    problems = []
    for name, old in sorted(released.items()):
        if name not in today:
            problems.append(f"{name}: the topic or its version is gone")
            continue
        direction: Direction = "in" if name.split(".")[0] in inward else "out"
        found = Comparison(old, today[name], direction).breaks()
        problems += [f"{name}: {problem}" for problem in found]
    return problems


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except ValueError as error:  # of JSON or of its encoding
        raise ConfigError(f"{file}: not JSON: {error}") from None
