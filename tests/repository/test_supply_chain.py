"""`make audit` and `make sbom`: what they conclude, and that their tools are pinned."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CI = Path(__file__).parents[2] / ".ci"
SAFE = {"name": "safe", "version": "1.0", "vulns": []}
FLAWED = {
    "name": "flawed",
    "version": "2.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"], "aliases": []}],
}
UNKNOWN = {"name": "unknown", "skip_reason": "not found"}


@pytest.fixture(scope="module")
def verdict() -> Callable[..., tuple[int, list[str]]]:
    found: Callable[..., tuple[int, list[str]]] = runpy.run_path(str(CI / "audit"))["verdict"]
    return found


@pytest.mark.parametrize(
    ("packages", "code", "last"),
    [
        ([SAFE], 0, "1 packages looked up: no known vulnerability"),
        ([SAFE, FLAWED], 1, "2 packages looked up: 1 known vulnerabilities"),
        ([SAFE, FLAWED, UNKNOWN], 1, "1 could not be looked up: unknown"),
        ([SAFE, UNKNOWN], 2, "1 could not be looked up: unknown"),
    ],
)
def test_the_audit_says_what_was_found_and_what_was_not_looked_up(
    verdict: Callable[..., tuple[int, list[str]]],
    packages: list[dict[str, Any]],
    code: int,
    last: str,
) -> None:
    found, lines = verdict({"dependencies": packages})
    assert (found, lines[-1]) == (code, last)
    flaws = [line for line in lines if line.startswith("flawed 2.0: PYSEC-1, fixed in 2.1")]
    assert len(flaws) == packages.count(FLAWED)


@pytest.mark.parametrize("report", [None, {"dependencies": [UNKNOWN]}, {"dependencies": []}])
def test_an_audit_that_reaches_no_database_is_not_a_pass(
    verdict: Callable[..., tuple[int, list[str]]], report: dict[str, Any] | None
) -> None:
    code, lines = verdict(report)
    assert code == 2
    assert len(lines) == 1
    assert "can't be reached" in lines[0]


def test_a_bill_of_materials_names_every_installed_package() -> None:
    missing = runpy.run_path(str(CI / "sbom_covers"))["missing"]
    document = {
        "metadata": {"component": {"name": "hark", "version": "0.1.0"}},
        "components": [{"name": "PyYAML", "version": "6.0"}, {"name": "a.b", "version": "1"}],
    }
    assert missing(document, ["pyyaml==6.0", "a-b==1", "hark==0.1.0"]) == []
    assert missing(document, ["pyyaml==6.1", "other==2"]) == ["other==2", "pyyaml==6.1"]


def test_the_tools_are_pinned_exactly() -> None:
    lines = (CI / "tools.txt").read_text().splitlines()[1:]
    assert {"pip-audit", "cyclonedx-bom"} <= {line.split("==")[0] for line in lines}
    assert not [line for line in lines if not re.fullmatch(r"[a-z0-9.-]+==[\w.+!]+", line)]
