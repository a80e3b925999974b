"""`hark models`: what versions there are, which one answers, and the way back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from models import artefact, registry
from schemas.errors import ArtefactError
from streams.settings import load_settings

ROOT = click.option(
    "--registry", "root", type=click.Path(path_type=Path), help="Default: the setting."
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def models() -> None:
    """Model versions: list, show, promote, roll back."""


@models.command("list")
@ROOT
@AS_JSON
def list_(root: Path | None, *, as_json: bool) -> None:
    """Versions on disk, oldest first, with what they were measured at."""
    root = root or load_settings().model.registry
    aliases = {
        version: alias
        for alias in (registry.PREVIOUS, registry.CHAMPION)
        if (version := registry.resolve(root, alias))
    }
    rows = [_row(root, version, aliases.get(version, "")) for version in registry.versions(root)]
    if as_json:
        click.echo(json.dumps(rows))
        return
    if not rows:
        click.echo(f"no versions in {root}; train one: hark train")
        return
    table = Table(
        "version", "alias", "stored", "events", "HR@10", "churn AUC", "risk AUC", box=None
    )
    table.columns[0].no_wrap = table.columns[1].no_wrap = True  # they are typed again
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    Console().print(table)


@models.command()
@click.argument("name", default=registry.CHAMPION)
@ROOT
def show(name: str, root: Path | None) -> None:
    """The whole manifest of a version or alias, its files' hashes checked."""
    root = root or load_settings().model.registry
    version = registry.resolve(root, name)
    if version is None:
        raise ArtefactError(f"no model {name!r} in {root}; hark models list shows what there is")
    manifest = artefact.read_manifest(root / version)
    artefact.read_files(root / version, manifest)
    click.echo(json.dumps({"version": version, **manifest}, indent=2))


@models.command()
@click.argument("version")
@ROOT
def promote(version: str, root: Path | None) -> None:
    """Make VERSION the champion; workers take it within seconds."""
    root = root or load_settings().model.registry
    registry.load(root, version)
    click.echo(f"champion: {registry.promote(root, version)}")


@models.command()
@ROOT
def rollback(root: Path | None) -> None:
    """Make the previous champion the champion again."""
    root = root or load_settings().model.registry
    click.echo(f"champion: {registry.rollback(root)}")


def _row(root: Path, version: str, alias: str) -> dict[str, Any]:
    stored = datetime.fromtimestamp((root / version).stat().st_mtime, UTC)
    row: dict[str, Any] = {
        "version": version,
        "alias": alias,
        "stored": f"{stored:%Y-%m-%dT%H:%MZ}",
        "events": None,
        "hr_at_10": None,
        "churn_auc": None,
        "risk_auc": None,
    }
    try:
        manifest = artefact.read_manifest(root / version)
    except ArtefactError:
        return row | {"alias": "damaged"}
    heads = manifest.get("heads", {})
    # Of the lists as they are published; without a ranker, of the network alone.
    lists = (manifest.get("ranking") or {}).get("hark") or manifest.get("next_item") or {}
    return row | {
        "events": manifest.get("data", {}).get("events"),
        "hr_at_10": lists.get("hr_at_10"),
        "churn_auc": heads.get("churn", {}).get("auc"),
        "risk_auc": heads.get("risk", {}).get("auc"),
    }


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else f"{value}"
