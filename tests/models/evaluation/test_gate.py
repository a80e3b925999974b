"""The gate: what it lets pass, what it stops, and what it says about it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation import metrics
from models.evaluation.gate import (
    CHALLENGER,
    CHAMPION,
    Decision,
    Evidence,
    HeadAnswers,
    Limits,
    Lists,
    decide,
)
from ops.training.run import limits_of
from streams.settings import Gate
from tests.example_count import example_count

Ints = npt.NDArray[np.int64]


def ranks(hit_share: float, n: int = 2_000, seed: int = 0) -> Ints:
    """Ranks of n questions, `hit_share` of them within the first ten."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(n) < hit_share, rng.integers(1, 11, n), metrics.MISSING)


def lists(**methods: Ints) -> Lists:
    n = len(methods[CHALLENGER])
    return Lists(methods, np.arange(n) // 2)


def head(noise: dict[str, float], n: int = 3_000, seed: int = 1) -> HeadAnswers:
    """Roles whose logits are the truth's plus noise of that size, calibrated but for the noise."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(-2.0, 1.5, n)
    labels = rng.random(n) < 1 / (1 + np.exp(-truth))
    said = {role: 1 / (1 + np.exp(-truth - rng.normal(0, by, n))) for role, by in noise.items()}
    return HeadAnswers("risk", labels, np.arange(n) // 3, said, dict.fromkeys(noise, "stack"))


def judged(shown: Lists, *heads: HeadAnswers, **changes: float) -> Decision:
    measured = {"parity": 1e-6, "latency_ms": 50.0} | changes
    return decide(Evidence(shown, heads, **measured), Limits())


SIMPLE = {"popularity": ranks(0.1, seed=8), "covisitation": ranks(0.25, seed=9)}
GOOD = ranks(0.4)


def test_the_first_version_passes_if_it_beats_the_simple_methods() -> None:
    passed = judged(lists(challenger=GOOD, **SIMPLE), head({CHALLENGER: 0.2}))
    assert passed.promote
    assert passed.why == "better than the simple methods"
    assert any(check.name.startswith("risk by stack, AP") and check.low for check in passed.checks)


@pytest.mark.parametrize("method", SIMPLE)
def test_no_version_passes_that_a_simple_method_beats(method: str) -> None:
    best = SIMPLE | {method: ranks(0.5, seed=7)}
    for more in ({}, {CHAMPION: ranks(0.2, seed=6)}):
        stopped = judged(lists(challenger=GOOD, **best, **more))
        assert not stopped.promote
        assert f"{method} has the better NDCG@10" in stopped.why


def test_an_equal_of_the_champion_passes_and_a_worse_one_does_not() -> None:
    equal = lists(challenger=GOOD, champion=GOOD, **SIMPLE)
    both = head({CHALLENGER: 0.2, CHAMPION: 0.2})
    passed = judged(equal, both)
    assert passed.promote, passed.why
    assert passed.why == "no worse than the champion"
    worse = judged(lists(challenger=GOOD, champion=ranks(0.5), **SIMPLE), both)
    assert not worse.promote
    assert "NDCG@10 may be worse" in worse.why
    assert "HR@10 may be worse" in worse.why


def test_what_chance_could_hide_does_not_pass() -> None:
    """The same figures on few questions: the bound counts, not the value."""
    few = {name: found[:80] for name, found in SIMPLE.items()}
    close = lists(challenger=ranks(0.4, 80, seed=1), champion=ranks(0.4, 80, seed=2), **few)
    assert "may be worse" in judged(close).why
    many = lists(
        challenger=ranks(0.4, 10_000, seed=1),
        champion=ranks(0.4, 10_000, seed=2),
        **{name: np.tile(found, 5) for name, found in SIMPLE.items()},
    )
    assert judged(many).promote


def test_a_head_that_lost_precision_stops_a_version_with_better_lists() -> None:
    shown = lists(challenger=ranks(0.6), champion=GOOD, **SIMPLE)
    stopped = judged(shown, head({CHALLENGER: 4.0, CHAMPION: 0.1}))
    assert not stopped.promote
    assert "risk AP may be worse than the champion's" in stopped.why


def test_a_head_that_lost_its_calibration_stops_it_too() -> None:
    both = head({CHALLENGER: 0.0, CHAMPION: 0.0})
    shifted = both.probabilities[CHALLENGER] ** 0.5  # the same order, other probabilities
    skewed = replace(both, probabilities=both.probabilities | {CHALLENGER: shifted})
    stopped = judged(lists(challenger=GOOD, champion=GOOD, **SIMPLE), skewed)
    assert not stopped.promote
    assert "risk ECE" in stopped.why
    assert "AP" not in stopped.why


def test_a_head_that_is_gone_stops_it_and_a_new_one_does_not() -> None:
    shown = lists(challenger=GOOD, champion=GOOD, **SIMPLE)
    assert "the champion answers risk" in judged(shown, head({CHAMPION: 0.2})).why
    assert judged(shown, head({CHALLENGER: 0.2})).promote
    assert "guessing" in judged(shown, head({CHALLENGER: 60.0}, n=400)).why


@pytest.mark.parametrize(("name", "value"), [("parity", 1e-3), ("latency_ms", 5_000.0)])
def test_parity_and_latency_have_their_limits(name: str, value: float) -> None:
    stopped = judged(lists(challenger=GOOD, **SIMPLE), **{name: value})
    assert not stopped.promote
    assert f"{value:.4g}" in stopped.why


def test_nothing_is_promoted_that_nothing_was_measured_of() -> None:
    few = lists(**{name: found[:10] for name, found in ({CHALLENGER: GOOD} | SIMPLE).items()})
    stopped = judged(few, head({CHALLENGER: 0.1}, n=30))
    assert not stopped.promote
    assert "too few" in stopped.why
    assert judged(few, head({CHALLENGER: 0.1})).promote, "a log of payments has no lists"


def test_a_log_with_one_class_only_is_not_measured() -> None:
    one = head({CHALLENGER: 0.1})
    alone = replace(one, labels=np.zeros_like(one.labels))
    found = judged(lists(challenger=GOOD, **SIMPLE), alone)
    assert found.promote
    assert [check.passed for check in found.checks if check.name.startswith("risk")] == [None]


@settings(max_examples=example_count(8), deadline=None)
@given(st.floats(0.05, 0.9), st.integers(0, 10_000), st.floats(0.0, 0.5))
def test_a_version_that_is_never_behind_is_never_worse(
    share: float, seed: int, margin: float
) -> None:
    theirs = ranks(share, 400, seed)
    ours = np.where(theirs == metrics.MISSING, theirs, np.maximum(theirs - 1, 1))
    shown = lists(challenger=ours, champion=theirs)
    found = decide(Evidence(shown, (), 0.0, 0.0), Limits(ranking=margin))
    assert found.promote, found.why


def test_the_limits_are_settings() -> None:
    assert limits_of(Gate()) == Limits()
    changed = limits_of(Gate(ranking=0.2, precision=0.3, ece=0.04, latency_ms=7.0))
    assert changed == Limits(ranking=0.2, precision=0.3, ece=0.04, latency_ms=7.0)
    shown = lists(challenger=ranks(0.38), champion=GOOD, **SIMPLE)
    for name, value in (("ranking", 0.0), ("latency_ms", 1.0)):
        strict = limits_of(Gate(**{name: value}))
        assert not decide(Evidence(shown, (), 0.0, 50.0), strict).promote
    assert decide(Evidence(shown, (), 0.0, 50.0), limits_of(Gate(ranking=0.5))).promote
