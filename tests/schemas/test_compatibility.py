"""A change that breaks publishers or subscribers is found, and only such a change."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ops.schemas_command import schemas
from schemas.documents import asyncapi, json_schema
from schemas.documents.compatibility import Comparison, Direction

RELEASED = Path(__file__).parent / "released"
Change = Callable[[dict[str, Any]], object]

OLD: dict[str, Any] = {
    "$ref": "#/$defs/Thing",
    "$defs": {
        "Thing": {
            "type": "object",
            "properties": {
                "id": {"anyOf": [{"type": "string", "maxLength": 8}, {"type": "integer"}]},
                "status": {"enum": ["firing", "resolved"]},
                "score": {"type": "number", "minimum": 0},
                "parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}},
            },
            "required": ["id", "status"],
        },
        "Part": {"type": "object", "properties": {"name": {"type": "string"}}, "required": []},
    },
}


def after(change: Change) -> dict[str, Any]:
    new = copy.deepcopy(OLD)
    change(new["$defs"])
    return new


def properties(defs: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = defs["Thing"]["properties"]
    return found


CHANGES: list[tuple[str, Change, set[Direction]]] = [
    ("nothing", lambda d: None, set()),
    ("another description", lambda d: d["Thing"].update(description="x"), set()),
    ("a new optional field", lambda d: properties(d).update(more={"type": "string"}), set()),
    ("a field removed", lambda d: properties(d).pop("score"), {"in", "out"}),
    ("a field below removed", lambda d: d["Part"]["properties"].pop("name"), {"in", "out"}),
    ("another type", lambda d: properties(d).update(score={"type": "string"}), {"in", "out"}),
    ("a type less", lambda d: properties(d)["id"]["anyOf"].pop(), {"in"}),
    ("a type more", lambda d: properties(d)["id"]["anyOf"].append({"type": "null"}), {"out"}),
    ("now required", lambda d: d["Thing"]["required"].append("score"), {"in"}),
    ("no longer required", lambda d: d["Thing"]["required"].remove("status"), {"out"}),
    ("a value less", lambda d: properties(d)["status"]["enum"].pop(), {"in"}),
    ("a value more", lambda d: properties(d)["status"]["enum"].append("muted"), {"out"}),
    ("any text", lambda d: properties(d).update(status={"type": "string"}), {"out"}),
    ("shorter", lambda d: properties(d)["id"]["anyOf"][0].update(maxLength=4), {"in"}),
    ("longer", lambda d: properties(d)["id"]["anyOf"][0].update(maxLength=9), {"out"}),
    ("lower bound gone", lambda d: properties(d)["score"].pop("minimum"), {"out"}),
    ("lower bound raised", lambda d: properties(d)["score"].update(minimum=1), {"in"}),
    ("a new rule", lambda d: d["Thing"].update(allOf=[{"required": ["score"]}]), {"in"}),
    ("whole numbers only", lambda d: properties(d).update(score={"type": "integer"}), {"in"}),
]


@pytest.mark.parametrize("direction", ["in", "out"])
@pytest.mark.parametrize(
    ("change", "breaks"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES]
)
def test_a_change_breaks_exactly_those_who_rely_on_it(
    direction: Direction, change: Change, breaks: set[Direction]
) -> None:
    found = Comparison(OLD, after(change), direction).breaks()
    assert bool(found) == (direction in breaks), found


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(schemas, arguments)
    return result.exit_code, result.output


def test_the_committed_files_are_what_the_structs_say() -> None:
    assert run("check") == (0, "current\n")


def test_nothing_has_broken_since_the_release() -> None:
    code, output = run("check", "--against", str(RELEASED))
    assert code == 0, output


@pytest.mark.parametrize(
    ("file", "struct", "field"),
    [("alerts", "Alert", "severity"), ("events", "Properties", "price"),
     ("dead-letters.headers", "DeadLetterHeaders", "hark-reason")],
)  # fmt: skip
def test_a_field_the_release_had_and_we_lack_fails_the_check(
    tmp_path: Path, file: str, struct: str, field: str
) -> None:
    shutil.copytree(RELEASED, tmp_path, dirs_exist_ok=True)
    released = tmp_path / f"{file}.v1.schema.json"
    schema = json.loads(released.read_text())
    schema["$defs"][struct]["properties"][f"{field}_once"] = {"type": "string"}
    released.write_text(json.dumps(schema))
    code, output = run("check", "--against", str(tmp_path))
    assert code == 1
    assert f"{field}_once: removed" in output


def test_a_topic_that_is_gone_fails_the_check(tmp_path: Path) -> None:
    (tmp_path / "sightings.v1.schema.json").write_text("{}")
    code, output = run("check", "--against", str(tmp_path))
    assert (code, "sightings.v1.schema.json" in output) == (1, True)


def test_files_that_are_not_current_fail_the_check_until_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_schema, "FOLDER", tmp_path / "json")
    monkeypatch.setattr(asyncapi, "FILE", tmp_path / "asyncapi.json")
    assert run("check")[0] == 1
    assert run("generate")[0] == 0
    assert run("check") == (0, "current\n")
    (tmp_path / "json" / "events.v1.schema.json").write_text("{}")
    (tmp_path / "json" / "stray.v1.schema.json").write_text("{}")
    code, output = run("check", "--json")
    assert code == 1
    assert [problem.split(":")[0] for problem in json.loads(output)] == [
        "events.v1.schema.json",
        "stray.v1.schema.json",
    ]
