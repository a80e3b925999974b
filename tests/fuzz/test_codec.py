"""A minute of `python -m tests.fuzz codec`, in seconds."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.documents import examples
from tests.example_count import example_count
from tests.fuzz import codec
from tests.fuzz.codec_inputs import NOW_MS, Batch, make_batch
from tests.fuzz.isolated import hunt

ROOT = Path(__file__).parents[2]


def one(value: bytes | None, broker_ms: int = NOW_MS) -> Batch:
    return Batch([value], [()], [b"u"], [broker_ms])


@settings(
    max_examples=example_count(150), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(st.randoms(use_true_random=False), st.integers(1, 12))
def test_whatever_comes_in_is_read_as_the_contract_says(rng: random.Random, n: int) -> None:
    assert codec.check(make_batch(rng, n)) == ""


@settings(max_examples=example_count(150), deadline=None)
@given(st.binary(max_size=60), st.integers(-(2**63), 2**63 - 1))
def test_any_bytes_at_any_time_are_read_as_the_contract_says(value: bytes, ms: int) -> None:
    assert codec.check(one(value, ms)) == ""


def test_the_book_agrees_with_the_golden_examples() -> None:
    for payload in examples.valid("events").values():
        batch = one(json.dumps(payload).encode())
        assert codec.check(batch) == ""
        assert not codec.decode_batch(batch, codec.DECODER).rejected
    for refused in examples.rejected("events"):
        assert codec.check(one(refused.value)) == ""


def test_the_command_says_what_it_played() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "codec", "--count", "500", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    answer = json.loads(done.stdout)
    assert (answer["inputs"], answer["findings"]) == (500, [])


def misbehave(case: int, how: str) -> tuple[str, str] | None:
    """What a case may do at its worst; only number 2 does."""
    if case != 2:
        return None
    if how == "crash":
        os.abort()
    if how == "hang":
        time.sleep(60)
    if how == "allocate":
        bytearray(1 << 40)
    return "wrong", "its input"


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("crash", "ends the process with exit code -6"),
        ("hang", "hangs for more than 0.5 s"),
        ("allocate", "ends the process with exit code 1"),
        ("wrong", "wrong"),
    ],
)
def test_a_case_that_goes_wrong_is_found_and_the_rest_is_played(how: str, what: str) -> None:
    done: list[int] = []
    findings = hunt(partial(misbehave, how=how), range(5), hang_s=0.5, advance=done.append)
    assert [(one.case, one.what) for one in findings] == [(2, what)]
    assert done[-1] == 5
