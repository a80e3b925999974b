"""Rules of this repository that no other tool checks."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "models", "streams", "ops")
LONGEST_FILE = 400
LARGEST_FOLDER = 15


def sources() -> list[Path]:
    return [file for name in (*PACKAGES, "tests") for file in (ROOT / name).rglob("*.py")]


def folders() -> list[str]:
    """Every folder of the packages that holds code, as the pages write it: `streams/alerts/`."""
    return sorted(
        {
            f"{file.parent.relative_to(ROOT)}/"
            for name in PACKAGES
            for file in (ROOT / name).rglob("*.py")
        }
    )


def test_no_file_is_longer_than_400_lines() -> None:
    long = {
        str(file.relative_to(ROOT)): lines
        for file in sources()
        if (lines := len(file.read_text().splitlines())) > LONGEST_FILE
    }
    assert not long


def test_no_folder_holds_more_than_15_files() -> None:
    sizes = {
        folder: sum(file.is_file() for file in (ROOT / folder).iterdir())
        for folder in {*folders(), *(f"{file.parent.relative_to(ROOT)}/" for file in sources())}
    }
    assert {folder: size for folder, size in sizes.items() if size > LARGEST_FOLDER} == {}


@pytest.mark.parametrize("folder", folders())
def test_each_folder_has_a_door(folder: str) -> None:
    door = ast.get_docstring(ast.parse((ROOT / folder / "__init__.py").read_text()))
    assert door, f"{folder}__init__.py says nothing"
    assert "Begin at" in " ".join(door.split())
    named = re.findall(r"`([\w/]+\.py)`", door)
    assert [name for name in named if not (ROOT / folder / name).is_file()] == []


def test_the_architecture_page_has_every_folder_and_no_other() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    listed = re.findall(r"^\| `([\w/]+/)` \| \S", page, re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(folders()) <= set(listed)
    assert [folder for folder in listed if not (ROOT / folder).is_dir()] == []
    named = re.findall(r"`((?:streams|models|ops|schemas)/[\w/.]+)`", page)
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_picture_of_the_architecture_is_there() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page)
    assert len(pictures) == 1
    assert "<svg" in (ROOT / "docs" / pictures[0]).read_text()


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
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.splitlines()[-1] == "[]"
