"""Lists: what may be shown, and what goes out when."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.features.windows import Windows
from schemas.events.kinds import Kind
from streams.counters.suggestions import Source
from streams.histories.item_table import ItemTable
from streams.recommendations.allowed import top_allowed
from streams.recommendations.sent_lists import Candidates, Policy, SentLists, list_hashes

POLICY = Policy(top_k=2, min_interval_s=30, ttl_s=60, exclude_bought=True)


def table() -> ItemTable:
    items = ItemTable()
    for name in "abcd":
        items.upsert(name, available=name != "b")
    return items


def windows(kinds: list[int], items: list[int]) -> Windows:
    length = len(kinds)
    empty = Windows.empty(length)
    return replace(
        empty,
        items=np.array([items], np.int32),
        kinds=np.array([kinds], np.uint8),
        lengths=np.array([length], np.int32),
    )


def candidates(*items: int) -> Candidates:
    scores = np.linspace(1, 0.1, len(items), dtype=np.float32)
    sources = np.full((1, len(items)), Source.POPULAR, np.uint8)
    return Candidates(np.array([items], np.int32), scores[None], sources)


def chosen(candidates_: Candidates, seen: Windows, policy: Policy = POLICY) -> list[int]:
    order = top_allowed(candidates_, seen, table(), policy)[0]
    return [int(candidates_.items[0, place]) for place in order if place >= 0]


VIEWED = windows([Kind.VIEW], [0])


def test_the_best_available_candidates_are_chosen_in_order() -> None:
    assert chosen(candidates(3, 1, 0, 2), VIEWED) == [3, 0]


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_a_candidate_whose_score_is_no_number_is_not_shown(score: float) -> None:
    offered = candidates(0, 2, 3)
    for place in range(3):
        spoilt = replace(offered, scores=offered.scores.copy())
        spoilt.scores[0, place] = score
        rest = [item for item in (0, 2, 3) if item != offered.items[0, place]]
        assert chosen(spoilt, VIEWED) == rest


def test_missing_candidates_leave_places_empty() -> None:
    assert chosen(candidates(-1, 2, -1), VIEWED) == [2]


def test_bought_items_are_left_out_unless_the_policy_says_otherwise() -> None:
    bought = windows([Kind.VIEW, Kind.PURCHASE], [0, 3])
    assert chosen(candidates(3, 0, 2), bought) == [0, 2]
    assert chosen(candidates(3, 0, 2), bought, replace(POLICY, exclude_bought=False)) == [3, 0]


def test_a_worker_that_knows_no_item_yet_has_nothing_to_show() -> None:
    order = top_allowed(candidates(-1, -1), VIEWED, ItemTable(), POLICY)
    assert (order < 0).all()


def shown(*items: int) -> int:
    hashes = np.arange(100, 110, dtype=np.uint64) ** 9
    return int(list_hashes(np.array([[*items, -1]], np.int32), hashes)[0])


def test_only_changed_lists_go_out_and_not_too_often() -> None:
    sent = SentLists()
    outcomes = [
        sent.admit(0, 1, t, shown(*items), POLICY)
        for t, items in [(0, (1, 2)), (10, (1, 2)), (20, (2, 1)), (30, (2, 1)), (40, ())]
    ]
    assert outcomes == ["sent", "unchanged", "held", "sent", "empty"]


def test_a_slot_given_to_another_user_starts_afresh() -> None:
    sent = SentLists()
    assert sent.admit(3, 1, 0, shown(1), POLICY) == "sent"
    assert sent.admit(3, 2, 0, shown(1), POLICY) == "sent"
    assert sent.admit(5_000, 3, 0, shown(1), POLICY) == "sent"


def test_lists_differ_by_items_order_and_length() -> None:
    lists = [shown(*items) for items in [(), (1,), (1, 2), (2, 1), (1, 2, 3), (0,), (0, 1)]]
    assert len(set(lists)) == len(lists)
    assert lists[0] == 0
