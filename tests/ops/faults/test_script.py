"""The script of faults is drawn before the run, with enough of everything."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from ops.faults.script import ENDS, TO_A_BROKER, Action, script


def test_the_same_seed_gives_the_same_faults() -> None:
    assert script(7, 5) == script(7, 5)
    assert script(7, 5) != script(8, 5)


@pytest.mark.parametrize("seed", range(3))
def test_five_minutes_kill_at_least_twenty_workers_and_do_all_else_too(seed: int) -> None:
    steps = script(seed, 5)
    times = Counter(step.action for step in steps)
    assert times[Action.WORKER_KILL] >= 20
    assert set(times) == set(Action) - set(ENDS.values())
    assert max(step.at_s for step in steps) < 5 * 60
    brokers = [step.at_s for step in steps if step.action in TO_A_BROKER]
    assert all(later - earlier > 10 for earlier, later in pairwise(brokers))


def test_a_stopped_worker_outlives_its_session() -> None:
    paused = [step.lasts_s for step in script(1, 20) if step.action is Action.WORKER_PAUSE]
    assert min(paused) > 6
