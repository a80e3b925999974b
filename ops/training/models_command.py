"""`hark models`: list, show, promote, roll back and prune model versions."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from models.registry import aliases, registry, verdicts
from models.storage import artefact
from schemas.errors import ArtefactError
from streams.settings import load_settings

ROOT = click.option(
    "--registry",
    "root",
    type=click.Path(path_type=Path),
    help="Folder of the versions [default: model.registry].",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def models() -> None:
    """List, show, promote, roll back and prune model versions."""


@models.command("list")
@ROOT
@AS_JSON
def list_(root: Path | None, *, as_json: bool) -> None:
    """List the versions on disk with their figures, oldest first."""
    root = root or load_settings().model.registry
    names: dict[str, list[str]] = {}
    try:
        for alias, version in aliases.named(root).items():
            names.setdefault(version, []).append(alias)
    except ArtefactError as error:
        click.echo(f"{error}; mend it with: hark models promote VERSION", err=True)
    rows = [
        _row(root, version, ", ".join(names.get(version, [])))
        for version in registry.versions(root)
    ]
    if as_json:
        click.echo(json.dumps(rows))
        return
    if not rows:
        click.echo(f"no versions in {root}; train one: hark train")
        return
    table = Table(
        "version", "alias", "stored", "events", "HR@10", "churn AUC", "risk AUC", box=None
    )
    shown = ("version", "alias", "stored", "events", "hr_at_10", "churn_auc", "risk_auc")
    for column in table.columns[:3]:  # versions and aliases are typed again
        column.no_wrap = True
    for row in rows:
        table.add_row(*(_cell(value) for name, value in row.items() if name in shown))
    Console().print(table)
    for row in rows:
        if row["decision"]:
            why = f" (the gate: {row['why']})" if row["why"] else ""
            click.echo(f"{row['version']} {row['decision']}{why}")


@models.command()
@click.argument("name", default=aliases.CHAMPION)
@ROOT
@AS_JSON
def show(name: str, root: Path | None, *, as_json: bool) -> None:
    """Check the hashes of a version or alias and print its model card.

    With --json it prints the manifest and the decision.
    """
    root = root or load_settings().model.registry
    version = aliases.resolve(root, name)
    if version is None:
        raise ArtefactError(f"no model {name!r} in {root}; hark models list shows what there is")
    directory = root / version
    manifest = artefact.read_manifest(directory)
    artefact.read_files(directory, manifest)
    if as_json:
        found = {"version": version, **manifest, "decision": verdicts.read(directory)}
        click.echo(json.dumps(found, indent=2))
    else:
        click.echo(verdicts.card_of(directory), nl=False)


@models.command()
@click.argument("name")
@ROOT
@AS_JSON
def promote(name: str, root: Path | None, *, as_json: bool) -> None:
    """Make version or alias NAME the champion, whatever the gate decided; it is recorded."""
    root = root or load_settings().model.registry
    registry.load(root, name)
    _made_champion(root, aliases.promote(root, name), "promoted", as_json=as_json)


@models.command()
@ROOT
@AS_JSON
def rollback(root: Path | None, *, as_json: bool) -> None:
    """Make the previous champion the champion again; a second rollback undoes the first."""
    root = root or load_settings().model.registry
    _made_champion(root, aliases.rollback(root), "rolled back to", as_json=as_json)


@models.command()
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    default=7,
    show_default=True,
    help="How many of the newest versions to keep.",
)
@ROOT
@AS_JSON
def prune(keep: int, root: Path | None, *, as_json: bool) -> None:
    """Delete old versions, except those that have an alias."""
    root = root or load_settings().model.registry
    gone = registry.prune(root, keep)
    left = registry.versions(root)
    if as_json:
        click.echo(json.dumps({"deleted": gone, "kept": left}))
    else:
        click.echo(f"deleted {len(gone)}, kept {len(left)}" + "".join(f"\n  {v}" for v in gone))


def _made_champion(root: Path, version: str, how: str, *, as_json: bool) -> None:
    verdicts.record(root / version, how)
    click.echo(json.dumps({"champion": version}) if as_json else f"champion: {version}")


def _row(root: Path, version: str, alias: str) -> dict[str, Any]:
    stored = datetime.fromtimestamp(registry.stored_at_s(root, version), UTC)
    row: dict[str, Any] = {
        "version": version,
        "alias": alias,
        "stored": f"{stored:%Y-%m-%dT%H:%MZ}",
        "events": None,
        "hr_at_10": None,
        "churn_auc": None,
        "risk_auc": None,
        "decision": None,
        "why": None,
    }
    try:
        manifest = artefact.read_manifest(root / version)
    except ArtefactError:
        return row | {"alias": ", ".join(filter(None, [alias, "damaged"]))}
    decision = verdicts.read(root / version)
    heads = manifest.get("heads", {})
    # Of the lists as they are published; without a ranker, of the network alone.
    lists = (manifest.get("ranking") or {}).get("hark") or manifest.get("next_item") or {}
    return row | {
        "events": manifest.get("data", {}).get("events"),
        "hr_at_10": lists.get("hr_at_10"),
        "churn_auc": heads.get("churn", {}).get("auc"),
        "risk_auc": heads.get("risk", {}).get("auc"),
        "decision": verdicts.in_a_word(decision) or None,
        "why": (decision.get("gate") or {}).get("why"),
    }


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else f"{value}"
