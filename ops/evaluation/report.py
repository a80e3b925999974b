"""What an evaluation found, as JSON for scripts and as files for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from models.evaluation.intervals import Figure
from ops.event_files.event_file import AS_IT_STANDS, HowToRead

HARK = "hark"
"""The row of what the worker would have said."""
Show = Callable[[float | None, str], None]
"""Called with the share done (None: unknown) and a line on what goes on."""


@dataclass(frozen=True, slots=True)
class Task:
    """What an evaluation is given.

    Attributes
    ----------
    file
        Its data.
    mapping
        Hark's words to the file's columns, where the file is the user's own.
    seed
        Of everything random.
    partitions
        Of the log that the worker would have read.
    how
        What the user's own file doesn't say itself.
    """

    file: Path
    mapping: dict[str, str] | None
    seed: int
    how: HowToRead = AS_IT_STANDS
    partitions: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One method, measured."""

    method: str
    figures: Mapping[str, Figure]

    def to_json(self) -> dict[str, Any]:
        """`{"method": ..., "hr_at_10": {"value", "low", "high"}, ...}`."""
        return {"method": self.method, **{n: asdict(f) for n, f in self.figures.items()}}


@dataclass(slots=True)
class Report:
    """One evaluation.

    Attributes
    ----------
    name, protocol
        The command's word, and one sentence on how it was measured.
    results
        One row per method; exactly one is `HARK`.
    slices
        Rows of parts of the questions (cold items, own items, ...), by the part's name.
    ablation
        `HARK` without one part each: what each part is worth.
    facts
        Anything else worth keeping: counts, sizes, seconds, the training curve.
    pictures
        PNG files by name.
    """

    name: str
    protocol: str
    results: list[Row]
    slices: dict[str, list[Row]] = field(default_factory=dict)
    ablation: list[Row] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Everything but the pictures."""
        return {
            "name": self.name,
            "protocol": self.protocol,
            "results": [row.to_json() for row in self.results],
            "slices": {name: [row.to_json() for row in rows] for name, rows in self.slices.items()},
            "ablation": [row.to_json() for row in self.ablation],
            "facts": self.facts,
        }

    def to_markdown(self) -> str:
        """Tables, one per group of rows."""
        parts = [f"# {self.name}", "", self.protocol, "", *table(self.results)]
        for name, rows in self.slices.items():
            parts += ["", f"## {name}", "", *table(rows)]
        if self.ablation:
            parts += ["", "## Without one part each", "", *table(self.ablation)]
        parts += [f"\n![{name}]({name})" for name in self.pictures]
        facts = json.dumps(self.facts, indent=2, default=str)
        return "\n".join([*parts, "", "## Facts", "", "```json", facts, "```", ""])

    def write(self, folder: Path) -> list[Path]:
        """`NAME.json`, `NAME.md` and the pictures -> what was written."""
        folder.mkdir(parents=True, exist_ok=True)
        files = {
            f"{self.name}.json": json.dumps(self.to_json(), indent=2).encode(),
            f"{self.name}.md": self.to_markdown().encode(),
            **self.pictures,
        }
        for name, data in files.items():
            (folder / name).write_bytes(data)
        return [folder / name for name in files]


def table(rows: list[Row]) -> list[str]:
    """A Markdown table: a line per method, a column per figure that any of them has."""
    names = list(dict.fromkeys(name for row in rows for name in row.figures))
    lines = [f"| method | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for row in rows:
        cells = [str(row.figures[name]) if name in row.figures else "" for name in names]
        lines.append(f"| {row.method} | {' | '.join(cells)} |")
    return lines
