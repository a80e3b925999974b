"""What the new partitions' states take over, where the log no longer reaches back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ops.growing.states import Moved, take_over
from ops.publish.publisher import key_hash
from ops.simulator.simulation import simulate_events
from schemas.events.codec import EventDecoder
from streams.alerts.book import Incident
from streams.histories.item_table import ItemTable
from streams.monitoring.metrics import Metrics
from streams.partition import PartitionState
from streams.plan import Plan
from streams.scoring import Scorer
from streams.settings import Settings
from streams.transport.record_batch import fold
from tests.ops.growing.logs import Published, rows, spread

BEFORE, AFTER = 2, 5
SETTINGS = Settings()
EVENTS = list(spread(simulate_events(5, users=200, items=80, days=60, events=3_000).events))


def scored(partitions: int, log: list[tuple[bytes, bytes]]) -> dict[int, PartitionState]:
    """The states of partitions that read a log."""
    scorer = Scorer(
        Plan.from_settings(SETTINGS),
        EventDecoder(SETTINGS.product_contract()),
        ItemTable(),
        Metrics(),
    )
    parts: dict[int, list[Any]] = {number: [] for number in range(partitions)}
    for key, value in log:
        part = parts[key_hash(key) % partitions]
        part.append(Published(len(part), 1_790_000_000_000 + len(part), key, value))
    states = {number: scorer.new_state(number) for number in parts}
    for number, part in parts.items():
        if part:
            scorer.score_batch(states[number], fold("events", number, part))
    return states


def place(user: bytes) -> int:
    return key_hash(user) % AFTER


def sent(states: dict[int, PartitionState]) -> dict[str, list[int]]:
    """What each user was last sent."""
    found = {}
    for state in states.values():
        users = state.histories.known()
        slots = state.histories.user_rows.slots(users)
        lists = state.sent.of(slots, state.histories.user_rows.owners[slots])
        found |= dict(zip(users, lists.tolist(), strict=True))
    return found


@pytest.mark.parametrize("deleted", [0, 1_000, 2_500, 3_000])
def test_histories_and_sent_lists_are_those_of_the_old_states(deleted: int) -> None:
    old, new = scored(BEFORE, EVENTS), scored(AFTER, EVENTS[deleted:])
    moved = take_over(old, new, place)
    expected = rows(scored(AFTER, EVENTS))
    assert rows(new) == expected
    assert sent(new) == sent(old)
    assert any(lists != [0, 0] for lists in sent(new).values())
    assert moved.users == len(expected)
    if not deleted:
        assert moved == Moved(len(expected), 0, 0)
    else:
        assert 0 < moved.older <= len(expected)
        assert (moved.older == len(expected)) == (deleted == 3_000)


def test_users_that_the_log_no_longer_names_are_evicted_first() -> None:
    old, new = scored(BEFORE, EVENTS), scored(AFTER, EVENTS[2_500:])
    named = {user for state in new.values() for user in state.histories.known()}
    kept = {number: state.users for number, state in new.items()}
    for number, state in new.items():
        state.histories.user_rows.max_users = kept[number]
    take_over(old, new, place)
    for number, state in new.items():
        assert state.users <= kept[number]
        unnamed = set(state.histories.known()) - named
        if unnamed:  # an eviction takes a sixteenth at a time
            assert named & {u for u in named if place(u.encode()) == number} <= set(
                state.histories.known()
            )


def test_incidents_move_with_their_users() -> None:
    old, new = scored(BEFORE, EVENTS), scored(AFTER, EVENTS[1_000:])
    open_, cooling = Incident("a", "critical", 7), Incident("b", "warning", 8, 9)
    users = {state.histories.known()[0]: state for state in old.values()}
    for (user, state), incident in zip(users.items(), (open_, cooling), strict=True):
        state.books["risk"].restore(user, incident)
    assert take_over(old, new, place).incidents == 2
    found = {
        user: (number, state.books["risk"]._incidents[user])
        for number, state in new.items()
        for user in state.books["risk"].subjects
    }
    assert found == {
        user: (place(user.encode()), incident)
        for user, incident in zip(users, (open_, cooling), strict=True)
    }


def test_a_user_who_is_in_several_new_partitions_stays_as_the_log_says() -> None:
    """Events with other keys split a user; no row of the old states is the whole of it."""
    old, new = scored(BEFORE, EVENTS), scored(AFTER, EVENTS)
    user = old[0].histories.known()[0]
    away = (place(user.encode()) + 1) % AFTER
    new[away].histories.user_rows.assign([user])
    before = [s.histories.row(user) for s in new.values()]
    take_over(old, new, place)
    after = [s.histories.row(user) for s in new.values()]
    for one, other in zip(before, after, strict=True):
        assert (one is None and other is None) or np.array_equal(one, other)  # type: ignore[arg-type]
