"""Judging published lists beside simple methods."""

from __future__ import annotations

import pytest

from ops.baselines import Counters
from ops.demo.list_quality import Standing, judge

Event = tuple[str, str, str | None]


def _events(*steps: tuple[str, str | None]) -> list[Event]:
    return [(f"m{i}", user, item) for i, (user, item) in enumerate(steps)]


def test_gain_falls_with_the_rank() -> None:
    standing = Standing()
    standing.answer(["a", "b", "c"], "a")
    standing.answer(["a", "b", "c"], "c")
    standing.answer([str(i) for i in range(10)] + ["late"], "late")
    assert standing.summary() == {"hr_at_10": round(2 / 3, 4), "ndcg_at_10": round(1.5 / 3, 4)}


def test_the_target_is_the_next_other_item_and_not_the_same_one_again() -> None:
    events = _events(("u", "a"), ("u", "a"), ("u", None), ("u", "b"))
    found = judge(events, {"m0": ["a", "b"]})
    assert (found["hark"].asked, found["hark"].hits) == (1, 1)
    assert found["hark"].gain == pytest.approx(0.6309, abs=1e-4)


def test_a_list_whose_user_goes_nowhere_is_not_judged() -> None:
    events = _events(("u", "a"), ("v", "b"), ("u", "a"))
    assert judge(events, {"m0": ["b"]})["hark"].asked == 0


def test_each_list_is_judged_once_by_the_same_target() -> None:
    events = _events(("u", "a"), ("u", None), ("u", "b"), ("u", "c"))
    found = judge(events, {"m0": ["b"], "m1": ["c"], "m2": ["c"]})
    assert (found["hark"].asked, found["hark"].hits) == (3, 2)


def test_methods_see_nothing_after_the_triggering_event() -> None:
    events = _events(("u", "a"), ("v", "a"), ("v", "b"), ("w", "a"), ("u", "b"))
    found = judge(events, {"m0": [], "m3": []})
    assert found["covisitation"].asked == 1  # w goes nowhere
    assert found["covisitation"].hits == 0  # a and b meet only after m0
    assert found["popularity"].hits == 0


def test_simple_methods_never_propose_the_item_at_hand() -> None:
    counters = Counters()
    for user, item in (("u", "a"), ("u", "b"), ("u", "c"), ("v", "c"), ("v", "a")):
        counters.add(user, item)
    assert "a" not in counters.popular("v")
    assert counters.own_recent("u") == ["b", "a"]
    assert counters.covisited("v")[0] == "b"
    assert "a" not in counters.covisited("v")


def test_nearer_items_belong_together_more() -> None:
    counters = Counters()
    for item in ("a", "b", "c"):
        counters.add("u", item)
    assert counters.after["a"] == {"b": 1.0, "c": 0.5}
    assert "c" not in counters.after, "only what comes after counts"
