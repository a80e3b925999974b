"""Plans and results of the trainings for a date.

::

    <registry>/runs/<date>.plan.json   how far the log was read, and who was champion then
                    <date>.done.json   the result

A plan is written before the training and kept until the result is stored. So a killed run is
repeated on the same offsets and against the same champion, even if that was replaced meanwhile,
and gives the same version. A date with a result isn't trained again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.features.features import FEATURE_SET_HASH
from models.registry import aliases
from models.storage import artefact
from ops.archive.window import Window
from schemas.errors import ArtefactError


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run starts from.

    Attributes
    ----------
    as_of
        ISO time, UTC; only earlier events count. None takes everything.
    champion
        The champion when the run began, None if there was none.
    ends
        Topic -> partition -> offset to read up to.
    settings
        Hash of everything else that the result depends on.
    window
        Part of the log to learn from; None: all of it.
    """

    as_of: str | None
    champion: str | None
    ends: dict[str, dict[int, int]]
    settings: str
    window: Window | None = None

    @property
    def before_ms(self) -> int | None:
        """`as_of` in ms."""
        if self.as_of is None:
            return None
        return round(datetime.fromisoformat(self.as_of).timestamp() * 1000)


def digest(**settings: Any) -> str:
    """Hash of settings, and of the feature set that this code computes."""
    text = artefact.to_json_bytes({**settings, "feature_set": FEATURE_SET_HASH})
    return hashlib.sha256(text).hexdigest()[:16]


class Ledger:
    """The runs of one registry.

    Parameters
    ----------
    root
        Of the registry.
    as_of
        The date, UTC.
    settings
        `digest`; a plan or a result of other settings doesn't count.
    """

    def __init__(self, root: Path, as_of: datetime, settings: str) -> None:
        self._root, self._settings = root, settings
        self._stem = f"{as_of.astimezone(UTC):%Y%m%dT%H%M%SZ}"

    def result(self) -> dict[str, Any] | None:
        """What the run for this date came to, if it ended and its version is still there."""
        found = self._read("done")
        version = "" if found is None else str(found.get("version", ""))
        if found is None or not (aliases.is_version(version) and (self._root / version).is_dir()):
            return None
        return found

    def plan(self) -> Plan | None:
        """The plan of a run that didn't end."""
        found = self._read("plan")
        if found is None:
            return None
        try:
            ends = {
                topic: {int(number): int(end) for number, end in parts.items()}
                for topic, parts in found["ends"].items()
            }
            span = found.get("window")
            window = None if span is None else Window(**span)
            return Plan(found["as_of"], found["champion"], ends, found["settings"], window)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._damaged("plan", error) from error

    def begin(self, plan: Plan) -> None:
        """Write the plan."""
        self._write("plan", asdict(plan))

    def end(self, result: Mapping[str, Any]) -> None:
        """Write the result, which closes the plan."""
        self._write("done", {**result, "settings": self._settings})
        self._path("plan").unlink(missing_ok=True)

    def _damaged(self, kind: str, error: Exception) -> ArtefactError:
        return ArtefactError(f"{self._path(kind)} is damaged: delete it ({error!r})")

    def _path(self, kind: str) -> Path:
        return self._root / "runs" / f"{self._stem}.{kind}.json"

    def _read(self, kind: str) -> dict[str, Any] | None:
        try:
            found = json.loads(self._path(kind).read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise self._damaged(kind, error) from error
        if not isinstance(found, dict) or found.get("settings") != self._settings:
            return None
        return found

    def _write(self, kind: str, value: Mapping[str, Any]) -> None:
        path = self._path(kind)
        path.parent.mkdir(parents=True, exist_ok=True)
        artefact.replace_durably(path, json.dumps(value, indent=1).encode())
