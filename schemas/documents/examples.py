"""Golden examples: one file per message, by topic and version."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.documents.json_schema import VERSION
from schemas.errors import Reason

FOLDER = Path(__file__).parents[1] / "examples"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that breaks the contract: its value (None: a null value), and the reason code."""

    name: str
    value: bytes | None
    reason: Reason


def valid(topic: str, version: int = VERSION) -> dict[str, Any]:
    """Name -> payload of the valid examples of a topic."""
    files = sorted((FOLDER / topic / f"v{version}").glob("*.json"))
    return {file.stem: json.loads(file.read_text()) for file in files}


def rejected(topic: str, version: int = VERSION) -> list[Rejected]:
    """Examples that must be refused, each with its reason code."""
    files = sorted((FOLDER / topic / f"v{version}" / "rejected").glob("*.json"))
    return [_rejected(file) for file in files]


def _rejected(file: Path) -> Rejected:
    """Read a file: `value` is text or null, `value_base64` bytes, `pad_to_bytes` the least size."""
    described = json.loads(file.read_text())
    if "value_base64" in described:
        value: bytes | None = base64.b64decode(described["value_base64"])
    else:
        text = described["value"]
        value = None if text is None else text.encode()
    if value is not None:
        value = value.ljust(described.get("pad_to_bytes", 0))
    return Rejected(file.stem, value, Reason(described["reason"]))
