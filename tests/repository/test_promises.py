"""docs/promises.md names a proof for each promise, and each proof is a test that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "promises.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGE)))


def test_every_promise_has_its_proof() -> None:
    promises = [text for text in re.split(r"\n\n+", PAGE) if text.startswith("**")]
    assert len(promises) > 10
    assert [text for text in promises if not re.search(r"\*Proof:\*\s+`", text)] == []


def test_every_proof_is_named_in_full() -> None:
    tests = re.findall(r"`tests/[^`]*`", PAGE)
    assert [one for one in tests if not re.fullmatch(r"`tests/\S+::test_\w+`", one)] == []


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_a_proof_is_a_test_that_is_there(file: str, test: str) -> None:
    assert re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text(), re.MULTILINE)
