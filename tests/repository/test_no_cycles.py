"""No module of the packages imports itself in a circle, and the check would say so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def circles(folder: Path, *packages: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "no_cycles", *packages],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_there_is_none() -> None:
    assert circles(ROOT, "schemas", "models", "streams", "ops") == (0, "")


def test_circles_through_functions_and_type_checking_are_found(tmp_path: Path) -> None:
    package = tmp_path / "box"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "one.py").write_text("from box import two\n")
    (package / "two.py").write_text("import json\n")
    assert circles(tmp_path, "box") == (0, "")
    (package / "two.py").write_text("def late():\n    from box.one import two\n")
    code, said = circles(tmp_path, "box")
    assert code == 1
    assert "box.one -> box.two -> box.one" in said or "box.two -> box.one -> box.two" in said
