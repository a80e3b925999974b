"""Decisions about a version: the gate's when it was made, and an operator's later on.

They are in `decision.json` beside the manifest. The manifest says how a version was made, and its
hash is the version's name; a decision also depends on that day's champion and on people
(ADR 0007).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.registry import card
from models.storage import artefact
from schemas.errors import ArtefactError

DECISION = "decision.json"
CARD = "card.md"


def read(directory: Path) -> dict[str, Any]:
    """Read the decision on a version; empty if it is missing or invalid.

    The file is checked, since anybody may have edited it: `gate` is as the gate wrote it, or
    missing; `operator` is a list of times and actions.
    """
    try:
        found = json.loads((directory / DECISION).read_bytes())
        gate, operator = found.get("gate"), found.get("operator", [])
        if gate is not None:
            gate = gate | {"promote": bool(gate["promote"]), "why": str(gate["why"])}
            gate["checks"] = [{"name": "", "passed": None, **check} for check in gate["checks"]]
        actions = [{name: str(entry[name]) for name in ("at", "action")} for entry in operator]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
    return ({} if gate is None else {"gate": gate}) | ({"operator": actions} if actions else {})


def write(directory: Path, decision: dict[str, Any]) -> None:
    """Store the decision and update the model card."""
    text = json.dumps(decision, indent=1, sort_keys=True, allow_nan=False) + "\n"
    artefact.replace_durably(directory / DECISION, text.encode())
    write_card(directory)


def write_card(directory: Path) -> None:
    """Write `card.md` again."""
    artefact.replace_durably(directory / CARD, card_of(directory).encode())


def card_of(directory: Path) -> str:
    """Make the model card from the manifest and the decision."""
    return card.render(directory.name, artefact.read_manifest(directory), read(directory))


def record(directory: Path, action: str, now: datetime | None = None) -> None:
    """Note that an operator promoted a version or rolled back to it, whatever the gate said."""
    decision = read(directory)
    at = f"{now or datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    decision["operator"] = [*decision.get("operator", []), {"at": at, "action": action}]
    try:
        write(directory, decision)
    except OSError as error:
        raise ArtefactError(f"{directory / DECISION} can't be written: {error}") from error


def in_a_word(decision: dict[str, Any]) -> str:
    """The last decision in a few words, for a list."""
    operator = decision.get("operator") or []
    if operator:
        return f"{operator[-1]['action']} by operator"
    gate = decision.get("gate")
    if not gate:
        return ""
    return "promoted" if gate.get("promote") else "refused"
