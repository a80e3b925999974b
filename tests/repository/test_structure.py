"""Rules of the house that no other tool checks."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "models", "streams", "ops")
LONGEST = 400


def sources() -> list[Path]:
    return [file for name in (*PACKAGES, "tests") for file in (ROOT / name).rglob("*.py")]


def test_no_file_is_longer_than_400_lines() -> None:
    long = {
        str(file.relative_to(ROOT)): lines
        for file in sources()
        if (lines := len(file.read_text().splitlines())) > LONGEST
    }
    assert not long


@pytest.mark.parametrize("name", ["utils", "common", "helpers", "misc"])
def test_no_file_is_named_after_nothing(name: str) -> None:
    assert not [file for file in sources() if file.stem == name]


def test_a_file_without_a_docstring_says_nothing_about_itself() -> None:
    bare = [
        str(file.relative_to(ROOT))
        for file in sources()
        if file.name != "__init__.py" and not re.match(r'(#.*\n)*"""', file.read_text())
    ]
    assert not bare


def test_everything_asked_for_is_pinned_exactly() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.split("==")[0] for line in lines if "==" in line and not line.startswith("#")}
    names = {re.split(r"[<>=!~\[; ]", one)[0].lower().replace("_", "-") for one in asked}
    assert not names - pinned


def test_constraints_hold_versions_and_no_addresses() -> None:
    text = (ROOT / "constraints.txt").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[\w.+!]+", line)] == []


@pytest.mark.parametrize("command", ["--help", "broker --help", "topics --help"])
def test_the_command_line_loads_only_what_it_needs(command: str) -> None:
    code = (
        "import sys, click\n"
        "from ops.cli import hark\n"
        f"hark({command.split()!r}, standalone_mode=False)\n"
        "print(sorted({'torch', 'lightgbm', 'onnxruntime', 'polars'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_worker_runs_without_torch() -> None:
    code = "import sys, streams.worker\nprint(sorted({'torch', 'lightgbm'} & sys.modules.keys()))"
    if not (ROOT / "streams" / "app.py").exists():
        pytest.skip("streams/worker.py isn't there yet")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.splitlines()[-1] == "[]"
